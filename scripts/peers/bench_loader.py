#!/usr/bin/env python3
"""Times `smalti bench loader` beside torch's DataLoader with the same augmentations; prints a markdown table.

    scripts/peers/bench_loader.py [CASE ...] [--repeat 3] [--samples 400] [--coco DIR] [--camvid DIR] [--skip LIBRARY ...]

    CASE            lsj-instance, lsj-panoptic: Mask2Former's large-scale jitter of 1024x1024 on COCO
                    crops-coco, crops-camvid: mmsegmentation's crops of 512, label maps as PNGs
    --coco DIR      a set in COCO's layout, train2017 [coco-sample below $SMALTI_DATA or ../shared/data]
    --camvid DIR    a folder with train.txt of CamVid [camvid, likewise]
    --bytes         also with images that leave the DataLoader as bytes, not normalised
    --skip LIBRARY  leave out Pillow, OpenCV or torchvision

One loader thread, or worker process, a core; batches of 4, two read ahead (a worker). Everything has the allocator settings of
a training. Programs take turns; medians. CPU ms an image is of
all threads and processes: unlike images a second it says the same on a busy machine. Memory is the peak of smalti's
process, and of all the peer's processes together with shared pages counted once. SMALTI names another binary,
SMALTI_PEERS_VENV another environment.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import environment
import smalti

WORK = environment.ROOT / "target" / "bench-loader"
LIBRARIES = {"Pillow": "pillow", "OpenCV": "opencv-python-headless", "torchvision": "torchvision"}
CLASSES = {"crops-coco": 133, "crops-camvid": 11}
CASES = ["lsj-instance", "lsj-panoptic", "crops-coco", "crops-camvid"]
RECIPE = """\
[data]
root = {root}
classes = {classes}
ignore_label = {ignore}
train = {{ list = {list} }}
val = {{ list = {list} }}
[[data.augment]]
op = "random_resize"
scale = [2048, 512]
[[data.augment]]
op = "random_crop"
size = [512, 512]
cat_max_ratio = 0.75
[[data.augment]]
op = "flip"
[[data.augment]]
op = "photometric"
"""


def main() -> int:
    args = arguments()
    environment.enter(environment.REQUIREMENTS_TORCH, name="torch")
    program = smalti.binary()
    libraries = [name for name in LIBRARIES if name not in args.skip]
    versions = [f"{name} {metadata.version(LIBRARIES[name])}" for name in libraries]
    print(f"torch {metadata.version('torch')}, {', '.join(versions)}; {os.cpu_count()} cores, ", end="")
    print(f"load average before {os.getloadavg()[0]:.1f}\n")
    print("| case | loader | images/s | CPU ms an image | memory MiB |\n| --- | --- | --- | --- | --- |", flush=True)
    for name in args.case or CASES:
        words, case = smalti_words(name, args, program)
        programs = {"smalti": lambda words=words: run_smalti(program, words, args.samples)}
        for library in libraries:
            programs[library] = lambda library=library, case=case: run_peer(library, "float", case, args.samples)
            if args.bytes:
                key = f"{library}, bytes"
                programs[key] = lambda library=library, case=case: run_peer(library, "bytes", case, args.samples)
        found = {key: [] for key in programs}
        for _ in range(args.repeat):
            for key, run in programs.items():
                found[key].append(run())
        print(rows(name, found), flush=True)
    return 0


def smalti_words(name: str, args: argparse.Namespace, program: Path) -> tuple[list[str], dict]:
    """The arguments of `smalti bench loader`, and the same case for the peers."""
    if name.startswith("lsj"):
        root = args.coco or environment.shared("coco-sample")
        return [name, "--data", str(root)], {"pipeline": name, "root": str(root)}
    WORK.mkdir(parents=True, exist_ok=True)
    if name == "crops-coco":
        root, ignore = args.coco or environment.shared("coco-sample"), 255
        pairs = coco_pairs(root, label_maps(root, program))
    else:
        root, ignore = args.camvid or environment.shared("camvid"), 11
        lines = (root / "train.txt").read_text().splitlines()
        pairs = [[str(root / word) for word in line.split()] for line in lines if line.strip()]
    listed, classes, recipe = (WORK / f"{name}.{end}" for end in ("list.txt", "classes.txt", "toml"))
    listed.write_text("".join(f"{image}\t{labels}\n" for image, labels in pairs))
    classes.write_text("".join(f"class {number}\n" for number in range(CLASSES[name])))
    fields = {"root": str(root), "classes": str(classes), "list": str(listed)}
    recipe.write_text(RECIPE.format(ignore=ignore, **{key: json.dumps(text) for key, text in fields.items()}))
    return ["--config", str(recipe)], {"pipeline": "crops", "pairs": pairs, "ignore": ignore}


def label_maps(root: Path, program: Path) -> Path:
    """Label maps of the panoptic annotations, made anew each time."""
    folder = WORK / "coco-labels"
    annotations = root / "annotations" / "panoptic_train2017.json"
    words = ["data", "prepare", "coco-panoptic-to-semantic", "--json", str(annotations), "--out-dir", str(folder)]
    called(program, words)
    return folder


def coco_pairs(root: Path, labels: Path) -> list[list[str]]:
    file = json.loads((root / "annotations" / "panoptic_train2017.json").read_text())
    images = root / "train2017"
    stems = sorted(Path(annotation["file_name"]).stem for annotation in file["annotations"])
    return [[str(images / f"{stem}.jpg"), str(labels / f"{stem}.png")] for stem in stems]


def settings() -> dict[str, str]:
    """The allocator settings of a training, for all programs; a worker a core, and one thread each."""
    return smalti.settings() | {"OMP_NUM_THREADS": "1"}


def called(program: Path, words: list[str]) -> None:
    ran = subprocess.run([str(program), "--quiet", *words], stdout=subprocess.DEVNULL, env=settings())
    if ran.returncode:
        sys.exit(f"failed: {program} {' '.join(words)}")


def run_smalti(program: Path, words: list[str], samples: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        called(program, ["bench", "loader", *words, "--samples", str(samples), "--json", str(out)])
        return json.loads(out.read_text())


def run_peer(library: str, form: str, case: dict, samples: int) -> dict:
    script = Path(__file__).with_name("run_loader_peer.py")
    command = [sys.executable, "-B", str(script), library, form, str(os.cpu_count()), str(samples)]
    ran = subprocess.run(command, input=json.dumps(case), stdout=subprocess.PIPE, text=True, env=settings())
    if ran.returncode:
        sys.exit(f"failed: {' '.join(command)}")
    return json.loads(ran.stdout)


def rows(name: str, found: dict[str, list[dict]]) -> str:
    """Medians; in brackets how many times smalti's they are."""
    lines = []
    ours = None
    for key, runs in found.items():
        keys = ("images_per_second", "cpu_ms", "peak_mb")
        rate, cpu, memory = (statistics.median(run[field] for run in runs) for field in keys)
        label = f"smalti {runs[0]['smalti']}" if ours is None else f"DataLoader, {key}"
        cells = [f"{rate:.1f}", f"{cpu:.2f}", f"{memory:.0f}"]
        if ours is not None:
            cells = [f"{rate:.1f}", f"{cpu:.2f} ({cpu / ours[0]:.1f}x)", f"{memory:.0f} ({memory / ours[1]:.1f}x)"]
        ours = ours or (cpu, memory)
        lines.append(f"| {' | '.join([name, label, *cells])} |")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", metavar="CASE")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--coco", type=Path, metavar="DIR")
    parser.add_argument("--camvid", type=Path, metavar="DIR")
    parser.add_argument("--bytes", action="store_true")
    parser.add_argument("--skip", nargs="*", default=[], choices=LIBRARIES, metavar="LIBRARY")
    args = parser.parse_args()
    for case in args.case:
        if case not in CASES:
            parser.error(f"no case {case}: one of {', '.join(CASES)}")
    args.coco, args.camvid = (path and path.resolve() for path in (args.coco, args.camvid))
    return args


if __name__ == "__main__":
    sys.exit(main())
