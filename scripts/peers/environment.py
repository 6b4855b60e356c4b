"""The virtual environment of the scripts here, made once below target/ from pinned requirements; data sets that they find."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
REQUIREMENTS = HERE / "requirements.txt"
REQUIREMENTS_BENCH = HERE / "requirements-bench.txt"
REQUIREMENTS_TORCH = HERE / "requirements-torch.txt"


def enter(*requirements: Path, name: str = "") -> None:
    """Goes on in the environment that holds `requirements`: makes it if it is not there, then starts this script again.

    SMALTI_PEERS_VENV names an environment to use as it is. `name` tells environments of other lists apart.
    """
    given = os.environ.get("SMALTI_PEERS_VENV")
    folder = Path(given) if given else ROOT / "target" / f"peers-venv-{name or len(requirements)}"
    if Path(sys.prefix).resolve() == folder.resolve():
        return
    if not given:
        make(folder, requirements)
    python = folder / "bin" / "python"
    os.execv(python, [str(python), "-B", *sys.argv])  # -B: no __pycache__ in the checkout


def make(folder: Path, requirements: tuple[Path, ...]) -> None:
    """Installs `requirements` into `folder`, unless that has been done and finished before."""
    text = b"".join(path.read_bytes() for path in requirements)
    stamp = hashlib.sha256(text + sys.version.encode()).hexdigest()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "requirements.sha256"
        if done.exists() and done.read_text() == stamp:
            return
        print(f"installing the peers into {folder.relative_to(ROOT)}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        files = [part for path in requirements for part in ("-r", str(path))]
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        for command in ([sys.executable, "-m", "venv", str(folder)], [*pip, *files]):
            if subprocess.run(command).returncode:
                sys.exit(f"peers: failed: {' '.join(command)}")
        done.write_text(stamp)


def shared(name: str) -> Path:
    """A data set that lies beside the repository on some machines."""
    bases = [os.environ.get("SMALTI_DATA"), ROOT.parent / "shared" / "data"]
    found = next((path for base in bases if base and (path := Path(base) / name).is_dir()), None)
    if found is None:
        sys.exit(f"no {name} below $SMALTI_DATA or ../shared/data: name a folder, see --help")
    return found.resolve()
