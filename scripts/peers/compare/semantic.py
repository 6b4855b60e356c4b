"""Semantic scores against mmsegmentation's and detectron2's formulas in plain numpy, in float64 on integer counts."""

from pathlib import Path

import numpy as np
from PIL import Image

from .numbers import Scores, value

TOLERANCE = 1e-12


class Case:
    """Two folders of label maps."""

    def __init__(self, rng: np.random.Generator, folder: Path):
        self.folder = folder
        self.classes = int(rng.choice([1, 2, 3, 5, 19, 150, 255]))
        self.shift = bool(rng.random() < 0.4)
        self.ignore = int(rng.choice([255, 255, 255, 0, 1, 254]))
        self.pairs = []
        for side in ("gt", "pred"):
            (folder / side / "sub").mkdir(parents=True)
        for number in range(int(rng.integers(1, 5))):
            truth, found = maps(rng, self.classes, self.ignore)
            name = f"sub/{number}.png" if rng.random() < 0.3 else f"{number}.png"
            save(rng, folder / "gt" / name, truth)
            save(rng, folder / "pred" / name, found)
            self.pairs.append((truth, found))

    def arguments(self) -> list[str]:
        folders = ["--gt-dir", str(self.folder / "gt"), "--pred-dir", str(self.folder / "pred")]
        options = ["--num-classes", str(self.classes), "--ignore-label", str(self.ignore)]
        return ["semantic", *folders, *options, *(["--reduce-zero-label"] if self.shift else [])]

    def expected(self) -> Scores:
        k = self.classes
        both, found, labelled = np.zeros((3, k), np.int64)
        matrix = np.zeros((k + 1, k + 1), np.int64)  # detectron2's: [prediction, truth], the last for all that is left over
        for truth, prediction in self.pairs:
            label = truth.astype(np.int64)
            if self.shift:
                label = np.where(label == 0, 255, np.where(label == 255, 255, label - 1))
            keep = label != self.ignore
            p, g = prediction[keep].astype(np.int64), label[keep]
            both += histogram(p[p == g], k)
            found += histogram(p, k)
            labelled += histogram(g, k)
            g, p = np.where(label == self.ignore, k, label).ravel(), prediction.ravel().astype(np.int64)
            np.add.at(matrix, (np.minimum(p, k), np.minimum(g, k)), 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            metrics, classes = mmseg(both, found, labelled)
            metrics.update(detectron2(matrix.astype(float)))
        return {"metrics": {name: value(number) for name, number in metrics.items()}, "classes": classes}


def histogram(values: np.ndarray, k: int) -> np.ndarray:
    return np.bincount(values, minlength=256)[:k]


def mmseg(both: np.ndarray, found: np.ndarray, labelled: np.ndarray) -> tuple[dict, dict]:
    union = found + labelled - both
    precision, recall = both / found, both / labelled
    per_class = {
        "IoU": both / union,
        "Acc": both / labelled,
        "Dice": 2 * both / (found + labelled),
        "Fscore": 2 * precision * recall / (precision + recall),
        "Precision": precision,
        "Recall": recall,
    }
    metrics = {f"m{name}": mean(values) for name, values in per_class.items()}
    metrics["aAcc"] = both.sum() / labelled.sum()
    rows = {(c, str(c)): {name: value(column[c]) for name, column in per_class.items()} for c in range(len(both))}
    weights = labelled / labelled.sum()
    present = labelled > 0
    metrics["fwIoU"] = (weights[present] * per_class["IoU"][present]).sum() if present.any() else float("nan")
    return metrics, rows


def mean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return values.mean() if values.size else float("nan")


def detectron2(matrix: np.ndarray) -> dict:
    """Averages over the classes with ground truth; what lies outside the classes on either side is cut off first."""
    hits, labelled, found = matrix.diagonal()[:-1], matrix[:-1, :-1].sum(0), matrix[:-1, :-1].sum(1)
    there = labelled > 0
    union = labelled + found - hits
    counted = there & (union > 0)
    if not there.any():
        return dict.fromkeys(("d2_mIoU", "d2_fwIoU", "d2_mAcc", "d2_pAcc"), float("nan"))
    iou = hits[counted] / union[counted]
    return {
        "d2_mIoU": iou.sum() / counted.sum(),
        "d2_fwIoU": (iou * labelled[counted] / labelled.sum()).sum(),
        "d2_mAcc": (hits[there] / labelled[there]).sum() / there.sum(),
        "d2_pAcc": hits.sum() / labelled.sum(),
    }


def maps(rng: np.random.Generator, k: int, ignore: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction, with classes on one side only, ignored pixels and labels outside the range."""
    h, w = (int(side) for side in rng.integers(1, 50, 2))
    used = rng.choice(k, int(rng.integers(1, min(k, 8) + 1)), replace=False)
    blocks = rng.choice(used, ((h + 3) // 4, (w + 3) // 4))
    truth = np.kron(blocks, np.ones((4, 4), int))[:h, :w]
    found = np.roll(truth, int(rng.integers(0, 3)), 1)
    wrong = rng.random((h, w)) < rng.choice([0, 0.1, 0.5])
    found = np.where(wrong, rng.integers(0, k, (h, w)), found)
    for values in (truth, found):
        if rng.random() < 0.3:
            values[rng.random((h, w)) < 0.1] = rng.choice([0, ignore, 254, 255, min(k, 255)])
    truth[rng.random((h, w)) < rng.choice([0, 0.2, 1], p=[0.45, 0.5, 0.05])] = ignore
    return truth.astype(np.uint8), found.astype(np.uint8)


def save(rng: np.random.Generator, path: Path, labels: np.ndarray) -> None:
    """Grey or palette, of as few bits as hold the labels now and then."""
    image = Image.fromarray(labels)
    bits = {}
    if rng.random() < 0.3:
        image.putpalette(bytes(rng.integers(0, 256, 768).astype(np.uint8)))
        if rng.random() < 0.5:
            bits["bits"] = next(b for b in (1, 2, 4, 8) if labels.max() < 1 << b)
    image.save(path, **bits)
