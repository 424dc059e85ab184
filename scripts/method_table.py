"""Pretrains one small encoder by each method with each seed and probes it: the runs behind "Methods of pretraining
side by side" in docs/reproduction.md.

    python scripts/method_table.py path/to/cifar10 --aet target/release/aet --runs /tmp/methods --seed 1
    aet table /tmp/methods --methods --mark methods --into docs/reproduction.md

Each row prints the three test errors in per cent and, where `--records` holds a record of the same run, whether
every test image is told as it was then. `--keep` puts the new record there. Runs and probes that are finished are
not made again, and those that were stopped go on. Wants nothing beside Python.
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import time

PROTOCOL = "cifar10-cpu"
AET, AED, ROTNET = (f"cifar10-nin-{method}-cpu" for method in ("projective", "aed", "rotnet"))
AFFINE = "transformation.kind=affine"
ELASTIC = 'transformation={kind="elastic",surrogate={kind="thin-plate"}}'
COMPOSE = 'transformation={kind="compose",families=[{kind="colour"},{kind="projective"}]}'

# Name, preset, and what is changed of it.
ROWS = [
    ("rotnet", ROTNET, []),
    ("aed", AED, []),
    ("aed-noise", AED, ["objective.noise=0.1"]),
    ("aed-variational", AED, ["objective.variational=true"]),
    ("projective", AET, []),
    ("projective-matrix", AET, ["objective.loss=matrix"]),
    # Squared errors of corners are larger, so that the rate has to be lower.
    ("projective-corners-low", AET, ["objective.loss=corners", "schedule.rate=0.02"]),
    ("projective-image", AET, ["objective.loss=image"]),
    ("projective-hidden", AET, ["objective.hidden=256"]),
    ("projective-reflect", AET, ["warp.border=reflect"]),
    ("projective-crop", AET, ["warp.border=crop"]),
    ("affine", AET, [AFFINE]),
    ("affine-reflect", AET, [AFFINE, "warp.border=reflect"]),
    ("affine-crop", AET, [AFFINE, "warp.border=crop"]),
    ("elastic", AET, [ELASTIC]),
    ("compose", AET, [COMPOSE]),
    ("avt-projective", AET, ["objective.kind=avt"]),
    # With the run of `aet train-generator` that `--generator` names.
    ("generated", AET, ['objective={{kind="generated",generator="{generator}"}}']),
]


def call(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}:\n{done.stderr}")


def pretrain(options, run, preset, changes, seed):
    """Trains the run unless its encoder is there; one that was stopped goes on."""
    if (run / "encoder.safetensors").exists():
        return
    command = [options.aet, "pretrain", options.data, "--runs", run.parent, "--name", run.name,
               "--threads", options.threads]
    if run.exists():
        command.append("--resume")
    else:
        changes = [*changes, "evaluation.eval_every=0", "evaluation.probes=[]"]
        command += ["--preset", preset, "--epochs", options.epochs, "--seed", seed]
        command += [f"--set={change}" for change in changes]
    call(command)


def probe(options, run, seed, random):
    """The record of the protocol, which goes on where it was stopped."""
    encoders = '["random","trained"]' if random else '["trained"]'
    call([options.aet, "probe", run, "--protocol", PROTOCOL, "--threads", options.threads,
          f"--set=seeds=[{seed}]", f"--set=encoders={encoders}"])
    return run / "protocols" / f"{PROTOCOL}.json"


def results(record):
    """The probe, test error and told images of each result, of the trained encoder last."""
    return [(piece["encoder"], result["probe"], result["error"], result["correct"])
            for piece in record["pieces"] for result in piece["results"]]


def compared(new, path):
    """How the results stand to the record in `path`."""
    if not path.exists():
        return "no record"
    old = results(json.loads(path.read_text()))
    if old == new:
        return "as recorded"
    return "recorded " + " ".join(f"{100 * error:.2f}" for encoder, _, error, _ in old if encoder == "trained")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="CIFAR-10, in a form that `aet pretrain` takes")
    parser.add_argument("--aet", default="target/release/aet")
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/methods"))
    parser.add_argument("--records", type=pathlib.Path, default=pathlib.Path("docs/records/methods"))
    parser.add_argument("--keep", action="store_true", help="put new records in --records")
    parser.add_argument("--seed", type=int, action="append", help="one seed; may be given more than once (1, 2 and 3)")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--generator", help="a run of `aet train-generator`; without it its row is left out")
    parser.add_argument("--only", default="", help="a regular expression that the whole name of a row has to match")
    options = parser.parse_args()
    for seed in options.seed or [1, 2, 3]:
        for name, preset, changes in ROWS:
            if options.only and not re.fullmatch(options.only, name):
                continue
            if name == "generated" and not options.generator:
                continue
            started = time.monotonic()
            run = options.runs / f"{name}-s{seed}"
            if name == "generated":
                changes = [change.format(generator=options.generator) for change in changes]
            pretrain(options, run, preset, changes, seed)
            # The random encoder is the same for every row of a seed.
            path = probe(options, run, seed, random=name == "projective")
            found = results(json.loads(path.read_text()))
            kept = options.records / f"{PROTOCOL}.{run.name}.json"
            errors = " ".join(f"{100 * error:.2f}" for encoder, _, error, _ in found if encoder == "trained")
            minutes = (time.monotonic() - started) / 60
            print(f"{run.name}: {errors} ({compared(found, kept)}; {minutes:.1f} min)", flush=True)
            if options.keep:
                shutil.copy(path, kept)


if __name__ == "__main__":
    main()
