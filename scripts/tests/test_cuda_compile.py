"""What is read from ptxas, and which nvcc is taken; nothing is compiled or fetched."""

import os
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cuda_compile  # noqa: E402
from libtorch_setup import SetupError, nvcc as nvcc_setup  # noqa: E402

PTXAS = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z1kv' for 'sm_80'
ptxas info    : Function properties for _Z1kv
    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 72 registers, used 1 barriers, 16 bytes cumulative stack size, 1024 bytes smem, 385 bytes cmem[0]
ptxas info    : Compiling entry function '_Z1kv' for 'sm_90'
ptxas info    : Function properties for _Z1kv
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 80 registers, used 0 barriers
"""


class Parse(unittest.TestCase):
    def test_usage_of_each_kernel_and_architecture(self):
        usage = cuda_compile.parse(PTXAS)
        self.assertEqual(usage["_Z1kv", "80"], cuda_compile.Usage(72, 1024, 16, 8, 12))
        self.assertEqual(usage["_Z1kv", "90"], cuda_compile.Usage(80, 0, 0, 0, 0))


class Nvcc(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = Path(folder.name)

    def fake(self, version):
        nvcc = self.home / "bin" / "nvcc"
        nvcc.parent.mkdir(exist_ok=True)
        nvcc.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {version}, V{version}.1'\n")
        nvcc.chmod(0o755)
        return nvcc

    def test_cuda_home_comes_first(self):
        nvcc = self.fake("13.0")
        self.assertEqual(nvcc_setup.find_nvcc({"CUDA_HOME": str(self.home), "PATH": ""}), nvcc)

    def test_path_comes_second(self):
        nvcc = self.fake("12.8")
        self.assertEqual(nvcc_setup.find_nvcc({"PATH": f"{nvcc.parent}{os.pathsep}/bin"}), nvcc)

    def test_cuda_home_that_does_not_know_the_architectures_is_refused(self):
        self.fake("12.4")
        with self.assertRaisesRegex(SetupError, "12.4, 12.8 or newer"):
            nvcc_setup.find_nvcc({"CUDA_HOME": str(self.home)})

    def test_cuda_home_without_nvcc_is_refused(self):
        with self.assertRaisesRegex(SetupError, "has no bin/nvcc"):
            nvcc_setup.find_nvcc({"CUDA_HOME": str(self.home)})

    def test_members_of_the_toolkit(self):
        self.assertEqual(nvcc_setup.toolkit_path("nvidia/cu13/bin/nvcc"), "bin/nvcc")
        self.assertIsNone(nvcc_setup.toolkit_path("nvidia/cu13/.metadata/provenance.txt"))
        self.assertIsNone(nvcc_setup.toolkit_path("nvidia_nvvm-13.0.88.dist-info/METADATA"))


if __name__ == "__main__":
    unittest.main()
