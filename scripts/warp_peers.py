"""The table of warps in docs/performance.md: ours against Pillow, OpenCV and kornia-rs, alternately, one thread each.

usage: warp_peers.py [--ours target/release/examples/warp_rate] [--rounds 5] [--sides 32,96,224,512]
Before: cargo build --release -p aet-geometry --example warp_rate
        pip install numpy pillow opencv-python-headless kornia-rs

One warp of a u8 RGB image of noise to its own size, bilinear, through matrices of the family `projective` with its
defaults; another image and another matrix each call. `warp_rate` draws both and hands them over; each matrix is brought
to what a peer means by it (Pillow: ours; OpenCV: centres of pixels are whole numbers; kornia-rs: these, and from source
to output). Before anything is timed, what a peer makes is held against ours. Ours, OpenCV and kornia-rs write to an
image that is there; Pillow has no way to do so. kornia-rs has black outside, the others grey. Peers are called from
Python, as they are used; `call` is what a warp to a single pixel takes, that is the call alone.

Counted is processor time (of all threads; there is one), so that other programs disturb it little; a cell is the median
over the rounds. The floor is the time that a copy of the image to the place of the output takes.
"""
import argparse, datetime, importlib.metadata, json, os, pathlib, statistics, subprocess, tempfile, time
os.environ["RAYON_NUM_THREADS"] = "1"
import cv2, numpy
from kornia_rs.imgproc import warp_perspective
from PIL import Image
from measure import processor

HERE = pathlib.Path(__file__).parent
GREY = (128, 128, 128)
SECONDS = 0.1
parser = argparse.ArgumentParser()
parser.add_argument("--ours", default=str(HERE.parent / "target/release/examples/warp_rate"))
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--sides", default="32,96,224,512")
arguments = parser.parse_args()
cv2.setNumThreads(1)


def shift(by):
    return numpy.array([[1, 0, by], [0, 1, by], [0, 0, 1.0]])


class Pillow:
    package = "pillow"

    def __init__(self, images, matrices):
        self.images = [Image.fromarray(image) for image in images]
        self.matrices = [matrix.ravel()[:8].tolist() for matrix in matrices]

    def warp(self, image, matrix, side):
        return self.images[image].transform((side, side), Image.Transform.PERSPECTIVE, self.matrices[matrix], Image.Resampling.BILINEAR, fillcolor=GREY)


class OpenCV:
    package = "opencv-python-headless"

    def __init__(self, images, matrices):
        self.images = list(images)
        self.matrices = [shift(-0.5) @ matrix @ shift(0.5) for matrix in matrices]
        self.outputs = {side: numpy.empty((side, side, 3), numpy.uint8) for side in (1, images.shape[1])}

    def warp(self, image, matrix, side):
        return cv2.warpPerspective(self.images[image], self.matrices[matrix], (side, side), self.outputs[side], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_CONSTANT, GREY)


class Kornia(OpenCV):
    package = "kornia-rs"

    def __init__(self, images, matrices):
        super().__init__(images, matrices)
        self.matrices = [numpy.linalg.inv(matrix).ravel().tolist() for matrix in self.matrices]

    def warp(self, image, matrix, side):
        return warp_perspective(self.images[image], self.matrices[matrix], (side, side), "bilinear", self.outputs[side])


PEERS = [Pillow, OpenCV, Kornia]


def ours(side, folder=None):
    text = subprocess.run([arguments.ours, str(side), *([folder] if folder else [])], check=True, capture_output=True, text=True).stdout
    return json.loads(text) if text else None


def inputs(side):
    """Images, matrices, and what ours makes of each matrix with image number `matrix % images`."""
    with tempfile.TemporaryDirectory() as folder:
        ours(side, folder)
        read = lambda name: numpy.fromfile(f"{folder}/{name}", numpy.uint8).reshape(-1, side, side, 3)
        coefficients = json.loads(pathlib.Path(folder, "matrices.json").read_text())
        matrices = [numpy.array([*eight, 1.0]).reshape(3, 3) for eight in coefficients]
        return read("images.bin"), matrices, read("warped.bin")


def agreement(peer, warped):
    """The share of values within 2 levels of ours, where ours is not the fill."""
    near = total = 0
    for matrix, expected in enumerate(warped):
        found = numpy.asarray(peer.warp(matrix % len(peer.images), matrix, len(expected))).astype(int)
        inside = (expected != GREY[0]).any(axis=2)
        near += (abs(found - expected)[inside] <= 2).sum()
        total += 3 * inside.sum()
    return near / total


def microseconds(peer, side):
    """Processor time of a call, over whole passes over the matrices."""
    images, matrices = len(peer.images), len(peer.matrices)
    passes, start, taken = 0, time.process_time_ns(), 0
    while taken < SECONDS * 1e9:
        passes += 1
        for matrix in range(matrices):
            peer.warp((matrix + passes) % images, matrix, side)
        taken = time.process_time_ns() - start
    return taken / (passes * matrices) / 1e3


def rows(side):
    images, matrices, warped = inputs(side)
    peers = {kind.package: kind(images, matrices) for kind in PEERS}
    agree = {name: agreement(peer, warped) for name, peer in peers.items()}
    if min(agree.values()) < 0.8:
        raise SystemExit(f"a peer does not do the same at {side} px: {agree}")
    own, times, calls = [], {name: [] for name in peers}, {name: [] for name in peers}
    for _ in range(arguments.rounds):
        own.append(ours(side))
        for name, peer in peers.items():
            times[name].append(microseconds(peer, side))
            calls[name].append(microseconds(peer, 1))
    ours_us, mirrored, copy = (statistics.median(run[key] for run in own) for key in ["warp_us", "mirrored_us", "copy_us"])
    print(f"| {side} | aet | {ours_us:.2f} | 1.00 | {ours_us / copy:.1f} | | |")
    print(f"| {side} | aet, mirrored | {mirrored:.2f} | {mirrored / ours_us:.2f} | {mirrored / copy:.1f} | | |")
    for name, times in times.items():
        theirs = statistics.median(times)
        print(f"| {side} | {name} | {theirs:.2f} | {theirs / ours_us:.2f} | {theirs / copy:.1f} | {statistics.median(calls[name]):.2f} | {agree[name]:.1%} |", flush=True)


versions = ", ".join(f"{kind.package} {importlib.metadata.version(kind.package)}" for kind in PEERS)
print(f"{datetime.date.today()}, one of {processor()}, {arguments.rounds} rounds, {versions}; load of the machine {os.getloadavg()[0]:.0f}\n")
print("| side, px | program | us a warp | times aet | times floor | of which call, us | values within 2 levels of ours |")
print("|---" * 7 + "|")
for side in map(int, arguments.sides.split(",")):
    rows(side)
