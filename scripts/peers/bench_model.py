#!/usr/bin/env python3
"""Times smalti's classifiers beside those of timm, transformers and torchvision, or on NATTEN; prints a markdown table.

    scripts/peers/bench_model.py [FAMILY ...] [--batch 8x224,1x512] [--train] [--max-params 30] [--repeat 5] [--skip PEER ...]

    FAMILY          families, or parts of variants' names: `smalti bench model FAMILY`
    --skip PEER     leave out timm, transformers, torchvision or natten (which saves building it)

Everything has the same threads, allocator settings and OMP_WAIT_POLICY, and torch is of smalti's libtorch. A peer must have
exactly smalti's number of parameters. Times are medians after two calls that do not count (a peer's calls of over a second:
three after one). Memory is what a process grew by beside the weights. The column `logits` is the largest difference between
the logits of the two with the peer's weights, moved at random, over the largest logit (model_parity.py). NAT, DiNAT, DiNAT_s
and DAT++ are their authors' architecture on NATTEN 0.17.5, on the CPU (natten_models.py, dat_models.py). SMALTI names
another binary, SMALTI_PEERS_VENV another environment.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import environment
import natten_cpu
import smalti


def main() -> int:
    args = arguments()
    environment.enter(environment.REQUIREMENTS_TORCH, name="torch")
    program = smalti.full_binary()
    settings = smalti.settings() | {"SMALTI": str(program)}
    report = run_smalti(program, args, settings)
    names = chosen_peers(report, args.skip)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ["torch", *names])
    print(
        f"smalti {report['smalti']}, libtorch {report['libtorch']}, {versions}; {report['device']}, "
        f"{report['threads']} threads; load average before {os.getloadavg()[0]:.1f}"
    )
    counts = parameters(program, settings)
    answers = {name: run_peer(name, report, counts, settings) for name in names}
    print(f"\n{table(report, answers)}", flush=True)
    return 0


def chosen_peers(report: dict, skip: list[str]) -> list[str]:
    """The peers that can run; NATTEN is built on the CPU and for its families only."""
    from model_peers import NATTEN, PEERS  # torch is in the environment only

    names = [name for name in PEERS if name not in skip]
    wanted = report["device"] == "cpu" and any(case["family"] in NATTEN for case in report["results"])
    if "natten" in names and not (wanted and natten_cpu.build()):
        names.remove("natten")
    return names


def run_smalti(program: Path, args: argparse.Namespace, settings: dict[str, str]) -> dict:
    """`smalti bench model` on the families asked for."""
    words = ["bench", "model", *args.family, "--batch", args.batch, "--repeat", str(args.repeat)]
    words += ["--max-params", str(args.max_params), *(["--train"] if args.train else [])]
    return run_json(program, words, settings)


def parameters(program: Path, settings: dict[str, str]) -> dict[tuple[str, str], int]:
    """Number of parameters of every variant."""
    models = run_json(program, ["models"], settings)
    return {(model["family"], model["variant"]): model["classifier_parameters"] for model in models}


def run_json(program: Path, words: list[str], settings: dict[str, str]):
    """What a verb writes with --json."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [str(program), "--quiet", *words, "--json", str(out)]
        if subprocess.run(command, env=settings, stdout=subprocess.DEVNULL).returncode:
            sys.exit(f"failed: {' '.join(command)}")
        return json.loads(out.read_text())


def run_peer(name: str, report: dict, counts: dict, settings: dict[str, str]) -> list[dict | None]:
    """What the peer takes for each case; None where it has no such model or failed."""
    cases = report["results"]
    script = Path(__file__).with_name("run_model_peer.py")
    mode = "train" if report["train"] else "forward"
    command = [sys.executable, "-B", str(script), name, report["device"], str(report["repeat"]), mode]
    print(f"{name}: {len(cases)} cases", file=sys.stderr, flush=True)
    ran = subprocess.run(command, input=json.dumps(cases), env=settings, stdout=subprocess.PIPE, text=True)
    if ran.returncode:
        sys.exit(f"failed: {' '.join(command)}")
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    for case, answer in zip(cases, answers, strict=True):
        model = (case["family"], case["variant"])
        if answer and "failed" not in answer and answer["parameters"] != counts[model]:
            sys.exit(f"{name}'s {' '.join(model)} has {answer['parameters']} parameters, smalti's {counts[model]}")
    return [None if answer is None or "failed" in answer else answer for answer in answers]


def table(report: dict, answers: dict[str, list]) -> str:
    """Ours beside each peer; in brackets how many times as long as ours a peer takes."""
    header = ["model", "batch", "size", "smalti ms", "GMAC/s", "peak MB"]
    for name in answers:
        header += [f"{name} ms", "peak MB", "logits"]
    lines = [header, ["---"] * len(header)]
    for at, ours in enumerate(report["results"]):
        cells = [f"{ours['family']} {ours['variant']}", str(ours["batch"]), str(ours["size"]), f"{ours['ms']:.1f}"]
        memory = ours["memory_mb"]
        cells += [f"{ours['gmac_per_second']:.0f}", "-" if memory is None else f"{memory:.0f}"]
        for found in answers.values():
            answer = found[at]
            if answer is None:
                cells += ["-"] * 3
            else:
                cells += [f"{answer['ms']:.1f} ({answer['ms'] / ours['ms']:.2f}x)", f"{answer['peak_mb']:.0f}"]
                cells.append("-" if answer["difference"] is None else f"{answer['difference']:.0e}")
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", nargs="*", metavar="FAMILY")
    parser.add_argument("--batch", default="8x224,1x512", metavar="NxSIDE,...")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--max-params", type=int, default=30, metavar="M")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--skip", nargs="*", default=[], metavar="PEER")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
