"""Imports the authors' NAT and DiNAT from a checkout, with stand-ins for the packages that their files import."""

import importlib.util
import sys
import types
from pathlib import Path

from torch import nn

from neighborhood import NeighborhoodAttention2D


class NoDropPath(nn.Identity):
    """Stands in for timm's DropPath; the goldens are made with a rate of 0."""

    def __init__(self, rate=0.0):
        super().__init__()


class Registry:
    def register_module(self):
        return lambda cls: cls


def provide(name: str, **members) -> None:
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
    for key, value in members.items():
        setattr(sys.modules[name], key, value)


def provide_stand_ins() -> None:
    provide("natten", NeighborhoodAttention2D=NeighborhoodAttention2D)
    provide("timm.models.layers", DropPath=NoDropPath, trunc_normal_=nn.init.trunc_normal_)
    provide("timm.models.registry", register_model=lambda function: function)
    provide("mmcv.runner", load_checkpoint=None)
    provide("mmseg.utils", get_root_logger=None)
    provide("mmseg.models.builder", BACKBONES=Registry())


def load(name: str, path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def dense_models(checkout: Path) -> dict[str, type]:
    """The dense NAT and DiNAT of segmentation/."""
    provide_stand_ins()
    nat = load("nat", checkout / "segmentation" / "nat.py")  # dinat.py imports it by this name
    dinat = load("dinat", checkout / "segmentation" / "dinat.py")
    return {"nat": nat.NAT, "dinat": dinat.DiNAT}


def classification_module(checkout: Path) -> types.ModuleType:
    """classification/nat.py, the ImageNet classifiers."""
    provide_stand_ins()
    return load("classification_nat", checkout / "classification" / "nat.py")


def classifier_parameters(module: types.ModuleType) -> dict[str, int]:
    """Parameters of the ImageNet classifiers of classification/nat.py."""
    sizes = ("mini", "tiny", "small", "base")
    models = ((size, getattr(module, f"nat_{size}")()) for size in sizes)
    return {size: sum(parameter.numel() for parameter in model.parameters()) for size, model in models}
