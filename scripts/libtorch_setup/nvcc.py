"""Finds nvcc, or fetches one from the package index into third_party/nvcc of this clone.

Order: CUDA_HOME, then PATH, then the fetched one. Compiling needs no GPU and no driver.
"""

import os
import re
import shutil
import sys
from pathlib import Path

from . import SetupError, wheels
from .machine import output_of

ROOT = Path(__file__).resolve().parents[2]
MIN_VERSION = (12, 8)  # the first that knows sm_100 and sm_120
REQUIREMENTS = tuple(
    f"nvidia-{part}==13.0.*" for part in ("cuda-nvcc", "cuda-runtime", "cuda-cccl", "cuda-crt", "nvvm")
)
PREFIX = "nvidia/cu13/"  # where the wheels keep the toolkit


def find_nvcc(env=os.environ, root=ROOT):
    """Path of an nvcc that knows every architecture we build for."""
    return own_nvcc(env) or fetched_nvcc(root / "third_party" / "nvcc")


def own_nvcc(env=os.environ):
    """The nvcc of this machine, or None if it has none that is new enough."""
    if env.get("CUDA_HOME"):
        nvcc = Path(env["CUDA_HOME"]) / "bin" / "nvcc"
        version = version_of(nvcc)
        if version is None:
            raise SetupError(f"CUDA_HOME={env['CUDA_HOME']} has no bin/nvcc that runs: set it right, or unset it")
        if version < MIN_VERSION:
            raise SetupError(f"{nvcc} is {dotted(version)}, {dotted(MIN_VERSION)} or newer is needed: unset CUDA_HOME")
        return nvcc
    on_path = shutil.which("nvcc", path=env.get("PATH"))
    return Path(on_path) if on_path and (version_of(on_path) or (0, 0)) >= MIN_VERSION else None


def fetched_nvcc(folder):
    """The nvcc below `folder`, fetched if it is not there whole."""
    nvcc = folder / "bin" / "nvcc"
    if version_of(nvcc) is not None:
        return nvcc
    wheels.require_pip()
    incoming = folder.with_name(folder.name + ".incoming")
    for old in (incoming, folder):
        shutil.rmtree(old, ignore_errors=True)
    store = wheels.Store(folder.with_name(folder.name + ".download"), say)
    for requirement in REQUIREMENTS:
        store.unpack(requirement, toolkit_path, incoming)
    # A folder of this name is always whole.
    incoming.rename(folder)
    shutil.rmtree(store.folder)
    if version_of(nvcc) is None:
        raise SetupError(f"{nvcc} does not run: delete {folder} and try again")
    return nvcc


def toolkit_path(member):
    """Where a wheel's member goes below the toolkit's folder; None for what is no part of it."""
    inside = member.startswith(PREFIX) and not member.startswith(PREFIX + ".metadata")
    return member[len(PREFIX) :] if inside else None


def version_of(nvcc):
    """(major, minor), or None if it does not run."""
    said = output_of([str(nvcc), "--version"])
    found = re.search(r"release (\d+)\.(\d+)", said or "")
    return (int(found[1]), int(found[2])) if found else None


def dotted(version):
    return ".".join(map(str, version))


def say(text):
    print(f"nvcc: {text}", file=sys.stderr, flush=True)
