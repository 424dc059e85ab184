"""Trains an encoder for every family of transformations and every loss, and prints how far each brings
its metric below that of an answer without features (the mean of the targets, or the identity), on
images that training did not see.

    python scripts/family_table.py shapes --aet target/release/aet --runs /tmp/families --epochs 4
    python scripts/family_table.py path/to/cifar10 --aet target/release/aet --runs /tmp/families-cifar \
        --preset cifar10-nin-projective-cpu --epochs 2

Runs that are finished are not made again, so that the table can be added to. Wants nothing beside
Python.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys

PARAMETERS = [
    "translation", "rotation", "scaling", "shear", "euclidean", "similarity", "affine", "projective",
    "dihedral", "thin-plate", "colour", "blur", "convolution", "compose",
]
# Families without parameters, and the surrogates whose parameters are answered with.
WITHOUT = {
    "elastic": ['{kind="projective"}', '{kind="thin-plate"}', '{kind="thin-plate",points=5,shift=0.12}'],
    "local-shuffle": ['{kind="projective"}', '{kind="convolution"}'],
    "texture": ['{kind="projective"}', '{kind="convolution"}'],
}
DISTANCES = ["squared", "absolute", "features"]


def rows():
    """Name, changes to the preset, and the rate's share of the preset's."""
    for family in PARAMETERS:
        yield family, [f"transformation.kind={family}"], 1.0
    # Whether t mirrored is told by both views together alone.
    yield "dihedral, hidden units", ["transformation.kind=dihedral", "objective.hidden=256"], 1.0
    # The views differ in their statistics, which running statistics mix.
    for family in ["blur", "convolution"]:
        changes = [f"transformation.kind={family}", "evaluation.statistics=batch"]
        yield f"{family}, batch statistics", changes, 1.0
    for family in ["affine", "projective"]:
        kind = f"transformation.kind={family}"
        yield f"{family}, loss matrix", [kind, "objective.loss=matrix"], 1.0
        # Corners are far apart in normalised coordinates, so that their squares ask for a lower rate.
        yield f"{family}, loss corners", [kind, "objective.loss=corners"], 0.2
        for distance in DISTANCES:
            changes = [kind, "objective.loss=image", f"objective.distance={distance}"]
            yield f"{family}, loss image ({distance})", changes, 1.0
    near = 'transformation={kind="projective",quarter_turns=false}'
    yield "projective without quarter turns", [near], 1.0
    for distance in DISTANCES:
        changes = [near, "objective.loss=image", f"objective.distance={distance}"]
        yield f"projective without quarter turns, loss image ({distance})", changes, 1.0
    for family, surrogates in WITHOUT.items():
        for surrogate in surrogates:
            name = surrogate.split('"')[1] + (" of 5x5 points" if "points=5" in surrogate else "")
            kind = f'transformation={{kind="{family}",surrogate={surrogate}}}'
            yield f"{family}, surrogate {name}", [kind], 1.0
    yield "avt projective", ["objective.kind=avt"], 1.0
    yield "ensemble", ["objective.kind=ensemble"], 1.0


def last_epoch(run):
    """The record of the run's last epoch, or nothing where it is not finished."""
    if not (run / "encoder.safetensors").exists():
        return None
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [record for record in records if record["event"] == "epoch"][-1]


def train(options, name, changes, share):
    """The last epoch of the run of a row, which is made if it is not there."""
    run = options.runs / "".join(c if c.isalnum() else "-" for c in name)
    found = last_epoch(run)
    if found:
        return found
    changes = [*changes, *options.set, f"schedule.rate={options.rate * share}", "evaluation.probes=[]",
               "evaluation.eval_every=0"]
    command = [options.aet, "pretrain", options.data, "--preset", options.preset, "--runs", str(options.runs),
               "--name", run.name, "--epochs", str(options.epochs), "--seed", str(options.seed)]
    command += [f"--set={change}" for change in changes]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr}")
    return last_epoch(run)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="what `aet pretrain` takes")
    parser.add_argument("--aet", default="target/release/aet")
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/families"))
    parser.add_argument("--preset", default="smoke")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], help="one more change to the preset, as of aet")
    parser.add_argument("--rate", type=float, default=0.1, help="learning rate of most rows")
    parser.add_argument("--only", default="", help="a regular expression that the names of rows have to match")
    options = parser.parse_args()
    print("| family and loss | metric | test images | answer without features | ratio | one colour | corners off, px |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for name, changes, share in rows():
        if not re.search(options.only, name):
            continue
        epoch = train(options, name, changes, share)
        metric, trivial = epoch["metric"], epoch["trivial"]
        found, without = epoch[f"test_{metric}"], epoch[f"test_{metric}_of_{trivial}"]
        corners = epoch.get("test_corner_px")
        corners = "" if corners is None else f"{corners:.1f}"
        colour = epoch.get("test_colour_ratio")
        colour = "" if colour is None else f"{colour:.2f}"
        print(f"| {name} | {metric} | {found:.4f} | {without:.4f} ({trivial}) | {found / without:.2f} | "
              f"{colour} | {corners} |",
              flush=True)


if __name__ == "__main__":
    main()
