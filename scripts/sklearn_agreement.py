"""Compares `aet knn` and `aet linear` with scikit-learn on embeddings that `aet embed` wrote.

usage: sklearn_agreement.py TRAIN.parquet TEST.parquet [--aet target/release/aet] [--neighbours 10] [--c 1.0]

Neighbours have to be those of NearestNeighbors (cosine, brute, in f64), in its order; where two similarities differ
by less than 1e-6, which f32 cannot tell apart, either may come first, and such places are counted. The test error of
logistic regression has to be within 0.1 points of StandardScaler and LogisticRegression. Exits with 1 otherwise.
"""
import argparse, json, pathlib, subprocess, sys, tempfile, time
import numpy, sklearn
import pyarrow.dataset, pyarrow.parquet
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

HERE = pathlib.Path(__file__).parent
TIE, POINTS = 1e-6, 0.1
parser = argparse.ArgumentParser()
parser.add_argument("train")
parser.add_argument("test")
parser.add_argument("--aet", default=str(HERE.parent / "target/release/aet"))
parser.add_argument("--neighbours", type=int, default=10)
parser.add_argument("--c", type=float, default=1.0)
arguments = parser.parse_args()


def read(path):
    table = pyarrow.dataset.dataset(path, format="parquet").to_table(columns=["label", "embedding"])
    column = table["embedding"].combine_chunks()
    column = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    values = column.flatten().to_numpy()
    return values.reshape(len(table), -1), table["label"].to_numpy()


def aet(*words):
    done = subprocess.run([arguments.aet, *words, "--json"], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"aet {' '.join(words)} failed")
    return json.loads(done.stdout)


def directions(values):
    values = values.astype(numpy.float64)
    lengths = numpy.linalg.norm(values, axis=1, keepdims=True)
    return values / numpy.where(lengths == 0, 1, lengths)


def compare_neighbours(train, test):
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/neighbours.parquet"
        facts = aet("knn", arguments.train, arguments.test, "--neighbours", str(arguments.neighbours), "--out", out)
        column = pyarrow.parquet.read_table(out)["neighbours"].combine_chunks()
        ours = column.flatten().to_numpy().reshape(len(test), -1)
    start = time.perf_counter()
    search = NearestNeighbors(n_neighbors=arguments.neighbours, metric="cosine", algorithm="brute")
    theirs = search.fit(train.astype(numpy.float64)).kneighbors(test.astype(numpy.float64), return_distance=False)
    seconds = time.perf_counter() - start
    rows, places = numpy.nonzero(ours != theirs)
    one, other, query = directions(train[ours[rows, places]]), directions(train[theirs[rows, places]]), directions(test[rows])
    apart = numpy.abs(((one - other) * query).sum(1))
    wrong = int((apart >= TIE).sum())
    print(f"neighbours: {ours.size} places, {ours.size - len(rows)} the same, {len(rows) - wrong} ties within {TIE:g}, {wrong} wrong "
          f"(aet {facts['seconds']:.2f} s, scikit-learn {seconds:.2f} s; vote's error {facts['error']})")
    return wrong == 0


def compare_regressions(train, train_labels, test, test_labels):
    facts = aet("linear", arguments.train, arguments.test, "--c", str(arguments.c))
    start = time.perf_counter()
    scaler = StandardScaler().fit(train.astype(numpy.float64))
    model = LogisticRegression(C=arguments.c, max_iter=1000).fit(scaler.transform(train.astype(numpy.float64)), train_labels)
    seconds = time.perf_counter() - start
    error = float((model.predict(scaler.transform(test.astype(numpy.float64))) != test_labels).mean())
    apart = 100 * abs(error - facts["error"])
    print(f"logistic regression, C = {arguments.c:g}: error {100 * facts['error']:.3f} %, scikit-learn {100 * error:.3f} %, {apart:.3f} points apart "
          f"(aet {facts['fit_seconds']:.2f} s and {facts['evaluations']} evaluations, scikit-learn {seconds:.2f} s and {model.n_iter_[0]} steps)")
    return apart <= POINTS and facts["converged"]


(train, train_labels), (test, test_labels) = read(arguments.train), read(arguments.test)
print(f"{len(train)} and {len(test)} rows of {train.shape[1]} numbers, scikit-learn {sklearn.__version__}")
agreed = [compare_neighbours(train, test), compare_regressions(train, train_labels, test, test_labels)]
sys.exit(0 if all(agreed) else 1)
