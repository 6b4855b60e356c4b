"""Compares `smalti data prepare` with the official tools on real data: every field, every pixel.

Usage: compare_conversions.py CHECKOUTS SMALTI DATA, with the folders coco-sample, cityscapes-sample and ade20k-sample in
DATA. Instance labels for the last are made up here. See official_conversions.py and make_conversions.py.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from make_conversions import blobs, write
from official_conversions import Official
from PIL import Image


def load(path: Path) -> dict:
    return json.loads(path.read_text())


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def ids(path: Path) -> np.ndarray:
    rgb = pixels(path).astype(np.int64)
    return rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]


def same_json(got: Path, expected: Path) -> None:
    a, b = load(got), load(expected)
    assert a.keys() == b.keys(), (a.keys(), b.keys())
    for key in a:
        if isinstance(a[key], list):
            assert len(a[key]) == len(b[key]), key
            for index, (x, y) in enumerate(zip(a[key], b[key])):
                assert x == y, (key, index, x, y)
        assert a[key] == b[key], key
    print(f"  {got.name}: {len(a['annotations'])} records equal")


def same_pngs(got: Path, expected: Path) -> None:
    names = sorted(p.relative_to(expected) for p in expected.rglob("*.png"))
    assert names and names == sorted(p.relative_to(got) for p in got.rglob("*.png"))
    for name in names:
        assert np.array_equal(pixels(got / name), pixels(expected / name)), name
    print(f"  {got.name}: {len(names)} PNGs equal")


def same_panoptic(got: Path, expected: Path, random_ids: bool) -> None:
    """With random ids: one id for one id in every image, everything else equal."""
    a, b = load(got), load(expected)
    renamed = 0
    for x, y in zip(a["annotations"], b["annotations"]):
        mapped = {0: 0}
        for mine, theirs in zip(x["segments_info"], y["segments_info"], strict=True):
            assert mine["id"] not in mapped
            mapped[mine["id"]] = theirs["id"]
            renamed += mine["id"] != theirs["id"]
            if random_ids:
                mine["id"] = theirs["id"]
        assert len(set(mapped.values())) == len(mapped)
        mine, theirs = ids(got.with_suffix("") / x["file_name"]), ids(expected.with_suffix("") / y["file_name"])
        values, inverse = np.unique(mine, return_inverse=True)
        assert np.array_equal(np.array([mapped[v] for v in values])[inverse].reshape(mine.shape), theirs)
    for key in b:
        assert a[key] == b[key], key
    print(f"  {got.name}: {len(a['annotations'])} images equal, {renamed} segments with another random id")


def coco(official: Official, smalti, checkouts: Path, data: Path, work: Path) -> None:
    categories = checkouts / "panopticapi/panoptic_coco_categories.json"
    for split in ("train2017", "val2017"):
        panoptic = data / f"coco-sample/annotations/panoptic_{split}.json"
        pngs = panoptic.with_suffix("")
        if not pngs.is_dir():
            print(f"  no {pngs}")
            continue
        here, there = work / f"coco_{split}_smalti", work / f"coco_{split}_official"
        here.mkdir()
        there.mkdir()
        for things, flag in ((False, []), (True, ["--things-only"])):
            name = f"detection_{things}.json"
            official.panoptic_to_detection(panoptic, pngs, categories, there / name, things)
            smalti("coco-panoptic-to-detection", "--json", panoptic, "--out", here / name, *flag)
            same_json(here / name, there / name)
            flag = ["--things-other"] if things else []
            for kind in (f"stuff_{things}.json", f"category_{things}"):
                official.panoptic_to_semantic(panoptic, pngs, categories, there / kind, things)
                to = "--out-json" if kind.endswith("json") else "--out-dir"
                with_ids = [] if kind.endswith("json") else ["--ids", "category"]
                smalti("coco-panoptic-to-semantic", "--json", panoptic, to, here / kind, *with_ids, *flag)
                (same_json if kind.endswith("json") else same_pngs)(here / kind, there / kind)
        for kind, run in (("contiguous", official.semantic_contiguous), ("stuff", official.semantic_stuff)):
            run(panoptic, pngs, categories, there / kind)
            smalti("coco-panoptic-to-semantic", "--json", panoptic, "--out-dir", here / kind, "--ids", kind)
            same_pngs(here / kind, there / kind)
        detection = here / "detection_False.json"
        official.detection_to_panoptic(detection, categories, there / "panoptic.json", there / "panoptic")
        smalti("coco-detection-to-panoptic", "--json", detection, "--out", here / "panoptic.json")
        same_panoptic(here / "panoptic.json", there / "panoptic.json", random_ids=True)


def cityscapes(official: Official, smalti, data: Path, work: Path) -> None:
    for folder, sets in (("gtFine", ["train", "val"]), ("gt-only", ["val"])):
        gt = data / "cityscapes-sample" / folder
        here, there = work / f"{folder}_smalti", work / f"{folder}_official"
        there.mkdir()
        for train_ids, flag in ((False, []), (True, ["--train-ids"])):
            official.cityscapes_panoptic(gt, there, train_ids, sets)
            smalti("cityscapes-panoptic", "--gt-dir", gt, "--out", here, *flag)
            for name in sets:
                name = f"cityscapes_panoptic_{name}{'_trainId' * train_ids}.json"
                same_panoptic(here / name, there / name, random_ids=False)


def ade20k(official: Official, smalti, data: Path, work: Path) -> None:
    rng = np.random.default_rng(1)
    root = work / "ade/ADEChallengeData2016"
    for split in ("training", "validation"):  # the official scripts want both
        for kind in ("images", "annotations"):
            (root / kind).mkdir(parents=True, exist_ok=True)
            (root / kind / split).symlink_to(data / f"ade20k-sample/ADEChallengeData2016/{kind}/validation")
        for path in sorted((root / "annotations" / split).glob("*.png")):
            regions = blobs(rng, *pixels(path).shape, 60)
            classes = np.concatenate([[0], rng.integers(1, 101, 60)])
            labels = np.stack([classes[regions], regions, 0 * regions], axis=-1).astype(np.uint8)
            write(root / "annotations_instance" / split / path.name, labels)
    for kind, verb in (("sem", "semantic"), ("pan", "panoptic"), ("ins", "instances")):
        official.ade20k(kind, work / "ade")
        smalti(f"ade20k-{verb}", "--root", root, "--out", work / "ade_smalti")
    same_pngs(work / "ade_smalti/annotations_detectron2", root / "annotations_detectron2")
    for short in ("train", "val"):
        same_json(work / f"ade_smalti/ade20k_instance_{short}.json", root / f"ade20k_instance_{short}.json")
        name = f"ade20k_panoptic_{short}.json"
        same_panoptic(work / "ade_smalti" / name, root / name, random_ids=True)


def main(checkouts: Path, program: Path, data: Path) -> None:
    official = Official(*(checkouts / n for n in ["panopticapi", "Mask2Former", "detectron2", "cityscapesScripts"]))

    def smalti(verb: str, *words) -> None:
        subprocess.run([program, "-q", "data", "prepare", verb, *words], check=True)

    with tempfile.TemporaryDirectory() as folder:
        coco(official, smalti, checkouts, data, Path(folder))
        cityscapes(official, smalti, data, Path(folder))
        ade20k(official, smalti, data, Path(folder))


if __name__ == "__main__":
    main(*(Path(word).resolve() for word in sys.argv[1:4]))
