"""Imports the authors' Mask2Former from a checkout, with stand-ins for the parts of detectron2 and fvcore that its files import."""

import importlib
import sys
import types
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from reference_nat import NoDropPath, provide


class Registry:
    def __init__(self, name=""):
        self.name = name

    def register(self):
        return lambda cls: cls


class ShapeSpec(NamedTuple):
    channels: int
    stride: int


class Conv2d(nn.Conv2d):
    """detectron2's: a norm and an activation after the convolution."""

    def __init__(self, *arguments, norm=None, activation=None, **settings):
        super().__init__(*arguments, **settings)
        self.norm = norm
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = super().forward(x)
        if self.norm is not None:
            x = self.norm(x)
        return x if self.activation is None else self.activation(x)


def get_norm(name: str, channels: int) -> nn.Module:
    assert name == "GN", name
    return nn.GroupNorm(32, channels)


def provide_stand_ins() -> None:
    registry = Registry()
    provide("detectron2.config", configurable=lambda init: init)
    provide("detectron2.layers", Conv2d=Conv2d, ShapeSpec=ShapeSpec, get_norm=get_norm)
    modeling = {"SEM_SEG_HEADS_REGISTRY": registry, "BACKBONE_REGISTRY": registry, "Backbone": nn.Module, "ShapeSpec": ShapeSpec}
    provide("detectron2.modeling", **modeling)
    provide("detectron2.utils.registry", Registry=Registry)
    provide("fvcore.nn.weight_init", c2_xavier_fill=lambda _: None, c2_msra_fill=lambda _: None)
    layers = {"DropPath": NoDropPath, "trunc_normal_": nn.init.trunc_normal_, "to_2tuple": lambda size: (size, size)}
    provide("timm.models.layers", **layers)
    provide("MultiScaleDeformableAttention")  # without its functions: the code falls back on its own in plain torch


def classes(checkout: Path) -> types.SimpleNamespace:
    """SwinTransformer, MSDeformAttnPixelDecoder, MultiScaleMaskedTransformerDecoder, whose packages' own imports are left out."""
    provide_stand_ins()
    for package in ("", ".modeling", ".modeling.backbone", ".modeling.pixel_decoder", ".modeling.transformer_decoder"):
        module = types.ModuleType("mask2former" + package)
        module.__path__ = [str(checkout.joinpath("mask2former", *package.split(".")[1:]))]
        sys.modules["mask2former" + package] = module

    def load(name: str) -> types.ModuleType:
        return importlib.import_module(f"mask2former.modeling.{name}")

    return types.SimpleNamespace(
        swin=load("backbone.swin").SwinTransformer,
        pixel_decoder=load("pixel_decoder.msdeformattn").MSDeformAttnPixelDecoder,
        decoder=load("transformer_decoder.mask2former_transformer_decoder").MultiScaleMaskedTransformerDecoder,
    )


class Mask2Former(nn.Module):
    """The authors' network, put together as their MaskFormerHead does it."""

    def __init__(self, authors: types.SimpleNamespace, swin: dict, head: dict, classes: int):
        super().__init__()
        self.backbone = authors.swin(**swin)
        shapes = {f"res{i + 2}": ShapeSpec(swin["embed_dim"] << i, 4 << i) for i in range(4)}
        self.sem_seg_head = nn.Module()
        self.sem_seg_head.pixel_decoder = authors.pixel_decoder(
            shapes,
            transformer_dropout=0.0,
            transformer_nheads=head["num_attention_heads"],
            transformer_dim_feedforward=head["encoder_feedforward_dim"],
            transformer_enc_layers=head["encoder_layers"],
            conv_dim=head["hidden_dim"],
            mask_dim=head["mask_feature_size"],
            norm="GN",
            transformer_in_features=["res3", "res4", "res5"],
            common_stride=4,
        )
        self.sem_seg_head.predictor = authors.decoder(
            head["hidden_dim"],
            num_classes=classes,
            hidden_dim=head["hidden_dim"],
            num_queries=head["num_queries"],
            nheads=head["num_attention_heads"],
            dim_feedforward=head["dim_feedforward"],
            dec_layers=head["decoder_layers"] - 1,  # as their from_config does, which transformers has kept
            pre_norm=False,
            mask_dim=head["mask_feature_size"],
            enforce_input_project=False,
        )

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        levels = self.backbone(image)
        mask_features, _, memory = self.sem_seg_head.pixel_decoder.forward_features(levels)
        result = self.sem_seg_head.predictor(memory, mask_features)
        outputs = {f"backbone/{i}": level for i, level in enumerate(levels.values())}
        outputs |= {f"memory/{i}": level for i, level in enumerate(memory)} | {"mask_features": mask_features}
        for i, layer in enumerate([*result["aux_outputs"], result]):
            outputs |= {f"class_logits/{i}": layer["pred_logits"], f"mask_logits/{i}": layer["pred_masks"]}
        return outputs
