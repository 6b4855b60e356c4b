"""NAT, DiNAT and DiNAT_s classifiers as their authors' code builds them, on the attention module of NATTEN 0.17.5, which that
code calls. Parameters have the authors' names, which are smalti's.

Maps must not be smaller than window * dilation: what the authors' earlier releases of NATTEN padded this one refuses.
"""

import natten_cpu
import torch
import torch.nn.functional as F
from torch import nn

# Width of the first stage, blocks a stage, width of the MLP over its channels, initial layer scale, window.
NAT = {
    "nano": (32, [2, 2, 4, 2], 2, None, 7),
    "mini": (64, [3, 4, 6, 5], 3, None, 7),
    "tiny": (64, [3, 4, 18, 5], 3, None, 7),
    "small": (96, [3, 4, 18, 5], 2, 1e-5, 7),
    "base": (128, [3, 4, 18, 5], 2, 1e-5, 7),
    "dinat_mini": (64, [3, 4, 6, 5], 3, None, 7),
    "dinat_tiny": (64, [3, 4, 18, 5], 3, None, 7),
    "dinat_small": (96, [3, 4, 18, 5], 2, None, 7),
    "dinat_base": (128, [3, 4, 18, 5], 2, 1e-5, 7),
    "dinat_large": (192, [3, 4, 18, 5], 2, None, 7),
    "dinat_large_k11": (192, [3, 4, 18, 5], 2, None, 11),
}
# Width of the first stage, blocks a stage.
DINAT_S = {
    "tiny": (96, [2, 2, 6, 2]),
    "small": (96, [2, 2, 18, 2]),
    "base": (128, [2, 2, 18, 2]),
    "large": (192, [2, 2, 18, 2]),
}
HEAD = 32  # channels
LOCAL = [1, 1, 1, 1]
DILATED = [8, 4, 2, 1]  # every second block of a stage


def nat(variant: str) -> nn.Module:
    width, depths, ratio, scale, window = NAT[variant]
    dilations = DILATED if variant.startswith("dinat") else LOCAL

    def stage(level: int) -> nn.Module:
        channels = width << level
        make = lambda dilation: Block(channels, ratio, scale, window, dilation)  # noqa: E731
        return Stage(make, depths[level], dilations[level], None if level == 3 else ConvDownsample(channels))

    return Classifier(ConvStem(width), "levels", [stage(level) for level in range(4)], 8 * width)


def dinat_s(variant: str) -> nn.Module:
    width, depths = DINAT_S[variant]

    def stage(level: int) -> nn.Module:
        channels = width << level
        make = lambda dilation: Block(channels, 4, None, 7, dilation)  # noqa: E731
        return Stage(make, depths[level], DILATED[level], None if level == 3 else PatchMerging(channels))

    return Classifier(PatchEmbed(width), "layers", [stage(level) for level in range(4)], 8 * width)


class Classifier(nn.Module):
    """`[B, 3, H, W]` -> `[B, 1000]`."""

    def __init__(self, stem: nn.Module, name: str, stages: list[nn.Module], channels: int):
        super().__init__()
        self.patch_embed = stem
        self.add_module(name, nn.Sequential(*stages))
        self.stages = name
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, 1000)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.get_submodule(self.stages)(self.patch_embed(images))  # [B, H/32, W/32, C]
        return self.head(self.norm(x).mean((1, 2)))


class Stage(nn.Module):
    """`[B, H, W, C]` -> `[B, H/2, W/2, 2C]`, the last one to `[B, H, W, C]`."""

    def __init__(self, make, depth: int, dilation: int, downsample: nn.Module | None):
        super().__init__()
        self.blocks = nn.Sequential(*(make(dilation if j % 2 else 1) for j in range(depth)))
        self.downsample = downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(x)
        return x if self.downsample is None else self.downsample(x)


class ConvStem(nn.Module):
    """NAT's: `[B, 3, H, W]` -> `[B, H/4, W/4, C]`."""

    def __init__(self, channels: int):
        super().__init__()
        first = nn.Conv2d(3, channels // 2, 3, stride=2, padding=1)
        self.proj = nn.Sequential(first, nn.Conv2d(channels // 2, channels, 3, stride=2, padding=1))
        self.norm = nn.LayerNorm(channels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.norm(self.proj(images).permute(0, 2, 3, 1))


class ConvDownsample(nn.Module):
    """NAT's."""

    def __init__(self, channels: int):
        super().__init__()
        self.reduction = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=False)
        self.norm = nn.LayerNorm(2 * channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.reduction(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class PatchEmbed(nn.Module):
    """DiNAT_s's: `[B, 3, H, W]` -> `[B, H/4, W/4, C]`; H and W divide by 4."""

    def __init__(self, channels: int):
        super().__init__()
        self.proj = nn.Conv2d(3, channels, 4, stride=4)
        self.norm = nn.LayerNorm(channels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.norm(self.proj(images).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """DiNAT_s's: the pixels of a 2x2 block, columns before rows, as channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        parts = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(parts, -1)))


class Block(nn.Module):
    """Pre-norm transformer block on `[B, H, W, C]`."""

    def __init__(self, channels: int, ratio: int, scale: float | None, window: int, dilation: int):
        super().__init__()
        attention = natten_cpu.load().NeighborhoodAttention2D
        self.norm1 = nn.LayerNorm(channels)
        self.attn = attention(channels, channels // HEAD, window, dilation, rel_pos_bias=True)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, ratio * channels)
        self.scaled = scale is not None
        if self.scaled:
            self.gamma1 = nn.Parameter(torch.full((channels,), scale))
            self.gamma2 = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.scaled:
            x = x + self.gamma1 * self.attn(self.norm1(x))
            return x + self.gamma2 * self.mlp(self.norm2(x))
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Mlp(nn.Module):
    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(x)))
