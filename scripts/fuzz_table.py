"""The rows of the table of docs/fuzzing.md: what runs of fuzz targets did, from what libFuzzer printed.

usage: fuzz_table.py NAME.log [NAME.log ...]          a file a target, named after it

A run that found something ends with it, before its time; its row says what, and is to be measured again once that is
mended.
"""
import pathlib, re, sys


def last(pattern, text):
    found = re.findall(pattern, text)
    return found[-1] if found else "-"


def number(text):
    return f"{int(text):,}" if text.isdigit() else text


for path in map(pathlib.Path, sys.argv[1:]):
    text = path.read_text(errors="replace")
    runs, seconds = last(r"stat::number_of_executed_units: (\d+)", text), last(r"Done \d+ runs in (\d+) second", text)
    rate = last(r"stat::average_exec_per_sec: +(\d+)", text)
    edges, inputs = last(r" cov: (\d+)", text), last(r" corp: (\d+)", text)
    memory = last(r"stat::peak_rss_mb: +(\d+)", text)
    found = last(r"SUMMARY: libFuzzer: (.+)", text)
    cells = [number(cell) for cell in (runs, seconds, rate, edges, inputs, memory)]
    print("|", " | ".join([f"`{path.stem}`", *cells, "none" if found == "-" else found]), "|")
