"""COCO instances: polygons and a few crowds against 100 detections an image."""

import json
from pathlib import Path

import numpy as np
import pycocotools.mask as coco_mask

from . import shapes

WIDTH, HEIGHT, CATEGORIES = 640, 480, 80
OBJECTS, DETECTIONS = 7.2, 100


def one(task: tuple[int, int]) -> tuple[int, list[dict], list[str]]:
    """Ground truth and detections of one image, detections as lines of JSON."""
    seed, index = task
    rng = shapes.stream(seed, 1, index)
    image = 1000 + 7 * index
    annotations, known = [], []
    for _ in range(min(int(rng.geometric(1 / OBJECTS)), 60)):
        category, crowd = common(rng), rng.random() < 0.012
        parts = contours(rng)
        flat = [np.round(part, 2).ravel().tolist() for part in parts]
        rle = coco_mask.merge(coco_mask.frPyObjects(flat, HEIGHT, WIDTH))
        area = int(coco_mask.area(rle))
        if area < 4:
            continue
        annotation = {"image_id": image, "category_id": category, "iscrowd": int(crowd), "area": float(area)}
        annotation["bbox"] = coco_mask.toBbox(rle).tolist()
        annotation["segmentation"] = runs(rle) if crowd else flat
        annotations.append(annotation)
        known.append((parts, category))
    return image, annotations, [json.dumps(found) for found in detections(rng, image, known)]


def detections(rng: np.random.Generator, image: int, known: list) -> list[dict]:
    """A hit or two for each object, the rest vague or made up, with scores to match."""
    drafts = []
    for parts, category in known:
        for _ in range(1 + int(rng.poisson(0.8))):
            error = 0.008 + abs(float(rng.normal(0, 0.06)))
            right = category if rng.random() < 0.9 else int(rng.integers(1, CATEGORIES + 1))
            score = float(np.clip(rng.beta(5, 2) - 2 * error, 0.01, 0.9999))
            drafts.append(([shapes.seen(rng, part, error) for part in parts], right, score))
    while len(drafts) < DETECTIONS:
        if known and rng.random() < 0.6:
            parts, category = known[int(rng.integers(len(known)))]
            category = category if rng.random() < 0.3 else int(rng.integers(1, CATEGORIES + 1))
            drafts.append(([shapes.seen(rng, parts[0], 0.15)], category, float(rng.beta(1, 12))))
        else:
            drafts.append((contours(rng)[:1], common(rng), float(rng.beta(1, 12))))
    found = []
    for parts, category, score in drafts[:DETECTIONS]:
        flat = [inside(part).ravel().tolist() for part in parts]
        rle = coco_mask.merge(coco_mask.frPyObjects(flat, HEIGHT, WIDTH))
        mask = {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode()}
        found.append({"image_id": image, "category_id": category, "score": round(score, 6), "segmentation": mask})
    return found


def contours(rng: np.random.Generator) -> list[np.ndarray]:
    """One object of one to three parts, cut to the image."""
    side = shapes.extent(rng)
    x, y = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT)
    parts = 1 + int(rng.random() < 0.12) + int(rng.random() < 0.03)
    points = int(np.clip(side * rng.uniform(0.25, 0.5), 8, 90))
    return [inside(shapes.outline(rng, (x + k * side * 0.7, y), side / (1 + 0.4 * k), points)) for k in range(parts)]


def inside(contour: np.ndarray) -> np.ndarray:
    return np.clip(contour, 0, [WIDTH, HEIGHT])


def common(rng: np.random.Generator) -> int:
    """A category; the first are far more frequent, as persons are in COCO."""
    return 1 + min(int(rng.exponential(14)), CATEGORIES - 1)


def runs(rle: dict) -> dict:
    flat = coco_mask.decode(rle).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {"size": [HEIGHT, WIDTH], "counts": [0, *counts] if flat[0] else counts}


def make(folder: Path, images: int, seed: int, pool) -> str:
    folder.mkdir(parents=True)
    truths, entries, found = [], [], 0
    with open(folder / "instances_dt.json", "w") as out:
        out.write("[")
        for image, annotations, lines in pool.imap(one, ((seed, i) for i in range(images)), chunksize=20):
            entries.append({"id": image, "width": WIDTH, "height": HEIGHT, "file_name": f"{image:012}.jpg"})
            for annotation in annotations:
                truths.append({"id": len(truths) + 1, **annotation})
            out.write((", " if found else "") + ", ".join(lines))
            found += len(lines)
        out.write("]")
    categories = [{"id": c, "name": f"category {c}", "supercategory": "any"} for c in range(1, CATEGORIES + 1)]
    truth = {"images": entries, "annotations": truths, "categories": categories}
    (folder / "instances_gt.json").write_text(json.dumps(truth))
    return f"{images} images, {len(truths)} ground truths, {found} detections"
