"""The rows of docs/reproduction.md: what runs of one experiment measured after each epoch, and at their end.

usage: epoch_table.py runs/NAME [runs/NAME ...]          the same experiment with several seeds

A cell is the mean over the runs with the standard deviation behind it (of one run, its figure alone).
"""
import json, pathlib, statistics, sys


def cell(values, digits):
    if not values:
        return "-"
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} +- {statistics.stdev(values):.{digits}f}"


runs = [[json.loads(line) for line in (pathlib.Path(run) / "metrics.jsonl").open()] for run in sys.argv[1:]]
if not runs:
    sys.exit(__doc__)
records = [record for run in runs for record in run]
epochs = sorted({record["epoch"] for record in records if record["event"] == "epoch"})
probes = [record for record in records if record["event"] == "probe"]
names = list(dict.fromkeys(record["result"]["probe"] for record in probes))


def errors(encoder, name, epoch):
    return [100 * r["result"]["error"] for r in probes
            if r["encoder"] == encoder and r["result"]["probe"] == name and r["epoch"] == epoch]


print(f"{len(runs)} run(s): {', '.join(pathlib.Path(run).name for run in sys.argv[1:])}\n")
print("| epoch | train loss | test pretext loss | " + " | ".join(f"{name}, error %" for name in names) + " |")
print("|---" * (3 + len(names)) + "|")
for epoch in epochs:
    here = [record for record in records if record["event"] == "epoch" and record["epoch"] == epoch]
    losses = [cell([record[key] for record in here if record[key] is not None], 4) for key in ("train_loss", "test_mse")]
    print(f"| {epoch + 1} | " + " | ".join(losses + [cell(errors("trained", name, epoch), 2) for name in names]) + " |")
random = [cell([100 * r["result"]["error"] for r in probes if r["encoder"] == "random" and r["result"]["probe"] == name], 2) for name in names]
print("| random encoder | | | " + " | ".join(random) + " |")
