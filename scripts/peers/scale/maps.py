"""Panoptic ids as RGB, and semantic labels as grey PNGs."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from . import shapes

PANOPTIC, SEMANTIC = (640, 480), (683, 512)
THINGS, STUFF = range(1, 81), range(101, 154)
CLASSES = 150


def layers(rng: np.random.Generator, size: tuple[int, int], stuff: int, things: int) -> list[tuple[bool, np.ndarray]]:
    """Back to front: large regions, then things."""
    width, height = size

    def place() -> tuple[float, float]:
        return rng.uniform(0, width), rng.uniform(0, height)

    found = [(False, shapes.outline(rng, place(), rng.uniform(0.5, 1.3) * width, 120)) for _ in range(stuff)]
    for _ in range(things):
        side = shapes.extent(rng) * 1.2
        found.append((True, shapes.outline(rng, place(), side, int(np.clip(side, 12, 120)))))
    return found


def one_panoptic(task: tuple[int, int, str]) -> tuple[dict, dict]:
    """One pair of id maps on disk and their two JSON entries."""
    seed, index, folder = task
    rng = shapes.stream(seed, 2, index)
    regions = layers(rng, PANOPTIC, int(rng.integers(3, 7)), int(rng.geometric(1 / 6.5)))
    stuff = rng.permutation(list(STUFF))
    category = [int(stuff[0])]
    for k, (thing, _) in enumerate(regions):
        category.append(1 + min(int(rng.exponential(14)), len(THINGS) - 1) if thing else int(stuff[k + 1]))
    ids = (1 + rng.choice((1 << 24) - 1, 2 * len(category), replace=False)).tolist()
    truth = shapes.paint(*PANOPTIC, ids[0], [(c, i) for (_, c), i in zip(regions, ids[1:], strict=False)])
    truth[:, : int(rng.integers(0, 6))] = 0
    if rng.random() < 0.5:  # a hole without label
        y, x = int(rng.integers(0, 420)), int(rng.integers(0, 580))
        truth[y : y + 60, x : x + 60] = 0
    infos = []
    for k, (id_, area) in enumerate(present(truth, ids[: len(category)])):
        crowd = int(category[k] in THINGS and rng.random() < 0.03)
        if area:
            infos.append({"id": id_, "category_id": category[k], "area": area, "iscrowd": crowd})
    painted, of = [], {ids[len(category)]: category[0]}
    for k, (thing, contour) in enumerate(regions, 1):
        if rng.random() < 0.1:
            continue
        id_ = ids[len(category) + k]
        painted.append((shapes.seen(rng, contour, 0.02 + abs(float(rng.normal(0, 0.03)))), id_))
        of[id_] = category[k] if rng.random() < 0.88 else int(rng.choice(THINGS if thing else STUFF))
    found = shapes.paint(*PANOPTIC, ids[len(category)], painted)
    name = f"{1000 + 7 * index:012}.png"
    for side, values in (("gt", truth), ("pred", found)):
        channels = np.stack([(values >> shift).astype(np.uint8) for shift in (0, 8, 16)], -1)
        Image.fromarray(channels).save(Path(folder) / f"panoptic_{side}" / name)
    guesses = [{"id": int(id_), "category_id": of[int(id_)]} for id_ in np.unique(found)]
    entry = {"image_id": 1000 + 7 * index, "file_name": name}
    return {**entry, "segments_info": infos}, {**entry, "segments_info": guesses}


def present(ids: np.ndarray, wanted: list[int]) -> list[tuple[int, int]]:
    counted = dict(zip(*(column.tolist() for column in np.unique(ids, return_counts=True)), strict=True))
    return [(id_, counted.get(id_, 0)) for id_ in wanted]


def make_panoptic(folder: Path, images: int, seed: int, pool) -> str:
    for side in ("gt", "pred"):
        (folder / f"panoptic_{side}").mkdir(parents=True)
    tasks = ((seed, i, str(folder)) for i in range(images))
    truths, guesses = zip(*pool.imap(one_panoptic, tasks, chunksize=10), strict=True)
    categories = [{"id": c, "name": f"thing {c}", "isthing": 1, "color": [c, 0, 0]} for c in THINGS]
    categories += [{"id": c, "name": f"stuff {c}", "isthing": 0, "color": [c, 1, 0]} for c in STUFF]
    width, height = PANOPTIC
    entries = [{"id": t["image_id"], "width": width, "height": height, "file_name": t["file_name"]} for t in truths]
    truth = {"images": entries, "annotations": truths, "categories": categories}
    (folder / "panoptic_gt.json").write_text(json.dumps(truth))
    (folder / "panoptic_pred.json").write_text(json.dumps({"annotations": guesses}))
    return f"{images} images, {sum(len(t['segments_info']) for t in truths) / images:.1f} segments each"


def one_semantic(task: tuple[int, int, str]) -> None:
    """Raw ADE20K labels (0 = other, 1 to 150) and predictions of 0 to 149."""
    seed, index, folder = task
    rng = shapes.stream(seed, 3, index)
    regions = layers(rng, SEMANTIC, int(rng.integers(4, 9)), int(rng.integers(4, 18)))
    labels = 1 + np.minimum(rng.exponential(30, len(regions) + 1).astype(int), CLASSES - 1)
    labels[1:][rng.random(len(regions)) < 0.08] = 0
    guessed = np.maximum(labels, 1) - 1
    wrong = rng.random(len(labels)) < 0.15
    guessed[wrong] = rng.integers(0, CLASSES, int(wrong.sum()))
    truth = shapes.paint(*SEMANTIC, labels[0], [(c, k) for (_, c), k in zip(regions, labels[1:], strict=True)])
    moved = [shapes.seen(rng, c, 0.015 + abs(float(rng.normal(0, 0.02)))) for _, c in regions]
    found = shapes.paint(*SEMANTIC, guessed[0], list(zip(moved, guessed[1:], strict=True)))
    for side, values in (("gt", truth), ("pred", found)):
        Image.fromarray(values.astype(np.uint8)).save(Path(folder) / f"sem_{side}" / f"ADE_val_{index + 1:08}.png")


def make_semantic(folder: Path, images: int, seed: int, pool) -> str:
    for side in ("gt", "pred"):
        (folder / f"sem_{side}").mkdir(parents=True)
    for _ in pool.imap(one_semantic, ((seed, i, str(folder)) for i in range(images)), chunksize=10):
        pass
    return f"{images} images of {SEMANTIC[0]}x{SEMANTIC[1]}, {CLASSES} classes"
