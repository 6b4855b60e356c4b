#!/usr/bin/env python3
"""Times `smalti data check` beside decoding the same files and nothing else; prints a markdown table.

    scripts/peers/bench_check.py [--images N ...] [--repeat 3] [--coco DIR] [--distinct] [--data DIR]

    --images N ...  sizes of the sets (400); of several, the last line says what an image takes of the memory
    --coco DIR      images and objects come from this set in COCO's layout [coco-sample below $SMALTI_DATA or ../shared/data]
    --distinct      every file a copy that differs in its last bytes, 0.17 MB each; else links to the same files, which the
                    check finds to be the same
    --data DIR      where the sets are made [target/check]

A set of N images has the sample's images again and again, each with its objects (the sample has 7.5 an image, train2017 7.3).
Times are those of whole processes on all cores, start and annotation file included; medians, programs take turns. SMALTI
and SMALTI_FLOORS name other binaries.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
from pathlib import Path

import environment
import process
import smalti

DATA = environment.ROOT / "target" / "check"


def main() -> int:
    args = arguments()
    sample = args.coco or environment.shared("coco-sample")
    program, floors = str(smalti.binary()), str(smalti.floors())
    print(process.machine(), "\n")
    print("| images | program | images/s | CPU ms an image | wall s | peak MiB |\n|---|---|---|---|---|---|")
    peaks = []
    for images in args.images:
        folder = prepared(args.data, sample, images, args.distinct)
        files = ["--images", str(folder / "images"), "--annotations", str(folder / "instances.json")]
        programs = {
            "smalti data check": [program, "--quiet", "data", "check", *files],
            "floor: decode": [floors, "decode", str(folder / "images")],
        }
        runs = {name: [] for name in programs}
        for _ in range(args.repeat):
            for name, command in programs.items():
                runs[name].append(process.Process(command))
        for name, found in runs.items():
            print(row(images, name, found), flush=True)
        check, floor = (median(found, "cpu") for found in runs.values())
        print(f"| {images} | check over floor | | {check / floor:.2f}x | | |", flush=True)
        peaks.append((images, median(runs["smalti data check"], "peak")))
    (fewest, low), (most, high) = min(peaks), max(peaks)
    if most > fewest:
        print(f"\n{(high - low) * 2**20 / (most - fewest):.0f} bytes of memory an image")
    return 0


def median(runs: list[process.Process], key: str) -> float:
    return statistics.median(getattr(run, key) for run in runs)


def row(images: int, name: str, runs: list[process.Process]) -> str:
    wall, cpu, peak = (median(runs, key) for key in ("wall", "cpu", "peak"))
    return f"| {images} | {name} | {images / wall:.0f} | {1e3 * cpu / images:.2f} | {wall:.2f} | {process.memory(peak)} |"


def prepared(base: Path, sample: Path, images: int, distinct: bool) -> Path:
    """The folder of a set, made if it is not there; one that is there is whole."""
    folder = base / f"{images}{'-distinct' if distinct else ''}"
    if not folder.exists():
        print(f"making {folder}", file=sys.stderr)
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        make(part, sample, images, distinct)
        part.rename(folder)
    return folder


def make(folder: Path, sample: Path, images: int, distinct: bool) -> None:
    """`images/`, `instances.json`, and for links what they lead to in `sample/`."""
    source = json.loads((sample / "annotations" / "instances_train2017.json").read_text())
    (folder / "images").mkdir(parents=True)
    (folder / "sample").mkdir()
    # Objects as text up to the ids, which are their own in every copy.
    objects: dict[int, list[str]] = {image["id"]: [] for image in source["images"]}
    for annotation in source["annotations"]:
        kept = {key: value for key, value in annotation.items() if key not in ("id", "image_id")}
        objects[annotation["image_id"]].append(json.dumps(kept)[:-1])
    for image in source["images"]:
        name = image["file_name"]
        # A sample may be read-only, or on another disk.
        shutil.copyfile(sample / "train2017" / name, folder / "sample" / name)
    listed = [source["images"][number % len(source["images"])] for number in range(images)]
    with open(folder / "instances.json", "w") as out:
        out.write('{"categories": ' + json.dumps(source["categories"]) + ', "images": [')
        for number, image in enumerate(listed):
            place(folder / "sample" / image["file_name"], folder / "images" / f"{number:012}.jpg", number, distinct)
            entry = {key: image[key] for key in ("height", "width", "coco_url", "flickr_url", "license")}
            entry |= {"id": number, "file_name": f"{number:012}.jpg"}
            out.write((", " if number else "") + json.dumps(entry))
        out.write('], "annotations": [')
        written = 0
        for number, image in enumerate(listed):
            for text in objects[image["id"]]:
                out.write((",\n" if written else "") + f'{text}, "image_id": {number}, "id": {written}}}')
                written += 1
        out.write("]}\n")


def place(original: Path, target: Path, number: int, distinct: bool) -> None:
    if not distinct:
        os.link(original, target)
        return
    # Behind the end of the image no decoder looks.
    target.write_bytes(original.read_bytes() + number.to_bytes(8, "big"))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[400], metavar="N")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--coco", type=Path, metavar="DIR")
    parser.add_argument("--distinct", action="store_true")
    parser.add_argument("--data", type=Path, metavar="DIR", default=DATA)
    args = parser.parse_args()
    if min(args.images) < 1 or args.repeat < 1:
        parser.error("--images and --repeat: expected at least 1")
    return args


if __name__ == "__main__":
    sys.exit(main())
