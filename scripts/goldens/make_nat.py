#!/usr/bin/env python3
"""Makes backbones/tests/goldens/nat_*.safetensors from the authors' code; see README.md."""

import argparse
import re
from pathlib import Path

from common import fill, randn, run, save
from reference_nat import classification_module, classifier_parameters, dense_models

GOLDENS = Path(__file__).parents[2] / "backbones" / "tests" / "goldens"

# Which of the authors' classes, its size, and the input. `why` says what the case is there for.
CASES = {
    "nat_plain": {
        "why": "NAT-Mini's layout: window 7, no layer scale; stages 3 and 4 are smaller than the window and get padded",
        "model": "nat",
        "arch": {"embed_dim": 8, "depths": [1, 2, 1, 1], "heads": [1, 2, 2, 4], "mlp_ratio": 3.0, "window": 7},
        "input": [2, 3, 64, 80],
    },
    "nat_scaled_dilated": {
        "why": "layer scale, dilations up to the map's size, groups of unequal length",
        "model": "dinat",
        "arch": {
            "embed_dim": 8,
            "depths": [2, 2, 2, 1],
            "heads": [2, 2, 4, 4],
            "mlp_ratio": 2.0,
            "layer_scale": 0.5,
            "window": 3,
            "dilations": [[1, 8], [1, 4], [2, 1], [1]],
        },
        "input": [1, 3, 96, 100],
    },
    "nat_padded": {
        "why": "odd input; one axis or both smaller than window * dilation in every stage",
        "model": "dinat",
        "arch": {
            "embed_dim": 8,
            "depths": [2, 2, 1, 1],
            "heads": [1, 1, 2, 4],
            "mlp_ratio": 2.5,
            "window": 5,
            "dilations": [[1, 2], [1, 3], [1], [2]],
        },
        "input": [2, 3, 33, 47],
    },
    "nat_classifier": {
        "why": "the norm, pool and linear layer of classification/nat.py",
        "model": "nat",
        "num_classes": 7,
        "arch": {
            "embed_dim": 8,
            "depths": [1, 1, 1, 1],
            "heads": [1, 2, 2, 4],
            "mlp_ratio": 2.0,
            "layer_scale": 0.5,
            "window": 3,
        },
        "input": [2, 3, 37, 50],
    },
}

# Parameters whose whole gradient is stored; of all others its norm.
WHOLE_GRADIENT = re.compile(
    r"patch_embed\..*|levels\.\d\.blocks\.0\.(attn\.rpb|norm1\..*|norm2\..*|gamma[12])"
    r"|levels\.[01]\.blocks\.0\.(attn|mlp)\..*|levels\.3\.blocks\.0\.attn\.qkv\.bias"
    r"|levels\.[01]\.downsample\..*|norm\d\..*"
)
CLASSIFIER_WHOLE_GRADIENT = re.compile(r"patch_embed\.proj\.0\..*|norm\..*|head\..*")


def make(name: str, case: dict, dense: dict[str, type], classifier: type, seed: int) -> None:
    arch, num_classes = case["arch"], case.get("num_classes")
    arguments = {
        "embed_dim": arch["embed_dim"],
        "depths": arch["depths"],
        "num_heads": arch["heads"],
        "mlp_ratio": arch["mlp_ratio"],
        "kernel_size": arch["window"],
        "dilations": arch.get("dilations"),
        "layer_scale": arch.get("layer_scale"),
        "drop_path_rate": 0.0,
    }
    model = classifier(num_classes=num_classes, **arguments) if num_classes else dense[case["model"]](**arguments)
    fill(model, seed)
    whole = CLASSIFIER_WHOLE_GRADIENT if num_classes else WHOLE_GRADIENT
    tensors = run(model, randn(case["input"], seed + 1), seed + 2, whole)
    metadata = {"num_classes": num_classes} if num_classes else {}
    save(GOLDENS / f"{name}.safetensors", tensors, config={"family": "nat"} | arch, why=case["why"], **metadata)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, help="the authors' repository, see README.md")
    checkout = parser.parse_args().checkout
    dense, classification = dense_models(checkout), classification_module(checkout)
    for index, (name, case) in enumerate(CASES.items()):
        make(name, case, dense, classification.NAT, seed=100 * (index + 1))
    for size, count in classifier_parameters(classification).items():
        print(f"nat_{size}: {count} parameters of the ImageNet classifier")


if __name__ == "__main__":
    main()
