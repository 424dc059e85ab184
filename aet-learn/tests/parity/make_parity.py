"""Writes `nin_parity.safetensors`, which the Rust network-in-network and AET decoder are held against.

The network is the one of Zhang et al., CVPR 2019 (arXiv 1901.04596), section 5.1, as released: an
encoder of four blocks of three units (convolution without bias, batch normalisation, ReLU), a
siamese decoder (global average pooling of both views, original first, concatenated, one linear
layer). Channel counts are those of the paper times `WIDTH`, so that the file stays small.

Everything random comes from NumPy's `RandomState`, whose stream is frozen. Parameters and inputs
are float32; everything computed from them is computed in float64 and rounded to float32 once. The
same is computed in float32 as well and the differences are printed, by which a tolerance for
another float32 implementation can be judged.

Usage: python make_parity.py            write the file beside this script
       python make_parity.py --check    compute everything again and compare with the file
       python make_parity.py --scan 20  differences for the seeds 0 to 19, nothing written
Needs torch, numpy and safetensors; takes seconds on one core.
"""

import argparse
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

# Of the seeds 0 to 129 (`--scan 130`) with no ReLU flipped in float32, the one whose values after two
# optimiser steps rounding changes least.
SEED = 112
WIDTH = 1 / 8
BATCH = 8
# Features at the taps are kept for the first images of a batch only, for the size of the file; in
# training they still depend on the whole batch, through its statistics.
KEPT = 4
# Height and width that are odd before the first pool, and before the second.
ODD = {"odd": (4, 27, 35), "odd_second": (1, 25, 37)}
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)
PROJECTIVE_OUTPUTS, AFFINE_OUTPUTS = 8, 6

FILE = pathlib.Path(__file__).with_name("nin_parity.safetensors")


def channels(count):
    """`count` channels of the full network at `WIDTH`."""
    return max(8, round(count * WIDTH))


def block_shapes():
    """The convolutions, block by block: (channels in, channels out, side of the kernel)."""
    wide, middle, narrow = channels(192), channels(160), channels(96)
    return [
        [(3, wide, 5), (wide, middle, 1), (middle, narrow, 1)],
        [(narrow, wide, 5), (wide, wide, 1), (wide, wide, 1)],
        [(wide, wide, 3), (wide, wide, 1), (wide, wide, 1)],
        [(wide, wide, 3), (wide, wide, 1), (wide, wide, 1)],
    ]


class Unit(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, inputs, outputs, side):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-5, momentum=0.1)

    def forward(self, images):
        return F.relu(self.norm(self.conv(images)))


class Encoder(nn.Module):
    """The encoder; `forward` gives the features of every tap, each after the pool of its block."""

    def __init__(self):
        super().__init__()
        for block, shapes in enumerate(block_shapes(), 1):
            units = {f"unit{unit}": Unit(*shape) for unit, shape in enumerate(shapes, 1)}
            self.add_module(f"block{block}", nn.ModuleDict(units))
        self.pools = {
            "block1": nn.MaxPool2d(3, stride=2, padding=1),
            "block2": nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=True),
        }

    def forward(self, images):
        taps, features = {}, images
        for name, block in self.named_children():
            for unit in block.values():
                features = unit(features)
            features = self.pools[name](features) if name in self.pools else features
            taps[name] = features
        return taps


class Aet(nn.Module):
    """The siamese network. The branches run one after the other, so in training each is normalised
    with its own batch statistics and the running statistics see the original, then the other."""

    def __init__(self, outputs, tanh):
        super().__init__()
        self.encoder = Encoder()
        self.decoder = nn.Linear(2 * channels(192), outputs)
        self.tanh = tanh

    def forward(self, original, transformed):
        views = self.encoder(original), self.encoder(transformed)
        pooled = [taps["block4"].mean((2, 3)) for taps in views]
        prediction = self.decoder(torch.cat(pooled, 1))
        return views, prediction.tanh() if self.tanh else prediction


def file_name(torch_name):
    """PyTorch's name of a parameter or buffer as the file has it; None for one it leaves out."""
    if torch_name.endswith("num_batches_tracked"):
        return None
    return torch_name.replace("norm.weight", "norm.gamma").replace("norm.bias", "norm.beta")


def file_layout(name, values):
    """`values` as the file lays them out. `decoder.weight` is `[inputs, outputs]`, the layout of
    Burn's linear layer, which is the TRANSPOSE of PyTorch's `[outputs, inputs]`."""
    return values.t() if name.endswith("decoder.weight") else values


def draw_parameters(seed):
    """Every parameter and running statistic, under its name in the file and in its layout there."""
    random = np.random.RandomState(seed)

    def normal(*shape, scale=1.0):
        return torch.from_numpy((scale * random.standard_normal(shape)).astype(np.float32))

    def uniform(low, high, size):
        return torch.from_numpy(random.uniform(low, high, size).astype(np.float32))

    drawn = {}
    for block, shapes in enumerate(block_shapes(), 1):
        for unit, (inputs, outputs, side) in enumerate(shapes, 1):
            name = f"encoder.block{block}.unit{unit}"
            scale = np.sqrt(2 / (side * side * outputs))
            drawn[f"{name}.conv.weight"] = normal(outputs, inputs, side, side, scale=scale)
            drawn[f"{name}.norm.gamma"] = uniform(0.5, 1.5, outputs)
            drawn[f"{name}.norm.beta"] = normal(outputs, scale=0.2)
            drawn[f"{name}.norm.running_mean"] = normal(outputs, scale=0.3)
            drawn[f"{name}.norm.running_var"] = uniform(0.5, 2.0, outputs)
    inputs = 2 * channels(192)
    for prefix, outputs in (("", PROJECTIVE_OUTPUTS), ("affine.", AFFINE_OUTPUTS)):
        drawn[f"{prefix}decoder.weight"] = normal(inputs, outputs, scale=inputs**-0.5)
        drawn[f"{prefix}decoder.bias"] = normal(outputs, scale=0.3)
    return drawn


def draw_images(random, count, height, width):
    """Smooth coloured noise with detail at every scale, as photographs have, 0 to 255 in whole
    steps, `[count, 3, height, width]`."""
    total = torch.zeros(count, 3, height, width, dtype=torch.float64)
    for side in (2, 4, 8, 16, 32):
        grey = random.standard_normal((count, 1, side, side))
        colour = random.standard_normal((count, 3, side, side))
        grid = torch.from_numpy(grey + 0.4 * colour) * side**-0.6
        total += F.interpolate(grid, (height, width), mode="bilinear", align_corners=True)
    brightness = torch.from_numpy(random.standard_normal((count, 1, 1, 1)))
    return (255 * torch.sigmoid(1.5 * total + 0.7 * brightness)).round()


def turn(random, images):
    """Every image turned and scaled about its middle, black outside."""
    angle = random.uniform(-np.pi, np.pi, len(images))
    scale = random.uniform(0.8, 1.2, len(images))
    cos, sin, none = scale * np.cos(angle), scale * np.sin(angle), 0 * angle
    maps = np.stack([np.stack([cos, -sin, none], 1), np.stack([sin, cos, none], 1)], 1)
    grid = F.affine_grid(torch.from_numpy(maps), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False).round()


def normalise(images):
    """Pixels 0 to 255 as the network takes them."""
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (MEAN, STD))
    return ((images / 255 - mean) / std).float()


def draw_inputs(seed):
    """Images of both views, targets, and images of odd sizes."""
    random = np.random.RandomState(seed + 1_000_000)
    images = draw_images(random, BATCH, 32, 32)
    drawn = {"x": normalise(images), "y": normalise(turn(random, images))}
    projective = 0.5 * random.standard_normal((BATCH, PROJECTIVE_OUTPUTS))
    affine = random.uniform(-1, 1, (BATCH, AFFINE_OUTPUTS))
    drawn["target"] = torch.from_numpy(projective).float()
    drawn["affine.target"] = torch.from_numpy(affine).float()
    for name, (count, height, width) in ODD.items():
        drawn[f"{name}.x"] = normalise(draw_images(random, count, height, width))
    return drawn


def build(parameters, dtype, prefix=""):
    """A network of `dtype` with `parameters`; `prefix` `affine.` for the affine decoder."""
    affine = prefix == "affine."
    net = Aet(AFFINE_OUTPUTS if affine else PROJECTIVE_OUTPUTS, tanh=affine).to(dtype)
    with torch.no_grad():
        for torch_name, values in net.state_dict().items():
            name = file_name(torch_name)
            if name is not None:
                name = prefix + name if name.startswith("decoder") else name
                values.copy_(file_layout(name, parameters[name]))
    return net


def half_sum(prediction, target):
    """Half the squared distance (the paper's loss), averaged over the batch."""
    return 0.5 * (prediction - target).square().sum(1).mean()


def put_prediction(results, prefix, prediction, target):
    """Stores a prediction and both forms of its loss; gives the paper's form back."""
    loss = half_sum(prediction, target)
    results[f"{prefix}prediction"] = prediction
    results[f"{prefix}loss"] = loss.view(1)
    results[f"{prefix}mse"] = F.mse_loss(prediction, target).view(1)
    return loss


def put_taps(results, prefix, taps):
    """Stores the features of every tap, of the first `KEPT` images."""
    for name, features in taps.items():
        results[prefix + name] = features[:KEPT]


def named(net, kinds):
    """Parameters (or buffers) of `net` whose name ends in one of `kinds`, by their file names."""
    everything = [*net.named_parameters(), *net.named_buffers()]
    found = {file_name(name): values for name, values in everything}
    return {name: values for name, values in found.items() if name and name.endswith(kinds)}


GRADIENTS = (
    "block1.unit1.conv.weight",
    "block1.unit1.norm.gamma",
    "block1.unit1.norm.beta",
    "block4.unit3.conv.weight",
    "block4.unit3.norm.gamma",
    "block4.unit3.norm.beta",
    "decoder.weight",
    "decoder.bias",
)
STEPPED = ("block1.unit1.conv.weight", "block4.unit3.norm.gamma", "decoder.weight")
STATISTICS = ("running_mean", "running_var")


def training(parameters, inputs):
    """One training forward of both views, its gradients, and the running statistics after it."""
    results = {}
    net = build(parameters, inputs["x"].dtype).train()
    views, prediction = net(inputs["x"], inputs["y"])
    for view, taps in zip("xy", views):
        put_taps(results, f"train.{view}.", taps)
    put_prediction(results, "train.", prediction, inputs["target"]).backward()
    for name, values in named(net, GRADIENTS).items():
        results[f"grad.{name}"] = file_layout(name, values.grad)
    for name, values in named(net, STATISTICS).items():
        results[f"after.{name}"] = values
    return results


def evaluation(parameters, inputs):
    """Forward passes with the running statistics as drawn."""
    results = {}
    net = build(parameters, inputs["x"].dtype).eval()
    views, prediction = net(inputs["x"], inputs["y"])
    put_taps(results, "eval.x.", views[0])
    put_prediction(results, "eval.", prediction, inputs["target"])
    for name in ODD:
        put_taps(results, f"{name}.", net.encoder(inputs[f"{name}.x"]))
    return results


def affine(parameters, inputs):
    """The affine decoder on the same encoder, in training and in evaluation."""
    results = {}
    net = build(parameters, inputs["x"].dtype, "affine.").train()
    _, prediction = net(inputs["x"], inputs["y"])
    put_prediction(results, "affine.", prediction, inputs["affine.target"]).backward()
    for name, values in named(net, ("decoder.weight", "decoder.bias")).items():
        results[f"affine.grad.{name}"] = file_layout(name, values.grad)
    net = build(parameters, inputs["x"].dtype, "affine.").eval()
    _, prediction = net(inputs["x"], inputs["y"])
    put_prediction(results, "affine.eval.", prediction, inputs["affine.target"])
    return results


def stepping(parameters, inputs):
    """Two optimiser steps on the same batch. The weight decay is on every parameter. `sgd.loss` is
    the training loss before the first step, before the second, and after it."""
    net = build(parameters, inputs["x"].dtype).train()
    optimizer = torch.optim.SGD(
        net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = half_sum(net(inputs["x"], inputs["y"])[1], inputs["target"])
        losses.append(loss)
        loss.backward()
        optimizer.step()
    losses.append(half_sum(net(inputs["x"], inputs["y"])[1], inputs["target"]))
    results = {"sgd.loss": torch.stack(losses)}
    for name, values in named(net, STEPPED).items():
        results[f"sgd.{name}"] = file_layout(name, values)
    return results


def compute(parameters, inputs, dtype):
    """All results, computed in `dtype`."""
    inputs = {name: values.to(dtype) for name, values in inputs.items()}
    results = {}
    for part in (training, evaluation, affine, stepping):
        results.update(part(parameters, inputs))
    return {name: values.detach().clone() for name, values in results.items()}


def flipped_signs(parameters, inputs):
    """How many inputs of a ReLU, of all in both training forwards, have another sign in float32
    than in float64, and how many there are."""
    signs = {}
    for dtype in (torch.float32, torch.float64):
        kept = signs.setdefault(dtype, [])
        net = build(parameters, dtype).train()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.register_forward_hook(lambda _m, _i, out, kept=kept: kept.append(out > 0))
        with torch.no_grad():
            net(inputs["x"].to(dtype), inputs["y"].to(dtype))
    pairs = list(zip(signs[torch.float32], signs[torch.float64]))
    return sum(int((a != b).sum()) for a, b in pairs), sum(a.numel() for a, _ in pairs)


def relative_difference(found, expected):
    """Largest difference over the largest value of the tensor."""
    return float((found.double() - expected.double()).abs().max() / expected.double().abs().max())


def group(name):
    """The kind of result that `name` belongs to, for the printed summary."""
    kinds = ("train", "eval", "odd_second", "odd", "grad", "after", "affine.grad", "affine", "sgd")
    kind = next(kind for kind in kinds if name.startswith(kind + "."))
    return f"{kind} taps" if kind in ("train", "eval") and "block" in name else kind


def differences(seed):
    """Parameters, inputs and results for `seed`, and the float32-to-float64 differences by name."""
    parameters, inputs = draw_parameters(seed), draw_inputs(seed)
    exact = compute(parameters, inputs, torch.float64)
    rounded = compute(parameters, inputs, torch.float32)
    errors = {name: relative_difference(rounded[name], exact[name]) for name in exact}
    return parameters, inputs, exact, errors


def shaken_differences(parameters, inputs, exact, trials=6):
    """The largest differences of training results, by name, when every parameter and input is off
    by some units in the last place of float32: about what another implementation's order of
    summation does. A seed at which that changes the sign of a ReLU's input shows here."""
    random = np.random.RandomState(0)

    def shake(tensors):
        noise = {name: random.standard_normal(values.shape) for name, values in tensors.items()}
        return {
            name: values.double() * (1 + 3e-7 * torch.from_numpy(noise[name]))
            for name, values in tensors.items()
        }

    errors = {}
    for _ in range(trials):
        shaken = shake(parameters), shake(inputs)
        for name, values in (training(*shaken) | stepping(*shaken)).items():
            error = relative_difference(values.detach(), exact[name])
            errors[name] = max(errors.get(name, 0.0), error)
    return errors


def scan(count):
    """Prints how stable the seeds 0 to `count` - 1 are."""
    for seed in range(count):
        parameters, inputs, exact, errors = differences(seed)
        shaken = shaken_differences(parameters, inputs, exact)
        flips, _ = flipped_signs(parameters, inputs)
        parts = [f"seed {seed:3}: ReLU flips {flips}"]
        for kind in ("train", "grad", "sgd"):
            worst = [max(e for n, e in of.items() if n.startswith(kind)) for of in (errors, shaken)]
            parts.append(f"{kind} {worst[0]:.1e}, shaken {worst[1]:.1e}")
        losses = ", ".join(f"{value:.3f}" for value in exact["sgd.loss"].tolist())
        print("  ".join([*parts, f"losses {losses}"]), flush=True)


def report(errors, against):
    """Prints the largest difference of each kind of result."""
    worst = {}
    for name, error in errors.items():
        worst[group(name)] = max(worst.get(group(name), (0.0, "")), (error, name))
    for kind, (error, name) in worst.items():
        print(f"{kind:12} {against} {error:.2e} ({name})")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare with the file, write nothing")
    parser.add_argument("--scan", type=int, metavar="SEEDS", help="compare seeds, write nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.scan is not None:
        scan(arguments.scan)
        return
    parameters, inputs, exact, errors = differences(SEED)
    report(errors, "float32 against float64")
    report(shaken_differences(parameters, inputs, exact), "float64, shaken by 3e-7")
    flips, of = flipped_signs(parameters, inputs)
    print(f"inputs of a ReLU with another sign in float32: {flips} of {of}")
    tensors = {
        name: values.float().contiguous() for name, values in (parameters | inputs | exact).items()
    }
    if arguments.check:
        stored = load_file(FILE)
        if stored.keys() != tensors.keys():
            raise SystemExit(f"names differ: {sorted(stored.keys() ^ tensors.keys())}")
        worst = max((relative_difference(stored[name], tensors[name]), name) for name in tensors)
        print(f"{FILE.name}: largest difference {worst[0]:.2e} ({worst[1]})")
        if worst[0] > 1e-6:
            raise SystemExit("the file differs from what this script computes")
        return
    save_file(tensors, FILE)
    FILE.chmod(0o644)
    print(f"{FILE.name}: {len(tensors)} tensors, {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
