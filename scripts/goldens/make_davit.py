#!/usr/bin/env python3
"""Makes backbones/tests/goldens/davit_*.safetensors from timm's DaViT; see README.md."""

import re
from pathlib import Path

import timm
from timm.models.davit import DaVit
from torch import nn

from common import fill, randn, run, save

GOLDENS = Path(__file__).parents[2] / "backbones" / "tests" / "goldens"
CLASSES = 5

# Our config, and the input. `why` says what the case is there for.
CASES = {
    "davit_plain": {
        "why": "window 7 on maps that it divides, does not divide and does not fit into",
        "config": {"embed_dim": 4, "depths": [1, 1, 2, 1], "heads": [1, 2, 2, 4]},
        "input": [1, 3, 56, 44],
    },
    "davit_odd": {
        "why": "odd input and odd maps on the way down, no bias of qkv, another MLP",
        "config": {
            "embed_dim": 4,
            "depths": [2, 1, 1, 1],
            "heads": [1, 1, 2, 4],
            "window": 4,
            "mlp_ratio": 2.5,
            "qkv_bias": False,
        },
        "input": [2, 3, 33, 27],
    },
    "davit_florence": {
        "why": "the layout of Florence-2: overlapping downsampling, the second channel attention, window 12, named blocks",
        "config": {
            "embed_dim": 4,
            "depths": [1, 1, 2, 1],
            "heads": [1, 2, 2, 4],
            "window": 12,
            "downsample_kernel": 3,
            "channel_attention": "v2",
        },
        "input": [1, 3, 54, 37],
    },
    "davit_classifier": {
        "why": "logits: the mean over pixels comes before the norm",
        "config": {"embed_dim": 4, "depths": [1, 1, 1, 1], "heads": [1, 2, 2, 4], "mlp_ratio": 2.0},
        "input": [2, 3, 30, 32],
        "classifier": True,
    },
}

# Parameters whose whole gradient is stored; of all others its norm.
WHOLE_GRADIENT = re.compile(
    r"stem\..*|norm\d\..*|head\..*|stages\.\d\.downsample\.norm\..*|stages\.[01]\.downsample\.conv\.weight"
    r"|stages\.\d\.blocks\.0\.[01]\.(cpe[12]\.proj|norm[12]|attn\.qkv)\.bias"
    r"|stages\.[01]\.blocks\.0\.[01]\.(cpe[12]\.proj|attn\.(qkv|proj))\.weight"
)


class Dense(nn.Module):
    """timm's stages, and a norm for each level as in the dense code of dingmyu/davit, which timm leaves out."""

    def __init__(self, davit: DaVit):
        super().__init__()
        self.davit = davit
        for index, info in enumerate(davit.feature_info):
            self.add_module(f"norm{index}", nn.LayerNorm(info["num_chs"]))

    def forward(self, images):
        levels = self.davit.forward_intermediates(images, intermediates_only=True)
        norms = (getattr(self, f"norm{index}") for index in range(len(levels)))
        return [norm(level.movedim(1, -1)).movedim(-1, 1) for norm, level in zip(norms, levels, strict=True)]


def our_names(tensors: dict) -> dict:
    def rename(key: str) -> str:
        return key.removeprefix("davit.").replace(".spatial_block.", ".0.").replace(".channel_block.", ".1.")

    return {rename(key): tensor for key, tensor in tensors.items()}


def build(case: dict) -> nn.Module:
    config = case["config"]
    davit = DaVit(
        depths=config["depths"],
        embed_dims=[config["embed_dim"] << stage for stage in range(4)],
        num_heads=config["heads"],
        window_size=config.get("window", 7),
        mlp_ratio=config.get("mlp_ratio", 4.0),
        qkv_bias=config.get("qkv_bias", True),
        down_kernel_size=config.get("downsample_kernel", 2),
        channel_attn_v2=config.get("channel_attention") == "v2",
        named_blocks=config.get("channel_attention") == "v2",
        num_classes=CLASSES,
    )
    if case.get("classifier"):
        return davit
    davit.head = nn.Identity()
    return Dense(davit)


def make(name: str, case: dict, seed: int) -> None:
    model = build(case).eval()
    fill(model, seed)
    tensors = run(model, randn(case["input"], seed + 1), seed + 2, WHOLE_GRADIENT, our_names)
    metadata = {"num_classes": CLASSES} if case.get("classifier") else {}
    config = {"family": "davit"} | case["config"]
    save(GOLDENS / f"{name}.safetensors", tensors, config=config, why=case["why"], timm=timm.__version__, **metadata)


def main() -> None:
    for index, (name, case) in enumerate(CASES.items()):
        make(name, case, seed=1000 + 100 * index)
    for size in ("tiny", "small", "base", "large", "huge", "giant", "base_fl", "huge_fl"):
        model = timm.create_model(f"davit_{size}", num_classes=1000, device="meta")
        print(f"davit_{size}: {sum(parameter.numel() for parameter in model.parameters())} parameters of the classifier")


if __name__ == "__main__":
    main()
