"""Writes `alexnet_parity.safetensors`, `resnet18_parity.safetensors`, `resnet50_parity.safetensors`
and `pooling_parity.safetensors`, which the Rust AlexNet, residual networks and adaptive pooling are
held against.

AlexNet is written out here as the released AET and RotNet code has it for ImageNet, with the biases of
its convolutions at zero: normalisation takes them off again. The residual networks are torchvision's
own modules with fewer channels. Channel counts are the published ones times a width, at least 8.

Everything random comes from NumPy's `RandomState`, whose stream is frozen. Parameters and inputs are
float32; everything computed from them is computed in float64 and rounded to float32 once. The same is
computed in float32 as well and the differences are printed.

Usage: python make_backbones.py            write the files beside this script
       python make_backbones.py --check    compute everything again and compare with the files
       python make_backbones.py --count    the parameters of the full networks
       python make_backbones.py --scan 20  differences for the seeds 0 to 19, nothing written
Needs torch, torchvision, numpy and safetensors; takes seconds on one core.
"""

import argparse
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from make_parity import draw_images, normalise, relative_difference
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision import models
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

HERE = pathlib.Path(__file__).parent
# Features are kept for the first image of a batch only; in training they still depend on all of it.
KEPT = 1


class AlexNet(nn.Module):
    """AlexNet with batch normalisation. `forward` gives the features of every tap."""

    def __init__(self, width):
        super().__init__()
        count = [scaled(base, width) for base in (64, 192, 384, 256, 256)]
        shapes = [(11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1)]
        self.conv, self.conv_norm = nn.ModuleList(), nn.ModuleList()
        for inputs, outputs, (side, stride, padding) in zip([3, *count], count, shapes):
            self.conv.append(nn.Conv2d(inputs, outputs, side, stride, padding))
            self.conv_norm.append(nn.BatchNorm2d(outputs))
        outputs = scaled(4096, width)
        self.fc = nn.ModuleList(
            nn.Linear(inputs, outputs, bias=False) for inputs in (count[-1] * 36, outputs)
        )
        self.fc_norm = nn.ModuleList(nn.BatchNorm1d(outputs) for _ in range(2))
        self.pool = nn.MaxPool2d(3, 2)
        for conv in self.conv:
            nn.init.zeros_(conv.bias)

    def forward(self, features):
        taps = {}
        for place, (conv, norm) in enumerate(zip(self.conv, self.conv_norm), 1):
            features = F.relu(norm(conv(features)))
            taps[f"conv{place}"] = features
            features = self.pool(features) if place in (1, 2, 5) else features
        taps["pool5"] = features
        features = F.adaptive_avg_pool2d(features, 6).flatten(1)
        for linear, norm in zip(self.fc, self.fc_norm):
            features = F.relu(norm(linear(features)))
        taps["fc"] = features[:, :, None, None]
        return taps


class Narrow(ResNet):
    """torchvision's residual network with other channel counts, stems, and no classifier. `taps` gives
    the features of every tap."""

    def __init__(self, block, blocks, width, stem):
        self.width = width
        super().__init__(block, blocks)
        channels = scaled(64, width)
        self.small = stem == "cifar"
        side, stride = (3, 1) if self.small else (7, 2)
        self.conv1 = nn.Conv2d(3, channels, side, stride, side // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        del self.fc

    def _make_layer(self, block, planes, *rest, **options):
        if planes == 64:
            self.inplanes = scaled(64, self.width)
        return super()._make_layer(block, scaled(planes, self.width), *rest, **options)

    def forward(self, images):
        features = self.relu(self.bn1(self.conv1(images)))
        taps = {"stem": features}
        features = features if self.small else self.maxpool(features)
        for place in range(1, 5):
            features = getattr(self, f"layer{place}")(features)
            taps[f"stage{place}"] = features
        return taps


def scaled(base, width):
    """`base` channels of the full network at `width`."""
    return max(8, round(base * width))


BASIC_18, BOTTLENECK_50 = (BasicBlock, [2, 2, 2, 2]), (Bottleneck, [3, 4, 6, 3])
# Not a whole number of vectors' lanes; and small files.
WIDTH_18, WIDTH_50 = 1 / 12, 1 / 16
# Name: how it is built; batch, height and width in training; height and width of another image in
# evaluation; seed, chosen with --scan so that no ReLU's input changes sign by rounding.
CASES = {
    "alexnet": (lambda: AlexNet(1 / 24), (8, 67, 71), (127, 95), 12),
    "resnet18.cifar": (lambda: Narrow(*BASIC_18, WIDTH_18, "cifar"), (6, 19, 17), (24, 21), 8),
    "resnet18.imagenet": (lambda: Narrow(*BASIC_18, WIDTH_18, "imagenet"), (6, 45, 39), (50, 33), 5),
    "resnet50.cifar": (lambda: Narrow(*BOTTLENECK_50, WIDTH_50, "cifar"), (6, 19, 17), (14, 11), 6),
    "resnet50.imagenet": (
        lambda: Narrow(*BOTTLENECK_50, WIDTH_50, "imagenet"),
        (6, 45, 39),
        (40, 33),
        9,
    ),
}
FILES = {
    "alexnet_parity.safetensors": ["alexnet"],
    "resnet18_parity.safetensors": ["resnet18.cifar", "resnet18.imagenet"],
    "resnet50_parity.safetensors": ["resnet50.cifar", "resnet50.imagenet"],
}


def kept_gradients(name, net):
    """The parameters of a case whose gradients are stored: first and last layers."""
    if name == "alexnet":
        first = ("conv.0.weight", "conv_norm.0.weight", "conv_norm.0.bias", "conv.1.weight")
        return (*first, "fc.1.weight", "fc_norm.1.weight", "fc_norm.1.bias")
    number = 3 if name.startswith("resnet50") else 2
    last = f"layer4.{len(net.layer4) - 1}"
    first = ("conv1.weight", "bn1.weight", "bn1.bias", "layer1.0.conv1.weight")
    ends = (f"{last}.conv{number}.weight", f"{last}.bn{number}.weight", f"{last}.bn{number}.bias")
    return (*first, "layer4.0.downsample.0.weight", *ends)


def draw(name, seed):
    """Parameters, statistics and inputs of a case."""
    random = np.random.RandomState(seed)
    build, (batch, *size), other, _ = CASES[name]
    parameters = {}
    for key, values in build().state_dict().items():
        shape = tuple(values.shape)
        if key.endswith("num_batches_tracked") or key.startswith("conv.") and key.endswith("bias"):
            continue
        if len(shape) > 1:
            fan_out = shape[0] * int(np.prod(shape[2:]))
            drawn = np.sqrt(2 / fan_out) * random.standard_normal(shape)
        elif key.endswith("running_var"):
            drawn = random.uniform(0.5, 2.0, shape)
        elif key.endswith("bn3.weight"):
            # Weak bottlenecks: sixteen strong ones make rounding a thousand times larger.
            drawn = random.uniform(0.1, 0.4, shape)
        elif key.endswith("weight"):
            drawn = random.uniform(0.5, 1.5, shape)
        else:
            drawn = 0.2 * random.standard_normal(shape)
        parameters[key] = torch.from_numpy(drawn.astype(np.float32))
    inputs = {
        "x": normalise(draw_images(random, batch, *size)),
        "other.x": normalise(draw_images(random, 1, *other)),
    }
    return parameters, inputs, random.randint(2**31)


def built(name, parameters, dtype):
    """A network of `dtype` with `parameters`."""
    net = CASES[name][0]().to(dtype)
    missing, unexpected = net.load_state_dict(parameters, strict=False)
    assert not unexpected
    assert all(key.endswith(("num_batches_tracked", ".bias")) for key in missing)
    return net


def compute(name, parameters, inputs, cotangent_seed, dtype):
    """Features in training and in evaluation, gradients of the sum of the last features times a fixed
    random tensor, and running statistics after the training forward."""
    inputs = {key: values.to(dtype) for key, values in inputs.items()}
    net = built(name, parameters, dtype).train()
    taps = net(inputs["x"])
    results = {f"train.{tap}": values[:KEPT] for tap, values in taps.items()}
    last = list(taps.values())[-1]
    noise = np.random.RandomState(cotangent_seed).standard_normal(tuple(last.shape))
    results["cotangent"] = torch.from_numpy(noise.astype(np.float32))
    (last * results["cotangent"].to(dtype)).sum().backward()
    for key, values in net.named_parameters():
        if key in kept_gradients(name, net):
            results[f"grad.{key}"] = values.grad
    for key, values in net.named_buffers():
        if "running" in key:
            results[f"after.{key}"] = values
    # The bias in front of a normalisation has no gradient but rounding.
    if name == "alexnet" and dtype == torch.float64:
        assert all(conv.bias.grad.abs().max() < 1e-4 for conv in net.conv)
    net = built(name, parameters, dtype).eval()
    with torch.no_grad():
        for key, prefix in (("x", "eval"), ("other.x", "other")):
            for tap, values in net(inputs[key]).items():
                results[f"{prefix}.{tap}"] = values[:KEPT]
    return {key: values.detach().clone() for key, values in results.items()}


def case(name, seed):
    """All tensors of a case, and the float32-to-float64 differences by name."""
    parameters, inputs, cotangent_seed = draw(name, seed)
    exact = compute(name, parameters, inputs, cotangent_seed, torch.float64)
    rounded = compute(name, parameters, inputs, cotangent_seed, torch.float32)
    errors = {key: relative_difference(rounded[key], exact[key]) for key in exact}
    weights = {f"weights.{key}": values for key, values in parameters.items()}
    return weights | inputs | exact, errors


def shaken(name, seed, trials=8):
    """The largest differences of a case's results, by name, when every parameter and input is off by
    some units in the last place of float32: about what another implementation's order of summation
    does. A seed at which that changes the sign of a ReLU's input shows here."""
    parameters, inputs, cotangent_seed = draw(name, seed)
    exact = compute(name, parameters, inputs, cotangent_seed, torch.float64)
    random = np.random.RandomState(0)

    def shake(tensors):
        noise = {key: random.standard_normal(tuple(v.shape)) for key, v in tensors.items()}
        return {
            key: values.double() * (1 + 3e-7 * torch.from_numpy(noise[key]))
            for key, values in tensors.items()
        }

    errors = {}
    for _ in range(trials):
        found = compute(name, shake(parameters), shake(inputs), cotangent_seed, torch.float64)
        for key, values in found.items():
            error = relative_difference(values, exact[key])
            errors[key] = max(errors.get(key, 0.0), error)
    return errors


def pooling():
    """Adaptive pooling of odd sizes to grids that divide them and do not, smaller and larger."""
    random = np.random.RandomState(5)
    tensors = {}
    for height, width in ((13, 13), (5, 7), (9, 4)):
        x = torch.from_numpy(random.standard_normal((2, 3, height, width)).astype(np.float32))
        tensors[f"{height}x{width}.x"] = x
        for side in (1, 3, 4, 6):
            tensors[f"{height}x{width}.average-{side}"] = F.adaptive_avg_pool2d(x, side)
            tensors[f"{height}x{width}.max-{side}"] = F.adaptive_max_pool2d(x, side)
    return tensors


def count():
    """Prints the parameters of the full networks without classifier."""
    alexnet = sum(values.numel() for values in AlexNet(1).parameters())
    print(f"alexnet {alexnet}, of which biases of convolutions 1152")
    for name in ("resnet18", "resnet34", "resnet50"):
        net = getattr(models, name)()
        net.fc = nn.Identity()
        print(name, sum(values.numel() for values in net.parameters()))


def worst(errors, prefix):
    """The largest of the differences whose names start with `prefix`."""
    return max(error for key, error in errors.items() if key.startswith(prefix))


def summary(errors):
    """The largest difference of each kind of result."""
    kinds = ("train", "grad", "after", "eval", "other")
    return ", ".join(f"{kind} {worst(errors, kind):.1e}" for kind in kinds)


def scan(seeds):
    """Prints how stable the seeds 0 to `seeds` - 1 are."""
    for name in CASES:
        for seed in range(seeds):
            rounded, off = case(name, seed)[1], shaken(name, seed)
            print(f"{name} seed {seed}: {summary(rounded)}; shaken: {summary(off)}", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare with the files")
    parser.add_argument("--count", action="store_true", help="count parameters, write nothing")
    parser.add_argument("--scan", type=int, metavar="SEEDS", help="compare seeds, write nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.count:
        return count()
    if arguments.scan is not None:
        return scan(arguments.scan)
    files = {"pooling_parity.safetensors": pooling()}
    for file, names in FILES.items():
        files[file] = {}
        for name in names:
            tensors, errors = case(name, CASES[name][3])
            print(f"{name}: float32 against float64: {summary(errors)}")
            print(f"{name}: shaken by 3e-7: {summary(shaken(name, CASES[name][3]))}")
            files[file] |= {f"{name}.{key}": values for key, values in tensors.items()}
    for file, tensors in files.items():
        tensors = {key: values.float().contiguous() for key, values in tensors.items()}
        if not arguments.check:
            save_file(tensors, HERE / file)
            (HERE / file).chmod(0o644)
            print(f"{file}: {len(tensors)} tensors, {(HERE / file).stat().st_size} bytes")
            continue
        stored = load_file(HERE / file)
        if stored.keys() != tensors.keys():
            raise SystemExit(f"{file}: names differ: {sorted(stored.keys() ^ tensors.keys())}")
        off = max(relative_difference(stored[key], tensors[key]) for key in tensors)
        print(f"{file}: largest difference {off:.2e}")
        if off > 1e-6:
            raise SystemExit(f"{file} differs from what this script computes")


if __name__ == "__main__":
    main()
