"""Draws random polygons with pycocotools: the goldens of datasets/tests/polygons.rs.

    python make_polygons.py ../../datasets/tests/goldens/polygons.json

Needs numpy and pycocotools 2.0.11 (the version is checked). Deterministic.
"""

import importlib.metadata
import json
import sys

import numpy as np
from pycocotools import mask

SEED = 20
CASES = 900


def part(rng, height, width, kind):
    """One outline as a flat list of coordinates."""
    points = int(rng.integers(3, 12))
    size = np.array([width, height], float)
    if kind == 0:  # anywhere, also outside, two decimals as in COCO
        xy = np.round(rng.uniform(-0.4, 1.4, (points, 2)) * size, 2)
    elif kind == 1:  # corners of pixels and halves of them
        xy = rng.integers(-2, 2 * max(height, width) + 3, (points, 2)) / 2
    elif kind == 2:  # steps of the fine grid and points just beside them
        xy = rng.integers(-8, 5 * max(height, width) + 8, (points, 2)) / 5 + rng.choice([0, 0.1, -0.1, 1e-9], (points, 2))
    elif kind == 3:  # a blob along the edges of the image
        angle = np.sort(rng.uniform(0, 2 * np.pi, points))
        radius = rng.uniform(0.1, 0.9)
        centre = rng.uniform(-0.1, 1.1, 2) * size
        xy = centre + radius * size * np.stack([np.cos(angle), np.sin(angle)], 1)
    elif kind == 4:  # thin and steep
        xy = rng.uniform(0, 1, (points, 2)) * size * [0.02, 1] + rng.uniform(0, 1, 2) * size
    else:  # points that repeat, and edges along the axes
        xy = np.repeat(rng.integers(0, max(height, width), (points, 2)), 2, axis=0).astype(float)
        xy[1::2, 1] = np.roll(xy[::2, 1], 1)
    return [round(float(v), 9 if kind == 2 else 4) for v in xy.ravel()]


def main():
    assert importlib.metadata.version("pycocotools") == "2.0.11"
    rng = np.random.default_rng(SEED)
    cases = []
    for i in range(CASES):
        limit = 8 if i % 3 == 0 else 40 if i % 3 == 1 else 200
        height, width = (int(v) for v in rng.integers(1, limit, 2))
        parts = [part(rng, height, width, int(rng.integers(0, 6))) for _ in range(int(rng.choice([1, 1, 1, 2, 3])))]
        if rng.random() < 0.03:
            parts[0].append(1.5)  # a number without a partner
        if rng.random() < 0.03:
            parts.append([float(v) for v in rng.integers(0, 9, int(rng.choice([2, 4])))])  # a later part may be degenerate
        rle = mask.merge(mask.frPyObjects(parts, height, width))
        cases.append({"size": [height, width], "parts": parts, "counts": rle["counts"].decode()})
    with open(sys.argv[1], "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
