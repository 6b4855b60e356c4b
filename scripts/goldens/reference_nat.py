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
    layers = {"DropPath": NoDropPath, "trunc_normal_": nn.init.trunc_normal_, "to_2tuple": lambda size: (size, size)}
    provide("timm.models.layers", **layers)
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


def dinats_modules(checkout: Path) -> tuple[types.ModuleType, types.ModuleType]:
    """segmentation/dinats.py and classification/dinats.py."""
    provide_stand_ins()
    modules = []
    for part in ("segmentation", "classification"):
        load("nat", checkout / part / "nat.py")  # dinats.py imports the MLP from it
        modules.append(load(f"{part}_dinats", checkout / part / "dinats.py"))
    return tuple(modules)


def dinat_parameters(checkout: Path) -> dict[str, int]:
    """Parameters of the ImageNet classifiers of classification/dinat.py and dinats.py."""
    _, dinats = dinats_modules(checkout)  # leaves classification/nat.py behind, which dinat.py imports
    dinat = load("classification_dinat", checkout / "classification" / "dinat.py")
    models = {f"dinat_{size}": dinat for size in ("mini", "tiny", "small", "base", "large", "large_384_11x11")}
    models |= {f"dinat_s_{size}": dinats for size in ("tiny", "small", "base", "large")}
    counts = {}
    for name, module in models.items():
        counts[name] = sum(parameter.numel() for parameter in getattr(module, name)().parameters())
    return counts
