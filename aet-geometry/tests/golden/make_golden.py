"""Makes the expected warps (`warp/`) and the expected matrices and targets (`families.json`).

The warps are Pillow's: `Image.transform(size, AFFINE | PERSPECTIVE, data, BILINEAR, fillcolor=...)`.
The matrices are written down here on their own: the affine one from the released formula of
torchvision's old RandomAffine, the projective one by solving the eight equations with numpy.

usage: python make_golden.py      (needs numpy and pillow; made with numpy 2, Pillow 13.0.0)
"""
import json
import math
import os
import shutil

import numpy as np
from PIL import Image, ImageDraw

HERE = os.path.dirname(os.path.abspath(__file__))
WARPS = os.path.join(HERE, "warp")
GREY, TEAL = (128, 128, 128), (3, 200, 251)


def picture(rng, height, width):
    """A gradient, shapes and noise: smooth parts, edges and texture in one image."""
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)], -1)
    image = Image.fromarray(smooth.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(6):
        box = np.sort(rng.uniform(0, 1, (2, 2)), axis=0) * (width, height)
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)([tuple(p) for p in box], fill=colour)
    noise = rng.normal(0, 40, (height, width, 3)) * (x < width * 0.7)[..., None]
    return np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)


def formula(height, width):
    """A large image that the test makes too, so that it need not be stored."""
    i, j, c = np.ogrid[0:height, 0:width, 0:3]
    return ((i * 73 + j * 151 + c * 57 + (i * j) % 97 * 5) % 256).astype(np.uint8)


def homography(source, target):
    """The eight coefficients of the map from the points `source` to the points `target`."""
    rows, right = [], []
    for (x, y), (u, v) in zip(source, target):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return np.linalg.solve(np.array(rows, float), np.array(right, float))


def corners(height, width):
    return np.array([(0, 0), (width, 0), (width, height), (0, height)], float)


def affine(height, width, rotation, shift, scale, shear):
    """The six coefficients as torchvision 0.2 has them (`_get_inverse_affine_matrix`)."""
    centre = (width * 0.5 + 0.5, height * 0.5 + 0.5)
    angle, shear, scale = math.radians(rotation), math.radians(shear), 1.0 / scale
    d = math.cos(angle + shear) * math.cos(angle) + math.sin(angle + shear) * math.sin(angle)
    matrix = [math.cos(angle + shear), math.sin(angle + shear), 0, -math.sin(angle), math.cos(angle), 0]
    matrix = [scale / d * m for m in matrix]
    for row, c in ((0, centre[0]), (3, centre[1])):
        matrix[row + 2] += matrix[row] * (-centre[0] - shift[0]) + matrix[row + 1] * (-centre[1] - shift[1])
        matrix[row + 2] += c
    return matrix


def moved_corners(height, width, scale, turns, shifts):
    points, centre = corners(height, width), np.array([width / 2 + 0.5, height / 2 + 0.5])
    scaled = (points - centre) * scale + centre
    return np.array([scaled[(k + turns) % 4] for k in range(4)]) + shifts


def draw_affine(rng, height, width, wild=False):
    most = (0.2 * width, 0.2 * height)
    return dict(
        rotation=float(rng.uniform(-180, 180)),
        shift=[float(np.round(rng.uniform(-m, m))) for m in most],
        scale=float(rng.uniform(0.05, 8) if wild else rng.uniform(0.7, 1.3)),
        shear=float(rng.uniform(-75, 75) if wild else rng.uniform(-30, 30)),
    )


def draw_projective(rng, height, width):
    most = np.round(0.125 * np.array([width, height])).astype(int)
    return dict(
        scale=float(rng.uniform(0.8, 1.2)),
        turns=int(rng.integers(0, 4)),
        shifts=[[int(rng.integers(-m, m + 1)) for m in most] for _ in range(4)],
    )


def strong(rng, source, output):
    """A homography whose horizon is near the output: a random convex quadrilateral to the image."""
    height, width = output
    while True:
        quad = corners(height, width) + rng.uniform(-0.45, 0.45, (4, 2)) * (width, height)
        data = homography(quad, corners(*source))
        if in_front(data, output).all():
            return data


def third(data, output):
    y, x = np.mgrid[0 : output[0], 0 : output[1]] + 0.5
    return data[6] * x + data[7] * y + 1


def in_front(data, output):
    return third(data, output) > 1e-3


def warps():
    shutil.rmtree(WARPS, ignore_errors=True)
    os.makedirs(WARPS)
    rng = np.random.default_rng(20190613)
    sources = {}
    for height, width in ((32, 32), (37, 53), (64, 48)):
        sources[f"picture_{height}x{width}"] = picture(rng, height, width)
    for name, pixels in sources.items():
        Image.fromarray(pixels).save(os.path.join(WARPS, name + ".png"), optimize=True)
    sources["formula_512x512"] = formula(512, 512)
    cases = []

    def case(kind, source, data, output, fill):
        data = [float(v) for v in data]
        assert all(math.isfinite(v) for v in data), (kind, data)
        mode = Image.Transform.AFFINE if len(data) == 6 else Image.Transform.PERSPECTIVE
        warped = Image.fromarray(sources[source]).transform(
            (output[1], output[0]), mode, data, Image.Resampling.BILINEAR, fillcolor=fill
        )
        warped = np.array(warped)
        if len(data) == 8:
            # The one deliberate difference: behind the horizon is fill, not a mirror image.
            warped[third(data, output) <= 0] = fill
        file = f"{len(cases):03}_{kind}_{source}_to_{output[0]}x{output[1]}.png"
        Image.fromarray(warped).save(os.path.join(WARPS, file), optimize=True)
        cases.append(dict(file=file, kind=kind, source=source, coefficients=data, output=output, fill=fill))

    for source, pixels in list(sources.items())[:3]:
        size = height, width = pixels.shape[:2]
        for n in range(8):
            drawn = draw_projective(rng, height, width)
            quad = moved_corners(height, width, **drawn)
            case("projective", source, homography(quad, corners(height, width)), size, TEAL if n == 7 else GREY)
        for n in range(5):
            case("affine", source, affine(height, width, **draw_affine(rng, height, width)), size, TEAL if n == 4 else GREY)
        for n in range(4):
            output = tuple(int(v) for v in rng.integers(9, 50, 2))
            case("strong", source, strong(rng, size, output), output, GREY)
        for n in range(3):
            case("wild-affine", source, affine(height, width, **draw_affine(rng, height, width, True)), (29, 31), TEAL)
        # Magnified 12 times about a corner; minified 6 times; nearly a line; a horizon in view.
        case("magnified", source, (1 / 12, 0.002, width - 3, -0.003, 1 / 12, height - 3), (40, 37), GREY)
        case("minified", source, (6.1, 0.3, -4, -0.2, 5.9, -3), (21, 26), TEAL)
        case("thin", source, (1e-7, 2e-7, 3.3, 1.1, 0.2, -5), (24, 24), GREY)
        case("steep", source, (900.0, 31, -9000, 1.5, 0.9, -7), (24, 24), GREY)
        case("horizon", source, (0.9, 0.1, 2, -0.1, 0.8, 3, -0.031, -0.0017), (33, 40), TEAL)
        case("tiny-output", source, (2.3, 0.1, 4, -0.2, 2.9, 3), (5, 3), GREY)
    for n in range(3):
        # All of the large image, minified, and its far corner as it is.
        case("all", "formula_512x512", strong(rng, (512, 512), (36, 44)), (36, 44), GREY)
        drawn = affine(512, 512, rotation=15.0 * n - 17, shift=[3, 5], scale=0.99, shear=4.0)
        drawn[2] += 440 * drawn[0] + 400 * drawn[1]
        drawn[5] += 440 * drawn[3] + 400 * drawn[4]
        case("far", "formula_512x512", drawn, (40, 40), GREY)
        quad = moved_corners(512, 512, **draw_projective(rng, 512, 512))
        far = homography(quad - (230, 215), corners(512, 512))
        case("middle", "formula_512x512", far, (40, 40), GREY)
    with open(os.path.join(WARPS, "cases.json"), "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


def families():
    rng = np.random.default_rng(20191106)
    affines, projectives = [], []
    for height, width in ((32, 32), (32, 32), (32, 32), (224, 224), (37, 53), (64, 48)):
        for _ in range(4):
            drawn = draw_affine(rng, height, width)
            angle = math.radians(drawn["rotation"])
            target = [
                math.cos(angle),
                math.sin(angle),
                drawn["shift"][0] / (0.2 * width),
                drawn["shift"][1] / (0.2 * height),
                (drawn["scale"] - 0.7) / 0.6 * 2 - 1,
                drawn["shear"] / 30,
            ]
            matrix = affine(height, width, **drawn)
            affines.append(dict(height=height, width=width, **drawn, matrix=matrix, target=target))

            drawn = draw_projective(rng, height, width)
            matrix = homography(moved_corners(height, width, **drawn), corners(height, width))
            item = dict(height=height, width=width, **drawn, matrix=list(matrix))
            if (height, width) == (32, 32):
                mean = np.array([0, 0, 16, 0, 0, 16, 0, 0])
                std = np.array([1, 1, 20, 1, 1, 20, 0.015, 0.015])
                item["target"] = list((matrix - mean) / std)
            if (height, width) == (224, 224):
                mean = np.array([0, 0, 112, 0, 0, 112, 6.4e-5, 6.4e-5])
                std = np.array([0.75, 0.75, 118, 0.75, 0.75, 118, 7.75e-4, 7.75e-4])
                item["released_224_target"] = list((matrix - mean) / std)
            projectives.append(item)
    lines = lambda items: "[\n" + ",\n".join(json.dumps(i) for i in items) + "\n]"
    with open(os.path.join(HERE, "families.json"), "w") as file:
        file.write('{"affine": ' + lines(affines) + ',\n"projective": ' + lines(projectives) + "}\n")


warps()
families()
