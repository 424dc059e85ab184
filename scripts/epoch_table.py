"""The rows of docs/reproduction.md: what runs of one experiment measured after each epoch, and at their end.

usage: epoch_table.py runs/NAME [runs/NAME ...]          the same experiment with several seeds

The first table has the losses (for an objective that is judged by something else than a mean squared error, also
that), and the probes during training, judged on training images set aside; the second the test errors of the probes
at the end. A cell is the mean over the runs with the standard deviation behind it (of one
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
metric = next((record["metric"] for record in records if "metric" in record), "mse")
# The loss of AET depends on its reduction; its mean squared error does not.
columns = {"train_loss": "train loss", "test_mse": "test pretext loss"} if metric == "mse" else {
    "train_loss": "train loss", "test_loss": "test pretext loss", f"test_{metric}": f"test pretext {metric}"}
print("| epoch | " + " | ".join(list(columns.values()) + [f"{name}, validation error %" for name in online]) + " |")
print("|---" * (1 + len(columns) + len(online)) + "|")
for epoch in epochs:
    here = [record for record in records if record["event"] == "epoch" and record["epoch"] == epoch]
    losses = [cell([record[key] for record in here if record[key] is not None], 4) for key in columns]
    print(f"| {epoch + 1} | " + " | ".join(losses + [cell(errors("validation", name, epoch), 2) for name in online]) + " |")
print("\n| encoder | " + " | ".join(f"{name}, test error %" for name in names("test")) + " |")
print("|---" * (1 + len(names("test"))) + "|")
for encoder in ("trained", "random"):
    print(f"| {encoder} | " + " | ".join(cell(errors("test", name, encoder=encoder), 2) for name in names("test")) + " |")
