#!/usr/bin/env python3
"""Makes backbones/tests/goldens/convnext_*.safetensors from transformers' ConvNeXt, keys renamed to the authors'; see README.md."""

import re
from pathlib import Path

import torch
from torch import nn
from transformers import ConvNextBackbone, ConvNextConfig, ConvNextForImageClassification

from common import fill, randn, run, save

GOLDENS = Path(__file__).parents[2] / "backbones" / "tests" / "goldens"

CASES = {
    "convnext_dense": {
        "why": "layer scale; every patch layer drops a row, a column or both",
        "arch": {"embed_dim": 4, "depths": [1, 2, 1, 1], "layer_scale": 0.5},
        "input": [1, 3, 61, 78],
    },
    "convnext_classifier": {
        "why": "pool, norm, linear layer; no layer scale",
        "num_classes": 7,
        "arch": {"embed_dim": 4, "depths": [1, 1, 2, 1], "layer_scale": 0.0},
        "input": [1, 3, 50, 71],
    },
}

# Parameters whose whole gradient is stored; of all others its norm.
WHOLE_GRADIENT = re.compile(
    r"downsample_layers\..*|stages\.\d\.\d\.(dwconv|norm)\..*|.*gamma|stages\.1\.\d\..*|norm\d?\..*|head\..*"
)

RENAMES = [
    (r"^backbone\.", ""),
    (r"^convnext\.", ""),
    (r"^embeddings\.patch_embeddings\.", "downsample_layers.0.0."),
    (r"^embeddings\.layernorm\.", "downsample_layers.0.1."),
    (r"^encoder\.stages\.(\d)\.downsampling_layer\.", r"downsample_layers.\1."),
    (r"^encoder\.stages\.(\d)\.layers\.", r"stages.\1."),
    (r"^(stages.*)\.layernorm\.", r"\1.norm."),
    (r"\.layer_scale_parameter$", ".gamma"),
    (r"^layernorm\.", "norm."),
    (r"^classifier\.", "head."),
    (r"^hidden_states_norms\.stage(\d)\.", lambda match: f"norm{int(match[1]) - 1}."),
]


def convert(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    renamed = {}
    for key, tensor in tensors.items():
        for pattern, replacement in RENAMES:
            key = re.sub(pattern, replacement, key)
        renamed[key] = tensor
    return renamed


class Outputs(nn.Module):
    """Levels or logits alone."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.backbone = model

    def forward(self, image):
        result = self.backbone(image)
        return result.logits if "logits" in result else result.feature_maps


def make(name: str, case: dict, seed: int) -> None:
    arch, num_classes = case["arch"], case.get("num_classes")
    config = ConvNextConfig(
        hidden_sizes=[arch["embed_dim"] << stage for stage in range(4)],
        depths=arch["depths"],
        layer_scale_init_value=arch["layer_scale"],
        layer_norm_eps=1e-6,  # of the classifier's norm, as the authors have it
        drop_path_rate=0.0,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        num_labels=num_classes or 2,
    )
    model = Outputs((ConvNextForImageClassification if num_classes else ConvNextBackbone)(config)).eval()
    fill(model, seed)
    tensors = run(model, randn(case["input"], seed + 1), seed + 2, WHOLE_GRADIENT, convert)
    metadata = {"num_classes": num_classes} if num_classes else {}
    save(GOLDENS / f"{name}.safetensors", tensors, config={"family": "convnext"} | arch, why=case["why"], **metadata)


if __name__ == "__main__":
    for index, (name, case) in enumerate(CASES.items()):
        make(name, case, seed=2000 + 100 * index)
