"""Wheels: fetched through pip, checked against their own RECORD, unpacked in part.

A wheel enters the download folder only by a rename after pip has finished and checked it against the index, so an
interrupted run leaves whole wheels or none, and the next run goes on with those that are there.
"""

import base64
import csv
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

from . import SetupError
from .machine import output_of

# The native libraries in the wheels of all Python versions are the same; asking for one fixed version makes every
# set-up alike and works where the running Python is too old or too new to have a wheel.
PYTHON_TAG = "3.11"
PIP_MIN = (20, 3)  # knows manylinux_2_28
NETWORK_SIGNS = (
    "NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "ReadTimeoutError", "ProxyError", "SSLError",
    "ConnectionResetError", "Connection aborted", "IncompleteRead", "Network is unreachable", "incomplete-download",
    "Temporary failure in name resolution",
)  # fmt: skip


class CorruptWheel(Exception):
    """The file is not the wheel that was published."""


def require_pip():
    """Refuses early where `python3 -m pip` cannot fetch our wheels."""
    said = output_of([sys.executable, "-m", "pip", "--version"])
    if said is None:
        raise SetupError("python3 has no pip: sudo apt-get install python3-pip   (or: python3 -m ensurepip --user)")
    version = re.match(r"pip (\d+)\.(\d+)", said)
    if version and (int(version[1]), int(version[2])) < PIP_MIN:
        found = f"{version[1]}.{version[2]}"
        raise SetupError(f"pip is {found}, 20.3 or newer is needed: python3 -m pip install --upgrade pip")


class Store:
    """The download folder of one set-up."""

    def __init__(self, folder, say=lambda text: None):
        self.folder = Path(folder)
        self.say = say

    def get(self, requirement):
        """Path of the wheel of `requirement` (`name==version` or `name==1.2.*`), fetched if it is not there."""
        found = self._find(requirement)
        if found is None:
            self._fetch(requirement)
            found = self._find(requirement)
        if found is None:
            raise SetupError(f"pip brought no wheel for {requirement}: see {self.folder / 'pip.log'}")
        return found

    def unpack(self, requirement, choose, target):
        """Unpacks from the wheel of `requirement` what `choose` picks; see `unpack`."""
        return self._read(requirement, lambda wheel: unpack(wheel, choose, target))

    def requires(self, requirement):
        """The `Requires-Dist` lines of the wheel of `requirement`."""
        return self._read(requirement, requires)

    def _read(self, requirement, read):
        """`read(wheel)`; a wheel that proves corrupt is deleted and fetched again, once."""
        try:
            return read(self.get(requirement))
        except CorruptWheel as error:
            self.say(f"{error}; fetching it again")
            self._find(requirement).unlink()
        try:
            return read(self.get(requirement))
        except CorruptWheel as error:
            self._find(requirement).unlink()
            raise SetupError(f"{error}, twice in a row: check disk and network, then `make setup` again") from error

    def _find(self, requirement):
        name, _, version = requirement.partition("==")
        stem = re.sub(r"[-_.]+", "_", name).lower()
        for wheel in sorted(self.folder.glob("*.whl")):
            parts = wheel.name.split("-")
            exact = parts[1].split("+")[0] == version
            series = version.endswith(".*") and (parts[1] + ".").startswith(version[:-1])
            if parts[0].lower() == stem and (exact or series):
                return wheel
        return None

    def _fetch(self, requirement):
        incoming, scratch = self.folder / "incoming", self.folder / "tmp"
        for folder in (incoming, scratch):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        command = [
            sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--progress-bar", "off",
            "--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON_TAG,
            "--dest", str(incoming), requirement,
        ]  # fmt: skip
        log = self.folder / "pip.log"
        began = time.monotonic()
        with open(log, "wb") as sink:
            pip = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, env=pip_env(scratch)
            )
            try:
                self._watch(pip, requirement, scratch, log)
            finally:
                if pip.poll() is None:
                    pip.terminate()
                    pip.wait()
        if pip.returncode != 0:
            raise SetupError(explain_pip(requirement, log.read_text(errors="replace"), log))
        for wheel in incoming.glob("*.whl"):
            what, took = "-".join(wheel.name.split("-")[:2]), time.monotonic() - began
            self.say(f"fetched {what}: {megabytes(wheel.stat().st_size)} in {took:.0f} s")
            os.replace(wheel, self.folder / wheel.name)

    def _watch(self, pip, requirement, scratch, log):
        """Waits for pip; on a terminal, with a line that shows how far it is."""
        live = sys.stderr.isatty()
        began = time.monotonic()
        while pip.poll() is None:
            time.sleep(0.1)
            if not live:
                continue
            done = sum(path.stat().st_size for path in scratch.rglob("*.whl") if path.exists())
            total = re.findall(r"\(([\d.]+ [kMG]B)\)", log.read_text(errors="replace"))
            rate = done / max(time.monotonic() - began, 0.1)
            of = f" of {total[-1]}" if total else ""
            sys.stderr.write(f"\r\x1b[Ksetup: {requirement}  {megabytes(done)}{of}, {megabytes(rate)}/s")
        if live:
            sys.stderr.write("\r\x1b[K")


def pip_env(scratch):
    """pip as the user has configured it, with what would break a plain download switched off."""
    return {
        **os.environ,
        "TMPDIR": str(scratch),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_REQUIRE_VIRTUALENV": "0",
        "PIP_RESUME_RETRIES": "20",  # pip 25.1 and newer go on in the middle of a file; older ones ignore it
        "PYTHONWARNINGS": "ignore",
    }


def explain_pip(requirement, text, log):
    """One line for why pip failed."""
    lines = text.strip().splitlines() or ["no output"]
    last = ([line for line in lines if line.startswith("ERROR:")] or lines)[-1].replace("ERROR: ", "").strip()[:300]
    if "No space left on device" in text:
        return f"the disk is full while fetching {requirement}: free some space, then `make setup` again"
    if any(sign in text for sign in NETWORK_SIGNS):
        return (
            f"no connection to the package index for {requirement}: check network, proxy and pip's index settings "
            "(python3 -m pip config list), then `make setup` again; finished downloads are kept"
        )
    if "No matching distribution" in text:
        return f"the package index has no wheel for {requirement}: python3 -m pip config list shows the index in use"
    return f"pip could not fetch {requirement}: {last} (all of it: {log})"


def open_wheel(wheel):
    try:
        return zipfile.ZipFile(wheel)
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise CorruptWheel(f"{wheel.name} is damaged ({error})") from error


def dist_info(archive, wheel):
    """`<name>-<version>.dist-info/` of an open wheel."""
    for name in archive.namelist():
        if name.endswith(".dist-info/RECORD") and name.count("/") == 1:
            return name[: -len("RECORD")]
    raise CorruptWheel(f"{wheel.name} is damaged (no RECORD)")


def read_member(archive, wheel, name):
    try:
        return archive.read(name)
    except (KeyError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise CorruptWheel(f"{wheel.name} is damaged ({name}: {error})") from error


def requires(wheel):
    """The `Requires-Dist` lines of a wheel's metadata."""
    with open_wheel(wheel) as archive:
        text = read_member(archive, wheel, dist_info(archive, wheel) + "METADATA").decode(errors="replace")
    return re.findall(r"^Requires-Dist: (.*)$", text, re.MULTILINE)


def unpack(wheel, choose, target):
    """Unpacks members of `wheel` below `target`, each checked against the wheel's RECORD.

    `choose` maps a member's name to its path below `target`, or to None to leave it. Returns
    {path: (bytes, sha256 hex)} of what was written. Raises CorruptWheel.
    """
    written = {}
    with open_wheel(wheel) as archive:
        record = read_member(archive, wheel, dist_info(archive, wheel) + "RECORD").decode()
        hashes = {row[0]: row[1] for row in csv.reader(io.StringIO(record)) if len(row) == 3}
        for member in archive.infolist():
            path = None if member.is_dir() else choose(member.filename)
            if path is None:
                continue
            if path.startswith("/") or ".." in path.split("/"):
                raise CorruptWheel(f"{wheel.name} is damaged (a member leaves the folder: {member.filename})")
            digest = write_member(archive, wheel, member, Path(target) / path)
            wanted = hashes.get(member.filename, "")
            if wanted != "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode():
                raise CorruptWheel(f"{wheel.name} is damaged ({member.filename}: not what its RECORD says)")
            written[path] = (member.file_size, digest.hex())
    return written


def write_member(archive, wheel, member, path):
    """Writes one member; returns the SHA-256 of what was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    try:
        with archive.open(member) as source, open(path, "wb") as sink:
            while block := source.read(1 << 20):
                digest.update(block)
                sink.write(block)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise CorruptWheel(f"{wheel.name} is damaged ({member.filename}: {error})") from error
    path.chmod(0o755 if (member.external_attr >> 16) & 0o100 else 0o644)
    return digest.digest()


def native_requirements(lines, extras=()):
    """The requirements of native libraries among `Requires-Dist` lines: [(requirement, extras it asks for)].

    From torch's metadata: its `nvidia-*` and `cuda-toolkit[...]` lines; from cuda-toolkit's: those of `extras`.
    Python packages (sympy, triton, ...) serve Python only.
    """
    wanted = []
    for line in lines:
        spec, _, marker = line.partition(";")
        asked = re.search(r"extra == ['\"]([^'\"]+)['\"]", marker)
        if asked and asked[1] not in extras:
            continue
        parts = re.fullmatch(r"\s*((?:nvidia|cuda-toolkit)[\w.-]*)\s*(?:\[([^\]]*)\])?\s*\(?==\s*([\w.*]+)\)?\s*", spec)
        if parts:
            wanted.append((f"{parts[1]}=={parts[3]}", tuple(filter(None, re.split(r"[,\s]+", parts[2] or "")))))
    return wanted


def megabytes(size):
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
