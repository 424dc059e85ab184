"""Pairs a second on one core: ours against a peer, run alternately; prints a Markdown table.

Both are run `--rounds` times in turn, and the medians of what they print are compared. Wall time
counts, so run it on a quiet machine. On Linux, a second row compares pairs per second of
processor time, which other programs disturb less: two counts are made by each, so that start-up
and the reading of the set drop out of the difference.

usage: compare_pairs.py --peer "python pairs_pil.py cifar" --set <CIFAR-10 binary folder>
                        [--ours target/release/examples/pairs_per_second] [--rounds 5]
       compare_pairs.py --peer "python pairs_pil.py photos" --set <folder of photographs> --photos
                        --peer-count 600 --ours-count 2000
Before: cargo build --release -p aet-data --example pairs_per_second
"""
import argparse
import re
import resource
import shlex
import statistics
import subprocess


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(command, count, flags):
    """(pairs per second it prints, processor seconds it took)"""
    before = processor_seconds()
    printed = subprocess.run(command + [str(count)] + flags, check=True, capture_output=True, text=True)
    found = re.search(r"([0-9.]+) pairs/s", printed.stdout)
    if not found:
        raise SystemExit(f"no `pairs/s` in the output of {command}: {printed.stdout!r}")
    return float(found[1]), processor_seconds() - before


def row(what, ours, peer):
    """Of the rounds in which both were measured."""
    both = [pair for pair in zip(ours, peer) if None not in pair]
    if not both:
        return
    rates = [statistics.median(side) for side in zip(*both)]
    rounds = sorted(our / their for our, their in both)
    print(f"| {what} | {rates[0]:,.0f} | {rates[1]:,.0f} | {rates[0] / rates[1]:.1f} "
          f"| {rounds[0]:.1f} to {rounds[-1]:.1f} |", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--peer", required=True, help="command; a count is appended")
    arguments.add_argument("--set", required=True, help="the set that ours reads")
    arguments.add_argument("--ours", action="append", help="may be given again, for another build in the same rounds")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--peer-count", type=int, default=12_000)
    arguments.add_argument("--ours-count", type=int, default=200_000)
    arguments.add_argument("--photos", action="store_true", help="photographs, decoded for each pair")
    options = arguments.parse_args()
    flags = ["--photos"] if options.photos else []
    builds = options.ours or ["target/release/examples/pairs_per_second"]
    sides = {build: ([build, options.set], options.ours_count, flags) for build in builds}
    sides["peer"] = (shlex.split(options.peer), options.peer_count, [])
    wall = {name: [] for name in sides}
    processor = {name: [] for name in sides}
    for _ in range(max(options.rounds, 5)):
        for name, (command, count, flags) in sides.items():
            few = count // 6
            _, seconds_few = run(command, few, flags)
            rate, seconds = run(command, count, flags)
            wall[name].append(rate)
            more = seconds - seconds_few
            processor[name].append((count - few) / more if more > 0 else None)
    print(f"| {'photographs' if options.photos else 'CIFAR-10 pairs'} on one core | ours | peer | ratio | ratio in a round |")
    print("|---|---|---|---|---|")
    for build in builds:
        name = f"{build}: " if len(builds) > 1 else ""
        row(f"{name}pairs / s of wall time", wall[build], wall["peer"])
        row(f"{name}pairs / s of processor time", processor[build], processor["peer"])


main()
