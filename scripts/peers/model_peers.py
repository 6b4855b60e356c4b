"""Other implementations of smalti's classifiers: by library, a function from family, variant and image size to a module.

A function returns None for what its library does not have. Weights are random, as smalti's are.
"""

import torch

# Embedding width, blocks and heads a stage, window.
SWIN = {
    "tiny": (96, [2, 2, 6, 2], [3, 6, 12, 24], 7),
    "small": (96, [2, 2, 18, 2], [3, 6, 12, 24], 7),
    "base": (128, [2, 2, 18, 2], [4, 8, 16, 32], 7),
    "large": (192, [2, 2, 18, 2], [6, 12, 24, 48], 7),
    "base_384": (128, [2, 2, 18, 2], [4, 8, 16, 32], 12),
    "large_384": (192, [2, 2, 18, 2], [6, 12, 24, 48], 12),
}
# Width of the first stage, blocks of the third.
CONVNEXT = {"tiny": (96, 9), "small": (96, 27), "base": (128, 27), "large": (192, 27), "xlarge": (256, 27)}
# Families that stand on NATTEN.
NATTEN = ("nat", "dinat_s", "dat")


def timm(family: str, variant: str, size: int) -> torch.nn.Module | None:
    import timm

    if family == "davit":
        return timm.create_model(f"davit_{variant}")
    if family == "convnext":
        return timm.create_model(f"convnext_{variant}")
    if family == "resnet":
        return timm.create_model(f"resnet{variant}")
    if family == "swin":
        window = SWIN[variant][3]
        name = f"swin_{variant.removesuffix('_384')}_patch4_window{window}_{384 if window == 12 else 224}"
        return timm.create_model(name, img_size=size)
    return None


def transformers(family: str, variant: str, size: int) -> torch.nn.Module | None:
    import transformers

    if family == "swin":
        width, depths, heads, window = SWIN[variant]
        shape = {"embed_dim": width, "depths": depths, "num_heads": heads, "window_size": window}
        config = transformers.SwinConfig(image_size=size, num_labels=1000, **shape)
        return transformers.SwinForImageClassification(config)
    if family == "convnext":
        width, third = CONVNEXT[variant]
        shape = {"hidden_sizes": [width << stage for stage in range(4)], "depths": [3, 3, third, 3]}
        config = transformers.ConvNextConfig(image_size=size, num_labels=1000, **shape)
        return transformers.ConvNextForImageClassification(config)
    return None


def torchvision(family: str, variant: str, size: int) -> torch.nn.Module | None:
    import torchvision

    if family == "resnet":
        return getattr(torchvision.models, f"resnet{variant}")()
    if family == "convnext" and hasattr(torchvision.models, f"convnext_{variant}"):
        return getattr(torchvision.models, f"convnext_{variant}")()
    return None


def natten(family: str, variant: str, size: int) -> torch.nn.Module | None:
    if family not in NATTEN:
        return None
    if family == "dat":
        import dat_models

        return dat_models.dat(variant)
    import natten_models

    return getattr(natten_models, family)(variant)


PEERS = {"timm": timm, "transformers": transformers, "torchvision": torchvision, "natten": natten}
