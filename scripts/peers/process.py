"""What one process takes, and the machine that it runs on."""

import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


class Process:
    """Runs a command to its end: wall and CPU seconds, the peak in MiB, what it printed. A failure ends the script."""

    def __init__(self, command: list[str]):
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
            began = time.monotonic()
            child = subprocess.Popen(command, stdout=said, stderr=complained)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            self.wall = time.monotonic() - began
            said.seek(0)
            complained.seek(0)
            self.said = said.read().decode()
            if child.returncode:
                sys.exit(f"failed: {' '.join(command)}\n{complained.read().decode()}")
        self.cpu, self.peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def memory(peak: float) -> str:
    """A peak in MiB; of one that is no more than this process's own no more than that: a child starts as a copy of it."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{peak:.0f}" if peak > 1.1 * own else f"< {peak:.0f}"


def machine() -> str:
    model = platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, {model}; Python {platform.python_version()}; load average before {load:.1f}"
