"""libtorch folders: which are of the right version, complete and loadable, and the sets laid out in third_party/.

A set is built under a temporary name and renamed when it is whole, its stamp (`set.json`) inside; the link
`third_party/libtorch` is switched last. So at every moment the link leads to a whole set or is not there.
"""

import importlib.util
import json
import os
import re
import shutil
from pathlib import Path

from . import TORCH_SERIES, TORCH_VERSION, SetupError
from .machine import output_of
from .wheels import native_requirements

STAMP = "set.json"
STAMP_FORMAT = 1
CPU_LIBRARIES = ("libtorch_cpu.so", "libc10.so", "libgomp.so.1")
# What libtorch_cpu.so of the CUDA build needs beside the wheel itself: {requirement: library}.
CPU_EXTRAS = {"nvidia-cuda-runtime==13.0.*": "libcudart.so.13", "nvidia-cuda-cupti==13.0.*": "libcupti.so.13"}
CUDA_LIBRARIES = ("libtorch.so", "libtorch_cpu.so", "libtorch_cuda.so", "libc10.so", "libc10_cuda.so", "libgomp.so.1")
# Python bindings and helpers of torch's multiprocessing: nothing of ours links them.
UNUSED_LIBRARIES = ("libtorch_python.so", "libshm.so")


def version_of(folder):
    """Version of the libtorch in `folder`, from its headers or the version file of libtorch's zip, or None."""
    macros = {}
    for header in ("torch/headeronly/version.h", "torch/csrc/api/include/torch/version.h"):
        try:
            text = (folder / "include" / header).read_text(errors="replace")
        except OSError:
            continue
        macros.update(re.findall(r"^#define TORCH_VERSION_(MAJOR|MINOR|PATCH) (\d+)", text, re.MULTILINE))
        if len(macros) == 3:
            return "{MAJOR}.{MINOR}.{PATCH}".format(**macros)
    try:
        return (folder / "build-version").read_text().strip().partition("+")[0] or None
    except OSError:
        return None


def is_right(version):
    return version is not None and (version + ".").startswith(TORCH_SERIES + ".")


def missing_libraries(library):
    """What the loader cannot resolve for `library`; the driver's own libraries come with the driver."""
    said = output_of(["ldd", str(library)], timeout=60)
    if said is None:
        return [f"{Path(library).name} itself (ldd cannot read it)"]
    lines = [line.strip() for line in said.splitlines() if "not found" in line]
    names = [line.split(" => ")[0] if " => " in line else line for line in lines]
    return [name for name in names if not name.startswith("libcuda.so")]


def complaint_about(folder):
    """Why `folder` cannot serve as LIBTORCH; None if it can."""
    if not (folder / "include/torch").is_dir():
        return "has no include/torch"
    for name in ("libtorch_cpu.so", "libtorch.so", "libc10.so"):
        if not (folder / "lib" / name).exists():
            return f"has no lib/{name}"
    version = version_of(folder)
    if not is_right(version):
        return f"holds another release: expected {TORCH_VERSION}, got {version or 'no version in its headers'}"
    for name in ("libtorch_cpu.so", "libtorch_cuda.so"):
        missing = missing_libraries(folder / "lib" / name) if (folder / "lib" / name).exists() else []
        if missing:
            return f"cannot be loaded: lib/{name} needs what the loader does not find: {', '.join(missing)}"
    return None


def from_environment(value):
    """The folder named by LIBTORCH, checked."""
    folder = Path(value)
    if not folder.is_absolute():
        raise SetupError(
            f"LIBTORCH={value} is a relative path, cargo needs a full one: export LIBTORCH=$(realpath {value})"
        )
    if not folder.is_dir():
        raise SetupError(
            f"LIBTORCH={value} is not a folder: unset LIBTORCH to have libtorch {TORCH_VERSION} set up here"
        )
    complaint = complaint_about(folder)
    if complaint:
        raise SetupError(f"LIBTORCH={value} {complaint}; unset LIBTORCH to have libtorch {TORCH_VERSION} set up here")
    return folder


def of_python():
    """(folder, version) of the running Python's torch, None without one. torch is not imported: that takes seconds."""
    try:
        spec = importlib.util.find_spec("torch")
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin:
        return None
    folder = Path(spec.origin).parent
    return folder, version_of(folder)


class Sets:
    """The sets below third_party/, and the link to the one in use."""

    def __init__(self, third_party):
        self.home = Path(third_party)
        self.link = self.home / "libtorch"

    def in_use(self):
        """(kind, stamp) of the set the link leads to; None if there is none, or not all of it."""
        if not self.link.is_symlink():
            return None
        kind = os.readlink(self.link).split("/")[0] if not os.readlink(self.link).startswith("/") else "python"
        stamp = self.whole(kind)
        return (kind, stamp) if stamp and os.readlink(self.link) == stamp["torch"] else None

    def whole(self, kind):
        """The stamp of a set of which everything is there in the right size; None otherwise."""
        try:
            stamp = json.loads((self.home / kind / STAMP).read_text())
            if stamp["format"] != STAMP_FORMAT or not is_right(stamp["version"]):
                return None
            base = self.home / kind
            sizes_fit = all(os.path.getsize(base / path) == row["bytes"] for path, row in stamp["libraries"].items())
            headers_fit = header_sum(base / stamp["include"]) == stamp["headers"]
            return stamp if sizes_fit and headers_fit else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def use(self, kind, stamp):
        """Switches the link; True if it led to another kind of set before."""
        target = stamp["torch"]
        before = os.readlink(self.link) if self.link.is_symlink() else None
        if before == target:
            return False
        fresh = self.home / ".libtorch.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        if before is None and self.link.exists():
            self.discard(self.link)
        os.replace(fresh, self.link)
        return before is not None

    def install(self, kind, staged, stamp):
        """Puts the finished folder `staged` in place as the set of `kind`."""
        (staged / STAMP).write_text(json.dumps(stamp, indent=1) + "\n")
        if (self.home / kind).exists():
            self.discard(self.home / kind)
        os.replace(staged, self.home / kind)

    def stage(self):
        """An empty folder to build a set in."""
        staged = self.home / ".new"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        return staged

    def discard(self, path):
        """Moves `path` out of the way in one step, then deletes it."""
        trash = self.home / ".trash"
        shutil.rmtree(trash, ignore_errors=True)
        os.replace(path, trash)
        shutil.rmtree(trash)

    def sweep(self):
        """Removes what an interrupted run left half done."""
        for name in (".new", ".trash", "download/tmp", "download/incoming"):
            shutil.rmtree(self.home / name, ignore_errors=True)

    def lay_out_python(self, folder, version):
        """A set that is nothing but the user's Python torch. Whole folders are linked, not single libraries: the
        wheel's rpaths ($ORIGIN/../../nvidia/...) then still lead to the libraries beside torch."""
        libraries = {str(path): {"bytes": path.stat().st_size} for path in sorted((folder / "lib").glob("lib*.so*"))}
        include = str(folder / "include")
        stamp = {
            "format": STAMP_FORMAT, "kind": "python", "version": version, "torch": str(folder),
            "include": include, "headers": header_sum(include), "libraries": libraries,
        }  # fmt: skip
        self.install("python", self.stage(), stamp)
        return stamp

    def lay_out_cpu(self, store):
        """The CPU part of the CUDA wheel: headers, three libraries, and the two of CUDA that libtorch_cpu.so names."""
        staged = self.stage()

        def of_torch(member):
            known = member.startswith("torch/include/") or member in {f"torch/lib/{name}" for name in CPU_LIBRARIES}
            return member if known else None

        files = store.unpack(f"torch=={TORCH_VERSION}", of_torch, staged)
        for requirement, library in CPU_EXTRAS.items():
            beside = {f"nvidia/cu13/lib/{library}": f"torch/lib/{library}"}
            files.update(store.unpack(requirement, beside.get, staged))
        # The real libtorch.so only pulls in the CPU and CUDA halves; as a linker script it names the half that is here.
        script = staged / "torch/lib/libtorch.so"
        script.write_text("INPUT(-ltorch_cpu)\n")
        files["torch/lib/libtorch.so"] = (script.stat().st_size, None)
        required = [f"torch/lib/{name}" for name in (*CPU_LIBRARIES, *CPU_EXTRAS.values())]
        return self._finish("cpu", staged, files, required)

    def lay_out_cuda(self, store):
        """torch and the `nvidia-*` wheels it names, in the layout of site-packages, so that the wheel's rpaths hold."""
        staged = self.stage()

        def of_torch(member):
            folder, _, name = member.rpartition("/")
            library = folder == "torch/lib" and ".so" in name and name not in UNUSED_LIBRARIES
            return member if library or member.startswith("torch/include/") else None

        def of_nvidia(member):
            library = "/lib/" in member and ".so" in member
            return member if member.startswith("nvidia/") and (library or "/include/" in member) else None

        torch = f"torch=={TORCH_VERSION}"
        files = store.unpack(torch, of_torch, staged)
        for requirement in cuda_requirements(store, torch):
            files.update(store.unpack(requirement, of_nvidia, staged))
        return self._finish("cuda", staged, files, [f"torch/lib/{name}" for name in CUDA_LIBRARIES])

    def _finish(self, kind, staged, files, required):
        absent = [path for path in (*required, "torch/include/torch/headeronly/version.h") if path not in files]
        if absent:
            raise SetupError(
                f"the wheels of torch {TORCH_VERSION} lack {', '.join(absent)}: see python3 -m pip config list"
            )
        complaint = complaint_about(staged / "torch")
        if complaint:
            raise SetupError(f"the {kind} set {complaint}; set LIBTORCH to a libtorch {TORCH_VERSION} that works here")
        libraries = {path: {"bytes": size, "sha256": digest} for path, (size, digest) in files.items() if ".so" in path}
        stamp = {
            "format": STAMP_FORMAT, "kind": kind, "version": version_of(staged / "torch"), "torch": f"{kind}/torch",
            "include": "torch/include", "headers": header_sum(staged / "torch/include"), "libraries": libraries,
        }  # fmt: skip
        self.install(kind, staged, stamp)
        return stamp


def cuda_requirements(store, torch):
    """The wheels with the CUDA libraries that torch names, cuda-toolkit's extras resolved into theirs."""
    wanted = []
    for requirement, extras in native_requirements(store.requires(torch)):
        if requirement.startswith("cuda-toolkit=="):
            wanted += [found for found, _ in native_requirements(store.requires(requirement), extras)]
        else:
            wanted.append(requirement)
    return list(dict.fromkeys(wanted))


def header_sum(folder):
    """[number, bytes] of the files below `folder`: enough to notice a header that is gone or cut."""
    number = total = 0
    pending = [os.fspath(folder)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    pending.append(entry.path)
                else:
                    number += 1
                    total += entry.stat().st_size
    return [number, total]
