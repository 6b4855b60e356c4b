#!/usr/bin/env python3
"""Scores one set with one peer and prints its main number: a process for bench_score.py to measure.

    run_peer.py PEER SET_FOLDER
"""

import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path


def pycocotools_segm(folder: Path) -> float:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO(str(folder / "instances_gt.json"))
    evaluation = COCOeval(truth, truth.loadRes(str(folder / "instances_dt.json")), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[0]


def faster_coco_eval_segm(folder: Path) -> float:
    from faster_coco_eval import COCO, COCOeval_faster

    truth = COCO(str(folder / "instances_gt.json"))
    evaluation = COCOeval_faster(truth, truth.loadRes(str(folder / "instances_dt.json")), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[0]


def panopticapi_panoptic(folder: Path) -> float:
    """Needs PANOPTICAPI, a checkout of github.com/cocodataset/panopticapi."""
    sys.path.insert(0, os.environ["PANOPTICAPI"])
    from panopticapi.evaluation import pq_compute

    return pq_compute(str(folder / "panoptic_gt.json"), str(folder / "panoptic_pred.json"))["All"]["pq"]


def numpy_semantic(folder: Path) -> float:
    """mmsegmentation's counting in numpy, as lean as plain numpy allows."""
    import numpy as np
    from PIL import Image

    classes = 150
    total = np.zeros((3, classes))
    for path in sorted((folder / "sem_gt").iterdir()):
        truth = np.asarray(Image.open(path)) - np.uint8(1)  # 0 becomes 255, which is not counted
        found = np.asarray(Image.open(folder / "sem_pred" / path.name))
        keep = truth != 255
        truth, found = truth[keep], found[keep]
        for row, values in zip(total, (found[found == truth], found, truth), strict=True):
            row += np.bincount(values, minlength=classes)[:classes]
    both, found, labelled = total
    with np.errstate(invalid="ignore"):
        return float(np.nanmean(both / (found + labelled - both)))


def cityscapes_pixel(folder: Path) -> float:
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as level

    print("C extension" if level.CSUPPORT else "no C extension", file=sys.stderr)
    truths = sorted(folder.glob("gtFine/val/*/*_labelIds.png"))
    found = sorted(folder.glob("results_pixel/*/*.png"))
    level.args.quiet, level.args.JSONOutput = True, False
    return level.evaluateImgLists(*([str(path) for path in paths] for paths in (found, truths)), level.args)[
        "averageScoreClasses"
    ]


def cityscapes_instance(folder: Path) -> float:
    from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as level

    truths = sorted(str(path.resolve()) for path in folder.glob("gtFine/val/*/*_instanceIds.png"))
    found = sorted(str(path.resolve()) for path in folder.glob("results_instance/*/*.txt"))
    level.args.predictionPath = str((folder / "results_instance").resolve())
    level.args.quiet, level.args.JSONOutput = True, False
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        level.args.gtInstancesFile = str(Path(scratch) / "gt.json")
        return float(level.evaluateImgLists(found, truths, level.args)["averages"]["allAp"])


PEERS = {
    name: function
    for name, function in list(globals().items())
    if callable(function) and getattr(function, "__module__", "") == __name__
}

if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):
        number = PEERS[sys.argv[1]](Path(sys.argv[2]))
    print(number)
