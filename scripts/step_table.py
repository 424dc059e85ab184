r"""The tables of training and embedding speed in docs/performance.md: `aet bench` against peers, alternately.

usage: step_table.py step --peer train_step_torch.py [--aet target/release/aet] [--rounds 5] [--only 64:2:1.0]
       step_table.py burn [--aet target/release/aet]      one try of each, fused and by Burn's operations
       step_table.py embed [--aet target/release/aet] [--rounds 5]

A row is a batch size, a number of threads and a width. Every round runs each program once, one after the
other; a cell is the median over the rounds, and the ratio that of the medians. `--peer` takes the options
--batch, --threads, --width, --steps and --layout and prints "... N pairs/s"; it is run in both layouts in
every round, and the one with the higher median counts. `--preset` measures another preset than the released
one, whose peer has to do the same. On another device, `--device` and `--precision` are those of `aet`, and
`--peer-options` go to the peer; where they are given several times, each is tried and the fastest counts:

    step_table.py step --peer train_step_torch.py --only 512:16:1.0 --steps 50 --device vulkan --precision float16 \
        --peer-options="--device cuda --amp" --peer-options="--device cuda --amp --compile"

Run it with a Python that has torch (and, for embedding, onnx and onnxruntime).
"""
import argparse, datetime, json, pathlib, re, statistics, sys
from measure import processor, run

HERE = pathlib.Path(__file__).parent
# Batch, threads, width.
ROWS = [(32, 2, 1.0), (64, 2, 1.0), (128, 2, 1.0), (64, 2, 0.5), (64, 2, 0.25), (32, 1, 1.0), (64, 1, 1.0), (128, 1, 1.0)]
parser = argparse.ArgumentParser()
parser.add_argument("what", choices=["step", "burn", "embed"])
parser.add_argument("--aet", default=str(HERE.parent / "target/release/aet"))
parser.add_argument("--peer")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--steps", type=int, default=6)
parser.add_argument("--preset", default="cifar10-nin-projective")
parser.add_argument("--device", help="of aet, as `aet devices` names it")
parser.add_argument("--precision", help="of aet: float32, bfloat16 or float16")
parser.add_argument("--peer-options", action="append", default=[], help="for the peer, as one string; again for each that is to be tried")
parser.add_argument("--only", help="one row, as BATCH:THREADS:WIDTH")
arguments = parser.parse_args()


def options(batch, threads, width):
    return ["--batch", str(batch), "--threads", str(threads), "--width", str(width), "--steps", str(arguments.steps)]


def aet(what, row):
    command = [arguments.aet, "bench", what, "--preset", arguments.preset, *options(*row), "--json"]
    for name in ["device", "precision"]:
        if value := getattr(arguments, name):
            command += [f"--{name}", value]
    text, memory = run(command)
    facts = json.loads(text)
    rate = facts["pairs_per_second" if what == "step" else "images_per_second"]
    return rate, memory, facts


def burn(row):
    """Burn's own operations, a short try."""
    command = [arguments.aet, "bench", "step", "--preset", arguments.preset, *options(*row), "--json"]
    command[command.index("--steps") + 1] = "2"
    text, _ = run([*command, "--warmup", "1"], {"AET_FUSED": "off"})
    return json.loads(text)["pairs_per_second"]


def step_peer(row, layout, more):
    text, memory = run([sys.executable, arguments.peer, *options(*row), "--layout", layout, *more.split()])
    return float(re.search(r"([\d.]+) pairs/s", text)[1]), memory


def embed_peer(row, name):
    text, memory = run([sys.executable, str(HERE / "embed_peer.py"), name, *options(*row)])
    return float(re.search(r"([\d.]+) images/s", text)[1]), memory


def chosen(rows):
    """These rows, or the one that was asked for."""
    if not arguments.only:
        return rows
    batch, threads, width = arguments.only.split(":")
    return [(int(batch), int(threads), float(width))]


def step_rows():
    print("| batch | threads | width | aet, pairs/s | PyTorch nchw, pairs/s | nhwc, pairs/s | ratio to the faster | floor, pairs/s | share of floor | aet, MiB | PyTorch, MiB |")
    print("|---" * 11 + "|")
    for row in chosen(ROWS):
        settings = [(layout, more) for layout in ["nchw", "nhwc"] for more in arguments.peer_options or [""]]
        ours, theirs = [], {setting: [] for setting in settings}
        for _ in range(arguments.rounds):
            ours.append(aet("step", row))
            for setting, runs in theirs.items():
                runs.append(step_peer(row, *setting))
        rate, memory = (statistics.median(run[place] for run in ours) for place in (0, 1))
        floor = statistics.median(run[2]["floor"] for run in ours)
        others = {setting: statistics.median(run[0] for run in runs) for setting, runs in theirs.items()}
        faster = max(others, key=others.get)
        nchw, nhwc = (max(others[s] for s in settings if s[0] == layout) for layout in ["nchw", "nhwc"])
        other_memory = statistics.median(run[1] for run in theirs[faster])
        print(f"| {row[0]} | {row[1]} | {row[2]} | {rate:.1f} | {nchw:.1f} | {nhwc:.1f} "
              f"| {rate / others[faster]:.2f} | {floor:.0f} | {rate / floor:.2f} | {memory:.0f} | {other_memory:.0f} |", flush=True)
        if arguments.peer_options:
            print(f"\nthe peer's fastest: {' '.join(faster)}\n")


def burn_rows():
    print("| batch | threads | width | fused, pairs/s | Burn's operations, pairs/s | ratio |")
    print("|---" * 6 + "|")
    for row in chosen(ROWS):
        ours, theirs = aet("step", row)[0], burn(row)
        print(f"| {row[0]} | {row[1]} | {row[2]} | {ours:.1f} | {theirs:.1f} | {ours / theirs:.1f} |", flush=True)


def embed_rows():
    peers = ["torch-nchw", "torch-nhwc", "onnxruntime"]
    print("| batch | threads | width | aet, images/s | " + " | ".join(f"{peer}, images/s" for peer in peers) + " | ratio to the fastest |")
    print("|---" * (5 + len(peers)) + "|")
    for row in chosen([(64, 2, 1.0), (64, 1, 1.0), (64, 2, 0.25), (256, 2, 1.0)]):
        results = {name: [] for name in ["aet", *peers]}
        for _ in range(arguments.rounds):
            results["aet"].append(aet("embed", row)[0])
            for peer in peers:
                results[peer].append(embed_peer(row, peer)[0])
        medians = {name: statistics.median(rates) for name, rates in results.items()}
        best = max(medians[peer] for peer in peers)
        cells = " | ".join(f"{medians[peer]:.0f}" for peer in peers)
        print(f"| {row[0]} | {row[1]} | {row[2]} | {medians['aet']:.0f} | {cells} | {medians['aet'] / best:.2f} |", flush=True)


print(f"{datetime.date.today()}, {processor()}, {arguments.rounds} rounds of {arguments.steps} steps\n")
{"step": step_rows, "burn": burn_rows, "embed": embed_rows}[arguments.what]()
