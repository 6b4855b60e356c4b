"""NATTEN 0.17.5, the last release with CPU kernels and with a bias: built from source into this environment, imported.

Its own CPU build turns on neither optimisation nor OpenMP; here it gets CXXFLAGS="-O3 -march=native -fopenmp".
"""

import functools
import os
import subprocess
import sys
import typing
from importlib import metadata
from pathlib import Path

VERSION = "0.17.5"
MINUTES = 25  # longer than its build takes on one busy core


def installed() -> str | None:
    """Version of the NATTEN in this environment."""
    try:
        return metadata.version("natten")
    except metadata.PackageNotFoundError:
        return None


def build() -> bool:
    """Builds it on one core and with low priority, unless it is there; says so if that fails."""
    if installed() == VERSION:
        return True
    print(f"building NATTEN {VERSION} from source, about ten minutes on one core", file=sys.stderr)
    # Its build calls cmake by name; a wheel from pip's cache may have been built without our flags.
    settings = dict(os.environ, CXXFLAGS="-O3 -march=native -fopenmp", NATTEN_N_WORKERS="1", MAX_JOBS="1")
    settings["PATH"] = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    pip = ["nice", "-n", "10", sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    pip += ["--no-build-isolation", "--no-deps", "--no-cache-dir", "--no-binary", "natten", f"natten=={VERSION}"]
    try:
        built = subprocess.run(pip, env=settings, timeout=60 * MINUTES).returncode == 0
    except subprocess.TimeoutExpired:
        built = False
    if not built:
        print(f"NATTEN {VERSION} could not be built; going on without it", file=sys.stderr)
    return built


@functools.cache
def load():
    """Imports it into a newer torch, built for CUDA, on a machine without a GPU: two names it asks for at import."""
    import torch

    torch.cuda._device_t = typing.Any  # a type that moved
    torch.cuda.get_device_capability = lambda device=None: (0, 0)  # asked for unconditionally
    import natten
    import natten.functional  # noqa: F401

    return natten
