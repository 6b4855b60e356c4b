"""Masks of COCO cases and their encodings."""

import numpy as np
import pycocotools.mask as coco_mask


def rectangle(h: int, w: int, x: int, y: int, width: int, height: int) -> np.ndarray:
    mask = np.zeros((h, w), np.uint8)
    mask[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)] = 1
    return mask


def random_mask(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    """A mask of one of many kinds: nothing, everything, boxes of the area limits, ellipses, stripes, noise."""
    kind = rng.choice(["edge", "box", "ellipse", "stripes", "noise", "pixel", "empty", "full"], p=EASY)
    x, y = int(rng.integers(0, w)), int(rng.integers(0, h))
    if kind == "edge":  # areas of exactly 32^2 and 96^2, or a pixel off, where the image is large enough
        side = 32 if rng.random() < 0.7 else 96
        mask = rectangle(h, w, int(rng.integers(0, max(1, w - side))), int(rng.integers(0, max(1, h - side))), side, side)
        if rng.random() < 0.3 and mask.any():
            filled = np.argwhere(mask)
            mask[tuple(filled[rng.integers(len(filled))])] = 0
        return mask
    if kind == "box":
        return rectangle(h, w, x, y, int(rng.integers(1, w + 1)), int(rng.integers(1, h + 1)))
    if kind == "ellipse":
        rows, columns = np.mgrid[:h, :w]
        a, b = rng.uniform(1, w / 2), rng.uniform(1, h / 2)
        return (((columns - x) / a) ** 2 + ((rows - y) / b) ** 2 <= 1).astype(np.uint8)
    if kind == "stripes":
        mask = np.zeros((h, w), np.uint8)
        mask[:, :: int(rng.integers(1, 4))] = 1
        if rng.random() < 0.5:
            mask[:: int(rng.integers(1, 4))] ^= 1
        return mask
    if kind == "noise":
        return (rng.random((h, w)) < rng.uniform(0.02, 0.98)).astype(np.uint8)
    if kind == "pixel":
        return rectangle(h, w, x, y, 1, 1)
    return np.full((h, w), int(kind == "full"), np.uint8)


EASY = [0.2, 0.3, 0.25, 0.05, 0.1, 0.04, 0.03, 0.03]


def disturb(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """The mask as a model might find it: the same, moved, cut or speckled."""
    how = rng.random()
    if how < 0.25:
        return mask
    if how < 0.75:
        return np.roll(mask, (int(rng.integers(-3, 4)), int(rng.integers(-3, 4))), (0, 1))
    if how < 0.9:
        cut = mask.copy()
        cut[: int(rng.integers(0, mask.shape[0]))] = 0
        return cut
    return mask ^ (rng.random(mask.shape) < 0.03).astype(np.uint8)


def compressed(mask: np.ndarray) -> dict:
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


def split(rng: np.random.Generator, rle: dict) -> dict:
    """Uncompressed runs with a run of zero length in their midst: the same mask, not in its usual form."""
    counts = list(rle["counts"])
    at = int(rng.integers(len(counts)))
    part = int(rng.integers(0, counts[at] + 1))
    return {"size": rle["size"], "counts": [*counts[:at], part, 0, counts[at] - part, *counts[at + 1 :]]}


def uncompressed(mask: np.ndarray) -> dict:
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


def polygons(rng: np.random.Generator, h: int, w: int) -> list[list[float]]:
    """One to three parts, convex or crossing themselves, on the grid, off it and outside the image."""
    parts = []
    for _ in range(1 + int(rng.random() < 0.3) + int(rng.random() < 0.1)):
        corners = int(rng.integers(3, 12))
        centre, reach = rng.uniform(0, [w, h]), rng.uniform(2, [w, h])
        if rng.random() < 0.3:
            points = rng.uniform(-0.2, 1.2, (corners, 2)) * [w, h]
        else:
            angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
            points = centre + np.stack([np.cos(angles), np.sin(angles)], 1) * reach / 2
        decimals = int(rng.choice([0, 1, 2, 8]))
        if rng.random() < 0.6:
            points = np.clip(points, 0, [w, h])
        if rng.random() < 0.1:
            points[-1] = points[0]  # an edge without length
        part = np.round(points, decimals).ravel().tolist()
        if rng.random() < 0.03:
            part.append(1.0)  # the odd number is dropped
        parts.append(part)
    return parts


def rasterised(parts: list[list[float]], h: int, w: int) -> np.ndarray:
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(parts, h, w)))


def box_of(mask: np.ndarray) -> list[float]:
    return coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask))).tolist()
