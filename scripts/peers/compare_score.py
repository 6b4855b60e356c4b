#!/usr/bin/env python3
"""Compares `smalti score` with the official scorers on random cases that aim at their quirks: every number, every class.

    scripts/peers/compare_score.py [--seed S] [--cases N] [METRIC ...]
    scripts/peers/compare_score.py --seed S --only INDEX panoptic     one case again, its files kept

A case depends on the seed, the metric and its index only. What differs is printed with the command that makes the case
again, and the files of such a case are kept in target/compare. `make compare` runs it; the environment with the
reference scorers is made on the first run.
"""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

import environment

METRICS = (
    *("segm", "bbox", "boundary"),
    *("panoptic", "panoptic-boundary", "semantic", "cityscapes-semantic", "cityscapes-instance"),
)


def main() -> int:
    args = arguments()
    environment.enter(environment.REQUIREMENTS)
    import smalti

    program = smalti.binary()
    base = environment.ROOT / "target" / "compare"
    wrong = 0
    for metric in args.metrics or METRICS:
        began, compared, bad = time.monotonic(), 0, 0
        indices = range(args.cases) if args.only is None else [args.only]
        for index in indices:
            folder = base / metric / f"{args.seed}-{index}"
            lines = run(program, metric, args.seed, index, folder)
            compared += lines is not None
            if lines:
                bad += 1
                again = f"scripts/peers/compare_score.py --seed {args.seed} --only {index} {metric}"
                print(f"{metric}, seed {args.seed}, case {index} ({folder}): {again}", file=sys.stderr)
                print("".join(f"  {line}\n" for line in lines[:12]), end="", file=sys.stderr)
            elif args.only is None:
                shutil.rmtree(folder)
            if bad == 10:
                print(f"{metric}: stopped after 10 cases that differ", file=sys.stderr)
                break
        wrong += bad
        result = "all numbers agree" if not bad else f"{bad} DIFFER"
        print(f"{metric}: {compared} cases, seed {args.seed}, {time.monotonic() - began:.1f} s: {result}", flush=True)
    return 1 if wrong else 0


def run(program: Path, metric: str, seed: int, index: int, folder: Path) -> list[str] | None:
    """What differs in one case; None where the reference itself breaks down."""
    import numpy as np
    import smalti
    from compare import numbers

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, METRICS.index(metric), index])
    case, tolerance = make(metric, rng, folder)
    expected = case.expected()
    try:
        got = smalti.score(program, case.arguments(), folder / "got.json", threads=1 + index % 3)
    except smalti.Failed as error:
        return [str(error)]
    return None if expected is None else numbers.differences(expected, got, tolerance)


def make(metric: str, rng, folder: Path):
    """The case and how closely its numbers must agree."""
    if metric in ("segm", "bbox", "boundary"):
        from compare import coco

        return coco.Case(rng, folder, metric), coco.TOLERANCE
    if metric.startswith("panoptic"):
        from compare import panoptic

        return panoptic.Case(rng, folder, metric == "panoptic-boundary"), panoptic.TOLERANCE
    if metric == "semantic":
        from compare import semantic

        return semantic.Case(rng, folder), semantic.TOLERANCE
    from compare import cityscapes

    return cityscapes.Case(rng, folder, metric.removeprefix("cityscapes-")), cityscapes.TOLERANCE


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metrics", nargs="*", metavar="METRIC", help=", ".join(METRICS))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("COMPARE_SEED", "0")), help="default 0")
    parser.add_argument("--cases", type=int, default=200, help="cases a metric (default 200)")
    parser.add_argument("--only", type=int, help="only this case; its files are kept")
    args = parser.parse_args()
    for metric in args.metrics:
        if metric not in METRICS:
            parser.error(f"no metric {metric}: one of {', '.join(METRICS)}")
    return args


if __name__ == "__main__":
    sys.exit(main())
