"""A package index of tiny wheels, whose libraries are real shared objects that need each other as torch's do."""

import base64
import hashlib
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

WHEEL_FILE = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: {tag}\n"
RPATH = "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../../nvidia/cu13/lib:$ORIGIN"


def version_header(version):
    return "".join(
        f"#define TORCH_VERSION_{name} {value}\n"
        for name, value in zip(("MAJOR", "MINOR", "PATCH"), version.split("."))
    )


def shared_object(path, needs=()):
    """Compiles an empty library that needs the libraries `needs`, searched where torch's rpath says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [
        "cc",
        "-shared",
        "-o",
        path,
        "-x",
        "c",
        os.devnull,
        f"-Wl,-soname,{path.name}",
        RPATH,
        "-Wl,--no-as-needed",
    ]
    subprocess.run([*command, "-x", "none", *needs], check=True)


def libraries(folder):
    """Builds the libraries once: {name: bytes}."""
    folder = Path(folder)
    plain = ("libc10.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13", "libcublas.so.13", "libc10_cuda.so")
    for name in plain:
        shared_object(folder / name)
    shared_object(folder / "libtorch_cpu.so", [folder / name for name in plain[:4]])
    shared_object(folder / "libtorch_cuda.so", [folder / "libcublas.so.13", folder / "libtorch_cpu.so"])
    shared_object(folder / "libtorch.so", [folder / "libtorch_cpu.so"])
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write_wheel(folder, name, version, files, requires=(), tag="py3-none-any", lie_about=None):
    """Writes a wheel; the RECORD is wrong about the member `lie_about`."""
    info = f"{name}-{version}.dist-info/"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {line}\n" for line in requires)
    members = {**files, info + "METADATA": metadata.encode(), info + "WHEEL": WHEEL_FILE.format(tag=tag).encode()}
    record = []
    for member, data in members.items():
        digest = hashlib.sha256(b"other" if member == lie_about else data).digest()
        record.append(f"{member},sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()},{len(data)}\n")
    members[info + "RECORD"] = ("".join(record) + f"{info}RECORD,,\n").encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            row = zipfile.ZipInfo(member)
            row.external_attr = (0o755 if ".so" in member else 0o644) << 16
            archive.writestr(row, data, zipfile.ZIP_DEFLATED)
    return path


def torch_files(built, version="2.11.0"):
    names = ("libc10.so", "libc10_cuda.so", "libgomp.so.1", "libtorch_cpu.so", "libtorch_cuda.so", "libtorch.so")
    return {
        **{f"torch/lib/{name}": built[name] for name in names},
        "torch/lib/libtorch_python.so": b"not for us",
        "torch/include/torch/headeronly/version.h": version_header(version).encode(),
        "torch/include/ATen/ATen.h": b"#pragma once\n" * 50,
        "torch/version.py": f"__version__ = '{version}+cu130'\n".encode(),
        "torch/__init__.py": b"raise ImportError('set-up must not import torch: that takes seconds')\n",
    }


def write_index(folder, built, **torch_options):
    """All wheels that the CPU and the CUDA set need."""
    requires = [
        "sympy>=1.13.3",
        'cuda-toolkit[cublas,cudart,cupti]==13.0.2; platform_system == "Linux"',
        'triton==3.6.0; platform_system == "Linux"',
    ]
    write_wheel(
        folder, "torch", "2.11.0", torch_files(built), requires, "cp311-cp311-manylinux_2_28_x86_64", **torch_options
    )
    parts = {
        "cudart": ("nvidia-cuda-runtime", "13.0.96"),
        "cupti": ("nvidia-cuda-cupti", "13.0.85"),
        "cublas": ("nvidia-cublas", "13.1.0.3"),
    }
    lines = [
        f"{name}=={version}.*; (sys_platform == 'linux' or sys_platform == 'win32') and extra == '{extra}'"
        for extra, (name, version) in parts.items()
    ]
    lines.append("nvidia-npp==13.0.1.2.*; (sys_platform == 'linux') and extra == 'npp'")
    write_wheel(folder, "cuda_toolkit", "13.0.2", {}, lines)
    for extra, (name, version) in parts.items():
        library = f"nvidia/cu13/lib/lib{extra}.so.13"
        files = {
            library: built[f"lib{extra}.so.13"],
            library.replace(".so.13", "_static.a"): b"static",
            "nvidia/cu13/include/x.h": b"//\n",
        }
        write_wheel(folder, name.replace("-", "_"), version, files)


def python_torch(site, built, version="2.11.0", with_nvidia=True):
    """An installed torch, its CUDA libraries beside it as pip leaves them."""
    for member, data in torch_files(built, version).items():
        path = site / member
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for name in ("libcudart.so.13", "libcupti.so.13", "libcublas.so.13") if with_nvidia else ():
        path = site / "nvidia/cu13/lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(built[name])
    return site / "torch"


def own_libtorch(folder, built, version="2.11.0"):
    """A libtorch as its zip lays it out, everything in lib/."""
    for name in built:
        (folder / "lib").mkdir(parents=True, exist_ok=True)
        (folder / "lib" / name).write_bytes(built[name])
    header = folder / "include/torch/headeronly/version.h"
    header.parent.mkdir(parents=True, exist_ok=True)
    header.write_text(version_header(version))
    return folder


def copy_scripts(root):
    here = Path(__file__).resolve().parents[1]
    shutil.copytree(
        here / "libtorch_setup", root / "scripts/libtorch_setup", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(here / "setup.py", root / "scripts/setup.py")
