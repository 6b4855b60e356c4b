"""What Pillow, OpenCV, torch and detectron2's formulas make of sizes, images and masks: the goldens of
datasets/src/transform/segments/parity.rs.

    python make_segment_transforms.py

Writes datasets/tests/goldens/segment_transforms.{json,png}; the picture is a sheet: the input, then a row a case. Needs
the versions of requirements.txt, and opencv-python-headless 5.0.0.93 and shapely 2.2.0. detectron2's arithmetic
(`ResizeScale`, `FixedSizeCrop`, `ResizeShortestEdge`) and fvcore's (`CropTransform.apply_polygons`) are stated here again.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import shapely.geometry
import torch
from make_classification import picture
from PIL import Image
from pycocotools import mask as coco
from torch.nn import functional
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resize

GOLDENS = Path(__file__).resolve().parents[2] / "datasets/tests/goldens"
SIZES = [(20, 17), (33, 90), (45, 30), (7, 61), (60, 80), (97, 25)]


def image_resized(source: np.ndarray, name: str, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    if name == "pil":
        return np.asarray(Image.fromarray(source).resize((width, height), Image.Resampling.BILINEAR))
    if name == "opencv":
        return cv2.resize(source, (width, height), interpolation=cv2.INTER_LINEAR)
    pixels = torch.from_numpy(source.copy()).permute(2, 0, 1)
    out = resize(pixels, [height, width], InterpolationMode.BILINEAR, antialias=name == "torch_antialias")
    return out.permute(1, 2, 0).numpy()


def nearest(name: str, source: int, target: int) -> np.ndarray:
    """Source position of every target position."""
    if name == "pil":
        row = Image.fromarray(np.arange(source, dtype=np.int32)[None])
        return np.asarray(row.resize((target, 1), Image.Resampling.NEAREST))[0].astype(np.int64)
    row = np.arange(source, dtype=np.float32)[None]
    if name == "opencv":
        return cv2.resize(row, (target, 1), interpolation=cv2.INTER_NEAREST)[0].astype(np.int64)
    out = functional.interpolate(torch.from_numpy(row)[None, None], (1, target), mode="nearest")
    return out[0, 0, 0].numpy().astype(np.int64)


def nearest_cases(rng) -> list[dict]:
    """All positions of small cases; of large ones a sum that every position changes."""
    cases = []
    for name in ("pil", "opencv", "torch"):
        pairs = rng.integers(1, 40, (12, 2)).tolist() + rng.integers(1, 2300, (150, 2)).tolist()
        pairs += [(640, 1024), (427, 1024), (480, 768), (1024, 512), (600, 200), (49, 7), (7, 49), (683, 512)]
        for i, (source, target) in enumerate(pairs):
            at = nearest(name, source, target)
            case = {"filter": name, "source": source, "target": target}
            case["sum"] = int(((np.arange(target) + 1) * (at + 1)).sum())
            if i < 12:
                case["positions"] = at.tolist()
            cases.append(case)
    return cases


def jitter(rng) -> dict:
    """`ResizeScale`, then `FixedSizeCrop`."""
    size = rng.integers(150, 1200, 2)
    crop = rng.integers(32, 1100, 2) if rng.random() < 0.5 else np.full(2, rng.choice([512, 640, 1024]))
    scale, share = rng.uniform(0.1, 2.0), rng.uniform(0.0, 1.0)
    target = np.multiply(crop, scale)
    factor = np.minimum(target[0] / size[0], target[1] / size[1])
    resized = np.round(np.multiply(size, factor)).astype(int)
    offset = np.round(np.maximum(np.subtract(resized, crop), 0) * share).astype(int)
    kept = np.minimum(resized, crop)
    numbers = {"size": size, "crop": crop, "resized": resized, "offset": offset, "kept": kept}
    return {name: value.tolist() for name, value in numbers.items()} | {"scale": scale, "share": share}


def shortest(rng) -> dict:
    """`ResizeShortestEdge`."""
    h, w = (int(v) for v in rng.integers(20, 2200, 2))
    size = int(rng.choice([int(0.1 * x * edge) for x in range(5, 21) for edge in (512, 640, 1024)] + [800, 480]))
    max_size = int(rng.choice([1333, 2048, 2560, 4096]))
    scale = size * 1.0 / min(h, w)
    newh, neww = (size, scale * w) if h < w else (scale * h, size)
    if max(newh, neww) > max_size:
        scale = max_size * 1.0 / max(newh, neww)
        newh, neww = newh * scale, neww * scale
    resized = [int(newh + 0.5), int(neww + 0.5)]
    return {"size": [h, w], "short_edge": size, "max_long_edge": max_size, "resized": resized}


def blob(rng, height: int, width: int) -> np.ndarray:
    """A simple outline, which may reach the image's border."""
    points = int(rng.integers(3, 14))
    angle = np.sort(rng.uniform(0, 2 * np.pi, points))
    centre = rng.uniform(0, 1, 2) * (width, height)
    radius = rng.uniform(0.1, 0.6) * rng.uniform(0.5, 1, points)[:, None] * (width, height)
    xy = centre + radius * np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.round(xy.clip(0, (width, height)), 2)


def clipped(outline: np.ndarray, window: list[int]) -> list[np.ndarray]:
    """fvcore's way to cut an outline."""
    top, left, height, width = window
    box = shapely.geometry.box(left, top, left + width, top + height).buffer(0.0)
    inside = shapely.geometry.Polygon(outline).buffer(0.0).intersection(box)
    parts = getattr(inside, "geoms", [inside])
    kept = [part for part in parts if isinstance(part, shapely.geometry.Polygon) and not part.is_empty]
    return [np.asarray(part.exterior.coords)[:-1] - (left, top) for part in kept]


def mask_case(rng, form: str) -> dict:
    """A mask that is mirrored or not, resized, cut out, and mirrored or not."""
    height, width = (int(v) for v in rng.integers(16, 120, 2))
    resized = [max(1, int(round(edge * rng.uniform(0.3, 2.2)))) for edge in (height, width)]
    whole = rng.random() < 0.3
    kept = [edge if whole else int(rng.integers(1, edge + 1)) for edge in resized]
    window = [int(rng.integers(0, resized[i] - kept[i] + 1)) for i in range(2)] + kept
    before, after = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    case = {"size": [height, width], "before": before, "resized": resized, "window": window, "after": after}
    outlines = [blob(rng, height, width) for _ in range(int(rng.choice([1, 1, 2])))]
    if form == "outlines":
        case["outlines"] = [outline.ravel().tolist() for outline in outlines]
        parts = []
        for xy in outlines:
            xy = np.stack([width - xy[:, 0], xy[:, 1]], 1) if before else xy.copy()
            xy[:, 0] = xy[:, 0] * (resized[1] * 1.0 / width)
            xy[:, 1] = xy[:, 1] * (resized[0] * 1.0 / height)
            parts += clipped(xy, window)
        if after:
            parts = [np.stack([kept[1] - xy[:, 0], xy[:, 1]], 1) for xy in parts]
        mask = np.zeros(kept, np.uint8)
        if parts:
            rles = coco.frPyObjects([xy.ravel().tolist() for xy in parts], *kept)
            mask = coco.decode(rles).any(axis=2).astype(np.uint8)
    else:
        rle = coco.merge(coco.frPyObjects([xy.ravel().tolist() for xy in outlines], height, width))
        case["counts"] = rle["counts"].decode()
        mask = coco.decode(rle)
        mask = mask[:, ::-1] if before else mask
        mask = np.asarray(Image.fromarray(mask).resize(resized[::-1], Image.Resampling.NEAREST))
        top, left = window[:2]
        mask = mask[top : top + kept[0], left : left + kept[1]]
        mask = mask[:, ::-1] if after else mask
    case["expected"] = coco.encode(np.asfortranarray(mask))["counts"].decode()
    return case


def main() -> None:
    rng = np.random.default_rng(17)
    source = np.asarray(picture())
    rows, images = [source], []
    for name in ("pil", "opencv", "torch", "torch_antialias"):
        for size in SIZES:
            rows.append(image_resized(source, name, size))
            images.append({"filter": name, "size": list(size)})
    sheet = np.zeros((sum(row.shape[0] for row in rows), max(row.shape[1] for row in rows), 3), np.uint8)
    top = 0
    for row in rows:
        sheet[top : top + row.shape[0], : row.shape[1]] = row
        top += row.shape[0]
    Image.fromarray(sheet).save(GOLDENS / "segment_transforms.png", optimize=True)
    tables = {
        "images": images,
        "nearest": nearest_cases(rng),
        "jitter": [jitter(rng) for _ in range(300)],
        "shortest": [shortest(rng) for _ in range(200)],
        "run_lengths": [mask_case(rng, "run_lengths") for _ in range(80)],
        "outlines": [mask_case(rng, "outlines") for _ in range(150)],
    }
    with open(GOLDENS / "segment_transforms.json", "w") as out:
        line = lambda case: json.dumps(case, separators=(",", ":"))
        table = lambda cases: "[\n" + ",\n".join(line(case) for case in cases) + "\n]"
        out.write("{\n" + ",\n".join(f'"{name}": {table(cases)}' for name, cases in tables.items()) + "\n}\n")
    for path in sorted(GOLDENS.glob("segment_transforms.*")):
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
