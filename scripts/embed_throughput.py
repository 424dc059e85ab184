"""The table of whole embeddings in docs/performance.md: `aet embed` against PyTorch, alternately.

usage: embed_throughput.py IMAGES.parquet [--aet target/release/aet] [--rounds 5] [--rows 5000] [--threads 2] [--width 1.0]

IMAGES is Parquet with a column `img` or `image` of encoded images of 32x32 pixels, as struct of `bytes`. Both sides
read its first rows, decode them, run the network-in-network encoder of 4 blocks in evaluation mode, average the
features over the image and write Parquet. The peer decodes with Pillow in the workers of a DataLoader while the
encoder (oneDNN, traced and frozen) computes; it is run in both layouts in every round, and the faster counts. Imports
and the making of the network are not counted on either side. Every cell is the median over the rounds.
"""
import argparse, datetime, json, os, pathlib, statistics, sys, tempfile, time
import measure
from measure import processor

HERE = pathlib.Path(__file__).parent
parser = argparse.ArgumentParser()
parser.add_argument("images")
parser.add_argument("--aet", default=str(HERE.parent / "target/release/aet"))
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--rows", type=int, default=5000)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--workers", type=int, default=2)
parser.add_argument("--batch", type=int, default=256)
parser.add_argument("--width", type=float, default=1.0)
parser.add_argument("--layout", choices=["nchw", "nhwc"], help=argparse.SUPPRESS)
arguments = parser.parse_args()


def peer():
    """One embedding by PyTorch, in this process."""
    import io
    import numpy, pyarrow, pyarrow.parquet, torch, torch.nn as nn
    from PIL import Image
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    c, b, n = (max(8, round(channels * arguments.width)) for channels in (192, 160, 96))

    def unit(inputs, outputs, side):
        return [nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True)]

    net = nn.Sequential(
        *unit(3, c, 5), *unit(c, b, 1), *unit(b, n, 1), nn.MaxPool2d(3, 2, 1),
        *unit(n, c, 5), *unit(c, c, 1), *unit(c, c, 1), nn.AvgPool2d(3, 2, 1),
        *unit(c, c, 3), *unit(c, c, 1), *unit(c, c, 1), *unit(c, c, 3), *unit(c, c, 1), *unit(c, c, 1)).eval()
    layout = torch.channels_last if arguments.layout == "nhwc" else torch.contiguous_format
    example = torch.randn(arguments.batch, 3, 32, 32).to(memory_format=layout)
    frozen = torch.jit.freeze(torch.jit.trace(net.to(memory_format=layout), example))
    with torch.inference_mode():
        for _ in range(3):
            frozen(example)
    start = time.perf_counter()
    table = pyarrow.parquet.read_table(arguments.images)
    column = "img" if "img" in table.column_names else "image"
    encoded = [cell["bytes"] for cell in table[column].to_pylist()]
    labels = table["label"] if "label" in table.column_names else pyarrow.nulls(len(table), pyarrow.int64())

    class Images(torch.utils.data.Dataset):
        def __len__(self):
            return len(encoded)

        def __getitem__(self, index):
            return torch.from_numpy(numpy.array(Image.open(io.BytesIO(encoded[index])).convert("RGB")))

    loader = torch.utils.data.DataLoader(Images(), arguments.batch, num_workers=arguments.workers)
    mean, scale = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2470, 0.2435, 0.2616])
    schema, writer = None, None
    row = 0
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for batch in loader:
            images = ((batch.float() / 255 - mean) / scale).permute(0, 3, 1, 2).contiguous(memory_format=layout)
            features = frozen(images).mean((2, 3)).numpy()
            lists = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(features.ravel()), features.shape[1])
            part = pyarrow.table({"path": [str(row + place) for place in range(len(features))], "label": labels.slice(row, len(features)), "embedding": lists})
            writer = writer or pyarrow.parquet.ParquetWriter(f"{folder}/out.parquet", part.schema, compression="zstd", use_dictionary=False)
            writer.write_table(part)
            row += len(features)
        writer.close()
    print(json.dumps({"images_per_second": row / (time.perf_counter() - start)}))


def run(command, folder):
    """What a command prints, as JSON, and the most memory that it had in use, in MiB."""
    text, memory = measure.run(command, folder=folder)
    return json.loads(text), memory


def prepare(folder):
    """The first rows of the images, and a run whose encoder has the right shape."""
    import pyarrow, pyarrow.parquet
    table = next(pyarrow.parquet.ParquetFile(arguments.images).iter_batches(arguments.rows))
    pyarrow.parquet.write_table(pyarrow.Table.from_batches([table]), f"{folder}/images.parquet", row_group_size=1000)
    run([aet, "pretrain", "shapes", "--name", "peer", "--json", "--set=data.shapes.train=16", "--set=data.shapes.test=16", "--epochs=1",
         "--set=training.batch_size=8", "--set=backbone.blocks=4", f"--set=backbone.width={arguments.width}", "--set=evaluation.probes=[]"], folder)


def main():
    results = {name: [] for name in ["aet", "nchw", "nhwc"]}
    with tempfile.TemporaryDirectory() as folder:
        prepare(folder)
        ours = [aet, "embed", "peer", "images.parquet", "--random", "--threads", str(arguments.threads), "--out", "out.parquet", "--json"]
        theirs = [sys.executable, os.path.abspath(__file__), "images.parquet"]
        theirs += [word for name in ["threads", "workers", "batch", "width"] for word in (f"--{name}", str(getattr(arguments, name)))]
        for _ in range(arguments.rounds):
            results["aet"].append(run(ours, folder))
            for layout in ["nchw", "nhwc"]:
                results[layout].append(run([*theirs, "--layout", layout], folder))
    rates = {name: statistics.median(facts["images_per_second"] for facts, _ in runs) for name, runs in results.items()}
    memory = {name: statistics.median(used for _, used in runs) for name, runs in results.items()}
    faster = max(["nchw", "nhwc"], key=rates.get)
    print(f"{datetime.date.today()}, {processor()}, {arguments.rounds} rounds of {arguments.rows} images\n")
    print("| threads | width | aet, images/s | PyTorch nchw, images/s | nhwc, images/s | ratio to the faster | aet, MiB | PyTorch, MiB |")
    print("|---" * 8 + "|")
    print(f"| {arguments.threads} | {arguments.width} | {rates['aet']:.0f} | {rates['nchw']:.0f} | {rates['nhwc']:.0f} "
          f"| {rates['aet'] / rates[faster]:.2f} | {memory['aet']:.0f} | {memory[faster]:.0f} |")


aet = os.path.abspath(arguments.aet)
if arguments.layout:
    peer()
else:
    main()
