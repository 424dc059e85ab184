"""Peers of `aet bench embed`: the encoder in evaluation mode, features averaged over the image.

usage: embed_peer.py torch-nchw|torch-nhwc|onnxruntime [--batch 64] [--threads 2] [--width 1.0] [--steps 8]

Images are ready in memory; decoding, loading and writing are not counted, as they are for aet.
"""
import argparse, io, statistics, time
import torch, torch.nn as nn

parser = argparse.ArgumentParser()
parser.add_argument("peer", choices=["torch-nchw", "torch-nhwc", "onnxruntime"])
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--width", type=float, default=1.0)
parser.add_argument("--steps", type=int, default=8)
a = parser.parse_args()
torch.manual_seed(0)
torch.set_num_threads(a.threads)
c, b, n = (max(8, round(channels * a.width)) for channels in (192, 160, 96))


def unit(inputs, outputs, side):
    return nn.Sequential(nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.chain = nn.Sequential(
            unit(3, c, 5), unit(c, b, 1), unit(b, n, 1), nn.MaxPool2d(3, 2, 1),
            unit(n, c, 5), unit(c, c, 1), unit(c, c, 1), nn.AvgPool2d(3, 2, 1),
            unit(c, c, 3), unit(c, c, 1), unit(c, c, 1), unit(c, c, 3), unit(c, c, 1), unit(c, c, 1))

    def forward(self, x):
        return self.chain(x).mean((2, 3))


images = torch.randn(a.batch, 3, 32, 32)
net = Encoder().eval()
if a.peer == "onnxruntime":
    import onnxruntime
    file = io.BytesIO()
    torch.onnx.export(net, images, file, input_names=["x"], output_names=["y"], dynamo=False)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = a.threads
    session = onnxruntime.InferenceSession(file.getvalue(), settings, providers=["CPUExecutionProvider"])
    inputs = {"x": images.numpy()}
    work = lambda: session.run(None, inputs)
else:
    layout = torch.channels_last if a.peer.endswith("nhwc") else torch.contiguous_format
    # Folding the normalisation into the convolutions is what freezing does.
    traced = torch.jit.freeze(torch.jit.trace(net.to(memory_format=layout), images.to(memory_format=layout)))
    images = images.to(memory_format=layout)

    def work():
        with torch.inference_mode():
            traced(images)

rates = []
for step in range(a.steps + 3):
    start = time.perf_counter()
    work()
    if step >= 3:
        rates.append(a.batch / (time.perf_counter() - start))
print(f"{a.peer} batch {a.batch} threads {a.threads}: {statistics.median(rates):.1f} images/s")
