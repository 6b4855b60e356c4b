#!/usr/bin/env python3
"""Makes evaluation/tests/goldens/panoptic/cases.json from the reference scorers, imported and not copied.

    git clone https://github.com/cocodataset/panopticapi /tmp/panopticapi        # 7bb4655
    git clone https://github.com/bowenc0221/boundary-iou-api /tmp/boundary       # 37d2558
    pip install numpy pillow opencv-python-headless pycocotools==2.0.11
    PYTHONPATH=/tmp/panopticapi:/tmp/boundary python scripts/goldens/make_panoptic.py

Every case is a few small images full of what trips scorers: areas that lie, void, crowds of one category, ids that are
not listed, listed twice or 0, IoUs of exactly one half, maps that differ by a pixel. Maps are stored as runs
[id, length, id, length, ...]. A case that the reference refuses (or divides by zero in) has "refused" as its result.
"""

import argparse
import contextlib
import copy
import io
import json
import tempfile
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from boundary_iou.coco_panoptic_api import evaluation as boundary_api
from panopticapi import evaluation as mask_api

GOLDENS = Path(__file__).parents[2] / "evaluation" / "tests" / "goldens" / "panoptic"
CATEGORIES = [
    {"id": 0, "name": "wall", "isthing": 0},
    {"id": 3, "name": "person", "isthing": 1},
    {"id": 7, "name": "car", "isthing": 1},
    {"id": 120, "name": "sky", "isthing": 0},
]
MARK = 121  # boundary-iou-api writes the largest category id + 1 into the id map: no segment may have it


def rectangles(rng, height, width, ids, count, void):
    """Overlapping rectangles of random ids, some of them void."""
    ids = [*ids, 0] if void else ids
    out = np.full((height, width), rng.choice(ids), np.uint32)
    for _ in range(count):
        y, x = rng.integers(0, height), rng.integers(0, width)
        h, w = rng.integers(1, height + 1), rng.integers(1, width + 1)
        out[y : y + h, x : x + w] = rng.choice(ids)
    return out


def new_ids(rng, count):
    ids = set()
    while len(ids) < count:
        top = rng.choice([20, 300, 1 << 24])
        ids.add(int(rng.integers(1, top)))
        ids.discard(MARK)
    return sorted(ids)


def ground_truth(rng, height, width, odd):
    ids = new_ids(rng, rng.integers(1, 7))
    area = rectangles(rng, height, width, ids, rng.integers(1, 9), rng.random() < 0.5)
    segments = []
    for value in np.unique(area):
        if value == 0 and not (odd and rng.random() < 0.05):
            continue
        category = int(rng.choice([0, 3, 7, 120]))
        crowd = int(rng.random() < (0.35 if odd else 0.1))
        pixels = int((area == value).sum())
        segments.append({"id": int(value), "category_id": category, "area": pixels, "iscrowd": crowd})
    if not odd:
        return area, segments
    for segment in segments:
        draw = rng.random()
        if draw < 0.1:
            segment["area"] = max(0, segment["area"] + int(rng.integers(-5, 9)))
        elif draw < 0.13:
            segment["area"] = segment["area"] // 2
        elif draw < 0.2:
            segment["area"] = float(segment["area"])
        if rng.random() < 0.02:
            segment["category_id"] = 55  # not a category
    if segments and rng.random() < 0.15:
        segments.pop(rng.integers(len(segments)))
    if segments and rng.random() < 0.15:
        segments.append({**segments[rng.integers(len(segments))], "category_id": int(rng.choice([0, 3, 7, 120]))})
    if rng.random() < 0.15:
        segments.append({"id": 1 << 23, "category_id": 3, "area": 4, "iscrowd": int(rng.random() < 0.3)})
    rng.shuffle(segments)
    return area, segments


def prediction(rng, gt, gt_segments, odd):
    """The ground truth seen through shifts, splits, merges and noise, with ids of its own."""
    out = gt.copy()
    if rng.random() < 0.6:
        out = np.roll(out, int(rng.integers(-1, 2)), axis=int(rng.integers(2)))
    for _ in range(rng.integers(0, 4)):
        y, x = rng.integers(0, gt.shape[0]), rng.integers(0, gt.shape[1])
        h, w = rng.integers(1, gt.shape[0] // 2 + 2), rng.integers(1, gt.shape[1] // 2 + 2)
        out[y : y + h, x : x + w] = rng.choice(np.append(np.unique(gt), 0 if rng.random() < 0.3 else (1 << 24) - 1))
    values = [v for v in np.unique(out) if v != 0]
    names = dict(zip(values, rng.permutation(new_ids(rng, len(values)))))
    category_of = {s["id"]: s["category_id"] for s in gt_segments}
    pred, segments = np.zeros_like(out), []
    for value in values:
        pred[out == value] = names[value]
        category = category_of.get(int(value), 3)
        if rng.random() < 0.15 or category == 55:
            category = int(rng.choice([0, 3, 7, 120]))
        segments.append({"id": int(names[value]), "category_id": category})
    if odd:
        if segments and rng.random() < 0.1:
            segments.insert(0, {**segments[-1], "category_id": int(rng.choice([0, 3, 7, 120]))})
        if 0 in pred and rng.random() < 0.1:
            segments.append({"id": 0, "category_id": int(rng.choice([0, 3, 7, 120]))})
        draw = rng.random()
        if segments and draw < 0.02:
            segments.pop()
        elif draw < 0.04:
            segments.append({"id": 1 << 22, "category_id": 3})
        elif segments and draw < 0.06:
            segments[0]["category_id"] = 55
    rng.shuffle(segments)
    return pred, segments


def write(folder, name, ids):
    rgb = np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], -1).astype(np.uint8)
    Image.fromarray(rgb).save(folder / name)


def runs(ids):
    flat = ids.ravel()
    starts = np.flatnonzero(np.append(True, flat[1:] != flat[:-1]))
    lengths = np.diff(np.append(starts, flat.size))
    return [int(v) for pair in zip(flat[starts], lengths) for v in pair]


def score(stat, categories):
    """All numbers of the reference; null for a group that it divides by zero for."""
    result = {}
    for name, isthing in [("all", None), ("things", True), ("stuff", False)]:
        try:
            means, per_class = stat.pq_average(categories, isthing)
            result[name] = [float(means[key]) for key in ("pq", "sq", "rq")]
        except ZeroDivisionError:
            result[name] = None
            continue
        if isthing is None:
            counts = {label: stat.pq_per_cat[label] for label in categories}
            result["classes"] = {
                str(label): [*(float(per_class[label][k]) for k in ("pq", "sq", "rq")), c.tp, c.fp, c.fn]
                for label, c in counts.items()
            }
    return result


@contextlib.contextmanager
def quiet():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def reference(images, folder):
    categories = {c["id"]: c for c in CATEGORIES}
    pairs = []
    for image in images:
        sides = []
        for side in ("gt", "pred"):
            name = f"{side}_{image['image_id']}.png"
            write(folder, name, image[side + "_map"])
            sides.append({"image_id": image["image_id"], "file_name": name, "segments_info": image[side + "_segments"]})
        pairs.append(tuple(sides))
    results = {}
    for name, compute, more in [
        ("mask", mask_api.pq_compute_single_core, ()),
        ("boundary", boundary_api.pq_compute_single_core, ("boundary", 0.02)),
    ]:
        try:
            with quiet(), warnings.catch_warnings():
                warnings.simplefilter("error")  # a division by zero in numpy is only a warning
                stat = compute(0, copy.deepcopy(pairs), folder, folder, categories, *more)
        except (KeyError, RuntimeWarning):
            results[name] = "refused"
            continue
        results[name] = score(stat, categories)
    return results


def case(seed, index):
    rng = np.random.default_rng([seed, index])
    odd, large = index % 3 > 0, index % 20 == 0
    images = []
    for image_id in range(int(rng.integers(1, 3))):
        height, width = (rng.integers(48, 60), rng.integers(60, 80)) if large else rng.integers(3, 15, 2)
        gt, gt_segments = ground_truth(rng, height, width, odd)
        pred, pred_segments = prediction(rng, gt, gt_segments, odd)
        images.append(
            {
                "image_id": image_id,
                "gt_map": gt,
                "gt_segments": list(gt_segments),
                "pred_map": pred,
                "pred_segments": list(pred_segments),
            }
        )
    with tempfile.TemporaryDirectory() as folder:
        result = reference(images, Path(folder))
    stored = [
        {
            "size": [int(n) for n in image["gt_map"].shape],
            "gt": runs(image["gt_map"]),
            "gt_segments": image["gt_segments"],
            "pred": runs(image["pred_map"]),
            "pred_segments": image["pred_segments"],
        }
        for image in images
    ]
    return {"seed": [seed, index], "images": stored, **result}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--out", type=Path, default=GOLDENS / "cases.json")
    args = parser.parse_args()
    cases = [case(args.seed, index) for index in range(args.cases)]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in cases)
    categories = json.dumps(CATEGORIES, separators=(",", ":"))
    args.out.write_text(f'{{"categories":{categories},\n"cases":[\n{lines}\n]}}\n')
    refused = sum(one["mask"] == "refused" for one in cases)
    print(f"{len(cases)} cases, {refused} refused, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
