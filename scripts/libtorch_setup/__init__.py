"""Brings libtorch 2.11 into third_party/.

machine.py   what this machine has: architecture, C library, compiler, cargo, disk, GPU
wheels.py    fetches wheels through pip, checks them and unpacks parts of them
libtorch.py  which folder is a libtorch of the right version, complete and loadable; the sets laid out here
nvcc.py      the CUDA compiler that builds the kernels of a CUDA set: the machine's own, or one from the index
run.py       decides which libtorch to use, and prints

    third_party/libtorch      link to the one in use; .cargo/config.toml points LIBTORCH here
    third_party/cpu/torch     include/, lib/ of the CPU set
    third_party/cuda/torch    include/, lib/ of the CUDA set; its own libraries are in ../nvidia, as in site-packages
    third_party/<kind>/set.json    the stamp: what a complete set consists of, written last
    third_party/nvcc          bin/, include/, nvvm/ of the CUDA toolkit, where the machine has none
    third_party/download      wheels while a set is being laid out
"""

# tch 0.24 is generated from the headers of this release (docs/decisions/0001).
TORCH_SERIES = "2.11"
TORCH_VERSION = "2.11.0"


class SetupError(Exception):
    """What stops the set-up and the command that fixes it, in one line."""
