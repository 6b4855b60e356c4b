#!/usr/bin/env python3
"""Makes backbones/tests/goldens/dinat_s_*.safetensors from the authors' code; see README.md."""

import argparse
import re
from pathlib import Path

from common import fill, randn, run, save
from reference_nat import dinat_parameters, dinats_modules

GOLDENS = Path(__file__).parents[2] / "backbones" / "tests" / "goldens"

# The size, and the input. `why` says what the case is there for.
CASES = {
    "dinat_s_odd": {
        "why": "odd input: patches and merging pad; some maps smaller than window * dilation",
        "arch": {
            "embed_dim": 4,
            "depths": [2, 2, 1, 1],
            "heads": [1, 2, 2, 4],
            "mlp_ratio": 4.0,
            "window": 3,
            "dilations": [[1, 3], [1, 2], [2], [1]],
        },
        "input": [2, 3, 37, 43],
    },
    "dinat_s_plain": {
        "why": "window 7, even maps",
        "arch": {
            "embed_dim": 4,
            "depths": [1, 1, 2, 1],
            "heads": [1, 1, 2, 4],
            "mlp_ratio": 2.0,
            "window": 7,
            "dilations": [[1], [1], [1, 1], [1]],
        },
        "input": [1, 3, 64, 48],
    },
    "dinat_s_classifier": {
        "why": "the norm, pool and linear layer of classification/dinats.py",
        "num_classes": 6,
        "arch": {
            "embed_dim": 4,
            "depths": [1, 1, 1, 1],
            "heads": [1, 1, 2, 4],
            "mlp_ratio": 2.0,
            "window": 3,
            "dilations": [[2], [1], [1], [1]],
        },
        "input": [2, 3, 33, 30],
    },
}

# Parameters whose whole gradient is stored; of all others its norm.
WHOLE_GRADIENT = re.compile(
    r"patch_embed\..*|layers\.\d\.blocks\.0\.(attn\.rpb|norm[12]\..*)|layers\.[01]\.blocks\.0\.attn\..*"
    r"|layers\.\d\.downsample\.norm\..*|layers\.[01]\.downsample\.reduction\..*|norm\d?\..*|head\..*"
)


def make(name: str, case: dict, dense: type, classifier: type, seed: int) -> None:
    arch, num_classes = case["arch"], case.get("num_classes")
    arguments = {
        "embed_dim": arch["embed_dim"],
        "depths": arch["depths"],
        "num_heads": arch["heads"],
        "mlp_ratio": arch["mlp_ratio"],
        "kernel_size": arch["window"],
        "dilations": arch["dilations"],
        "drop_path_rate": 0.0,
    }
    model = classifier(num_classes=num_classes, **arguments) if num_classes else dense(**arguments)
    fill(model, seed)
    tensors = run(model, randn(case["input"], seed + 1), seed + 2, WHOLE_GRADIENT)
    metadata = {"num_classes": num_classes} if num_classes else {}
    save(GOLDENS / f"{name}.safetensors", tensors, config={"family": "dinat_s"} | arch, why=case["why"], **metadata)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, help="the authors' repository, see README.md")
    checkout = parser.parse_args().checkout
    dense, classification = dinats_modules(checkout)
    for index, (name, case) in enumerate(CASES.items()):
        make(name, case, dense.DiNAT_s, classification.DiNAT_s, seed=2000 + 100 * index)
    for size, count in dinat_parameters(checkout).items():
        print(f"{size}: {count} parameters of the ImageNet classifier")


if __name__ == "__main__":
    main()
