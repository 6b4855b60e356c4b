"""hotcoco's command as a peer: its newest releases are on crates.io only."""

import re
import subprocess
from pathlib import Path

from environment import ROOT

VERSION = "1.3.1"
FOLDER = ROOT / "target" / f"hotcoco-{VERSION}"

ARGUMENTS = {
    "hotcoco_segm": [
        *("eval", "--iou-type", "segm"),
        *("--gt", "{}/instances_gt.json", "--dt", "{}/instances_dt.json"),
    ],
    "hotcoco_panoptic": [
        *("panoptic", "--gt", "{}/panoptic_gt.json", "--pred", "{}/panoptic_pred.json"),
        *("--gt-folder", "{}/panoptic_gt", "--pred-folder", "{}/panoptic_pred"),
    ],
    "hotcoco_semantic": [
        *("semantic", "--gt", "{}/sem_gt", "--pred", "{}/sem_pred"),
        *("--classes", "150", "--reduce-zero-label"),
    ],
}


def command(peer: str, folder: Path) -> list[str]:
    """The command line of a job; builds the program on its first use."""
    program = FOLDER / "bin" / "coco-eval"
    if not program.exists():
        package = ["hotcoco-cli", "--version", VERSION, "--locked", "--root", str(FOLDER)]
        subprocess.run(["cargo", "install", "--quiet", *package], cwd=ROOT, check=True)
    return [str(program), *(part.format(folder) for part in ARGUMENTS[peer])]


def main_number(said: str) -> str | None:
    """AP, PQ or mIoU of what the program printed, if it was this program."""
    found = re.search(r"^stats: \[([^,\]]+)", said, re.MULTILINE)
    return found.group(1) if found else None
