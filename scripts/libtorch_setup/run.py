"""Decides which libtorch the build uses, in this order:

1. LIBTORCH of the user's, checked and used as it is;
2. the set that third_party/libtorch leads to, if it is whole;
3. the torch 2.11 of the running Python, linked;
4. a set from the package index: CUDA where the NVIDIA driver answers, CPU elsewhere.

SMALTI_LIBTORCH=cpu or cuda asks for that set instead of 2 and 3.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from . import SetupError, libtorch, machine, nvcc, wheels

ROOT = Path(__file__).resolve().parents[2]
DIVERSIONS = ("LIBTORCH_USE_PYTORCH", "LIBTORCH_INCLUDE", "LIBTORCH_LIB", "LIBTORCH_STATIC")
GIGABYTES = {"cpu": 3, "cuda": 15}  # wheels and what is unpacked from them, side by side


def main(argv=None, root=ROOT, env=os.environ):
    """Runs the set-up; returns the exit code: 0 ready, 2 something is missing, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="setup.py", description="Sets libtorch up inside this clone.")
    parser.add_argument("--quiet", action="store_true", help="print only when there is something to do")
    parser.add_argument("--verify", action="store_true", help="also compare the libraries with the wheels' SHA-256")
    parser.add_argument("--tools-only", action="store_true", help="check only compiler, make and cargo")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        problems = machine.tool_problems(root, env)
        if problems:
            raise SetupError("\nsetup: ".join(problems))
        if not args.tools_only:
            Setup(root, env, args.quiet).run(args.verify)
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"setup: {error.strerror or error}: {error.filename or root}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("setup: interrupted; `make setup` goes on with what is fetched", file=sys.stderr)
        return 130
    return 0


class Setup:
    """One run of the set-up in the clone at `root`."""

    def __init__(self, root, env, quiet=False):
        self.root, self.env, self.quiet = Path(root), env, quiet
        self.third_party = self.root / "third_party"
        self.sets = libtorch.Sets(self.third_party)

    def run(self, verify=False):
        wanted = self.env.get("SMALTI_LIBTORCH", "")
        if wanted not in ("", "cpu", "cuda"):
            raise SetupError(f"SMALTI_LIBTORCH={wanted} is not known: use cpu or cuda, or unset it")
        for name in DIVERSIONS:
            if self.env.get(name):
                raise SetupError(f"{name} is set, so torch-sys would not use LIBTORCH: unset {name}")
        own = self.env.get("LIBTORCH")
        if own == "":
            raise SetupError("LIBTORCH is set but empty, which cargo passes on as it is: unset LIBTORCH")
        if own and not self._is_ours(own):
            folder = libtorch.from_environment(own)
            self._compiler_for(folder)
            return self._report(f"libtorch {libtorch.version_of(folder)} of LIBTORCH={folder}")
        if not self._ready(wanted, verify):
            self.third_party.mkdir(parents=True, exist_ok=True)
            with self._lock():
                if not self._ready(wanted, verify):
                    self._lay_out(wanted)
        kind, stamp = self.sets.in_use()
        self._compiler_for(self.sets.link)
        self._report(f"libtorch {stamp['version']} ({describe(kind, stamp)}) in third_party/libtorch")

    def _compiler_for(self, folder):
        """The build compiles our CUDA kernels where libtorch has CUDA."""
        if (folder / "lib/libtorch_cuda.so").exists():
            found = nvcc.own_nvcc(self.env)
            if found is None:
                self.third_party.mkdir(parents=True, exist_ok=True)
                with self._lock():
                    found = nvcc.fetched_nvcc(self.third_party / "nvcc")
            self._report(f"CUDA kernels will be built by {found}")

    def _is_ours(self, folder):
        """LIBTORCH may name the very folder that is set up here."""
        return os.path.abspath(folder) == str(self.sets.link)

    def _ready(self, wanted, verify):
        found = self.sets.in_use()
        if found is None or (wanted and found[0] != wanted):
            return False
        return not verify or self._hashes_fit(*found)

    def _hashes_fit(self, kind, stamp):
        for path, row in stamp["libraries"].items():
            if row.get("sha256") and sha256(self.third_party / kind / path) != row["sha256"]:
                self.say(f"third_party/{kind}/{path} is not what was unpacked; laying the set out again")
                self.sets.discard(self.third_party / kind)
                return False
        return True

    def _lay_out(self, wanted):
        began = time.monotonic()
        self.sets.sweep()
        kind, stamp = self._from_python(wanted) or self._from_index(wanted)
        switched = self.sets.use(kind, stamp)
        shutil.rmtree(self.third_party / "download", ignore_errors=True)
        if switched:
            self._forget_builds()
        self.say(f"done in {time.monotonic() - began:.0f} s")

    def _from_python(self, wanted):
        found = None if wanted else libtorch.of_python()
        if found is None:
            return None
        folder, version = found
        if not libtorch.is_right(version):
            self.say(f"Python's torch is {version or 'incomplete'}, not {libtorch.TORCH_SERIES}: it is left alone")
            return None
        complaint = libtorch.complaint_about(folder)
        if complaint:
            self.say(f"Python's torch in {folder} {complaint}: it is left alone")
            return None
        return "python", self.sets.lay_out_python(folder, version)

    def _from_index(self, wanted):
        kind = wanted or ("cuda" if machine.has_gpu() else "cpu")
        stamp = self.sets.whole(kind)
        if stamp:
            return kind, stamp
        problems = machine.wheel_problems()
        if problems:
            raise SetupError(problems[0])
        wheels.require_pip()
        machine.require_space(self.third_party, GIGABYTES[kind])
        size = {"cpu": "0.5 GB to fetch", "cuda": "2.5 GB to fetch"}[kind]
        self.say(f"libtorch {libtorch.TORCH_VERSION}, {kind} set: {size} into third_party/ of this clone")
        store = wheels.Store(self.third_party / "download", self.say)
        lay_out = {"cpu": self.sets.lay_out_cpu, "cuda": self.sets.lay_out_cuda}[kind]
        return kind, lay_out(store)

    def _forget_builds(self):
        """torch-sys watches only the path of libtorch, which stays: without this it would keep linking the old set."""
        self.say("another libtorch than before: torch-sys and what links it will be built again")
        clean = ["cargo", "clean", "--manifest-path", str(self.root / "Cargo.toml"), "-p", "torch-sys", "--profile"]
        for profile in ("dev", "release"):
            machine.output_of([*clean, profile])

    @contextmanager
    def _lock(self):
        """Only one run at a time lays anything out; the others wait for it."""
        with open(self.third_party / ".lock", "w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.say("another set-up is at work in this clone; waiting for it")
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def say(self, text):
        print(f"setup: {text}", file=sys.stderr, flush=True)

    def _report(self, text):
        if not self.quiet:
            self.say(text)


def describe(kind, stamp):
    return f"of Python, {stamp['torch']}" if kind == "python" else f"{kind} set"


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        while block := source.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
