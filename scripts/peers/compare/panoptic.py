"""Panoptic quality against a plain restatement of its definition, one pair of segments at a time.

panopticapi itself is not on the package index; scripts/goldens keeps what it says of random cases.
"""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from .boundary import boundary
from .numbers import Scores

TOLERANCE = 1e-9


class Case:
    """Two JSON files, two folders of PNGs."""

    def __init__(self, rng: np.random.Generator, folder: Path, boundaries: bool):
        self.folder, self.boundaries = folder, boundaries
        for name in ("gt", "pred"):
            (folder / name).mkdir()
        self.images, self.categories = draw(rng)
        texts = rng.random() < 0.3
        truths, results = [], []
        for number, image in enumerate(self.images):
            key = f"city_{number:06}" if texts else 1000 - 7 * number
            entries = []
            for side in ("gt", "pred"):
                name = f"{side}_{number}.png" if rng.random() < 0.5 else f"{number}.png"
                save(folder / side / name, image[side], rng)
                entries.append({"image_id": key, "file_name": name, "segments_info": image[f"{side}_segments"]})
            truths.append(entries[0])
            results.append(entries[1])
        results = [results[i] for i in rng.permutation(len(results))]
        images = [{"id": entry["image_id"], "width": 1, "height": 1} for entry in truths]
        for entry, image in zip(images, self.images, strict=True):
            entry["height"], entry["width"] = image["gt"].shape
        truth = {"images": images, "annotations": truths, "categories": self.categories}
        (folder / "gt.json").write_text(json.dumps(truth))
        (folder / "pred.json").write_text(json.dumps({"annotations": results}))

    def arguments(self) -> list[str]:
        paths = [str(self.folder / name) for name in ("gt.json", "gt", "pred.json", "pred")]
        named = zip(("--gt", "--gt-dir", "--pred", "--pred-dir"), paths, strict=True)
        return ["panoptic", *(part for pair in named for part in pair), *(["--boundary"] if self.boundaries else [])]

    def expected(self) -> Scores:
        counts = {category["id"]: Counts() for category in self.categories}
        for image in self.images:
            count(image, counts, self.boundaries)
        return scores(counts, self.categories)


class Counts:
    """What one class adds up."""

    def __init__(self):
        self.iou, self.tp, self.fp, self.fn = Fraction(0), 0, 0, 0

    def quality(self) -> tuple[Fraction, Fraction, Fraction]:
        """PQ, SQ, RQ of a class that was counted."""
        half = Fraction(2 * self.tp + self.fp + self.fn, 2)
        return self.iou / half, self.iou / self.tp if self.tp else Fraction(0), self.tp / half


def count(image: dict, counts: dict[int, Counts], boundaries: bool) -> None:
    """One image's true and false positives and negatives."""
    truth, found = image["gt"], image["pred"]
    void = truth == 0
    matched_truth, matched_found = set(), set()
    area = {segment["id"]: int((found == segment["id"]).sum()) for segment in image["pred_segments"]}
    for g in image["gt_segments"]:
        for p in image["pred_segments"]:
            if g["iscrowd"] or g["category_id"] != p["category_id"]:
                continue
            both = int(((truth == g["id"]) & (found == p["id"])).sum())
            if both == 0:
                continue
            iou = Fraction(both, area[p["id"]] + g["area"] - both - int((void & (found == p["id"])).sum()))
            if boundaries:
                iou = min(iou, boundary_iou(truth == g["id"], found == p["id"], void))
            if 2 * iou > 1:
                matched_truth.add(g["id"])
                matched_found.add(p["id"])
                counts[g["category_id"]].iou += iou
                counts[g["category_id"]].tp += 1
    crowd = {}  # category: its last crowd segment
    for g in image["gt_segments"]:
        if g["iscrowd"]:
            crowd[g["category_id"]] = g["id"]
        elif g["id"] not in matched_truth:
            counts[g["category_id"]].fn += 1
    for p in image["pred_segments"]:
        if p["id"] in matched_found:
            continue
        excuse = void | (truth == crowd[p["category_id"]]) if p["category_id"] in crowd else void
        if 2 * int((excuse & (found == p["id"])).sum()) <= area[p["id"]]:
            counts[p["category_id"]].fp += 1


def boundary_iou(truth: np.ndarray, found: np.ndarray, void: np.ndarray) -> Fraction:
    truth, found = (boundary(mask.astype(np.uint8)) == 1 for mask in (truth, found))
    return Fraction(int((truth & found).sum()), int((truth | found & ~void).sum()))


def scores(counts: dict[int, Counts], categories: list[dict]) -> Scores:
    metrics, classes = {}, {}
    for suffix, kinds in {"": (0, 1), "_th": (1,), "_st": (0,)}.items():
        group = [counts[c["id"]] for c in categories if c["isthing"] in kinds]
        group = [c.quality() for c in group if c.tp + c.fp + c.fn]
        for index, name in enumerate(("PQ", "SQ", "RQ")):
            metrics[name + suffix] = float(sum(q[index] for q in group) / len(group)) if group else None
    for category in categories:
        c = counts[category["id"]]
        row = {"TP": c.tp, "FP": c.fp, "FN": c.fn}
        if c.tp + c.fp + c.fn:
            row.update(zip(("PQ", "SQ", "RQ"), map(float, c.quality()), strict=True))
        classes[category["id"], category["name"]] = row
    return {"metrics": metrics, "classes": classes}


def save(path: Path, ids: np.ndarray, rng: np.random.Generator) -> None:
    """Id maps as RGB or RGBA."""
    channels = [(ids >> shift).astype(np.uint8) for shift in (0, 8, 16)]
    if rng.random() < 0.2:
        channels.append(rng.integers(0, 256, ids.shape).astype(np.uint8))
    Image.fromarray(np.stack(channels, -1)).save(path, compress_level=int(rng.integers(0, 10)))


def draw(rng: np.random.Generator) -> tuple[list[dict], list[dict]]:
    number = int(rng.integers(1, 7))
    things = rng.random(number) < rng.choice([0.0, 0.5, 0.5, 1.0])
    ids = rng.choice(np.arange(0, 201), number, replace=False).tolist()
    categories = [
        {"id": id_, "name": f"class {id_}", "isthing": int(thing)} for id_, thing in zip(ids, things, strict=True)
    ]
    crowds, lies = rng.random() < 0.5, rng.random() < 0.25
    return [one(rng, ids, crowds, lies) for _ in range(int(rng.integers(1, 6)))], categories


def one(rng: np.random.Generator, categories: list[int], crowds: bool, lies: bool) -> dict:
    """A ground truth of blocks, a prediction made from it, and their segments."""
    h, w = (int(side) for side in rng.integers(3, 40, 2))
    count = int(rng.integers(1, 9))
    names = rng.choice(np.array([1, 2, 255, 256, 257, 65535, 65536, (1 << 24) - 1, *rng.integers(3, 1 << 24, 30)]), 30)
    names = list(dict.fromkeys(names.tolist()))
    blocks = np.sort(rng.integers(0, count + 1, (int(rng.integers(1, 5)), int(rng.integers(1, 5)))), axis=0)
    base = np.kron(blocks, np.ones((h, w), int))[:h, :w] if rng.random() < 0.3 else painted(rng, h, w, count)
    of = [int(rng.choice(categories)) for _ in range(count + 1)]
    truth = np.zeros((h, w), np.int64)
    segments = []
    for k in range(1, count + 1):
        truth[base == k] = names[k]
        area = int((base == k).sum())
        if not area and not (lies and rng.random() < 0.3):
            continue
        if lies and rng.random() < 0.4:
            area = max(1, area + int(rng.integers(-40, 40)))  # one that is too small can match twice
        crowd = int(crowds and rng.random() < 0.35)
        segments.append({"id": names[k], "category_id": of[k], "area": area, "iscrowd": crowd, "bbox": [0, 0, w, h]})
    unlisted = lies and rng.random() < 0.3
    if unlisted and len(segments) > 1:
        segments.pop(int(rng.integers(len(segments))))  # neither segment nor void
    rng.shuffle(segments)
    found = predicted(rng, base, count)
    pred_names = names[::-1] if rng.random() < 0.8 else names
    result, pred_segments = np.zeros((h, w), np.int64), []
    for k in np.unique(found[found > 0]).tolist():
        result[found == k] = pred_names[k]
        category = of[k] if k <= count and rng.random() < 0.85 else int(rng.choice(categories))
        pred_segments.append({"id": pred_names[k], "category_id": category})
    rng.shuffle(pred_segments)
    return {"gt": truth, "pred": result, "gt_segments": segments, "pred_segments": pred_segments}


def painted(rng: np.random.Generator, h: int, w: int, count: int) -> np.ndarray:
    """Boxes over one another; 0 stays where none is."""
    base = np.zeros((h, w), int)
    for k in range(1, count + 1):
        y, x = int(rng.integers(0, h)), int(rng.integers(0, w))
        base[y : y + int(rng.integers(1, h + 1)), x : x + int(rng.integers(1, w + 1))] = k
    return base


def predicted(rng: np.random.Generator, base: np.ndarray, count: int) -> np.ndarray:
    """The ground truth moved, with segments halved (IoU of exactly one half), merged, dropped and invented."""
    found = np.roll(base, (int(rng.integers(-1, 2)), int(rng.integers(-1, 2))), (0, 1)) if rng.random() < 0.6 else base
    found = found.copy()
    for k in range(1, count + 1):
        how = rng.random()
        places = np.flatnonzero(found == k)
        if how < 0.15:
            found.flat[places[: len(places) // 2]] = 0
        elif how < 0.25:
            found.flat[places[: len(places) // 2]] = count + 1
        elif how < 0.3:
            found.flat[places] = int(rng.integers(0, count + 1))
    if rng.random() < 0.3:
        found[: int(rng.integers(1, found.shape[0] + 1))] = count + 2
    return found
