"""The rows of docs/reproduction.md: what runs of one experiment measured after each epoch, and at their end.

usage: epoch_table.py runs/NAME [runs/NAME ...]          the same experiment with several seeds

The first table has the losses and the probes during training, judged on training images set aside; the second the
test errors of the probes at the end. A cell is the mean over the runs with the standard deviation behind it (of one
run, its figure alone).
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


def names(split):
    return list(dict.fromkeys(record["result"]["probe"] for record in probes if record["split"] == split))


def errors(split, name, epoch=None, encoder="trained"):
    """Per cent, one for each run; without an epoch, those of the run's end."""
    return [100 * r["result"]["error"] for r in probes
            if (r["split"], r["encoder"], r["result"]["probe"]) == (split, encoder, name) and epoch in (None, r["epoch"])]


print(f"{len(runs)} run(s): {', '.join(pathlib.Path(run).name for run in sys.argv[1:])}\n")
online = names("validation")
print("| epoch | train loss | test pretext loss | " + " | ".join(f"{name}, validation error %" for name in online) + " |")
print("|---" * (3 + len(online)) + "|")
for epoch in epochs:
    here = [record for record in records if record["event"] == "epoch" and record["epoch"] == epoch]
    losses = [cell([record[key] for record in here if record[key] is not None], 4) for key in ("train_loss", "test_mse")]
    print(f"| {epoch + 1} | " + " | ".join(losses + [cell(errors("validation", name, epoch), 2) for name in online]) + " |")
print("\n| encoder | " + " | ".join(f"{name}, test error %" for name in names("test")) + " |")
print("|---" * (1 + len(names("test"))) + "|")
for encoder in ("trained", "random"):
    print(f"| {encoder} | " + " | ".join(cell(errors("test", name, encoder=encoder), 2) for name in names("test")) + " |")
