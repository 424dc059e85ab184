"""The tables of nearest neighbours in docs/performance.md: `aet knn` against scikit-learn and faiss, alternately.

usage: knn_peers.py table [--aet target/release/aet] [--rounds 5] [--threads 2] [--neighbours 10,200]
                    large [--aet target/release/aet] [--rounds 3] [--items 1000000] [--memory-limit 2GiB]

`table` searches 50,000 rows of 192 numbers for the neighbours of 10,000, `large` 1,000,000 rows in 20 shards within a
limit of memory, all random and normal. Every round runs each program once, one after the other, in a process of its own;
a cell is the median over the rounds. Counted is the search, from features in memory to neighbours, directions
included; in `large`, reading counts too. Memory is the most that the process had in use. The floor is 2 x queries x
items x numbers over the rate that aet reached in the same run when it did nothing else.
"""
import argparse, datetime, json, os, pathlib, statistics, sys, tempfile, time
import numpy, pyarrow, pyarrow.dataset, pyarrow.parquet
import measure
from measure import processor

HERE = pathlib.Path(__file__).parent
PEERS = ["faiss", "sklearn-cosine", "sklearn-euclidean"]
parser = argparse.ArgumentParser()
parser.add_argument("what", choices=["table", "large", "peer"])
parser.add_argument("--aet", default=str(HERE.parent / "target/release/aet"))
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--items", type=int)
parser.add_argument("--queries", type=int, default=10_000)
parser.add_argument("--dim", type=int, default=192)
parser.add_argument("--neighbours", default="10,200")
parser.add_argument("--memory-limit", default="2GiB")
parser.add_argument("--peers", default=",".join(PEERS), help="those to run, separated by commas; may be empty")
parser.add_argument("--name", help=argparse.SUPPRESS)
parser.add_argument("--folder", help=argparse.SUPPRESS)
arguments = parser.parse_args()
ITEMS = arguments.items or {"large": 1_000_000}.get(arguments.what, 50_000)


def write(path, rows, seed):
    """Random rows as `aet embed` writes them."""
    values = numpy.random.default_rng(seed).normal(size=rows * arguments.dim).astype(numpy.float32)
    item = pyarrow.field("item", pyarrow.float32(), nullable=False)
    lists = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(values), type=pyarrow.list_(item, arguments.dim))
    labels = pyarrow.array(numpy.random.default_rng(seed + 1).integers(0, 10, rows))
    paths = pyarrow.array([str(row) for row in range(rows)])
    schema = pyarrow.schema([pyarrow.field("path", pyarrow.string(), False), pyarrow.field("label", pyarrow.int64()), pyarrow.field("embedding", lists.type, False)])
    table = pyarrow.Table.from_arrays([paths, labels, lists], schema=schema)
    pyarrow.parquet.write_table(table, path, compression="zstd", compression_level=1, row_group_size=1024, use_dictionary=False)


def make(folder):
    os.mkdir(f"{folder}/items")
    shard = 50_000
    for number, start in enumerate(range(0, ITEMS, shard)):
        write(f"{folder}/items/part-{number:05}.parquet", min(shard, ITEMS - start), 2 * number + 10)
    write(f"{folder}/queries.parquet", arguments.queries, 2)


def read(path):
    table = pyarrow.dataset.dataset(path, format="parquet").to_table(columns=["embedding"])
    return numpy.concatenate([chunk.flatten().to_numpy() for chunk in table["embedding"].chunks]).reshape(len(table), -1)


def peer():
    """One search by a peer, in this process."""
    start = time.perf_counter()
    items, queries = read(f"{arguments.folder}/items"), read(f"{arguments.folder}/queries.parquet")
    count = int(arguments.neighbours)
    if arguments.name == "faiss":
        import faiss
        faiss.omp_set_num_threads(arguments.threads)
    else:
        from sklearn.neighbors import NearestNeighbors
    if arguments.what == "peer" and ITEMS <= 100_000:
        start = time.perf_counter()
    if arguments.name == "faiss":
        faiss.normalize_L2(items)
        faiss.normalize_L2(queries)
        index = faiss.IndexFlatIP(items.shape[1])
        index.add(items)
        index.search(queries, count)
    elif arguments.name == "sklearn-cosine":
        NearestNeighbors(n_neighbors=count, metric="cosine", algorithm="brute", n_jobs=arguments.threads).fit(items).kneighbors(queries)
    else:
        items /= numpy.linalg.norm(items, axis=1, keepdims=True)
        queries /= numpy.linalg.norm(queries, axis=1, keepdims=True)
        NearestNeighbors(n_neighbors=count, metric="euclidean", algorithm="brute", n_jobs=arguments.threads).fit(items).kneighbors(queries)
    print(json.dumps({"seconds": time.perf_counter() - start}))


def run(command):
    """What a command prints, as JSON, and the most memory that it had in use, in MiB."""
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]
    text, memory = measure.run(command, {name: str(arguments.threads) for name in names})
    return json.loads(text), memory


def ours(folder, count):
    return run([arguments.aet, "knn", f"{folder}/items", f"{folder}/queries.parquet", "--neighbours", str(count),
                "--memory-limit", arguments.memory_limit, "--threads", str(arguments.threads), "--json"])


def theirs(folder, count, name):
    return run([sys.executable, __file__, "peer", "--name", name, "--folder", folder, "--neighbours", str(count),
                "--threads", str(arguments.threads), "--items", str(ITEMS)])


def median(runs, key):
    return statistics.median(facts[key] for facts, _ in runs)


def memory(runs):
    return statistics.median(used for _, used in runs)


def rows(folder):
    counted = "seconds" if arguments.what == "large" else "search_seconds"
    print("| K | program | seconds | times aet | GFLOP/s | share of floor | MiB |")
    print("|---" * 7 + "|")
    names = [name for name in arguments.peers.split(",") if name]
    flop = 2 * arguments.queries * ITEMS * arguments.dim
    for count in map(int, arguments.neighbours.split(",")):
        results = {name: [] for name in ["aet", *names]}
        for _ in range(arguments.rounds):
            results["aet"].append(ours(folder, count))
            for name in names:
                results[name].append(theirs(folder, count, name))
        peak = median(results["aet"], "peak_gflop_per_second")
        own = median(results["aet"], counted)
        for name, runs in results.items():
            seconds = own if name == "aet" else median(runs, "seconds")
            rate = flop / seconds / 1e9
            print(f"| {count} | {name} | {seconds:.2f} | {seconds / own:.2f} | {rate:.0f} | {rate / peak:.2f} | {memory(runs):.0f} |", flush=True)


if arguments.what == "peer":
    peer()
else:
    with tempfile.TemporaryDirectory() as folder:
        make(folder)
        print(f"{datetime.date.today()}, {processor()}, {arguments.threads} threads, {arguments.rounds} rounds, {arguments.queries} queries, {ITEMS} items of {arguments.dim} numbers\n")
        rows(folder)
