#!/usr/bin/env python3
"""Makes evaluation sets as large as the real ones, for timing.

    scripts/peers/make_scale.py SET DIR [--images N] [--seed S] [--jobs N]

    instance    5000 images of 640x480, 7 objects and 100 detections each: instances_gt.json, instances_dt.json
    panoptic     500 images of 640x480: panoptic_{gt,pred}.json and folders of RGB PNGs of those names
    semantic     500 images of 683x512: sem_gt (ADE20K's labels), sem_pred
    cityscapes    20 images of 2048x1024: gtFine, results_pixel, results_instance
"""

import argparse
import os
import shutil
import sys
from multiprocessing import Pool
from pathlib import Path

import environment

IMAGES = {"instance": 5000, "panoptic": 500, "semantic": 500, "cityscapes": 20}


def make(kind: str, folder: Path, images: int, seed: int, jobs: int) -> str:
    """Writes one set; a set that is there is whole."""
    from scale import cityscapes, coco, maps

    makers = {
        "instance": coco.make,
        "panoptic": maps.make_panoptic,
        "semantic": maps.make_semantic,
        "cityscapes": cityscapes.make,
    }
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    with Pool(jobs) as pool:
        said = makers[kind](part, images, seed, pool)
    part.rename(folder)
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=IMAGES, metavar="SET")
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--images", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()
    environment.enter(environment.REQUIREMENTS)
    if args.folder.exists():
        parser.error(f"{args.folder} is there already")
    print(make(args.kind, args.folder, args.images or IMAGES[args.kind], args.seed, args.jobs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
