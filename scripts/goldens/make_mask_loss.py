"""Costs, pairs, losses and gradients of transformers' Mask2Former at recorded points, and scipy's assignments.

    python make_mask_loss.py

Writes heads/tests/goldens/mask_loss.safetensors and assignment.safetensors. Needs the versions of requirements.txt and scipy.

transformers draws points by `torch.rand` and assigns by scipy. Both are wrapped here: the one hands out the same points in
both precisions, the other keeps the cost matrices.
"""

import importlib.metadata
from pathlib import Path
from unittest import mock

import numpy as np
import scipy.optimize
import torch
from common import randn, save
from transformers import Mask2FormerConfig
from transformers.models.mask2former import modeling_mask2former as reference

GOLDENS = Path(__file__).resolve().parents[2] / "heads/tests/goldens"
CLASSES, POINTS, LAYERS = 4, 40, 3
# transformers predicts the last layer first.
ORDER = [LAYERS - 1, *range(LAYERS - 1)]
TERMS = {"class": "loss_cross_entropy", "mask": "loss_mask", "dice": "loss_dice"}
WEIGHTS = {"class": 2.0, "mask": 5.0, "dice": 5.0}
# Case: queries, size of the mask logits, size of the targets, objects an image.
CASES = {
    "plain": (7, (9, 11), (33, 42), (3, 1)),
    "one_empty": (5, (8, 8), (32, 32), (0, 2)),
    "all_empty": (4, (6, 7), (12, 14), (0, 0)),
    "crowded": (3, (10, 6), (19, 23), (5, 4)),
}


class Recorder:
    """Stands in for `torch.rand` and scipy's function, and keeps what passes through."""

    def __init__(self, seed: int, dtype: torch.dtype) -> None:
        self.rand, self.seeded, self.dtype = torch.rand, torch.Generator().manual_seed(seed), dtype
        self.draws, self.costs, self.pairs = [], [], []

    def draw(self, *size, device=None) -> torch.Tensor:
        self.draws.append(self.rand(*size, generator=self.seeded))
        return self.draws[-1].to(self.dtype)

    def assign(self, costs):
        rows, columns = scipy.optimize.linear_sum_assignment(costs)
        self.costs.append(costs.clone())
        self.pairs.append(torch.from_numpy(np.stack([rows, columns])).to(torch.int64))
        return rows, columns


def boxes_and_discs(count: int, size: tuple[int, int], seed: int) -> torch.Tensor:
    """Binary masks [count, H, W] with straight and round edges; they may overlap."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    masks = np.zeros((count, *size), np.uint8)
    for i in range(count):
        centre, radius = rng.uniform(0.2, 0.8, 2) * size, rng.uniform(0.1, 0.35, 2) * size
        down, across = np.abs(y - centre[0]) / radius[0], np.abs(x - centre[1]) / radius[1]
        masks[i] = (across < 1) & (down < 1) if i % 2 else across**2 + down**2 < 1
    return torch.from_numpy(masks)


def check_margin(logits: list[torch.Tensor], recorder: Recorder, batch: int) -> None:
    """Refuses candidates of which rounding could choose others: the loss jumps there."""
    keep = int(0.75 * POINTS)
    for place in range(LAYERS):
        candidates = recorder.draws[place * (batch + 2) + batch]
        if len(candidates) == 0:
            continue
        rows, start = [], place * batch
        for image, pairs in enumerate(recorder.pairs[start : start + batch]):
            rows.append(logits[ORDER[place]][image][pairs[0]])
        sampled = reference.sample_point(torch.cat(rows)[:, None].double(), candidates.double(), align_corners=False)
        nearest = sampled[:, 0].abs().sort(dim=1).values
        gap = (nearest[:, keep] - nearest[:, keep - 1]).min().item()
        if gap < 1e-5:
            raise SystemExit(f"candidates {gap:.1e} apart: take another seed")


def case_tensors(seed: int, queries: int, size, target_size, objects) -> dict[str, torch.Tensor]:
    config = Mask2FormerConfig(train_num_points=POINTS)
    assert (config.class_weight, config.mask_weight, config.dice_weight, config.no_object_weight) == (2, 5, 5, 0.1)
    assert (config.oversample_ratio, config.importance_sample_ratio) == (3.0, 0.75)
    config.num_labels = CLASSES
    batch = len(objects)
    class_logits = [randn((batch, queries, CLASSES + 1), seed + i) * 1.5 for i in range(LAYERS)]
    mask_logits = [randn((batch, queries, *size), seed + 50 + i) * 3 for i in range(LAYERS)]
    masks = [boxes_and_discs(count, target_size, seed + 100 + i) for i, count in enumerate(objects)]
    classes = [torch.arange(count) * 3 % CLASSES for count in objects]
    tensors = {f"class_logits/{i}": x for i, x in enumerate(class_logits)}
    tensors |= {f"mask_logits/{i}": x for i, x in enumerate(mask_logits)}
    tensors |= {f"masks/{i}": x for i, x in enumerate(masks)} | {f"classes/{i}": x for i, x in enumerate(classes)}
    pairs = []
    for dtype, label in ((torch.float32, "f32"), (torch.float64, "f64")):
        recorder = Recorder(seed + 200, dtype)
        criterion = reference.Mask2FormerLoss(config, WEIGHTS).to(dtype)
        criterion.empty_weight[-1] = config.no_object_weight  # made in 32 bits, 0.1 is not 0.1 in 64
        of_classes, of_masks = ([x.to(dtype, copy=True).requires_grad_() for x in xs] for xs in (class_logits, mask_logits))
        layers = [{"class_queries_logits": c, "masks_queries_logits": m} for c, m in zip(of_classes, of_masks)]
        with (
            mock.patch.object(torch, "rand", recorder.draw),
            mock.patch.object(reference, "linear_sum_assignment", recorder.assign),
        ):
            losses = criterion(
                **layers[-1], mask_labels=[m.to(dtype) for m in masks], class_labels=classes, auxiliary_predictions=layers[:-1]
            )
        total = torch.zeros((), dtype=dtype)
        for place, layer in enumerate(ORDER):
            for term, name in TERMS.items():
                value = losses[name if place == 0 else f"{name}_{place - 1}"]
                tensors[f"{label}/{term}/{layer}"] = value
                total = total + WEIGHTS[term] * value
        total.backward()
        tensors[f"{label}/total"] = total
        tensors |= {f"{label}/grad_class/{i}": x.grad for i, x in enumerate(of_classes)}
        tensors |= {f"{label}/grad_mask/{i}": x.grad for i, x in enumerate(of_masks)}
        for place, layer in enumerate(ORDER):
            draws = recorder.draws[place * (batch + 2) :]
            for image in range(batch):
                tensors[f"{label}/costs/{layer}/{image}"] = recorder.costs[place * batch + image]
                tensors[f"pairs/{layer}/{image}"] = recorder.pairs[place * batch + image]
                tensors[f"matching/{layer}/{image}"] = draws[image]
            tensors[f"candidates/{layer}"], tensors[f"uniform/{layer}"] = draws[batch], draws[batch + 1]
        check_margin(mask_logits, recorder, batch)
        pairs.append(recorder.pairs)
    assert all(torch.equal(a, b) for a, b in zip(*pairs, strict=True)), "rounding decides a pair: take another seed"
    return tensors


def assignments() -> dict[str, torch.Tensor]:
    """Whole numbers, so that most matrices have several optima: the pairs show which one scipy takes."""
    rng = np.random.default_rng(7)
    tensors = {}
    for i, size in enumerate([(1, 1), (4, 4), (6, 3), (3, 6), (12, 12), (20, 9), (9, 20), (40, 40)]):
        costs = rng.integers(-5, 6, size).astype(np.float64)
        tensors[f"costs/{i}"] = torch.from_numpy(costs)
        tensors[f"pairs/{i}"] = torch.from_numpy(np.stack(scipy.optimize.linear_sum_assignment(costs))).to(torch.int64)
    return tensors


if __name__ == "__main__":
    loss_tensors = {}
    for number, (case, sizes) in enumerate(CASES.items(), start=1):
        loss_tensors |= {f"{case}/{name}": tensor for name, tensor in case_tensors(1000 * number, *sizes).items()}
    scipy_version = importlib.metadata.version("scipy")
    save(GOLDENS / "mask_loss.safetensors", loss_tensors, transformers=importlib.metadata.version("transformers"), scipy=scipy_version)
    save(GOLDENS / "assignment.safetensors", assignments(), scipy=scipy_version)
