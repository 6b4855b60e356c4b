"""Cityscapes, pixels and instances, against cityscapesscripts."""

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as instance_level
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as pixel_level
from cityscapesscripts.helpers.labels import id2label
from PIL import Image

from .numbers import Scores, value

TOLERANCE = 1e-12
INSTANCES = [24, 25, 26, 27, 28, 31, 32, 33]
OTHERS = [0, 1, 3, 4, 5, 7, 8, 9, 11, 12, 17, 20, 21, 22, 23, 29, 30]


class Case:
    """A gtFine folder and results in the official layout."""

    def __init__(self, rng: np.random.Generator, folder: Path, task: str):
        self.folder, self.task = folder, task
        self.truth, self.pred = folder / "gtFine" / "val", folder / "results"
        for number in range(int(rng.integers(1, 4))):
            town = str(rng.choice(["aachen", "ulm"]))
            stem = f"{town}_{number:06}_000019"
            (self.truth / town).mkdir(parents=True, exist_ok=True)
            (self.pred / town / "masks").mkdir(parents=True, exist_ok=True)
            ids = instance_ids(rng)
            labels = np.where(ids >= 1000, ids // 1000, ids).astype(np.uint8)
            Image.fromarray(ids.astype(np.uint16)).save(self.truth / town / f"{stem}_gtFine_instanceIds.png")
            Image.fromarray(labels).save(self.truth / town / f"{stem}_gtFine_labelIds.png")
            if task == "semantic":
                Image.fromarray(predicted_labels(rng, labels)).save(self.pred / town / f"{stem}_pred.png")
            else:
                predicted_masks(rng, ids, self.pred / town, stem)

    def arguments(self) -> list[str]:
        folders = ["--gt-dir", str(self.truth), "--pred-dir", str(self.pred)]
        return ["cityscapes", *folders, "--task", self.task]

    def expected(self) -> Scores | None:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.pixels() if self.task == "semantic" else self.instances()

    def files(self, ending: str, results: str) -> tuple[list[str], list[str]]:
        truths = sorted(self.truth.glob(f"*/*_{ending}.png"))
        found = [self.pred / t.parent.name / t.name.replace(f"gtFine_{ending}.png", results) for t in truths]
        return [str(path) for path in found], [str(path) for path in truths]

    def pixels(self) -> Scores:
        args = pixel_level.args
        args.quiet, args.JSONOutput = True, False
        said = pixel_level.evaluateImgLists(*self.files("labelIds", "pred.png"), args)
        names = {"class": "Classes", "category": "Categories"}
        metrics = {}
        for name, key in names.items():
            metrics[f"IoU_{name}"] = value(said[f"averageScore{key}"])
            metrics[f"iIoU_{name}"] = value(said[f"averageScoreInst{key}"])
        classes = {}
        for name, iou in said["classScores"].items():
            classes[name] = {"IoU": value(iou), "iIoU": value(said["classInstScores"][name])}
        for name, iou in said["categoryScores"].items():
            classes[f"category {name}"] = {"IoU": value(iou), "iIoU": value(said["categoryInstScores"][name])}
        return {"metrics": metrics, "classes": {key: row for key, row in classes.items() if key in EVALUATED}}

    def instances(self) -> Scores | None:
        args = instance_level.args
        args.quiet, args.JSONOutput = True, False
        args.predictionPath = str(self.pred.resolve())
        args.gtInstancesFile = str(self.folder / "gtInstances.json")
        (self.folder / "gtInstances.json").unlink(missing_ok=True)
        with contextlib.chdir(self.folder):  # it writes matches.json
            try:
                said = instance_level.evaluateImgLists(*self.files("instanceIds", "pred.txt"), args)
            except IndexError:  # ground truth, and every prediction of the class ignored
                return None
        averages = said["averages"]
        classes = {
            name: {"AP": value(row["ap"]), "AP50": value(row["ap50%"])} for name, row in averages["classes"].items()
        }
        return {"metrics": {"AP": value(averages["allAp"]), "AP50": value(averages["allAp50%"])}, "classes": classes}


EVALUATED = {label.name for label in id2label.values() if not label.ignoreInEval}


def instance_ids(rng: np.random.Generator) -> np.ndarray:
    """Regions without instances, then instances, groups, small ones, and caravans with numbers."""
    h, w = (int(side) for side in rng.integers(20, 60, 2))
    base = np.kron(rng.choice(OTHERS, ((h + 7) // 8, (w + 7) // 8)), np.ones((8, 8), int))[:h, :w]
    if rng.random() < 0.3:
        base[:] = int(rng.choice(OTHERS))
    used = rng.choice(INSTANCES, int(rng.integers(1, 4)), replace=False)
    for k in range(int(rng.integers(0, 9))):
        y, x = int(rng.integers(0, h)), int(rng.integers(0, w))
        height, width = (10, 10) if rng.random() < 0.3 else rng.integers(3, 26, 2)  # 100 pixels is the limit
        label = int(rng.choice(used))
        if rng.random() < 0.1:
            label = int(rng.choice([29, 30]))
        base[y : y + height, x : x + width] = label if rng.random() < 0.2 else label * 1000 + k
    return base


def predicted_labels(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    found = np.roll(labels, (int(rng.integers(0, 3)), int(rng.integers(0, 3))), (0, 1))
    wrong = rng.random(labels.shape) < rng.choice([0, 0.1, 0.4])
    return np.where(wrong, rng.integers(0, 34, labels.shape), found).astype(np.uint8)


def predicted_masks(rng: np.random.Generator, ids: np.ndarray, folder: Path, stem: str) -> None:
    """The text file and its masks: near hits several times over, unions, masks on groups and void, empty ones, ties."""
    lines = []
    tied = rng.random() < 0.5
    for index in range(int(rng.integers(0, 12))):
        present = np.unique(ids)
        present = present[present >= 24] if (present >= 24).any() else present
        region = int(rng.choice(present))
        mask = ids == region
        if rng.random() < 0.6:
            mask = np.roll(mask, (int(rng.integers(-2, 3)), int(rng.integers(-2, 3))), (0, 1))
        if rng.random() < 0.2:
            mask = mask | (ids == int(rng.choice(np.unique(ids))))
        if rng.random() < 0.1:
            mask = rng.random(ids.shape) < 0.3
        if rng.random() < 0.05:
            mask = np.zeros_like(mask)
        label = region // 1000 if region >= 1000 else region
        if rng.random() < 0.15 or label not in INSTANCES:
            label = int(rng.choice([*INSTANCES, 7, 23, 29]))
        name = f"masks/{stem}_{index}.png"
        save_mask(rng, folder / name, mask)
        confidence = rng.choice([0.0, 0.5, 0.9]) if tied else rng.random()
        lines.append(f"{name} {float(label) if rng.random() < 0.1 else label} {confidence:.4f}")
    if lines and rng.random() < 0.1:
        lines.append(f"{lines[0].split()[0]} {int(rng.choice(INSTANCES))} 0.7")  # the last line of a mask wins
    (folder / f"{stem}_pred.txt").write_text("".join(line + "\n" for line in lines))


def save_mask(rng: np.random.Generator, path: Path, mask: np.ndarray) -> None:
    """Zero and some other value; 8-bit grey, or one bit."""
    if rng.random() < 0.2:
        Image.fromarray(mask).save(path)
    else:
        Image.fromarray((mask * rng.choice([1, 128, 255])).astype(np.uint8)).save(path)
