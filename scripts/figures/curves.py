"""Draws the tables of docs/results.md that count minutes as curves: docs/images/curves.svg.

    python3 -m venv target/figures && target/figures/bin/pip install matplotlib==3.11.2
    target/figures/bin/python scripts/figures/curves.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("svg")
# The same bytes in every run; text stays text.
matplotlib.rcParams |= {"svg.hashsalt": "smalti", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}

from matplotlib import pyplot  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLUE, ORANGE, GREEN, GREY = "#2f6fb3", "#d9772b", "#3c9a5f", "#8a8f98"


@dataclass(frozen=True)
class Course:
    """A column of a table of a section, tables that do not begin with minutes not counted."""

    section: str
    table: int
    column: str
    label: str
    colour: str
    dashed: bool = False


SCENES, NUCLEI, CAMVID = "The embedded set, panoptic: Mask2Former", "Nuclei, instances", "CamVid, 11 classes, 480x360"
PANELS = {
    "Synthetic scenes, one network": [
        Course(SCENES, 0, "mIoU", "mIoU", GREEN),
        Course(SCENES, 0, "PQ", "PQ", BLUE),
        Course(SCENES, 0, "AP", "mask AP", ORANGE),
    ],
    "Nuclei, AP50": [
        Course(NUCLEI, 0, "AP50", "from scenes", BLUE),
        Course(NUCLEI, 1, "AP50", "the same, seed 2", BLUE, dashed=True),
        Course(NUCLEI, 2, "AP50", "from random weights", ORANGE),
        Course(NUCLEI, 3, "AP50", "transformers, random weights", GREY),
    ],
    "CamVid": [
        Course(CAMVID, 0, "pixel accuracy", "pixel accuracy", GREEN),
        Course(CAMVID, 0, "mIoU", "mIoU", BLUE),
    ],
}
NUCLEI_FLOOR = 0.511


def tables(section: str) -> list[tuple[list[str], list[list[str]]]]:
    """Head and rows of each table of a section whose first column is minutes."""
    text = (DOCS / "results.md").read_text(encoding="utf-8")
    body = text.split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", body, re.MULTILINE):
        head, _, *rows = ([cell.strip(" *") for cell in line.strip("|").split("|")] for line in block.splitlines())
        if head[0] == "minutes":
            found.append((head, rows))
    return found


def draw(axes: Axes, course: Course) -> None:
    head, rows = tables(course.section)[course.table]
    column = head.index(course.column)
    # A row without minutes is no step of the run.
    points = [(float(row[0]), float(row[column])) for row in rows if row[0]]
    minutes, values = zip(*points, strict=True)
    style = "--" if course.dashed else "-"
    axes.plot(minutes, values, style, color=course.colour, marker="o", markersize=3, linewidth=1.4, label=course.label)


def main() -> None:
    figure, row = pyplot.subplots(1, len(PANELS), figsize=(11, 3.3), layout="constrained")
    for axes, (title, courses) in zip(row, PANELS.items(), strict=True):
        for course in courses:
            draw(axes, course)
        if title.startswith("Nuclei"):
            axes.axhline(NUCLEI_FLOOR, color=GREY, linewidth=0.8, linestyle=":")
            axes.text(0, NUCLEI_FLOOR + 0.008, "Otsu's threshold", color=GREY, fontsize=8)
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
        axes.set_xlabel("minutes")
        axes.set_xlim(left=0)
        axes.set_ylim(0, 0.9)
        axes.grid(axis="y", color="#e3e6ea", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0)
        axes.legend(frameon=False, fontsize=8, loc="upper left" if title.startswith("Nuclei") else "lower right")
    figure.savefig(DOCS / "images" / "curves.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
