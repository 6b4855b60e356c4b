"""Cityscapes: gtFine, label maps as pixel results, text files with full-size masks as instance results."""

from pathlib import Path

import numpy as np
from PIL import Image

from . import shapes

WIDTH, HEIGHT = 2048, 1024
REGIONS = [3, 4, 8, 11, 12, 13, 17, 19, 20, 21, 22]
OBJECTS = [24, 25, 26, 26, 26, 27, 28, 31, 32, 33]


def one(task: tuple[int, int, str]) -> int:
    seed, index, folder = task
    rng = shapes.stream(seed, 4, index)

    def place(low: float, high: float) -> tuple[float, float]:
        return rng.uniform(0, WIDTH), rng.uniform(low, high) * HEIGHT

    layers = [(np.array([[0, 512], [WIDTH, 512], [WIDTH, HEIGHT], [0, HEIGHT]], float), 7)]
    for _ in range(14):
        layers.append((shapes.outline(rng, place(0, 0.8), rng.uniform(150, 900), 160), int(rng.choice(REGIONS))))
    objects = []
    for k in range(int(rng.integers(8, 30))):
        label = int(rng.choice(OBJECTS))
        objects.append((shapes.outline(rng, place(0.3, 0.8), shapes.extent(rng) * 1.5, 90), label))
        group = rng.random() < 0.05
        layers.append((objects[-1][0], label if group else label * 1000 + k))
    ids = shapes.paint(WIDTH, HEIGHT, 23, layers)
    ids[-100:] = 1  # the car's own bonnet
    labels = np.where(ids >= 1000, ids // 1000, ids)
    stem = f"town_{index:06}_000019"
    base = Path(folder)
    truth = base / "gtFine" / "val" / "town"
    Image.fromarray(ids.astype(np.uint16)).save(truth / f"{stem}_gtFine_instanceIds.png")
    Image.fromarray(labels.astype(np.uint8)).save(truth / f"{stem}_gtFine_labelIds.png")
    found = np.roll(labels, (2, 3), (0, 1))
    blots = [(shapes.outline(rng, place(0, 1), 150, 60), int(rng.choice([7, 8, 11, 21, 26]))) for _ in range(6)]
    blotted = shapes.paint(WIDTH, HEIGHT, -1, blots)
    found = np.where(blotted >= 0, blotted, found)
    Image.fromarray(found.astype(np.uint8)).save(base / "results_pixel" / "town" / f"{stem}_pred.png")
    lines = []
    for k, (contour, label) in enumerate(objects + objects[:6]):
        name = f"masks/{stem}_{k:03}.png"
        mask = shapes.paint(WIDTH, HEIGHT, 0, [(shapes.seen(rng, contour, 0.03), 255)])
        Image.fromarray(mask.astype(np.uint8)).save(base / "results_instance" / "town" / name)
        lines.append(f"{name} {label} {rng.random():.4f}\n")
    (base / "results_instance" / "town" / f"{stem}_pred.txt").write_text("".join(lines))
    return len(lines)


def make(folder: Path, images: int, seed: int, pool) -> str:
    for part in ("gtFine/val/town", "results_pixel/town", "results_instance/town/masks"):
        (folder / part).mkdir(parents=True)
    masks = sum(pool.imap(one, ((seed, i, str(folder)) for i in range(images)), chunksize=2))
    return f"{images} images of {WIDTH}x{HEIGHT}, {masks / images:.1f} predicted masks each"
