"""Makes datasets/tests/goldens/conversions: random annotations and what the official tools make of them.

Usage: make_conversions.py CHECKOUTS, a folder that holds panopticapi, Mask2Former, detectron2 and cityscapesScripts.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from official_conversions import Official
from PIL import Image
from pycocotools import mask as mask_util

SEED = 31
OUT = Path(__file__).resolve().parents[2] / "datasets/tests/goldens/conversions"

# Ids with gaps, 200 the highest. Thing 7 has the colour of stuff 200, thing 9 that of thing 3.
CATEGORIES = [
    {"id": 1, "name": "cat", "supercategory": "animal", "isthing": 1, "color": [220, 20, 60]},
    {"id": 3, "name": "dog", "supercategory": "animal", "isthing": 1, "color": [5, 250, 3]},
    {"id": 7, "name": "cup", "supercategory": "ware", "isthing": 1, "color": [70, 90, 255]},
    {"id": 9, "name": "pan", "supercategory": "ware", "isthing": 1, "color": [5, 250, 3]},
    {"id": 92, "name": "sky", "supercategory": "out", "isthing": 0, "color": [1, 2, 3]},
    {"id": 150, "name": "sea", "supercategory": "out", "isthing": 0, "color": [0, 0, 200]},
    {"id": 200, "name": "rug", "supercategory": "in", "isthing": 0, "color": [70, 90, 255]},
]
THINGS = [c["id"] for c in CATEGORIES if c["isthing"]]
STUFF = [c["id"] for c in CATEGORIES if not c["isthing"]]


def blobs(rng, height: int, width: int, count: int) -> np.ndarray:
    """A map of regions 0..count that look like labels: boxes over each other, with some salt."""
    regions = np.zeros((height, width), np.int64)
    for region in range(1, count + 1):
        y, x = rng.integers(0, height), rng.integers(0, width)
        regions[y : y + rng.integers(1, height + 1), x : x + rng.integers(1, width + 1)] = region
    salt = rng.random((height, width)) < 0.05
    regions[salt] = rng.integers(0, count + 1, salt.sum())
    return regions


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def rgb(ids: np.ndarray) -> np.ndarray:
    return np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)


def box(mask: np.ndarray) -> list[int]:
    ys, xs = np.nonzero(mask)
    return [int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1] if len(ys) else [0, 0, 0, 0]


def coco_panoptic(rng, root: Path) -> None:
    images, annotations = [], []
    sizes = [(1, 1), (17, 23), (24, 20), (20, 31), (9, 40), (16, 16)]
    for index, (height, width) in enumerate(sizes):
        count = 0 if index == 2 else int(rng.integers(1, 8))  # image 2 is void
        regions = blobs(rng, height, width, count)
        if index == 5:
            regions[:], count = 1, 1  # one segment fills the image
        ids = np.concatenate([[0], rng.choice(2**24 - 1, count, replace=False) + 1])
        segments, stuff = [], list(rng.permutation(STUFF))
        for region in range(1, count + 1):
            category = int(stuff.pop()) if stuff and rng.random() < 0.4 else int(rng.choice(THINGS))
            mask = regions == region
            segments.append({
                "id": int(ids[region]), "category_id": category, "iscrowd": int(rng.random() < 0.2),
                "area": int(mask.sum()) + int(rng.integers(0, 3)),  # not always the truth: it is handed on
                "bbox": box(mask), "note": "kept \u00e9",
            })
        if index == 3:
            segments.append({"id": 77, "category_id": 3, "iscrowd": 0, "area": 0, "bbox": [0, 0, 0, 0]})  # no pixel
            regions[0, :4], ids = count + 1, np.append(ids, 12345)  # pixels of no segment
        name = f"{index:06d}"
        images.append({"id": index, "file_name": f"{name}.jpg", "height": height, "width": width, "license": 3})
        annotations.append({"image_id": index, "file_name": f"{name}.png", "segments_info": segments})
        write(root / "panoptic" / f"{name}.png", rgb(ids[regions]))
    categories = [{k: v for k, v in c.items()} for c in CATEGORIES]
    value = {"info": {"year": 2017, "x": 1e-05}, "licenses": [], "images": images,
             "annotations": annotations, "categories": categories}
    (root / "panoptic.json").write_text(json.dumps(value))


def coco_detection(rng, root: Path) -> None:
    """Masks that do not overlap, in the three forms: polygons of boxes, run lengths as text and as numbers."""
    images, annotations = [], []
    for index, (height, width) in enumerate([(13, 19), (18, 11), (7, 7), (25, 30)]):
        image_id = 40 - index
        images.append({"id": image_id, "file_name": f"{image_id:06d}.jpg", "height": height, "width": width})
        regions = blobs(rng, height, width, 0 if index == 2 else 9)
        stuff = list(rng.permutation(STUFF))
        for region in range(1, regions.max() + 1):
            mask = (regions == region).astype(np.uint8)
            if region == 1:  # a box of its own, as a polygon
                regions[2:5, 1:4] = 1
                mask[:], mask[2:5, 1:4] = 0, 1
                segmentation = [[1, 2, 4, 2, 4, 5, 1, 5]]
            else:
                mask[2:5, 1:4] = 0
                segmentation = mask_util.encode(np.asfortranarray(mask))
                segmentation["counts"] = segmentation["counts"].decode()
                if region % 3 == 0:
                    flat = np.concatenate([[0], mask.T.reshape(-1), [2]])
                    at = np.flatnonzero(np.diff(flat.astype(np.int64)) != 0)
                    runs = np.diff(np.concatenate([[0], at])).tolist()
                    segmentation["counts"] = [int(run) for run in runs]
            category = int(stuff.pop()) if stuff and rng.random() < 0.4 else int(rng.choice(THINGS))
            annotations.append({
                "id": 500 - len(annotations), "image_id": image_id, "category_id": category, "iscrowd": 0,
                "area": float(mask.sum()) + 0.5, "bbox": box(mask), "segmentation": segmentation, "score": 0.25,
            })
    order = rng.permutation(len(annotations))
    value = {"info": {}, "images": images, "annotations": [annotations[i] for i in order], "categories": []}
    (root / "instances.json").write_text(json.dumps(value))


def cityscapes(rng, root: Path, official: Official) -> None:
    things, rest = [24, 25, 26, 29, 33], [0, 1, 4, 7, 8, 9, 11, 17, 21, 23, 30]
    for split, city, frames in [("train", "ulm", 3), ("val", "bonn", 2), ("val", "aachen", 1)]:
        for frame in range(frames):
            height, width = int(rng.integers(12, 30)), int(rng.integers(12, 40))
            values = [0]
            for number in range(12):
                if rng.random() < 0.6:
                    label = int(rng.choice(things))
                    values.append(label if rng.random() < 0.3 else label * 1000 + number)
                else:
                    values.append(int(rng.choice(rest)))
            ids = np.array(values)[blobs(rng, height, width, 12)].astype(np.uint16)
            name = root / f"gtFine/{split}/{city}/{city}_{frame:06d}_000019_gtFine"
            write(Path(f"{name}_instanceIds.png"), ids)

            # The label map is drawn from polygons, as is what is expected of it.
            names = ["road", "car", "cargroup", "license plate", "polegroup", "out of roi", "person", "sky", "trailer"]
            objects = []
            for _ in range(9):
                x, y = rng.integers(0, width), rng.integers(0, height)
                w, h = rng.integers(1, width), rng.integers(1, height)
                outline = [[x, y], [x + w, y + h // 3], [x + w // 2, y + h]]
                objects.append({"label": str(rng.choice(names)), "polygon": [[int(v) for v in p] for p in outline]})
            polygons = root / "polygons.json"
            polygons.write_text(json.dumps({"imgHeight": height, "imgWidth": width, "objects": objects}))
            official.cityscapes_draw(polygons, Path(f"{name}_labelIds.png"), "ids")
            expected = root / "expected" / Path(f"{name}_labelTrainIds.png").relative_to(root / "gtFine")
            expected.parent.mkdir(parents=True, exist_ok=True)
            official.cityscapes_draw(polygons, expected, "trainIds")
            polygons.unlink()


def ade20k(rng, data: Path) -> None:
    root = data / "ADEChallengeData2016"
    for split, short, count in [("training", "train", 2), ("validation", "val", 4)]:
        for index in range(1, count + 1):
            name = f"ADE_{short}_{index:08d}"
            height, width = int(rng.integers(10, 30)), int(rng.integers(10, 30))
            kinds = np.concatenate([[0], rng.choice(np.arange(1, 151), 9)]).astype(np.uint8)
            semantic = kinds[blobs(rng, height, width, 9)]
            things = 0 if (split, index) == ("validation", 2) else 12
            instance = blobs(rng, height, width, things).astype(np.uint8)
            classes = np.concatenate([[0], rng.choice([3, 12, 12, 100, 57], things)]).astype(np.uint8)
            numbers = np.concatenate([[0], np.sort(rng.choice(np.arange(1, 256), things, replace=False))])
            labels = np.stack([classes[instance], numbers.astype(np.uint8)[instance], 0 * instance], axis=-1)
            if (split, index) == ("validation", 3):  # a thing hides a whole stuff segment
                semantic[:3, :3] = 1
                labels[:3, :3] = [12, 200, 0]
                labels[labels[..., 1] == 200] = [12, 200, 0]
                semantic[(semantic == 1) & (labels[..., 1] != 200)] = 0
            write(root / "annotations" / split / f"{name}.png", semantic)
            write(root / "annotations_instance" / split / f"{name}.png", labels)
            (root / "images" / split).mkdir(parents=True, exist_ok=True)
            grey = Image.new("L", (width, height), 90)
            grey.save(root / "images" / split / f"{name}.jpg", quality=20)


def main(checkouts: Path) -> None:
    official = Official(*(checkouts / n for n in ["panopticapi", "Mask2Former", "detectron2", "cityscapesScripts"]))
    rng = np.random.default_rng(SEED)
    np.random.seed(SEED)  # the colours that panopticapi draws
    shutil.rmtree(OUT, ignore_errors=True)

    coco = OUT / "coco"
    (coco / "expected").mkdir(parents=True)
    categories = coco / "categories.json"
    categories.write_text(json.dumps(CATEGORIES))
    coco_panoptic(rng, coco)
    coco_detection(rng, coco)
    source = (coco / "panoptic.json", coco / "panoptic", categories)
    for things in (False, True):
        name = "detection_things.json" if things else "detection.json"
        official.panoptic_to_detection(*source, coco / "expected" / name, things)
        for kind in ("stuff.json", "category"):
            out = coco / "expected" / (f"other_{kind}" if things else kind)
            official.panoptic_to_semantic(*source, out, things)
    official.semantic_contiguous(*source, coco / "expected/contiguous")
    official.semantic_stuff(*source, coco / "expected/stuff")
    official.detection_to_panoptic(
        coco / "instances.json", categories, coco / "expected/panoptic.json", coco / "expected/panoptic"
    )

    cityscapes(rng, OUT / "cityscapes", official)
    for train_ids in (False, True):
        official.cityscapes_panoptic(
            OUT / "cityscapes/gtFine", OUT / "cityscapes/expected", train_ids, ["train", "val"]
        )

    ade20k(rng, OUT / "ade20k")
    work = OUT / "ade20k/ADEChallengeData2016"
    for kind in ("sem", "pan", "ins"):
        official.ade20k(kind, OUT / "ade20k")
    expected = OUT / "ade20k/expected"
    expected.mkdir()
    for path in [*work.glob("ade20k_*"), work / "annotations_detectron2"]:
        path.rename(expected / path.name)

    size = sum(path.stat().st_size for path in OUT.rglob("*") if path.is_file())
    print(f"{OUT}: {sum(1 for p in OUT.rglob('*') if p.is_file())} files, {size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
