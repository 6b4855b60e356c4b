#!/usr/bin/env python3
"""Loads a case of bench_loader.py (JSON on standard input) with torch's DataLoader, in a process of its own; answers JSON.

    run_loader_peer.py LIBRARY float|bytes WORKERS SAMPLES < case.json
"""

import json
import os
import random
import sys
import time
from pathlib import Path

import cv2
import loader_peers
import torch
from torch.utils.data import DataLoader, RandomSampler

BATCH = 4
WARM_UP = 8  # batches that do not count, as smalti's
MEMORY = 25  # batches after those that count, behind each of which memory is looked at


def main() -> int:
    library, form, workers, samples = sys.argv[1:]
    case = json.loads(sys.stdin.read())
    batches = -(-int(samples) // BATCH)
    data = dataset(case, loader_peers.LIBRARIES[library], form == "bytes")
    drawn = (WARM_UP + batches + MEMORY) * BATCH
    loader = iter(
        DataLoader(
            data,
            batch_size=BATCH,
            sampler=RandomSampler(data, replacement=True, num_samples=drawn),
            num_workers=int(workers),
            prefetch_factor=2,
            collate_fn=loader_peers.collate,
            worker_init_fn=start,
        )
    )
    for _ in range(WARM_UP):
        next(loader)
    begin, cpu = time.monotonic(), cpu_seconds()
    for _ in range(batches):
        next(loader)
    wall, cpu = time.monotonic() - begin, cpu_seconds() - cpu
    peak = 0
    for _ in range(MEMORY):
        batch = next(loader)
        peak = max(peak, memory_mb())
        del batch
    count = batches * BATCH
    print(json.dumps({"images_per_second": count / wall, "cpu_ms": 1e3 * cpu / count, "peak_mb": peak}))
    return 0


def dataset(case: dict, library, as_bytes: bool):
    if case["pipeline"] == "crops":
        return loader_peers.Crops(library, case["pairs"], case["ignore"], as_bytes)
    of_task = {"lsj-instance": loader_peers.Instances, "lsj-panoptic": loader_peers.Panoptic}
    return of_task[case["pipeline"]](library, Path(case["root"]), as_bytes)


def start(worker: int):
    """One thread a worker, and numbers of its own."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    random.seed(worker)


def processes() -> list[int]:
    """This process and its workers."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [os.getpid(), *map(int, children)]


def cpu_seconds() -> float:
    """User and system time of all of them; the workers live until the end."""
    ticks = 0
    for pid in processes():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mb() -> float:
    """What all of them hold; a page that several share counts once."""
    kilobytes = 0
    for pid in processes():
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        kilobytes += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes / 1024


if __name__ == "__main__":
    sys.exit(main())
