"""The binary under test: where it is, and one run of it."""

import json
import os
import subprocess
from pathlib import Path

from environment import ROOT


class Failed(Exception):
    """`smalti` ended with an error."""


def binary() -> Path:
    """SMALTI, or the scorer without libtorch, built here if cargo finds it out of date."""
    given = os.environ.get("SMALTI")
    if given:
        return Path(given).resolve()
    folder = ROOT / "target" / "eval-only"
    locked = ["--locked"] if os.environ.get("CI") else []
    features = ["-p", "smalti", "--bin", "smalti", "--no-default-features"]
    build = ["cargo", "build", "--quiet", "--release", *locked, *features, "--target-dir", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True)
    return folder / "release" / "smalti"


def full_binary() -> Path:
    """SMALTI, or the command with libtorch, built here if cargo finds it out of date."""
    given = os.environ.get("SMALTI")
    if given:
        return Path(given).resolve()
    locked = ["--locked"] if os.environ.get("CI") else []
    build = ["cargo", "build", "--quiet", "--release", *locked, "-p", "smalti", "--bins"]
    subprocess.run(build, cwd=ROOT, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "smalti"


def floors() -> Path:
    """SMALTI_FLOORS, or the program that does nothing but read, inflate, scan or decode, built here."""
    given = os.environ.get("SMALTI_FLOORS")
    if given:
        return Path(given).resolve()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    build = ["cargo", "build", "--quiet", "--release", "-p", "smalti-datasets", "--example", "floors"]
    subprocess.run(build, cwd=ROOT, check=True)
    return target / "release" / "examples" / "floors"


def settings() -> dict[str, str]:
    """What every process here runs with: threads that sleep when they wait, and smalti's own allocator settings."""
    wanted = {
        "OMP_NUM_THREADS": str(os.cpu_count()),
        "OMP_WAIT_POLICY": "passive",
        "GOMP_SPINCOUNT": "20000",
        "MALLOC_TRIM_THRESHOLD_": "4000000000",
        "MALLOC_MMAP_MAX_": "0",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    }
    return wanted | dict(os.environ)  # the user's own win


def score(program: Path, arguments: list[str], out: Path, threads: int | None = None) -> dict:
    """`smalti score ARGUMENTS --json`, and what it wrote."""
    env = dict(os.environ, NO_COLOR="1")
    if threads:
        env["RAYON_NUM_THREADS"] = str(threads)
    command = [str(program), "score", *arguments, "--json", str(out)]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)
    except subprocess.TimeoutExpired as late:
        raise Failed(f"no end after 60 s: {' '.join(command)}") from late
    if ran.returncode:
        raise Failed(f"exit code {ran.returncode}: {' '.join(command)}\n{ran.stderr.strip()}")
    return json.loads(out.read_text())
