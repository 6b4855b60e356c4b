"""Random small Cityscapes cases that aim at the corners of the official scorers, with the numbers those give.

Needs Python 3.11 with numpy 2.2.6, Pillow and cityscapesscripts 2.3.0 (imported, not copied):

    python3 -m venv /tmp/cs && /tmp/cs/bin/pip install numpy==2.2.6 Pillow cityscapesscripts==2.3.0
    /tmp/cs/bin/python scripts/goldens/make_cityscapes.py

Maps are written as runs [value, length, value, length, ...] in row order.
"""

import glob
import json
import math
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as instance_level
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as pixel_level
from PIL import Image

OUT = Path(__file__).resolve().parents[2] / "evaluation/tests/goldens/cityscapes"
CLASSES = [24, 25, 26, 27, 28, 31, 32, 33]
CONFIDENCES = [0.1, 0.2, 0.5, 0.5, 0.9, 0.0, -0.0, -1.5, 3.0, 1e-300]


def rectangle(rng, height, width, low, high):
    """Row and column slices of a box with sides from low to high."""
    h, w = rng.integers(low, high + 1, 2)
    y, x = rng.integers(0, max(height - h, 0) + 1), rng.integers(0, max(width - w, 0) + 1)
    return slice(y, y + h), slice(x, x + w)


def ground_truth(rng, height, width, classes):
    """instanceIds: stuff, void, groups, caravans, objects around 100 pixels and larger ones."""
    ids = np.full((height, width), rng.choice([7, 11, 23, 0]), np.int32)
    for _ in range(rng.integers(0, 4)):
        ids[rectangle(rng, height, width, 4, 30)] = rng.choice([0, 3, 4, 8, 9, 14, 18, 21])
    for k in range(rng.integers(0, 9)):
        label = int(rng.choice(classes))
        kind = rng.random()
        if kind < 0.15:
            value = label  # a group
        elif kind < 0.25:
            value = int(rng.choice([29, 30, 29001, 30002, 4001, 1000]))
        else:
            value = label * 1000 + k
        low, high = (9, 11) if rng.random() < 0.4 else (8, 24)
        ids[rectangle(rng, height, width, low, high)] = value
    return ids


def masks_of(rng, ids, classes):
    """Predictions as (label, confidence, mask): objects shifted, cut or grown, strays, several on one object."""
    height, width = ids.shape
    values = [v for v in np.unique(ids) if v >= 1000 or v in CLASSES or v == 0]
    for value in rng.permutation(values):
        for _ in range(int(rng.choice([0, 1, 1, 2, 3]))):
            mask = ids == value
            change = rng.random()
            if change < 0.25:
                mask = np.roll(mask, tuple(rng.integers(-4, 5, 2)), (0, 1))
            elif change < 0.5:  # an exact share of the object, so that overlaps meet thresholds
                pixels = np.flatnonzero(mask)
                mask = np.zeros(mask.size, bool)
                mask[pixels[: int(len(pixels) * rng.choice([0.5, 0.55, 0.6, 0.75, 0.8, 0.95]))]] = True
                mask = mask.reshape(ids.shape)
            elif change < 0.7:
                mask = mask.copy()
                mask[rectangle(rng, height, width, 3, 12)] = True
            label = int(value // 1000 if value >= 1000 else value)
            if rng.random() < 0.2 or label not in CLASSES:
                label = int(rng.choice(classes))
            yield label, float(rng.choice(CONFIDENCES)), mask
    for _ in range(rng.integers(0, 3)):
        mask = np.zeros(ids.shape, bool)
        if rng.random() < 0.8:
            mask[rectangle(rng, height, width, 1, 20)] = True
        yield int(rng.choice(classes + [7, 29, -1])), float(rng.choice(CONFIDENCES)), mask


def case(seed):
    """One to four images: dicts of arrays."""
    rng = np.random.default_rng(seed)
    classes = [int(c) for c in rng.choice(CLASSES, rng.integers(1, 5), replace=False)]
    images = []
    for i in range(rng.integers(1, 5)):
        height, width = (int(n) for n in rng.integers(20, 41, 2))
        ids = ground_truth(rng, height, width, classes)
        labels = np.where(ids >= 1000, ids // 1000, ids)
        pred = np.roll(labels, tuple(rng.integers(-2, 3, 2)), (0, 1))
        for _ in range(rng.integers(0, 4)):
            pred[rectangle(rng, height, width, 2, 15)] = rng.integers(0, 34)
        images.append({
            "name": f"town{rng.integers(0, 2)}_{seed:06}_{i:06}",
            "instance_ids": ids,
            "label_ids": labels,
            "pred": pred,
            "masks": list(masks_of(rng, ids, classes)),
        })
    return images


def write(root, images):
    """The case as files in the official layout; returns the folders of ground truth and of both kinds of predictions."""
    gt, pixels, instances = (os.path.join(root, name) for name in ("gt", "pixels", "instances"))
    for image in images:
        city = image["name"].split("_")[0]
        for folder in (gt, pixels, instances):
            os.makedirs(os.path.join(folder, city), exist_ok=True)
        stem = os.path.join(gt, city, image["name"] + "_gtFine_")
        Image.fromarray(image["instance_ids"].astype(np.uint16)).save(stem + "instanceIds.png")
        Image.fromarray(image["label_ids"].astype(np.uint8)).save(stem + "labelIds.png")
        Image.fromarray(image["pred"].astype(np.uint8)).save(os.path.join(pixels, city, image["name"] + "_pred.png"))
        with open(os.path.join(instances, city, image["name"] + ".txt"), "w") as lines:
            for k, (label, confidence, mask) in enumerate(image["masks"]):
                name = f"{image['name']}_{k}.png"
                Image.fromarray(mask.astype(np.uint8) * 255).save(os.path.join(instances, city, name))
                lines.write(f"{name} {label} {confidence!r}\n")
    return gt, pixels, instances


def number(value):
    return None if math.isnan(value) else float(value)


def score_pixels(gt, pred):
    args = pixel_level.args
    args.quiet, args.JSONOutput, args.predictionWalk, args.predictionPath = True, False, None, pred
    files = sorted(glob.glob(os.path.join(gt, "*", "*_gtFine_labelIds.png")))
    got = pixel_level.evaluateImgLists([pixel_level.getPrediction(args, f) for f in files], files, args)
    names = [label.name for label in pixel_level.labels if not label.ignoreInEval]
    row = lambda iou, iiou, name: {"IoU": number(got[iou][name]), "iIoU": number(got[iiou][name])}
    return {
        "metrics": {
            "IoU_class": number(got["averageScoreClasses"]),
            "IoU_category": number(got["averageScoreCategories"]),
            "iIoU_class": number(got["averageScoreInstClasses"]),
            "iIoU_category": number(got["averageScoreInstCategories"]),
        },
        "classes": {name: row("classScores", "classInstScores", name) for name in names},
        "categories": {
            name: row("categoryScores", "categoryInstScores", name) for name in got["categoryScores"] if name != "void"
        },
    }


def score_instances(gt, pred):
    """None where the script crashes: a class with ground truth whose predictions are all ignored."""
    args, here = instance_level.args, os.getcwd()
    args.quiet, args.JSONOutput, args.predictionWalk, args.predictionPath = True, False, None, os.path.abspath(pred)
    files = sorted(os.path.abspath(f) for f in glob.glob(os.path.join(gt, "*", "*_gtFine_instanceIds.png")))
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        args.gtInstancesFile = os.path.join(scratch, "gtInstances.json")  # a stale one would give wrong numbers
        os.chdir(scratch)
        try:
            found = [instance_level.getPrediction(f, args) for f in files]
            got = instance_level.evaluateImgLists(found, files, args)["averages"]
        except IndexError:
            return None
        finally:
            os.chdir(here)
    return {
        "metrics": {"AP": number(got["allAp"]), "AP50": number(got["allAp50%"])},
        "classes": {k: {"AP": number(v["ap"]), "AP50": number(v["ap50%"])} for k, v in got["classes"].items()},
    }


def runs(array):
    flat = np.asarray(array).ravel().astype(int)
    starts = np.flatnonzero(np.diff(flat, prepend=flat[0] - 1))
    lengths = np.diff(starts, append=len(flat))
    return [int(n) for pair in zip(flat[starts], lengths) for n in pair]


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    cases = []
    for seed in range(200):
        images = case(seed)
        with tempfile.TemporaryDirectory() as root:
            gt, pixels, instances = write(root, images)
            expected = {"instance": score_instances(gt, instances), "semantic": score_pixels(gt, pixels)}
        if expected["instance"] is None or expected["instance"]["metrics"]["AP"] in (None, 0.0, 1.0):
            continue
        for image in images:
            for key in ("instance_ids", "label_ids", "pred"):
                image[key] = runs(image[key])
            image["masks"] = [
                {"label": label, "confidence": confidence, "mask": runs(mask)} for label, confidence, mask in image["masks"]
            ]
        cases.append({"seed": seed, "images": images, "expected": expected})
        if len(cases) == 24:
            break
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    (OUT / "cases.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
