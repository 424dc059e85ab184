"""The preset `cifar10-nin-projective-cpu` in PyTorch, to hold the pretext losses of the Rust run against.

AET-projective on CIFAR-10 (Zhang et al., CVPR 2019, arXiv 1901.04596, section 5.1): network-in-
network of four blocks at width 0.25, batches of 256, SGD with Nesterov momentum 0.9 and weight
decay 5e-4 at a constant rate of 0.1, random crop (4 black pixels around) and horizontal flip, then
a projective warp of that image; mean squared error of the eight normalised coefficients.

After every epoch the same error is printed for the test set: evaluation mode, no augmentation, and
transformations that are the same every time. Beside it stands the error of a decoder that always
answers the mean. The random numbers are not those of the Rust run, so figures agree only as far as
two seeds do.

Usage: python cifar_recipe_torch.py path/to/cifar10 [--fill 0] [--epochs 5] [--seed 1]
where the folder holds CIFAR-10 as Parquet in the Hugging Face layout (`train-*.parquet` and
`test-*.parquet` with column `img`). Needs torch, numpy, pillow and pyarrow.
"""

import argparse
import io
import pathlib
import time

import numpy as np
import pyarrow.parquet as parquet
import torch
from PIL import Image
from torch import nn

SIDE = 32
MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).view(3, 1, 1)
STD = torch.tensor([0.2023, 0.1994, 0.2010]).view(3, 1, 1)
TARGET_MEAN = np.array([0, 0, 16, 0, 0, 16, 0, 0], dtype=np.float64)
TARGET_STD = np.array([1, 1, 20, 1, 1, 20, 0.015, 0.015], dtype=np.float64)
EVALUATION_SEED = 2**31
EVALUATION_BATCH = 250


def read_images(folder, split, most):
    """Images of a split, `[count, 32, 32, 3]`, u8; the first `most` if given."""
    files = sorted(pathlib.Path(folder).glob(f"{split}-*.parquet"))
    if not files:
        raise SystemExit(f"{folder}: no {split}-*.parquet")
    images = []
    for file in files:
        for batch in parquet.ParquetFile(file).iter_batches(1000, columns=["img"]):
            encoded = batch.column("img").field("bytes").to_pylist()
            images += [np.asarray(Image.open(io.BytesIO(item)).convert("RGB")) for item in encoded]
            if most is not None and len(images) >= most:
                return np.stack(images[:most])
    return np.stack(images)


def augment(images, random):
    """Random crop out of the image with 4 black pixels around it, and a flip of every other one."""
    count = len(images)
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    down, right = random.integers(0, 9, (2, count))
    flipped = random.integers(0, 2, (count, 1)) == 1
    rows = down[:, None] + np.arange(SIDE)
    columns = right[:, None] + np.where(flipped, np.arange(SIDE)[::-1], np.arange(SIDE))
    return padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def sample_homographies(count, random):
    """Coefficients of the output-to-input homography, `[count, 8]`: the corners scaled about the
    centre, turned by quarters, each then moved by whole pixels."""
    square = np.array([[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE]], dtype=np.float64)
    centre = SIDE / 2 + 0.5
    scaled = (square - centre) * random.uniform(0.8, 1.2, (count, 1, 1)) + centre
    order = (np.arange(4) + random.integers(0, 4, (count, 1))) % 4
    corners = np.take_along_axis(scaled, order[:, :, None], 1)
    corners = corners + random.integers(-4, 5, (count, 4, 2))
    # Every corner (x, y) of the output is read from the corner (u, v) of the input.
    x, y = corners[..., 0], corners[..., 1]
    u, v = (np.broadcast_to(side, x.shape) for side in (square[:, 0], square[:, 1]))
    one, none = np.ones_like(x), np.zeros_like(x)
    for_u = np.stack([x, y, one, none, none, none, -u * x, -u * y], -1)
    for_v = np.stack([none, none, none, x, y, one, -v * x, -v * y], -1)
    rows = np.concatenate([for_u, for_v], 1)
    return np.linalg.solve(rows, np.concatenate([u, v], 1)[..., None])[..., 0]


def warp(images, coefficients, fill):
    """Bilinear sampling as Pillow does it: pixel centres at halves, `fill` where the point read
    lies outside the image, the border pixel repeated within it, fractions of a level cut off."""
    x, y = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
    a, b, c, d, e, f, g, h = (column[:, None, None] for column in coefficients.T)
    scale = g * x + h * y + 1
    u, v = (a * x + b * y + c) / scale, (d * x + e * y + f) / scale
    inside = (scale > 0) & (u >= 0) & (u < SIDE) & (v >= 0) & (v < SIDE)
    u, v = (np.clip(np.where(inside, at, 0) - 0.5, 0, SIDE - 1) for at in (u, v))
    left, top = (np.minimum(at.astype(np.int64), SIDE - 2) for at in (u, v))
    across, down = ((at - low)[..., None] for at, low in ((u, left), (v, top)))
    image = np.arange(len(images))[:, None, None]
    pixels = images.astype(np.float64)
    corners = [pixels[image, top + i, left + j] for i in (0, 1) for j in (0, 1)]
    upper = corners[0] + (corners[1] - corners[0]) * across
    lower = corners[2] + (corners[3] - corners[2]) * across
    warped = (upper + (lower - upper) * down).astype(np.uint8)
    return np.where(inside[..., None], warped, np.uint8(fill))


def to_tensor(images):
    """`[count, 32, 32, 3]` u8 to the normalised `[count, 3, 32, 32]`."""
    tensor = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float()
    return (tensor / 255 - MEAN) / STD


def make_batch(images, random, fill):
    """Original and warped view, and the normalised coefficients, `[count, 8]`."""
    coefficients = sample_homographies(len(images), random)
    target = torch.from_numpy((coefficients - TARGET_MEAN) / TARGET_STD).float()
    return to_tensor(images), to_tensor(warp(images, coefficients, fill)), target


def unit(inputs, outputs, side):
    """Convolution without bias from N(0, sqrt(2 / (side^2 * outputs))), normalisation, ReLU."""
    conv = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False)
    nn.init.normal_(conv.weight, std=(2 / (side * side * outputs)) ** 0.5)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Aet(nn.Module):
    """Siamese encoder and linear decoder; the branches run one after the other."""

    def __init__(self, width):
        super().__init__()
        wide, middle, narrow = (max(8, round(count * width)) for count in (192, 160, 96))
        self.encoder = nn.Sequential(
            unit(3, wide, 5), unit(wide, middle, 1), unit(middle, narrow, 1),
            nn.MaxPool2d(3, 2, 1),
            unit(narrow, wide, 5), unit(wide, wide, 1), unit(wide, wide, 1),
            nn.AvgPool2d(3, 2, 1, count_include_pad=True),
            unit(wide, wide, 3), unit(wide, wide, 1), unit(wide, wide, 1),
            unit(wide, wide, 3), unit(wide, wide, 1), unit(wide, wide, 1),
        )  # fmt: skip
        self.decoder = nn.Linear(2 * wide, 8)

    def forward(self, original, warped):
        pooled = [self.encoder(view).mean((2, 3)) for view in (original, warped)]
        return self.decoder(torch.cat(pooled, 1))


def evaluate(net, images, fill):
    """Test error of the normalised coefficients, and that of always answering their mean."""
    random = np.random.default_rng(EVALUATION_SEED)
    net.eval()
    squares, targets = 0.0, []
    with torch.inference_mode():
        for start in range(0, len(images), EVALUATION_BATCH):
            chosen = images[start : start + EVALUATION_BATCH]
            original, warped, target = make_batch(chosen, random, fill)
            squares += float((net(original, warped) - target).square().sum())
            targets.append(target)
    targets = torch.cat(targets)
    return squares / targets.numel(), float(targets.var(0, unbiased=False).mean())


def train_epoch(net, optimizer, images, random, arguments):
    """One pass in random order, the rest of a batch left out; the mean loss over the steps."""
    net.train()
    order = random.permutation(len(images))
    steps = len(images) // arguments.batch
    steps = steps if arguments.steps is None else min(steps, arguments.steps)
    if steps == 0:
        raise SystemExit(f"{len(images)} training images do not fill a batch of {arguments.batch}")
    total = 0.0
    for step in range(steps):
        chosen = images[order[step * arguments.batch : (step + 1) * arguments.batch]]
        original, warped, target = make_batch(augment(chosen, random), random, arguments.fill)
        loss = nn.functional.mse_loss(net(original, warped), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / steps


def read_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="folder of the Parquet files")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--rate", type=float, default=0.1, help="learning rate, constant")
    parser.add_argument(
        "--fill", type=int, default=128, help="grey level outside the image, 128 as in the preset"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, help="stop every epoch after so many steps")
    parser.add_argument("--train-images", type=int, help="only the first ones")
    parser.add_argument("--test-images", type=int, help="only the first ones")
    return parser.parse_args()


def main():
    arguments = read_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    random = np.random.default_rng(arguments.seed)
    train = read_images(arguments.folder, "train", arguments.train_images)
    test = read_images(arguments.folder, "test", arguments.test_images)
    net = Aet(arguments.width)
    optimizer = torch.optim.SGD(
        net.parameters(), lr=arguments.rate, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    print(f"torch {torch.__version__}, {len(train)} training and {len(test)} test images")
    for epoch in range(1, arguments.epochs + 1):
        started = time.perf_counter()
        loss = train_epoch(net, optimizer, train, random, arguments)
        seconds = time.perf_counter() - started
        error, of_mean = evaluate(net, test, arguments.fill)
        print(
            f"epoch {epoch}: train mse {loss:.4f}, test mse {error:.4f}"
            f" (answering the mean {of_mean:.4f}), {seconds:.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
