#!/usr/bin/env python3
"""Makes backbones/tests/goldens/swin_*.safetensors from transformers' Swin, keys renamed to the authors'; see README.md."""

import re
from pathlib import Path

import torch
from torch import nn
from transformers import SwinBackbone, SwinConfig, SwinForImageClassification

from common import fill, randn, run, save

GOLDENS = Path(__file__).parents[2] / "backbones" / "tests" / "goldens"

CASES = {
    "swin_dense": {
        "why": "even window, padded right and below; the last map is smaller than the window and shifted all the same",
        "arch": {"embed_dim": 4, "depths": [2, 2, 2, 2], "heads": [1, 2, 2, 4], "mlp_ratio": 2.0, "window": 4},
        "input": [1, 3, 41, 53],
    },
    "swin_dense_window_7": {
        "why": "odd window, larger than the maps of stages 3 and 4 and in stage 2 than one axis; masks of two images",
        "arch": {"embed_dim": 4, "depths": [2, 2, 2, 1], "heads": [2, 2, 4, 4], "window": 7},
        "input": [2, 3, 33, 49],
    },
    "swin_classifier": {
        "why": "norm, pool, linear layer; no shift where the map is as small as the window, smaller windows on smaller maps",
        "num_classes": 7,
        "arch": {"embed_dim": 4, "depths": [2, 2, 2, 2], "heads": [1, 2, 2, 4], "mlp_ratio": 2.0, "window": 4},
        "input": [1, 3, 49, 64],
    },
}

# Parameters whose whole gradient is stored; of all others its norm.
WHOLE_GRADIENT = re.compile(
    r"patch_embed\..*|layers\.[03]\.blocks\.\d\.(attn\.relative_position_bias_table|norm1\..*|norm2\..*|attn\.qkv\.bias)"
    r"|layers\.0\.blocks\.1\..*|layers\.0\.downsample\..*|norm\d?\..*|head\..*"
)

RENAMES = [
    (r"^swin\.", ""),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^embeddings\.norm\.", "patch_embed.norm."),
    (r"^encoder\.", ""),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.relative_position_bias\.", ".attn."),
    (r"\.attention\.o_proj\.", ".attn.proj."),
    (r"\.attention\.", ".attn."),
    (r"^layernorm\.", "norm."),
    (r"^classifier\.", "head."),
    (r"^hidden_states_norms\.stage(\d)\.", lambda match: f"norm{int(match[1]) - 1}."),
]


def convert(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The authors' names, with q, k and v in one tensor."""
    renamed = {}
    for key, tensor in tensors.items():
        key = key.removeprefix("backbone.")
        for pattern, replacement in RENAMES:
            key = re.sub(pattern, replacement, key)
        renamed[key] = tensor
    for key in [key for key in renamed if ".attn.q_proj." in key]:
        parts = [renamed.pop(key.replace("q_proj", part)) for part in ("q_proj", "k_proj", "v_proj")]
        renamed[key.replace("q_proj", "qkv")] = torch.cat(parts)
    return renamed


def position_index(window: int, table: int) -> torch.Tensor:
    """Rows of a table of windows of side `table` for the pairs of a smaller window: the table's middle."""
    at = [(row, column) for row in range(window) for column in range(window)]
    rows = [(q[0] - k[0] + table - 1) * (2 * table - 1) + q[1] - k[1] + table - 1 for q in at for k in at]
    return torch.tensor(rows)


class Dense(nn.Module):
    def __init__(self, config: SwinConfig):
        super().__init__()
        self.backbone = SwinBackbone(config)
        # Its result is thrown away by the backbone, and dense checkpoints lack it.
        self.backbone.swin.layernorm = nn.Identity()

    def forward(self, image):
        return self.backbone(image).feature_maps


class Classifier(nn.Module):
    def __init__(self, config: SwinConfig, image_size: tuple[int, int]):
        super().__init__()
        self.backbone = SwinForImageClassification(config)
        # transformers shrinks windows on small maps, but not the bias of their pairs, and fails.
        for index, stage in enumerate(self.backbone.swin.encoder.layers):
            side = min(-(-size // (4 << index)) for size in image_size)
            for block in stage.blocks if side < config.window_size else ():
                bias = block.attention.relative_position_bias
                bias.relative_position_index = position_index(side, config.window_size)
                bias.window_area = side * side

    def forward(self, image):
        return self.backbone(image).logits


def make(name: str, case: dict, seed: int) -> None:
    arch, num_classes = case["arch"], case.get("num_classes")
    config = SwinConfig(
        embed_dim=arch["embed_dim"],
        depths=arch["depths"],
        num_heads=arch["heads"],
        mlp_ratio=arch.get("mlp_ratio", 4.0),
        window_size=arch["window"],
        drop_path_rate=0.0,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        num_labels=num_classes or 2,
        attn_implementation="sdpa",  # the eager one takes its softmax in f32, whatever the model's precision
    )
    model = Classifier(config, case["input"][2:]) if num_classes else Dense(config)
    model.eval()
    fill(model, seed)
    tensors = run(model, randn(case["input"], seed + 1), seed + 2, WHOLE_GRADIENT, convert)
    metadata = {"num_classes": num_classes} if num_classes else {}
    save(GOLDENS / f"{name}.safetensors", tensors, config={"family": "swin"} | arch, why=case["why"], **metadata)


if __name__ == "__main__":
    for index, (name, case) in enumerate(CASES.items()):
        make(name, case, seed=1000 + 100 * index)
