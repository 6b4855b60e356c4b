"""Imports the authors' DAT from two checkouts, with stand-ins for the packages that their files import."""

import importlib
import sys
import types
from pathlib import Path

import torch
from torch import nn

from neighborhood import axis_keys
from reference_nat import NoDropPath, Registry, provide


def windows(height: int, width: int, window: int, dilation: int) -> tuple[tuple, tuple]:
    """Indices [H, W, K, K] of the pixels that each pixel sees, and of their entries in a bias table: (rows, columns) each."""
    axes = [[axis_keys(i, length, window, dilation) for i in range(length)] for length in (height, width)]
    rows, columns = (torch.tensor(axis) for axis in axes)  # [L, 2, K]: positions, entries
    return tuple((rows[:, i, None, :].unsqueeze(-1), columns[:, i, None, :].unsqueeze(0)) for i in (0, 1))


class Scores:
    """Stands in for natten's NATTEN2DQKRPBFunction: q, scaled, and k [B, M, H, W, D] -> scores [B, M, H, W, K * K]."""

    @staticmethod
    def apply(q, k, rpb, window, dilation):
        (rows, columns), (row_entries, column_entries) = windows(*q.shape[2:4], window, dilation)
        scores = torch.einsum("bmyxd,bmyxijd->bmyxij", q, k[:, :, rows, columns])
        return (scores + rpb[:, row_entries, column_entries]).flatten(-2)


class Values:
    """Stands in for NATTEN2DAVFunction: weights [B, M, H, W, K * K], v [B, M, H, W, D] -> [B, M, H, W, D]."""

    @staticmethod
    def apply(weights, v, window, dilation):
        (rows, columns), _ = windows(*v.shape[2:4], window, dilation)
        return torch.einsum("bmyxij,bmyxijd->bmyxd", weights.unflatten(-1, (window, window)), v[:, :, rows, columns])


def provide_stand_ins() -> None:
    provide("natten.functional", NATTEN2DQKRPBFunction=Scores, NATTEN2DAVFunction=Values)
    layers = {"DropPath": NoDropPath, "trunc_normal_": nn.init.trunc_normal_, "to_2tuple": lambda size: (size, size)}
    provide("timm.models.layers", **layers)
    provide("mmcv.runner", auto_fp16=lambda **_: lambda function: function)
    provide("mmseg.utils", get_root_logger=None)
    provide("mmseg.models.builder", BACKBONES=Registry())


def package(name: str, folder: Path) -> None:
    """Lets the files of a folder import each other without running its __init__.py."""
    module = types.ModuleType(name)
    module.__path__ = [str(folder)]
    sys.modules[name] = module


def dat_classes(classification: Path, segmentation: Path) -> tuple[type, type]:
    """The classifier of LeapLabTHU/DAT and the dense backbone of LeapLabTHU/DAT-Segmentation."""
    provide_stand_ins()
    package("dat_classification", classification / "models")
    package("dat_segmentation", segmentation / "models")
    package("dat_segmentation.backbones", segmentation / "models" / "backbones")
    loading = types.ModuleType("loading")
    loading.load_checkpoint = None
    sys.modules["dat_segmentation.backbones.loading"] = loading
    modules = map(importlib.import_module, ("dat_classification.dat", "dat_segmentation.backbones.dat"))
    return tuple(module.DAT for module in modules)
