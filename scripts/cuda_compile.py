#!/usr/bin/env python3
"""Compiles the CUDA sources for every architecture we ship and lists what each kernel takes.

Exits 1 if a kernel spills registers, 2 if something does not compile or nvcc is missing. Needs no GPU: see
libtorch_setup/nvcc.py for where nvcc comes from.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from libtorch_setup import SetupError
from libtorch_setup.nvcc import find_nvcc

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "ops" / "csrc"
ARCHITECTURES = ("80", "86", "89", "90", "100", "120")
FLAGS = ("-std=c++17", "-O3", "--expt-relaxed-constexpr", "-Xcompiler", "-fPIC,-Wall", "-Xptxas", "-v")


@dataclass
class Usage:
    """What ptxas says of one kernel (or of a device function that is not inlined) on one architecture."""

    registers: int = 0
    shared: int = 0
    stack: int = 0
    spill_stores: int = 0
    spill_loads: int = 0


def main(argv=None):
    parser = argparse.ArgumentParser(prog="cuda_compile.py", description=__doc__.split("\n")[0])
    parser.add_argument("source", nargs="*", type=Path, help="only these .cu files (default: all below ops/csrc)")
    parser.add_argument("--arch", help=f"comma-separated, of {','.join(ARCHITECTURES)} (default: all)")
    parser.add_argument("--jobs", type=int, default=1, help="files compiled at a time (default: 1)")
    parser.add_argument("--out", type=Path, help="keep the objects in this folder")
    args = parser.parse_args(argv)
    architectures = tuple(args.arch.split(",")) if args.arch else ARCHITECTURES
    unknown = set(architectures) - set(ARCHITECTURES)
    if unknown:
        parser.error(f"not an architecture we build for: {', '.join(sorted(unknown))}")
    sources = args.source or sorted(SOURCES.rglob("*.cu"))
    try:
        nvcc = find_nvcc()
    except SetupError as error:
        print(f"cuda_compile: {error}", file=sys.stderr)
        return 2
    out = args.out or Path(tempfile.mkdtemp(prefix="smalti-cuda-"))
    out.mkdir(parents=True, exist_ok=True)
    try:
        return compile_all(nvcc, sources, architectures, out, args.jobs)
    finally:
        if not args.out:
            shutil.rmtree(out)


def compile_all(nvcc, sources, architectures, out, jobs):
    code = 0
    cpu_before = os.times()
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        runs = [pool.submit(compile_one, nvcc, source.resolve(), architectures, out) for source in sources]
        for source, run in zip(sources, runs):
            status, text, seconds = run.result()
            print(f"{source.resolve()}: {seconds:.0f} s")
            for line in text.splitlines():
                if not line.startswith("ptxas info") and not line.startswith("    ") and line.strip():
                    print(f"  {line}")
            if status != 0:
                code = 2
                continue
            usage = parse(text)
            print_table(usage, architectures)
            if code == 0 and any(u.spill_stores or u.spill_loads for u in usage.values()):
                code = 1
    cpu = os.times()
    used = cpu.children_user + cpu.children_system - cpu_before.children_user - cpu_before.children_system
    print(f"{len(sources)} files, {used:.0f} s of CPU time{'; some kernels spill' if code == 1 else ''}")
    return code


def compile_one(nvcc, source, architectures, out):
    """(exit status, what nvcc said, seconds)."""
    inside = source.relative_to(SOURCES) if source.is_relative_to(SOURCES) else Path(source.name)
    command = [str(nvcc), *FLAGS]
    for arch in architectures:
        ptx = f",compute_{arch}" if arch == architectures[-1] else ""
        command += ["-gencode", f"arch=compute_{arch},code=[sm_{arch}{ptx}]"]
    command += ["-c", str(source), "-o", str(out / (str(inside.with_suffix("")).replace("/", "_") + ".o"))]
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout, time.monotonic() - began


def parse(text):
    """{(mangled name, architecture): Usage} of the output of `ptxas -v`."""
    usage = {}
    arch = name = None
    for line in text.splitlines():
        if found := re.search(r"Compiling entry function '(.+)' for 'sm_(\w+)'", line):
            name, arch = found[1], found[2]
        elif found := re.search(r"Function properties for (\S+)", line):
            name = found[1]
        elif found := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            row = usage.setdefault((name, arch), Usage())
            row.stack, row.spill_stores, row.spill_loads = map(int, found.groups())
        elif found := re.search(r"Used (\d+) registers", line):
            row = usage.setdefault((name, arch), Usage())
            row.registers = int(found[1])
            shared = re.search(r"(\d+) bytes smem", line)
            row.shared = int(shared[1]) if shared else 0
    return usage


def print_table(usage, architectures):
    """A row per kernel: registers by architecture, the rest as the largest over the architectures."""
    kernels = sorted({name for name, _ in usage})
    titles = [f"sm_{arch}" for arch in architectures]
    print(f"  {'registers on':>{7 * len(titles)}}")
    print("  " + "".join(f"{title:>7}" for title in titles) + f"{'shared':>8}{'stack':>7}{'spill st/ld':>13}  kernel")
    for mangled, readable in zip(kernels, demangled(kernels)):
        rows = [usage.get((mangled, arch)) for arch in architectures]
        there = [row for row in rows if row]
        spills = f"{max(row.spill_stores for row in there)}/{max(row.spill_loads for row in there)}"
        print(
            "  " + "".join(f"{row.registers if row else '-':>7}" for row in rows)
            + f"{max(row.shared for row in there):>8}{max(row.stack for row in there):>7}{spills:>13}  {readable}"
        )  # fmt: skip


def demangled(names):
    """Kernel names as written, without parameters; as they are where no demangler is installed."""
    tool = shutil.which("c++filt") or shutil.which("cu++filt")
    if not tool or not names:
        return names
    said = subprocess.run([tool, "-p", *names], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [line.replace("(anonymous namespace)::", "").replace("smalti::", "") for line in said.splitlines()]


if __name__ == "__main__":
    sys.exit(main())
