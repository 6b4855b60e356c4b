"""What this machine has and lacks. Each complaint is one line that ends in the command or step that helps."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from . import SetupError

GLIBC_MIN = (2, 28)  # the wheels are manylinux_2_28
GCC_MIN = 9  # libtorch's headers refuse older ones


def output_of(command, timeout=20):
    """Standard output of `command`, or None where it is not there, fails or hangs."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=timeout
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def glibc_version():
    """(major, minor) of the C library, None on musl and other C libraries."""
    try:
        found = re.fullmatch(r"glibc (\d+)\.(\d+).*", os.confstr("CS_GNU_LIBC_VERSION") or "")
    except (ValueError, OSError):
        return None
    return (int(found[1]), int(found[2])) if found else None


def wheel_problems():
    """Why the libtorch wheels cannot run here: they are built for x86_64 Linux with glibc 2.28 or newer."""
    system, arch = platform.system(), platform.machine()
    own = "build libtorch 2.11 for this machine and set LIBTORCH to its folder"
    if (system, arch) != ("Linux", "x86_64"):
        return [f"libtorch's wheels are for Linux x86_64, this is {system} {arch}: {own}"]
    glibc = glibc_version()
    if glibc is None:
        return [f"libtorch's wheels need glibc, this system has another C library: use Debian 12 or alike, or {own}"]
    if glibc < GLIBC_MIN:
        return [f"glibc is {dotted(glibc)}, libtorch's wheels need {dotted(GLIBC_MIN)}: upgrade the system, or {own}"]
    return []


def tool_problems(root, env=os.environ):
    """What is missing of the compilers, one line each; empty when all is there."""
    # The names that the cc crate and rustc call when nothing else is asked for.
    cxx = (env.get("CXX") or "c++").split()
    tools = {cxx[0]: "C++ compiler", "cc": "C compiler, which links Rust programs", "make": "make"}
    problems = [
        f"no {what} (`{name}`): sudo apt-get install build-essential"
        for name, what in tools.items()
        if shutil.which(name) is None
    ]
    return problems + gcc_problems(cxx) + cargo_problems(root)


def gcc_problems(cxx):
    """A g++ too old for libtorch's headers; other compilers pass."""
    first = (output_of([*cxx, "--version"]) or "").split("\n")[0]
    version = re.search(r"(\d+)\.\d+\.\d+\s*\S*$", first)
    if not version or "clang" in first or int(version[1]) >= GCC_MIN:
        return []
    new = f"g++-{GCC_MIN}"
    return [
        f"g++ is version {version[1]}, libtorch's headers need {GCC_MIN}: sudo apt-get install {new}; export CXX={new}"
    ]


def cargo_problems(root):
    """No cargo, or one older than the workspace's rust-version."""
    wanted = re.search(r'^rust-version = "(\d+)\.(\d+)', (root / "Cargo.toml").read_text(), re.MULTILINE)
    wanted = (int(wanted[1]), int(wanted[2])) if wanted else (1, 0)
    if shutil.which("cargo") is None:
        if (Path.home() / ".cargo/bin/cargo").exists():
            return ['cargo is installed but not on PATH: . "$HOME/.cargo/env"']
        return [f"no cargo: install Rust {dotted(wanted)} or newer from https://rustup.rs"]
    said = output_of(["cargo", "--version"]) or ""
    found = re.match(r"cargo (\d+)\.(\d+)", said)
    if not found:
        return ["`cargo --version` fails: rustup default stable"]
    if (int(found[1]), int(found[2])) < wanted:
        return [f"cargo is {found[1]}.{found[2]}, {dotted(wanted)} or newer is needed: rustup update stable"]
    return []


def require_space(folder, gigabytes):
    """Refuses to begin what would fill the disk."""
    free = shutil.disk_usage(folder).free / 1e9
    if free < gigabytes:
        raise SetupError(
            f"{free:.1f} GB free on the disk of {folder}, {gigabytes} GB are needed: free some, "
            "or set LIBTORCH to a libtorch 2.11 elsewhere"
        )


def has_gpu():
    """True where the NVIDIA driver answers and lists a device."""
    return "GPU " in (output_of(["nvidia-smi", "-L"]) or "")


def dotted(version):
    return ".".join(map(str, version))
