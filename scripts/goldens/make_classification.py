"""What timm, torchvision and Pillow make of a small image, and timm's loss of mixed, smoothed targets.

    python make_classification.py

Writes datasets/tests/goldens/augment.{png,json} (a sheet: the input, then a row a case) and
heads/tests/goldens/classification_loss.safetensors. Needs the versions of requirements.txt.
"""

import importlib.metadata
import json
from pathlib import Path

import numpy as np
import torch
from common import randn, save
from PIL import Image
from timm.data import auto_augment
from timm.data.mixup import mixup_target
from timm.data.transforms_factory import transforms_imagenet_eval
from timm.loss import SoftTargetCrossEntropy
from torchvision.transforms import functional

REPOSITORY = Path(__file__).resolve().parents[2]
HEIGHT, WIDTH = 45, 61
FILL = (124, 116, 104)
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

# Our name of a change, timm's function, arguments; the last two groups move pixels and take a filter.
CHANGES = [
    ("auto_contrast", auto_augment.auto_contrast, [[]]),
    ("equalize", auto_augment.equalize, [[]]),
    ("invert", auto_augment.invert, [[]]),
    ("posterize", auto_augment.posterize, [[1], [3]]),
    ("solarize", auto_augment.solarize, [[26], [256]]),
    ("solarize_add", auto_augment.solarize_add, [[99], [7]]),
    ("color", auto_augment.color, [[1.81], [0.1]]),
    ("contrast", auto_augment.contrast, [[1.777], [0.19]]),
    ("brightness", auto_augment.brightness, [[1.81], [0.35]]),
    ("sharpness", auto_augment.sharpness, [[1.9], [0.1]]),
]
MOVES = [
    ("rotate", auto_augment.rotate, [[27.0], [-11.3]]),
    ("shear_x", auto_augment.shear_x, [[0.27], [-0.1]]),
    ("shear_y", auto_augment.shear_y, [[-0.27]]),
    ("translate_x", auto_augment.translate_x_rel, [[0.405], [-0.13]]),
    ("translate_y", auto_augment.translate_y_rel, [[-0.29]]),
]
RESIZES = [[45, 61, 20, 17], [45, 61, 33, 90], [45, 61, 45, 30], [45, 61, 7, 61]]


def picture() -> Image.Image:
    """Shades, discs with hard edges, and noise; no channel uses all values."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    image = np.stack([30 + 3 * y + x / 2, 200 - 2.5 * x + y / 3, 60 + 1.6 * x], axis=-1)
    for _ in range(9):
        centre, radius = rng.uniform(0, 1, 2) * (HEIGHT, WIDTH), rng.uniform(3, 11)
        inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
        image[inside] = rng.uniform(15, 225, 3)
    image += rng.normal(0, 4, image.shape)
    return Image.fromarray(image.clip(11, 229).astype(np.uint8))


def augment() -> None:
    source = picture()
    cases, rows = [], [np.asarray(source)]

    def add(op: str, args: list, result: Image.Image | np.ndarray, filter: str = "bilinear") -> None:
        pixels = np.asarray(result)
        cases.append({"op": op, "args": args, "filter": filter, "size": list(pixels.shape[:2])})
        rows.append(pixels)

    for op, change, arguments in CHANGES:
        for args in arguments:
            add(op, args, change(source, *args))
    for op, change, arguments in MOVES:
        for args in arguments:
            for name, resample in FILTERS.items():
                add(op, args, change(source, *args, resample=resample, fillcolor=FILL), name)
    for turn in (0.1, -0.37, 0.5):
        add("hue", [turn], functional.adjust_hue(source, turn))
    for name, resample in FILTERS.items():
        for args in RESIZES:
            add("resize", args[2:], functional.resize(source, args[2:], resample), name)
        for size, ratio in ((32, 0.875), (40, 0.9), (48, 1.0)):
            view = transforms_imagenet_eval(size, crop_pct=ratio, interpolation=name, normalize=False)(source)
            add("eval", [size, ratio], view.permute(1, 2, 0).numpy(), name)

    sheet = np.zeros((sum(row.shape[0] for row in rows), max(row.shape[1] for row in rows), 3), np.uint8)
    top = 0
    for row in rows:
        sheet[top : top + row.shape[0], : row.shape[1]] = row
        top += row.shape[0]
    folder = REPOSITORY / "datasets/tests/goldens"
    Image.fromarray(sheet).save(folder / "augment.png", optimize=True)
    with open(folder / "augment.json", "w") as out:
        lines = [json.dumps(case, separators=(",", ":")) for case in cases]
        out.write("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{len(cases)} cases, {(folder / 'augment.png').stat().st_size} bytes")


def loss() -> None:
    batch, classes = 6, 9
    labels = torch.tensor([3, 0, 8, 8, 5, 1])
    logits = randn((batch, classes), 1) * 3
    cases = [(0.0, 1.0), (0.1, 1.0), (0.1, 0.37), (0.0, 0.8), (0.2, 0.0)]
    tensors = {"logits": logits, "classes": labels}
    for i, (smoothing, share) in enumerate(cases):
        for dtype, label in ((torch.float32, "f32"), (torch.float64, "f64")):
            x = logits.to(dtype, copy=True).requires_grad_()
            target = mixup_target(labels, classes, share, smoothing)
            if dtype == torch.float64:  # timm makes targets in 32 bits: the same formula in 64
                hard = torch.nn.functional.one_hot(labels, classes).double()
                smooth = hard * (1 - smoothing) + smoothing / classes
                assert torch.allclose(target.double(), smooth * share + smooth.flip(0) * (1 - share), atol=1e-6)
                target = smooth * share + smooth.flip(0) * (1 - share)
            value = SoftTargetCrossEntropy()(x, target)
            value.backward()
            tensors |= {f"{label}/loss/{i}": value, f"{label}/grad/{i}": x.grad}
    tensors["cases"] = torch.tensor(cases, dtype=torch.float64)
    save(REPOSITORY / "heads/tests/goldens/classification_loss.safetensors", tensors, timm=importlib.metadata.version("timm"))


if __name__ == "__main__":
    augment()
    loss()
