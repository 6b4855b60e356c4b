"""The set-up against an index of tiny wheels: real zip files and shared libraries, no network.

pip takes a second a wheel, so only `ThroughPip` calls it; elsewhere the wheels are copied from the index.
"""

import contextlib
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from libtorch_setup import SetupError, libtorch, machine, run, wheels  # noqa: E402
from tests import fake_index  # noqa: E402

# Most tests replace these: what the machine's Python has must not matter, and pip is slow.
OF_PYTHON, FETCH, REQUIRE_PIP = libtorch.of_python, wheels.Store._fetch, wheels.require_pip


def setUpModule():
    global SHELF, BUILT
    SHELF = tempfile.TemporaryDirectory()
    BUILT = fake_index.libraries(Path(SHELF.name) / "built")
    fake_index.write_index(Path(SHELF.name) / "index", BUILT)


def tearDownModule():
    SHELF.cleanup()


class SetupCase(unittest.TestCase):
    """A clone of nothing but Cargo.toml, an index, and a machine that has all tools, no GPU and no Python torch."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.root = self.folder / "clone"
        self.root.mkdir()
        (self.root / "Cargo.toml").write_text('[workspace.package]\nrust-version = "1.0"\n')
        self.third_party = self.root / "third_party"
        self.env = {}
        self.patch(machine, "has_gpu", lambda: False)
        self.patch(libtorch, "of_python", lambda: None)
        self.patch(run.signal, "signal", lambda *_: None)
        self.patch(wheels, "require_pip", lambda: None)
        self.compilers = []
        self.patch(run.nvcc, "own_nvcc", lambda env: None)
        self.patch(run.nvcc, "fetched_nvcc", lambda folder: self.compilers.append(folder) or "some/nvcc")
        self.fetched = []
        self.patch(wheels.Store, "_fetch", self.copy_from_index)
        self.index = Path(SHELF.name) / "index"

    @property
    def copy_from_index(self):
        def fetch(store, requirement):
            self.fetched.append(requirement)
            store.folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(wheels.Store(self.index)._find(requirement), store.folder)

        return fetch

    def patch(self, owner, name, value):
        patcher = mock.patch.object(owner, name, value)
        patcher.start()
        self.addCleanup(patcher.stop)

    def setup(self, *args, expect=0):
        """Runs the set-up; what it said."""
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            code = run.main(list(args), self.root, self.env)
        self.assertEqual(code, expect, said.getvalue())
        return said.getvalue()

    def refused(self, *expected):
        """The set-up refuses in one line that holds `expected`, and leaves no half-made libtorch."""
        said = self.setup(expect=2)
        self.assertEqual(said.strip().splitlines()[-1].count("setup: "), 1)
        for text in expected:
            self.assertIn(text, said)
        self.assertFalse((self.third_party / "libtorch").exists())
        return said

    def forbid_pip(self):
        self.patch(wheels.Store, "_fetch", lambda *_: self.fail("pip was called"))

    def lib(self, name):
        return self.third_party / "libtorch/lib" / name


class CpuSet(SetupCase):
    def test_from_nothing(self):
        said = self.setup()
        self.assertIn("libtorch 2.11.0 (cpu set) in third_party/libtorch", said)
        for name in ("libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13"):
            self.assertEqual(self.lib(name).read_bytes(), BUILT[name])
        self.assertEqual(self.lib("libtorch.so").read_text(), "INPUT(-ltorch_cpu)\n")
        self.assertTrue(os.access(self.lib("libtorch_cpu.so"), os.X_OK))
        self.assertFalse(self.lib("libtorch_cuda.so").exists(), "torch-sys would build for CUDA")
        self.assertEqual(self.compilers, [], "nothing to compile for a GPU")
        self.assertTrue((self.third_party / "libtorch/include/ATen/ATen.h").exists())
        self.assertEqual(sorted(os.listdir(self.third_party)), [".lock", "cpu", "libtorch"], "wheels are removed")
        self.assertEqual(sorted(os.listdir(self.root)), ["Cargo.toml", "third_party"])

    def test_second_run_does_nothing(self):
        self.setup()
        self.forbid_pip()
        self.assertEqual(self.setup("--quiet"), "")
        self.assertEqual(len(self.setup().splitlines()), 1)

    def test_a_lost_or_cut_file_is_noticed(self):
        self.setup()
        for path in ("lib/libc10.so", "include/ATen/ATen.h", "lib/libtorch.so"):
            with open(self.third_party / "libtorch" / path, "r+b") as file:
                file.truncate(3)
            self.setup()
            self.assertGreater((self.third_party / "libtorch" / path).stat().st_size, 3)
            (self.third_party / "libtorch" / path).unlink()
            self.setup()
            self.assertTrue((self.third_party / "libtorch" / path).exists())

    def test_verify_notices_a_changed_byte(self):
        self.setup()
        self.assertNotIn("not what was unpacked", self.setup("--verify"))
        with open(self.lib("libc10.so"), "r+b") as file:
            file.seek(100)
            file.write(b"X")
        self.assertIn("cpu/torch/lib/libc10.so is not what was unpacked", self.setup("--verify"))
        self.assertEqual(self.lib("libc10.so").read_bytes(), BUILT["libc10.so"])

    def test_a_folder_laid_by_hand_is_replaced(self):
        self.lib("libtorch_cpu.so").parent.mkdir(parents=True)
        self.setup()
        self.assertTrue((self.third_party / "libtorch").is_symlink())
        self.assertEqual(sorted(os.listdir(self.third_party)), [".lock", "cpu", "libtorch"])

    def test_a_moved_clone_stays_set_up(self):
        self.setup()
        moved = self.folder / "moved"
        self.root.rename(moved)
        self.root, self.third_party = moved, moved / "third_party"
        self.forbid_pip()
        self.assertEqual(self.setup("--quiet"), "")


class Interrupted(SetupCase):
    def test_unpacking_goes_on_with_the_wheels_that_are_there(self):
        real, written = wheels.write_member, []

        def stop_at_fourth(*args):
            written.append(args)
            if len(written) == 4:
                raise KeyboardInterrupt
            return real(*args)

        with mock.patch.object(wheels, "write_member", stop_at_fourth):
            self.setup(expect=130)
        self.assertFalse((self.third_party / "libtorch").exists())
        self.assertTrue(list(self.third_party.glob("download/torch-*.whl")))
        self.setup()
        self.assertEqual(self.fetched.count("torch==2.11.0"), 1)
        self.assertEqual(self.lib("libtorch_cpu.so").read_bytes(), BUILT["libtorch_cpu.so"])

    def test_leftovers_of_a_killed_run_do_no_harm(self):
        half = (
            ".new/torch/lib/libc10.so",
            "download/tmp/pip-1/torch.whl",
            "download/incoming/torch-2.11.0-a-b-c.whl",
            ".trash/x",
        )
        for path in half:
            (self.third_party / path).parent.mkdir(parents=True)
            (self.third_party / path).write_bytes(b"half")
        self.setup()
        self.assertEqual(sorted(os.listdir(self.third_party)), [".lock", "cpu", "libtorch"])

    def test_a_cut_wheel_is_fetched_again(self):
        good = next((Path(SHELF.name) / "index").glob("torch-*.whl"))
        for keep in (0.5, 0.98):  # without the table of contents, and with a hole in the middle of a member
            with self.subTest(keep=keep):
                shutil.rmtree(self.third_party, ignore_errors=True)
                (self.third_party / "download").mkdir(parents=True)
                data = bytearray(good.read_bytes())
                if keep < 0.9:
                    del data[int(len(data) * keep) :]
                else:
                    data[300:400] = bytes(100)
                (self.third_party / "download" / good.name).write_bytes(data)
                self.assertIn("is damaged", self.setup())
                self.assertEqual(self.lib("libtorch_cpu.so").read_bytes(), BUILT["libtorch_cpu.so"])


class ThroughPip(SetupCase):
    def setUp(self):
        super().setUp()
        self.patch(wheels, "require_pip", REQUIRE_PIP)
        self.patch(wheels.Store, "_fetch", FETCH)
        self.use_index(self.index)

    def use_index(self, index):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "LIBTORCH"))}
        offline = {**kept, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull}
        patcher = mock.patch.dict(os.environ, offline, clear=True)
        patcher.start()
        self.addCleanup(patcher.stop)

    def test_an_index_without_the_wheel(self):
        self.use_index(self.folder)
        self.refused("torch==2.11.0", "pip config list")

    def test_two_runs_at_once(self):
        fake_index.copy_scripts(self.root)
        command = [sys.executable, str(self.root / "scripts/setup.py")]
        env = {**os.environ, "SMALTI_LIBTORCH": "cpu"}
        both = [subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        said = [process.communicate(timeout=120)[1] for process in both]
        self.assertEqual([process.returncode for process in both], [0, 0], said)
        self.assertEqual(sum("fetched torch-2.11.0" in text for text in said), 1, said)
        self.assertEqual(self.lib("libtorch_cpu.so").read_bytes(), BUILT["libtorch_cpu.so"])

    def test_no_pip(self):
        self.patch(wheels, "output_of", lambda *_: None)
        self.refused("python3 has no pip: sudo apt-get install python3-pip")

    def test_old_pip(self):
        self.patch(wheels, "output_of", lambda *_: "pip 19.0.3 from /usr/lib (python 3.9)")
        self.refused("pip is 19.0, 20.3 or newer is needed")


class Refused(SetupCase):
    def test_wheels_that_lie(self):
        self.index = self.folder / "index"
        fake_index.write_index(self.index, BUILT, lie_about="torch/lib/libtorch_cpu.so")
        self.refused("torch/lib/libtorch_cpu.so: not what its RECORD says", "twice in a row", "make setup")

    def test_wheels_that_lack_a_library(self):
        self.index = self.folder / "index"
        fake_index.write_index(self.index, {**BUILT, "libtorch_cpu.so": BUILT["libtorch_cuda.so"]})
        self.refused("the cpu set cannot be loaded", "libcublas.so.13")

    def test_no_network(self):
        text = (
            "WARNING: Retrying after connection broken by 'NewConnectionError'\nERROR: No matching distribution found"
        )
        said = wheels.explain_pip("torch==2.11.0", text, "pip.log")
        self.assertIn("no connection to the package index", said)
        self.assertNotIn("\n", said)

    def test_low_disk(self):
        self.patch(machine.shutil, "disk_usage", lambda _: mock.Mock(free=2.5e9))
        self.refused("2.5 GB free", "3 GB are needed")

    def test_full_disk_while_unpacking(self):
        full = OSError(28, "No space left on device", "libtorch_cpu.so")
        self.patch(wheels, "write_member", mock.Mock(side_effect=full))
        self.refused("No space left on device: libtorch_cpu.so")

    def test_other_machines(self):
        self.patch(machine.platform, "machine", lambda: "aarch64")
        self.refused("Linux x86_64, this is Linux aarch64")
        self.patch(machine.platform, "machine", lambda: "x86_64")
        self.patch(machine.os, "confstr", lambda _: "glibc 2.17")
        self.refused("glibc is 2.17", "2.28")
        self.patch(machine.os, "confstr", mock.Mock(side_effect=ValueError))
        self.refused("another C library")

    def test_no_compilers(self):
        self.patch(machine.shutil, "which", lambda _: None)
        said = self.refused("no C++ compiler (`c++`): sudo apt-get install build-essential", "no make", "cargo")
        self.assertGreaterEqual(len(said.splitlines()), 4, "each missing tool has its line")

    def test_old_cargo(self):
        (self.root / "Cargo.toml").write_text('rust-version = "1.900"\n')
        self.refused("1.900 or newer is needed: rustup update stable")

    def test_old_compiler(self):
        real = machine.output_of
        self.patch(
            machine, "output_of", lambda cmd, **_: "g++ (Debian 8.3.0-6) 8.3.0\n" if cmd[0] == "c++" else real(cmd)
        )
        self.refused("g++ is version 8", "need 9")

    def test_unknown_choice(self):
        self.env = {"SMALTI_LIBTORCH": "rocm"}
        self.refused("SMALTI_LIBTORCH=rocm is not known: use cpu or cuda")

    def test_tools_only_needs_no_libtorch(self):
        self.forbid_pip()
        self.setup("--tools-only")
        self.assertFalse(self.third_party.exists())


class UsersLibtorch(SetupCase):
    def setUp(self):
        super().setUp()
        self.forbid_pip()
        self.own = fake_index.own_libtorch(self.folder / "own", BUILT)

    def test_is_used_as_it_is(self):
        self.patch(run.nvcc, "own_nvcc", lambda env: "its/nvcc")
        self.env = {"LIBTORCH": str(self.own)}
        self.assertIn(f"libtorch 2.11.0 of LIBTORCH={self.own}", self.setup())
        self.assertFalse(self.third_party.exists())

    def test_version_from_the_zips_version_file(self):
        (self.own / "include/torch/headeronly/version.h").unlink()
        (self.own / "build-version").write_text("2.11.0+cpu\n")
        self.env = {"LIBTORCH": str(self.own)}
        self.setup()

    def test_wrong_ones(self):
        other = fake_index.own_libtorch(self.folder / "other", BUILT, "2.9.1")
        alike = fake_index.own_libtorch(self.folder / "alike", BUILT, "2.110.0")
        bare = self.folder / "bare"
        bare.mkdir()
        cut = fake_index.own_libtorch(self.folder / "cut", BUILT)
        (cut / "lib/libtorch.so").unlink()
        alone = fake_index.own_libtorch(self.folder / "alone", BUILT)
        (alone / "lib/libcupti.so.13").unlink()
        for value, expected in {
            str(other): "expected 2.11.0, got 2.9.1",
            str(alike): "expected 2.11.0, got 2.110.0",
            str(bare): "has no include/torch",
            str(cut): "has no lib/libtorch.so",
            str(alone): "libcupti.so.13",
            str(self.folder / "absent"): "is not a folder",
            "some/where": "relative path",
            "": "set but empty",
        }.items():
            with self.subTest(value=value):
                self.env = {"LIBTORCH": value}
                self.refused("LIBTORCH", expected)

    def test_variables_that_divert_torch_sys(self):
        self.env = {"LIBTORCH": str(self.own), "LIBTORCH_USE_PYTORCH": "1"}
        self.refused("unset LIBTORCH_USE_PYTORCH")


class PythonsTorch(SetupCase):
    def install(self, **options):
        site = self.folder / "site-packages"
        folder = fake_index.python_torch(site, BUILT, **options)
        self.patch(libtorch, "of_python", OF_PYTHON)
        self.patch(sys, "path", [str(site), *sys.path])
        importlib.invalidate_caches()
        return folder

    def test_is_linked(self):
        folder = self.install()
        self.forbid_pip()
        self.assertIn(f"libtorch 2.11.0 (of Python, {folder})", self.setup())
        self.assertEqual(self.lib("libtorch_cpu.so").read_bytes(), BUILT["libtorch_cpu.so"])
        as_the_build_sees_it = self.lib("libtorch_cuda.so")
        self.assertEqual(libtorch.missing_libraries(as_the_build_sees_it), [])
        self.assertEqual(self.setup("--quiet"), "")

    def test_that_went_away_is_replaced(self):
        folder = self.install()
        self.setup()
        shutil.rmtree(folder)
        importlib.invalidate_caches()
        self.assertIn("(cpu set)", self.setup())

    def test_of_another_release_is_left_alone(self):
        self.install(version="2.9.1")
        said = self.setup()
        self.assertIn("Python's torch is 2.9.1, not 2.11: it is left alone", said)
        self.assertIn("(cpu set)", said)

    def test_that_cannot_be_loaded_is_left_alone(self):
        self.install(with_nvidia=False)
        said = self.setup()
        self.assertIn("libcudart.so.13", said)
        self.assertIn("(cpu set)", said)

    def test_yields_to_the_users_choice(self):
        self.install()
        self.env = {"SMALTI_LIBTORCH": "cpu"}
        self.assertIn("(cpu set)", self.setup())


class CudaSet(SetupCase):
    def setUp(self):
        super().setUp()
        self.patch(machine, "has_gpu", lambda: True)

    def test_where_the_driver_answers(self):
        said = self.setup()
        self.assertIn("(cuda set)", said)
        self.assertIn("CUDA kernels will be built by some/nvcc", said)
        self.assertEqual(self.compilers, [self.third_party / "nvcc"])
        self.assertEqual(libtorch.missing_libraries(self.lib("libtorch_cuda.so")), [])
        self.assertEqual(self.lib("libtorch.so").read_bytes(), BUILT["libtorch.so"])
        self.assertFalse(self.lib("libtorch_python.so").exists())
        nvidia = self.third_party / "cuda/nvidia/cu13"
        self.assertTrue((nvidia / "lib/libcublas.so.13").exists())
        self.assertTrue((nvidia / "include/x.h").exists())
        self.assertFalse(list(nvidia.rglob("*.a")))

    def test_sets_stay_side_by_side_and_builds_follow_the_switch(self):
        cleaned = []
        real = machine.output_of

        def record(command, **options):
            return cleaned.append(command) if command[:2] == ["cargo", "clean"] else real(command, **options)

        self.patch(machine, "output_of", record)
        self.setup()
        self.env = {"SMALTI_LIBTORCH": "cpu"}
        self.assertIn("will be built again", self.setup())
        self.assertEqual(len(cleaned), 2, "both profiles")
        self.env = {}
        self.forbid_pip()
        self.assertIn("(cpu set)", self.setup(), "what is there stays in use")
        self.env = {"SMALTI_LIBTORCH": "cuda"}
        self.assertIn("(cuda set)", self.setup())
        self.assertTrue(self.lib("libtorch_cuda.so").exists())


class Parts(unittest.TestCase):
    def test_a_member_that_leaves_the_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            wheel = fake_index.write_wheel(Path(folder), "bad", "1.0", {"../../evil": b"x"})
            with self.assertRaisesRegex(wheels.CorruptWheel, "leaves the folder"):
                wheels.unpack(wheel, lambda member: member, Path(folder) / "out/a")
            self.assertEqual(sorted(os.listdir(folder)), [wheel.name])

    def test_native_requirements(self):
        lines = [
            "filelock",
            'triton==3.6.0; platform_system == "Linux"',
            'cuda-bindings<14,>=13.0.3; platform_system == "Linux"',
            'cuda-toolkit[cublas,cudart]==13.0.2; platform_system == "Linux"',
            'nvidia-cudnn-cu13==9.19.0.56; platform_system == "Linux"',
            "nvidia-npp==13.0.1.2.*; extra == 'npp'",
        ]
        expected = [("cuda-toolkit==13.0.2", ("cublas", "cudart")), ("nvidia-cudnn-cu13==9.19.0.56", ())]
        self.assertEqual(wheels.native_requirements(lines), expected)
        self.assertIn(("nvidia-npp==13.0.1.2.*", ()), wheels.native_requirements(lines, ("npp",)))

    def test_a_damaged_stamp_is_no_stamp(self):
        with tempfile.TemporaryDirectory() as folder:
            sets = libtorch.Sets(folder)
            (Path(folder) / "cpu").mkdir()
            odd = {"format": 1, "version": "2.11.0", "libraries": 3}
            for text in ("", "{", "[]", "null", '{"format": 1}', json.dumps(odd)):
                (Path(folder) / "cpu/set.json").write_text(text)
                self.assertIsNone(sets.whole("cpu"), text)

    def test_gpu_only_where_the_driver_lists_one(self):
        for said, expected in ((None, False), ("No devices found.\n", False), ("GPU 0: NVIDIA A100 (UUID: x)\n", True)):
            with mock.patch.object(machine, "output_of", return_value=said):
                self.assertEqual(machine.has_gpu(), expected)

    def test_tools_of_this_machine(self):
        root = Path(__file__).resolve().parents[2]
        self.assertEqual(machine.tool_problems(root), [], "the machine that runs the tests can build")

    def test_space(self):
        with self.assertRaisesRegex(SetupError, "GB are needed"):
            machine.require_space("/", 1e9)


if __name__ == "__main__":
    unittest.main()
