"""Peer for the training step of a residual network: the AET step of ResNet-18 in PyTorch, on images in memory.

usage: resnet_step_torch.py [--batch 32] [--threads 2] [--width 0.25] [--size 64] [--steps 8] [--layout nchw|nhwc]
Prints the median of pairs per second over the counted steps; a pair is two images, each normalised with its own
batch statistics, as in aet.
"""
import argparse, statistics, time
import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--width", type=float, default=0.25)
parser.add_argument("--size", type=int, default=64)
parser.add_argument("--steps", type=int, default=8)
parser.add_argument("--warmup", type=int, default=3)
parser.add_argument("--layout", choices=["nchw", "nhwc"], default="nchw")
options = parser.parse_args()
torch.set_num_threads(options.threads)
torch.manual_seed(0)


def normalised(inputs, outputs, side, stride=1):
    return nn.Sequential(nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False), nn.BatchNorm2d(outputs))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.branch = nn.Sequential(normalised(inputs, outputs, 3, stride), nn.ReLU(inplace=True), normalised(outputs, outputs, 3))
        plain = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if plain else normalised(inputs, outputs, 1, stride)

    def forward(self, images):
        return torch.relu(self.branch(images) + self.shortcut(images))


channels = [round(count * options.width) for count in (64, 64, 128, 256, 512)]
layers = [normalised(3, channels[0], 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
for stage in range(4):
    for block in range(2):
        stride = 2 if stage > 0 and block == 0 else 1
        layers.append(Block(channels[stage if block == 0 else stage + 1], channels[stage + 1], stride))
encoder = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
decoder = nn.Linear(2 * channels[4], 8)
form = torch.channels_last if options.layout == "nhwc" else torch.contiguous_format
encoder = encoder.to(memory_format=form)
views = [torch.randn(options.batch, 3, options.size, options.size).to(memory_format=form) for _ in range(2)]
target = torch.randn(options.batch, 8)
parameters = [*encoder.parameters(), *decoder.parameters()]
optimizer = torch.optim.SGD(parameters, lr=0.01, momentum=0.9, weight_decay=5e-4, nesterov=True)
rates = []
for step in range(options.warmup + options.steps):
    start = time.perf_counter()
    found = decoder(torch.cat([encoder(view) for view in views], dim=1))
    loss = ((found - target) ** 2).mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    if step >= options.warmup:
        rates.append(options.batch / (time.perf_counter() - start))
print(f"{statistics.median(rates):.1f} pairs/s")
