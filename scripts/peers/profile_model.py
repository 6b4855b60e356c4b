#!/usr/bin/env python3
"""Where the time of a network's passes goes on a CPU, by the logs of the libraries below libtorch; a markdown table.

    scripts/peers/profile_model.py ["FAMILY VARIANT" | RECIPE.toml ...] [--batch 8x224,1x512] [--repeat 5] [--train]

A classifier, or the segmentation network of a recipe; with --train forward and backward, of a recipe with its losses.
One thread, so that the parts add up to the pass; medians over the calls. `convolutions`, `linear` and `GELU` are oneDNN's, in
brackets giga multiply-adds a second; `MKL` is all products of matrices that are no linear layers, as attention's scores; `rest` is
all else: smalti's kernels, norms, sums, copies. SMALTI names another binary.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import smalti

MODELS = ["nat tiny", "dinat_s tiny", "dat tiny", "davit tiny", "swin tiny", "convnext tiny", "resnet 50"]
WARM_UPS = 2  # calls of `smalti bench model` that do not count
KINDS = {"convolution": "convolutions", "inner_product": "linear", "eltwise": "GELU", "mkl": "MKL"}
ONEDNN = re.compile(r"^onednn_verbose,v1,primitive,exec,cpu,(\w+),.*,([^,]*),([\d.]+)$")
MKL = re.compile(r"^MKL_VERBOSE \w+\(.*\) ([\d.]+)(ns|us|ms|s) ")
MILLISECONDS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}


def main() -> int:
    args = arguments()
    lines = [["model", "batch", "size", "pass ms", *KINDS.values(), "rest"]]
    lines.append(["---"] * len(lines[0]))
    for name in args.model or MODELS:
        for batch in args.batch.split(","):
            lines.append([name, *batch.split("x"), *profile(name, batch, args.repeat, args.train)])
    print("\n".join(f"| {' | '.join(cells)} |" for cells in lines))
    return 0


def profile(name: str, batch: str, repeat: int, train: bool) -> list[str]:
    """Milliseconds of the pass and of each part."""
    whole, log = run(name, batch, repeat, train)
    events = [event for event in map(parse, log.splitlines()) if event]
    cells, rest = [], whole
    for kind in KINDS:
        found = [event for event in events if event[0] == kind]
        ms, multiply_adds = a_call(name, found, WARM_UPS + repeat)
        rest -= ms
        rate = f" ({multiply_adds / ms / 1e6:.0f})" if multiply_adds else ""
        cells.append(f"{ms:.0f}{rate}" if found else "-")
    return [f"{whole:.0f}", *cells, f"{rest:.0f}"]


def a_call(name: str, events: list[tuple], calls: int) -> tuple[float, int]:
    """Median milliseconds of the calls that count, and multiply-adds of one. All calls log alike."""
    each, surplus = divmod(len(events), calls)
    if surplus:
        sys.exit(f"{name}: {len(events)} entries of {events[0][0]} in {calls} calls: expected as many in each")
    sums = [sum(ms for _, ms, _ in events[call * each : (call + 1) * each]) for call in range(WARM_UPS, calls)]
    return statistics.median(sums), sum(count for _, _, count in events[:each])


def parse(line: str) -> tuple[str, float, int] | None:
    """Kind, milliseconds and multiply-adds of an entry; the last is 0 where nobody asks."""
    if found := ONEDNN.match(line):
        kind, problem, ms = found.groups()
        return (kind, float(ms), multiply_adds(kind, problem)) if kind in KINDS else None
    if found := MKL.match(line):
        return "mkl", float(found[1]) * MILLISECONDS[found[2]], 0
    return None


def multiply_adds(kind: str, problem: str) -> int:
    """Of a problem as oneDNN writes it: mb8_ic64oc64_ih56oh56kh3sh1..., or g64mb8_ic64oc64... of a grouped one."""
    if kind not in ("convolution", "inner_product"):
        return 0
    sizes = {key: int(value) for key, value in re.findall(r"([a-z]+)(\d+)", problem)}
    product = sizes["mb"] * sizes["ic"] * sizes["oc"] // sizes.get("g", 1)
    for key in ("oh", "ow", "kh", "kw"):
        product *= sizes.get(key, 1)
    return product


def run(name: str, batch: str, repeat: int, train: bool) -> tuple[float, str]:
    """Milliseconds of `smalti bench model`, and what the libraries logged."""
    logging = {"OMP_NUM_THREADS": "1", "ONEDNN_VERBOSE": "profile_exec", "MKL_VERBOSE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        which = ["--config", name] if name.endswith(".toml") else [name, "--max-params", "1000"]
        words = ["bench", "model", *which, "--batch", batch, "--repeat", str(repeat), *(["--train"] if train else [])]
        command = [str(smalti.full_binary()), "--quiet", *words, "--device", "cpu", "--json", str(out)]
        ran = subprocess.run(command, env=smalti.settings() | logging, stdout=subprocess.PIPE, text=True)
        if ran.returncode:
            sys.exit(f"failed: {' '.join(command)}")
        results = json.loads(out.read_text())["results"]
    if len(results) != 1:
        sys.exit(f"`{name}`: expected a family and a variant, got {len(results)} models")
    return results[0]["ms"], ran.stdout


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="*", metavar='"FAMILY VARIANT"|RECIPE')
    parser.add_argument("--batch", default="8x224,1x512", metavar="NxSIDE,...")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--train", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
