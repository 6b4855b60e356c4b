"""Time and memory of a call in a peer's process."""

import ctypes
import json
import os
import statistics
import sys
import time
from pathlib import Path

import torch

SLOW = 1.0  # seconds a call from which fewer calls are enough


def median(run, device: str, repeat: int) -> float:
    """Milliseconds of the median call after two that do not count; of slow calls three after one."""
    return calls(run, device, repeat)[0]


def calls(run, device: str, repeat: int) -> tuple[float, float]:
    """The same and the median of the CPU time of all threads."""
    first, _ = once(run, device)
    if first > SLOW:
        repeat = min(repeat, 3)
    else:
        once(run, device)
    walls, cpus = zip(*(once(run, device) for _ in range(repeat)), strict=True)
    return 1e3 * statistics.median(walls), 1e3 * statistics.median(cpus)


def once(run, device: str) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    begin, cpu = time.perf_counter(), time.process_time()
    run()
    if device != "cpu":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin, time.process_time() - cpu


def memory_now(device: str) -> float:
    """Megabytes in use, from where the peak counts anew; what was freed goes back to the system first.

    `smalti bench` does the same (tools/src/engine/bench/memory.rs).
    """
    if device != "cpu":
        return torch.cuda.memory_allocated(device) / 2**20
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return status_mb("VmRSS")


def memory_peak(device: str) -> float:
    if device != "cpu":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return status_mb("VmHWM")


def status_mb(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) / 1024


def in_a_fork(work) -> dict:
    """What `work()` returns, from a process of its own."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        code = 1
        try:
            answer = json.dumps(work()).encode()
            os.write(write, answer)  # far less than a pipe holds
            code = 0
        except Exception as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(answer) if status == 0 else {"failed": os.waitstatus_to_exitcode(status)}
