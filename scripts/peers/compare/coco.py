"""COCO instance: segm, bbox and boundary against pycocotools."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pycocotools.mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from . import coco_shapes as shapes
from .boundary import boundary
from .numbers import Scores, value

TOLERANCE = 1e-12


class Case:
    """One ground truth file and one result file."""

    def __init__(self, rng: np.random.Generator, folder: Path, kind: str):
        self.kind = kind
        self.gt, self.pred = folder / "gt.json", folder / "pred.json"
        truth, results = draw(rng, kind)
        self.gt.write_text(json.dumps(truth))
        self.pred.write_text(json.dumps(results))

    def arguments(self) -> list[str]:
        return ["instance", "--gt", str(self.gt), "--pred", str(self.pred), "--iou-type", self.kind]

    def expected(self) -> Scores | None:
        try:
            return self.scored()
        except KeyError:  # the last annotation of an id that occurs twice is on an image that is not listed
            return None

    def scored(self) -> Scores:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(self.gt))
            results = truth.loadRes(str(self.pred))
            evaluation = Boundary(truth, results) if self.kind == "boundary" else COCOeval(truth, results, self.kind)
            evaluation.evaluate()
            evaluation.accumulate()
        names = {category["id"]: category["name"] for category in truth.dataset["categories"]}
        classes = {}
        for index, category in enumerate(evaluation.params.catIds):
            classes[int(category), names[category]] = numbers(evaluation, [index])
        everything = numbers(evaluation, list(range(len(evaluation.params.catIds))))
        return {"metrics": everything, "classes": classes}


def numbers(evaluation: COCOeval, categories: list[int]) -> dict:
    """The 12 numbers over some of the categories."""
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    areas = {"": 0, "s": 1, "m": 2, "l": 3}

    def mean(values: np.ndarray) -> float | None:
        values = values[values > -1]
        return value(values.mean()) if values.size else None

    found = {}
    for suffix, area in areas.items():
        found[f"AP{suffix}"] = mean(precision[:, :, categories, area, 2])
        found[f"AR{suffix or 100}"] = mean(recall[:, categories, area, 2])
    found["AP50"] = mean(precision[0][:, categories, 0, 2])
    found["AP75"] = mean(precision[5][:, categories, 0, 2])
    found["AR1"] = mean(recall[:, categories, 0, 0])
    found["AR10"] = mean(recall[:, categories, 0, 1])
    return found


class Boundary(COCOeval):
    """Boundary IoU by its definition: a mask less its erosion, and the smaller of the two IoUs unless the GT is a crowd."""

    def __init__(self, truth: COCO, results: COCO):
        super().__init__(truth, results, "segm")

    def computeIoU(self, image, category):  # noqa: N802 -- the name of the method that this replaces
        whole = super().computeIoU(image, category)
        truth, found = self._gts[image, category], self._dts[image, category]
        if len(truth) == 0 or len(found) == 0:
            return whole
        order = np.argsort([-d["score"] for d in found], kind="mergesort")[: self.params.maxDets[-1]]
        edges = [[edge(a["segmentation"]) for a in side] for side in ([found[i] for i in order], truth)]
        crowd = [int(a["iscrowd"]) for a in truth]
        least = np.minimum(whole, coco_mask.iou(*edges, crowd))
        return np.where(np.array(crowd) == 1, whole, least)


def edge(rle: dict) -> dict:
    return coco_mask.encode(np.asfortranarray(boundary(coco_mask.decode(rle))))


def draw(rng: np.random.Generator, kind: str) -> tuple[dict, list[dict]]:
    """Images with ground truth and detections, every quirk with a probability of its own for each case."""
    h, w = (int(side) for side in rng.integers(*((20, 60) if rng.random() < 0.7 else (97, 140)), 2))
    images = image_ids(rng)
    categories = sorted(rng.choice(np.arange(0, 120), int(rng.integers(1, 6)), replace=False).tolist())
    with_crowds, lying, tied = rng.random() < 0.5, rng.random() < 0.3, rng.random() < 0.5
    annotations, results = [], []
    for image in images:
        masks = []
        if rng.random() < 0.85:  # else an image without ground truth
            for _ in range(int(rng.integers(0, 8))):
                annotation, mask = truth(rng, h, w, with_crowds, lying)
                category = int(rng.choice(categories[: max(1, len(categories) - 1)]))  # the last has none
                masks.append((mask, category))
                annotations.append({"image_id": image, "category_id": category, **annotation})
        results += detections(rng, image, categories, masks, h, w, tied)
    start = int(rng.choice([0, 1, 1, 1000]))
    for index, annotation in zip(rng.permutation(len(annotations)), annotations, strict=True):
        annotation["id"] = start + int(index)
    if not results:
        results = [result(images[0], categories[0], shapes.random_mask(rng, h, w), 0.5)]
    if rng.random() < 0.5:
        results = [results[i] for i in rng.permutation(len(results))]
    bboxes(rng, results, kind)
    truth_file = {
        "images": [{"id": image, "height": h, "width": w, "file_name": f"{image}.jpg"} for image in images],
        "annotations": annotations,
        "categories": [{"id": c, "name": f"class {c}", "supercategory": "any"} for c in categories],
    }
    if rng.random() < 0.3:
        truth_file["images"] = [truth_file["images"][i] for i in rng.permutation(len(images))]
        truth_file["categories"].reverse()
    spoil(rng, truth_file, results, h, w)
    return truth_file, results


def spoil(rng: np.random.Generator, truth_file: dict, results: list[dict], h: int, w: int) -> None:
    """What the reference takes in silence: repeated and stray records, scores that are no numbers."""
    annotations = truth_file["annotations"]
    if annotations and rng.random() < 0.06:
        some = annotations[int(rng.integers(len(annotations)))]
        again = {**some, "area": float(rng.integers(0, 2000))}  # an id twice: the last counts twice
        if rng.random() < 0.5:
            other = annotations[int(rng.integers(len(annotations)))]
            again.update(image_id=other["image_id"], category_id=other["category_id"])
        annotations.append(again)
    if annotations and rng.random() < 0.06:
        annotations[int(rng.integers(len(annotations)))]["category_id"] = 998
    if annotations and rng.random() < 0.06:
        annotations[int(rng.integers(len(annotations)))]["image_id"] = type(results[0]["image_id"])(77)
    if rng.random() < 0.06:
        truth_file["images"].insert(0, {**truth_file["images"][-1], "height": h + 3, "width": w})
        truth_file["categories"].insert(0, {**truth_file["categories"][-1], "name": "an older name"})
    if rng.random() < 0.06:
        for found in results:
            if rng.random() < 0.3:
                found["score"] = float(rng.choice([np.nan, np.inf, -np.inf]))


def image_ids(rng: np.random.Generator) -> list:
    """Numbers whose order as numbers and as text differs, or texts."""
    count = int(rng.integers(1, 7))
    numbers = rng.choice(np.array([0, 1, 2, 9, 10, 11, 99, 100, 139, 5000, 581929]), count, replace=False).tolist()
    return [str(number) for number in numbers] if rng.random() < 0.2 else numbers


def truth(rng: np.random.Generator, h: int, w: int, with_crowds: bool, lying: bool) -> tuple[dict, np.ndarray]:
    form = rng.choice(["polygon", "compressed", "uncompressed"])
    if form == "polygon":
        segmentation = shapes.polygons(rng, h, w)
        mask = shapes.rasterised(segmentation, h, w)
    else:
        mask = shapes.random_mask(rng, h, w)
        segmentation = getattr(shapes, form)(mask)
        if form == "uncompressed" and rng.random() < 0.1:
            segmentation = shapes.split(rng, segmentation)
    area = float(mask.sum())
    if lying and rng.random() < 0.5:
        area = float(rng.choice([0, 1, 1023.99, 1024, 1024.01, 9215.5, 9216, 9216.5, 1e5, 1e10, 2e10]))
    annotation = {
        "segmentation": segmentation,
        "area": area if rng.random() < 0.7 or not area.is_integer() else int(area),
        "bbox": shapes.box_of(mask),
        "iscrowd": int(with_crowds and rng.random() < 0.3),
    }
    if rng.random() < 0.1:
        annotation["ignore"] = 1  # the reference overwrites it
    return annotation, mask


def detections(rng: np.random.Generator, image, categories, masks, h: int, w: int, tied: bool) -> list[dict]:
    """Near hits of the ground truth, noise, now and then more than 100 in one category and a category unknown to all."""
    found = []

    def score() -> float:
        return float(rng.choice([-0.5, 0.0, 0.1, 0.5, 0.9])) if tied else float(rng.normal(0.5, 0.5))

    for mask, right in masks:
        for _ in range(int(rng.integers(0, 4))):
            category = right if rng.random() < 0.8 else int(rng.choice(categories))
            found.append(result(image, category, shapes.disturb(rng, mask), score()))
    for _ in range(int(rng.integers(0, 4))):
        category = 999 if rng.random() < 0.1 else int(rng.choice(categories))
        found.append(result(image, category, shapes.random_mask(rng, h, w), score()))
    if rng.random() < 0.04:
        many = int(rng.integers(95, 130))
        base = masks[0][0] if masks else shapes.random_mask(rng, h, w)
        found += [result(image, categories[0], shapes.disturb(rng, base), score()) for _ in range(many)]
    return found


def result(image, category: int, mask: np.ndarray, score: float) -> dict:
    return {"image_id": image, "category_id": category, "score": score, "segmentation": shapes.compressed(mask)}


def bboxes(rng: np.random.Generator, results: list[dict], kind: str) -> None:
    """Boxes beside or instead of masks; a box in the first result decides whose area counts."""
    how = rng.choice(["none", "all", "all but the first"], p=[0.0 if kind == "bbox" else 0.7, *BOXED[kind]])
    if how == "none":
        return
    for index, found in enumerate(results):
        box = coco_mask.toBbox(found["segmentation"]).tolist()
        if rng.random() < 0.5:
            box = [round(side + float(rng.normal(0, 0.3)), 2) for side in box[:2]] + [
                max(0.0, round(side + float(rng.normal(0, 0.3)), 2)) for side in box[2:]
            ]
        if rng.random() < 0.05:
            box[2:] = [32.0, 32.0]
        found["bbox"] = [] if index == 0 and how == "all but the first" else box
        if kind == "bbox" and how == "all":
            del found["segmentation"]


BOXED = {"bbox": [1.0, 0.0], "segm": [0.2, 0.1], "boundary": [0.3, 0.0]}
