"""Semantic, instance and panoptic results of mask logits, by the steps of the authors' inference written out in plain torch.

    python make_mask_post.py

Writes heads/tests/goldens/mask_post.safetensors. Needs the versions of requirements.txt. The steps are those of Mask2Former
9b0651c, `maskformer_model.py`, and detectron2's `sem_seg_postprocess`: mask logits to the padded input, crop, resize, then
probabilities. transformers' `post_process_*` resizes to 384x384 first and is no oracle for them.

Logits on which rounding could decide a pixel are refused, so that results may be compared for equality.
"""

from collections import Counter
from pathlib import Path

import torch
from common import randn, save
from torch.nn import functional as F

GOLDENS = Path(__file__).resolve().parents[2] / "heads/tests/goldens"
CLASSES, QUERIES, INSTANCES = 6, 12, 10
THINGS = [True, True, True, False, False, False]
SURE, OVERLAP, MARGIN = 0.8, 0.8, 5e-6
# Case: size of the logits, the padded input, the image in it, the output.
CASES = {
    "larger": ((16, 24), (64, 96), (50, 90), (57, 101)),
    "smaller": ((24, 16), (96, 64), (95, 61), (40, 33)),
    "same": ((16, 16), (64, 64), (64, 64), (64, 64)),
}


def resize(masks: torch.Tensor, size) -> torch.Tensor:
    return F.interpolate(masks[None], size=size, mode="bilinear", align_corners=False)[0]


def logits(seed: int, size) -> tuple[torch.Tensor, torch.Tensor]:
    """A bump [Q, h, w] a query on a grid of 3 x 4; most are sure of a class, two pairs of the same stuff, some of none."""
    y, x = torch.meshgrid(torch.linspace(0, 3, size[0]), torch.linspace(0, 4, size[1]), indexing="ij")
    row, column = torch.arange(QUERIES) // 4, torch.arange(QUERIES) % 4.0
    row[9], column[9] = 0, 0.3  # mostly hidden by the first: rejected
    distance = (y - row[:, None, None] - 0.5) ** 2 + (x - column[:, None, None] - 0.5) ** 2
    masks = 4 - 14 * distance + resize(randn((QUERIES, 5, 6), seed), size)
    classes = randn((QUERIES, CLASSES + 1), seed + 1)
    wanted = [0, 3, CLASSES, 1, 4, 3, 0, 2, CLASSES, 5, 1, 4]
    sure = torch.tensor([8.0, 7.0, 9.0, 6.5, 7.5, 8.5, 7.0, 1.0, 3.0, 7.0, 6.0, 7.0])
    classes[torch.arange(QUERIES), torch.tensor(wanted)] += sure
    return classes, masks


def check(values: torch.Tensor, what: str) -> None:
    if values.abs().min().item() < MARGIN:
        raise ValueError(what)


def check_first(values: torch.Tensor, what: str) -> None:
    """The largest along the first axis has to be larger than the second."""
    best = values.topk(2, dim=0).values
    check((best[0] - best[1]) / best[0], what)


def semantic(classes, masks, frame, resize_scores: bool):
    padded, image, output = frame
    probabilities = classes.softmax(-1)[:, :-1]

    def to_output(x):
        return resize(x[:, : image[0], : image[1]], output)

    masks = resize(masks, padded)
    if resize_scores:
        scores = to_output(torch.einsum("qc,qhw->chw", probabilities, masks.sigmoid()))
    else:
        scores = torch.einsum("qc,qhw->chw", probabilities, to_output(masks).sigmoid())
    check_first(scores, "semantic")
    return scores.argmax(0)


def instances(classes, masks, things_only: bool):
    scores = classes.softmax(-1)[:, :-1]
    best, index = scores.flatten().topk(INSTANCES, sorted=True)
    check((best[:-1] - best[1:]) / best[1:], "scores")
    queries, labels = index // CLASSES, index % CLASSES
    keep = torch.tensor(THINGS)[labels] if things_only else torch.ones(INSTANCES, dtype=torch.bool)
    queries, labels, best, chosen = queries[keep], labels[keep], best[keep], masks[queries[keep]]
    check(chosen, "masks")
    inside = (chosen > 0).float()
    mean = (chosen.sigmoid().flatten(1) * inside.flatten(1)).sum(1) / (inside.flatten(1).sum(1) + 1e-6)
    return queries, labels, best * mean, inside.to(torch.uint8)


def panoptic(classes, masks):
    scores, labels = classes.softmax(-1).max(-1)
    check(scores - SURE, "threshold")
    keep = labels.ne(CLASSES) & (scores > SURE)
    scores, labels, masks = scores[keep], labels[keep], masks[keep].sigmoid()
    ids = torch.zeros(masks.shape[-2:], dtype=torch.int32)
    segments, stuff, outcomes = [], {}, set()
    products = scores[:, None, None] * masks
    check_first(products, "products")
    winner = products.argmax(0)
    for k, label in enumerate(labels.tolist()):
        won, own = winner == k, masks[k] >= 0.5
        part = won & own
        if won.sum() == 0 or own.sum() == 0 or part.sum() == 0:
            outcomes.add("empty")
            continue
        if won.sum().item() / own.sum().item() < OVERLAP:
            outcomes.add("rejected")
            continue
        if not THINGS[label]:
            if label in stuff:
                ids[part] = stuff[label]
                outcomes.add("merged")
                continue
            stuff[label] = len(segments) + 1
        segments.append((len(segments) + 1, label, THINGS[label]))
        ids[part] = len(segments)
    return ids, torch.tensor(segments, dtype=torch.int64).reshape(-1, 3), outcomes


def case_tensors(seed: int, size, *frame) -> tuple[dict[str, torch.Tensor], set[str]]:
    classes, masks = logits(seed, size)
    padded, image, output = frame
    tensors = {"classes": classes, "masks": masks, "frame": torch.tensor(frame)}
    for order in ("resize_masks", "resize_scores"):
        tensors[f"semantic/{order}"] = semantic(classes, masks, frame, order == "resize_scores").to(torch.int16)
    full = resize(resize(masks, padded)[:, : image[0], : image[1]], output)
    for name, things_only in (("all", False), ("things", True)):
        found = instances(classes, full, things_only)
        tensors |= {f"instances/{name}/{key}": x for key, x in zip(("queries", "classes", "scores", "masks"), found)}
    ids, segments, outcomes = panoptic(classes, full)
    return tensors | {"panoptic/ids": ids, "panoptic/segments": segments}, outcomes


def main() -> None:
    tensors = {}
    for case, sizes in CASES.items():
        refused = Counter()
        for seed in range(100, 2100, 2):
            try:
                found, seen = case_tensors(seed, *sizes)
            except ValueError as error:
                refused[str(error)] += 1
                continue
            if {"merged", "rejected"} <= seen and len(found["panoptic/segments"]) > 2:
                break
            refused[f"only {sorted(seen)}"] += 1
        else:
            raise SystemExit(f"{case}: no seed will do: {refused}")
        print(f"{case}: seed {seed}, {sorted(seen)}, {found['panoptic/segments'].tolist()}")
        tensors |= {f"{case}/{name}": tensor for name, tensor in found.items()}
    tensors["things"] = torch.tensor(THINGS)
    save(GOLDENS / "mask_post.safetensors", tensors)


if __name__ == "__main__":
    main()
