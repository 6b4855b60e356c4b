#!/usr/bin/env python3
"""Times `smalti score` beside the other scorers on sets as large as the real ones; prints markdown tables.

    scripts/peers/bench_score.py [--repeat N] [--slow] [--tenfold] [--floors] [--data DIR] [JOB ...]

    JOB         instance, panoptic, semantic, cityscapes-instance, cityscapes-semantic (all of them)
    --slow      also the peers that need a minute: pycocotools, faster-coco-eval, panopticapi (PANOPTICAPI=checkout)
    --tenfold   also smalti on ten times the images: how time and memory grow
    --floors    also what reading, inflating and scanning the same files costs
    --data DIR  where the sets are, or are made (target/scale)

Every run is a process of its own; programs take turns, so that a noisy minute meets all of them. CPU s is user + sys of
the process and its children, wall s from start to end, the peak that of the largest process; medians. Quiet machines
give quiet numbers: the load before the first run is printed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import environment
import hotcoco_crate
import process

# job: set, smalti's arguments below the set's folder, peers, slow peers, smalti's metric
JOBS = {
    "instance": (
        "instance",
        ["instance", "--gt", "{}/instances_gt.json", "--pred", "{}/instances_dt.json"],
        ["hotcoco_segm"],
        ["faster_coco_eval_segm", "pycocotools_segm"],
        "AP",
    ),
    "panoptic": (
        "panoptic",
        [
            *("panoptic", "--gt", "{}/panoptic_gt.json", "--gt-dir", "{}/panoptic_gt"),
            *("--pred", "{}/panoptic_pred.json", "--pred-dir", "{}/panoptic_pred"),
        ],
        ["hotcoco_panoptic"],
        ["panopticapi_panoptic"],
        "PQ",
    ),
    "semantic": (
        "semantic",
        [
            *("semantic", "--gt-dir", "{}/sem_gt", "--pred-dir", "{}/sem_pred"),
            *("--num-classes", "150", "--reduce-zero-label"),
        ],
        ["hotcoco_semantic", "numpy_semantic"],
        [],
        "mIoU",
    ),
    "cityscapes-instance": (
        "cityscapes",
        ["cityscapes", "--gt-dir", "{}/gtFine/val", "--pred-dir", "{}/results_instance", "--task", "instance"],
        ["cityscapes_instance"],
        [],
        "AP",
    ),
    "cityscapes-semantic": (
        "cityscapes",
        ["cityscapes", "--gt-dir", "{}/gtFine/val", "--pred-dir", "{}/results_pixel", "--task", "semantic"],
        ["cityscapes_pixel"],
        [],
        "IoU_class",
    ),
}
# peer: the package whose version is named
PACKAGES = {"faster": "faster-coco-eval", "pycocotools": "pycocotools", "numpy": "numpy"}
PACKAGES["cityscapes"] = "cityscapesScripts"
FLOORS = {
    "instance": ["read", "scan"],
    "panoptic": ["read", "inflate"],
    "semantic": ["read", "inflate"],
    "cityscapes": ["read", "inflate"],
}


def main() -> int:
    args = arguments()
    environment.enter(environment.REQUIREMENTS, environment.REQUIREMENTS_BENCH)
    import smalti

    program = smalti.binary()
    print(process.machine(), "\n")
    print("| job | program | CPU s | wall s | peak MiB | CPU / wall | result |\n|---|---|---|---|---|---|---|")
    for job in args.jobs or JOBS:
        kind, arguments_, peers, slow, metric = JOBS[job]
        folder = prepared(args.data, kind, 1)
        programs = {f"smalti {version(program)}": smalti_run(program, arguments_, folder)}
        for peer in peers + (slow if args.slow else []):
            if peer != "panopticapi_panoptic" or "PANOPTICAPI" in os.environ:
                programs[named(peer)] = peer_run(peer, folder)
        if args.tenfold:
            programs["smalti, 10 x the images"] = smalti_run(program, arguments_, prepared(args.data, kind, 10))
        if args.floors:
            for floor in FLOORS[kind]:
                programs[f"floor: {floor}"] = [str(smalti.floors()), floor, str(folder)]
        runs = {name: [] for name in programs}
        for _ in range(args.repeat):
            for name, command in programs.items():
                runs[name].append(Run(command, metric))
        for name, found in runs.items():
            print(row(job, name, found), flush=True)
    return 0


OUT = environment.ROOT / "target" / "bench_score.json"


def smalti_run(program: Path, arguments_: list[str], folder: Path) -> list[str]:
    return [str(program), "score", *(part.format(folder) for part in arguments_), "--json", str(OUT)]


def peer_run(peer: str, folder: Path) -> list[str]:
    if peer in hotcoco_crate.ARGUMENTS:
        return hotcoco_crate.command(peer, folder)
    return [sys.executable, "-B", str(Path(__file__).with_name("run_peer.py")), peer, str(folder)]


class Run(process.Process):
    """What one process took, and the number that it found."""

    def __init__(self, command: list[str], metric: str):
        super().__init__(command)
        stats = hotcoco_crate.main_number(self.said)
        self.result = self.said.split()[-1] if stats is None else stats
        if str(OUT) in command:
            self.result = json.loads(OUT.read_text())["metrics"][metric]


def row(job: str, name: str, runs: list[Run]) -> str:
    cpu, wall, peak = (statistics.median(getattr(r, key) for r in runs) for key in ("cpu", "wall", "peak"))
    result = runs[0].result
    shown = result if name.startswith("floor") else f"{float(result):.12f}"
    return f"| {job} | {name} | {cpu:.2f} | {wall:.2f} | {process.memory(peak)} | {cpu / wall:.2f} | {shown} |"


def prepared(base: Path, kind: str, times: int) -> Path:
    """The folder of a set, made if it is not there.

    In a process of its own: the memory of a parent counts as its children's, which start as copies of it.
    """
    import make_scale

    folder = base / (kind if times == 1 else f"{kind}-{times}")
    if not folder.exists():
        print(f"making {folder}", file=sys.stderr)
        folder.parent.mkdir(parents=True, exist_ok=True)
        images = str(make_scale.IMAGES[kind] * times)
        script = str(Path(make_scale.__file__))
        subprocess.run([sys.executable, "-B", script, kind, str(folder), "--images", images], check=True)
    return folder


def named(peer: str) -> str:
    """A peer with its version."""
    if peer in hotcoco_crate.ARGUMENTS:
        return f"hotcoco {hotcoco_crate.VERSION}"
    package = PACKAGES.get(peer.split("_")[0])
    return f"{package} {metadata.version(package)}" if package else peer.split("_")[0]


def version(program: Path) -> str:
    said = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[-1]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=", ".join(JOBS))
    parser.add_argument("--repeat", type=int, default=5, help="runs of each program (default 5)")
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--tenfold", action="store_true")
    parser.add_argument("--floors", action="store_true")
    parser.add_argument("--data", type=Path, default=environment.ROOT / "target" / "scale")
    args = parser.parse_args()
    for job in args.jobs:
        if job not in JOBS:
            parser.error(f"no job {job}: one of {', '.join(JOBS)}")
    return args


if __name__ == "__main__":
    sys.exit(main())
