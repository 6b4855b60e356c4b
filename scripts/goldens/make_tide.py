#!/usr/bin/env python3
"""Makes evaluation/tests/goldens/tide/cases.json from tidecv, imported and not copied.

    pip install tidecv==1.0.1 pycocotools==2.0.11 numpy
    python scripts/goldens/make_tide.py

Every case is a COCO annotation file and a results file of a few small images, full of what decides between kinds of
errors: IoUs of exactly one half and one tenth, equal IoUs, equal scores, crowds, detections of unlisted categories,
images without objects or detections, listed in any order, annotation ids that occur twice, more than 100 detections.
Numbers are fractions; null where tidecv divides by zero. `--compare BINARY` runs `smalti score errors instance` on
fresh cases instead of writing a file.
"""

import argparse
import contextlib
import io
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from pycocotools import mask as mask_api
from tidecv import TIDE, datasets

GOLDENS = Path(__file__).parents[2] / "evaluation" / "tests" / "goldens" / "tide"
CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 5, "name": "dog"}, {"id": 9, "name": "cow"}]
UNLISTED = 77


def rectangle(rng, size):
    height, width = size
    x, y = int(rng.integers(0, width - 1)), int(rng.integers(0, height - 1))
    return [x, y, int(rng.integers(1, width - x + 1)), int(rng.integers(1, height - y + 1))]


def near(rng, box, size):
    """The box, shifted and cut by little, so that IoUs of simple fractions come about."""
    x, y, w, h = box
    draw = rng.random()
    if draw < 0.25:
        return list(box)
    if draw < 0.5:
        return [x, y, max(1, w // 2), h]
    x, y = int(np.clip(x + rng.integers(-2, 3), 0, size[1] - 1)), int(np.clip(y + rng.integers(-2, 3), 0, size[0] - 1))
    w, h = int(np.clip(w + rng.integers(-2, 3), 1, size[1] - x)), int(np.clip(h + rng.integers(-2, 3), 1, size[0] - y))
    return [x, y, w, h]


def mask(rng, box, size):
    """The box as run lengths, with a pixel missing now and then."""
    pixels = np.zeros(size, np.uint8, order="F")
    x, y, w, h = box
    pixels[y : y + h, x : x + w] = 1
    if w * h > 2 and rng.random() < 0.3:
        pixels[y, x] = 0
    rle = mask_api.encode(pixels)
    return {"size": [int(n) for n in rle["size"]], "counts": rle["counts"].decode()}


def case(seed, index):
    rng = np.random.default_rng([seed, index])
    crowded = index % 40 == 7
    ids = [int(n) for n in rng.permutation(np.arange(1, 12))[: 1 if crowded else rng.integers(1, 5)]]
    grain = rng.choice([2, 5, 20, 1000])
    images, annotations, results = [], [], []
    for image in ids:
        size = [int(n) for n in rng.integers(4, 13, 2)]
        images.append({"id": image, "file_name": f"{image}.png", "height": size[0], "width": size[1]})
        truths = [rectangle(rng, size) for _ in range(rng.integers(0, 5))]
        if truths and rng.random() < 0.2:
            truths.append(list(truths[0]))
        kept = []
        for box in truths:
            annotation = {
                "id": len(annotations) + 1 if rng.random() < 0.95 else 1,
                "image_id": image,
                "category_id": int(rng.choice([1, 5, 9], p=[0.6, 0.3, 0.1])),
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": int(rng.random() < 0.12),
                "segmentation": mask(rng, box, size),
            }
            annotations.append(annotation)
            kept.append(annotation)
        for _ in range(110 if crowded else rng.integers(0, 9)):
            source = kept[rng.integers(len(kept))] if kept and rng.random() < 0.85 else None
            box = near(rng, source["bbox"], size) if source else rectangle(rng, size)
            category = source["category_id"] if source else 5
            if rng.random() < 0.3:
                category = int(rng.choice([1, 5, 9, UNLISTED], p=[0.4, 0.3, 0.25, 0.05]))
            score = round(int(rng.integers(0, grain + 1)) / grain, 4) - (0.5 if index % 10 == 3 else 0)
            results.append(
                {
                    "image_id": image,
                    "category_id": category,
                    "score": score,
                    "bbox": box,
                    "segmentation": mask(rng, box, size),
                }
            )
    order = rng.permutation(len(results))
    thresholds = [0.5, 0.1] if index % 4 else [[0.75, 0.25], [0.3, 0.3], [1.0, 0.1]][index // 4 % 3]
    return {
        "seed": [seed, index],
        "thresholds": thresholds,
        "gt": {"images": images, "annotations": annotations},
        "pred": [results[i] for i in order],
    }


def reference(one, folder):
    gt, pred = folder / "gt.json", folder / "pred.json"
    gt.write_text(json.dumps({**one["gt"], "categories": CATEGORIES}))
    pred.write_text(json.dumps(one["pred"]))
    found = {}
    for name, mode in [("segm", TIDE.MASK), ("bbox", TIDE.BOX)]:
        with contextlib.redirect_stdout(io.StringIO()):
            tide = TIDE(*one["thresholds"], mode)
            try:
                run = tide.evaluate(datasets.COCO(str(gt)), datasets.COCOResult(str(pred)))
            except ZeroDivisionError:  # neither objects nor detections
                found[name] = None
                continue
        numbers = {"AP": run.ap / 100}
        counts = {kind.short_name: count for kind, count in run.count_errors().items()}
        for kind in TIDE._error_types:
            with contextlib.suppress(ZeroDivisionError):
                numbers[kind.short_name] = run.fix_main_errors(error_types=[kind])[kind] / 100
        wrong = [p for c in run.ap_data.objs.values() for p in c.data_points.values() if not p[1]]
        counts["FalsePos"], counts["FalseNeg"] = len(wrong), sum(map(len, run.false_negatives.values()))
        for kind in TIDE._special_error_types:
            only = {"FalsePos": {"transform": getattr(kind, "fix", None)}, "FalseNeg": {"false_neg_dict": run.false_negatives}}
            with contextlib.suppress(ZeroDivisionError):
                numbers[kind.short_name] = (run.fix_errors(**only[kind.short_name]).get_mAP() - run.ap) / 100
        found[name] = {"dAP": numbers, "count": counts}
    return found


def differences(expected, got):
    wrong = []
    if expected is None:
        return [] if got["metrics"]["AP"] is None else ["AP is defined"]
    pairs = [("AP", got["metrics"]["AP"], None)]
    pairs += [(name, e["dAP"], e["count"]) for name, e in {**got["errors"], **got["special"]}.items()]
    for name, delta, count in pairs:
        reference_delta = expected["dAP"].get(name)
        same = delta == reference_delta or None not in (delta, reference_delta) and abs(delta - reference_delta) < 1e-12
        if not same or count is not None and count != expected["count"][name]:
            wrong.append(f"{name}: {delta} {count}, tidecv {reference_delta} {expected['count'].get(name)}")
    return wrong


def compare(binary, seed, cases):
    failed = 0
    for index in range(cases):
        one = case(seed, index)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            expected = reference(one, folder)
            for kind in ("segm", "bbox"):
                words = ["--gt", "gt.json", "--pred", "pred.json", "--iou-type", kind, "--json", "out.json"]
                words += ["--threshold", str(one["thresholds"][0]), "--background", str(one["thresholds"][1])]
                command = [binary, "--quiet", "score", "errors", "instance", *words]
                subprocess.run(command, cwd=folder, check=True, capture_output=True)
                wrong = differences(expected[kind], json.loads((folder / "out.json").read_text()))
                failed += bool(wrong)
                if wrong:
                    print(f"seed {seed} {index} {kind}: {'; '.join(wrong)}")
    print(f"{cases} cases, {failed} comparisons failed")
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--cases", type=int, default=120)
    parser.add_argument("--out", type=Path, default=GOLDENS / "cases.json")
    parser.add_argument("--compare", metavar="BINARY", help="compare a built smalti instead of writing goldens")
    args = parser.parse_args()
    if args.compare:
        raise SystemExit(compare(str(Path(args.compare).resolve()), args.seed, args.cases) > 0)
    lines = []
    for index in range(args.cases):
        one = case(args.seed, index)
        with tempfile.TemporaryDirectory() as folder:
            one.update(reference(one, Path(folder)))
        lines.append(json.dumps(one, separators=(",", ":")))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    categories = json.dumps(CATEGORIES, separators=(",", ":"))
    args.out.write_text(f'{{"categories":{categories},\n"cases":[\n' + ",\n".join(lines) + "\n]}\n")
    print(f"{args.cases} cases, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
