"""DAT++ classifiers as their authors' code builds and runs them (LeapLabTHU/DAT, licence Apache-2.0), op by op in the same order
of memory; neighborhood attention by NATTEN 0.17.5, which that code calls, the rest by torch. Parameters have the authors' names.
"""

import natten_cpu
import torch
import torch.nn.functional as F
from torch import nn

# Width of the first stage, heads and groups of heads a stage.
DAT = {
    "tiny": (64, [2, 4, 8, 16], [1, 2, 4, 8]),
    "small": (96, [3, 6, 12, 24], [1, 2, 3, 6]),
    "base": (128, [4, 8, 16, 32], [2, 4, 8, 16]),
}
BLOCKS = ["ND", "NDND", "ND" * 9, "DD"]  # N: neighborhood, D: deformable
STRIDES = [8, 4, 2, 1]  # pixels a key
KERNELS = [9, 7, 5, 3]  # of the offset convolutions
WINDOW = 7
TABLE = 224  # side of the images that position tables are made for


def dat(variant: str) -> nn.Module:
    return Dat(*DAT[variant])


class Dat(nn.Module):
    """`[B, 3, H, W]` -> `[B, 1000]`."""

    def __init__(self, width: int, heads: list[int], groups: list[int]):
        super().__init__()
        dims = [width << stage for stage in range(4)]
        conv = lambda inputs, outputs, bias: nn.Conv2d(inputs, outputs, 3, 2, 1, bias=bias)  # noqa: E731
        first = [conv(3, width // 2, True), Norm(width // 2), nn.GELU()]
        self.patch_proj = nn.Sequential(*first, conv(width // 2, width, True), Norm(width))
        self.stages = nn.ModuleList(Stage(stage, dims[stage], heads[stage], groups[stage]) for stage in range(4))
        self.down_projs = nn.ModuleList(
            nn.Sequential(conv(dims[stage], dims[stage + 1], False), Norm(dims[stage + 1])) for stage in range(3)
        )
        self.cls_norm = Norm(dims[3])
        self.cls_head = nn.Linear(dims[3], 1000)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.patch_proj(images)
        for stage, blocks in enumerate(self.stages):
            x = blocks(x)
            if stage < 3:
                x = self.down_projs[stage](x)
        return self.cls_head(F.adaptive_avg_pool2d(self.cls_norm(x), 1).flatten(1))


class Stage(nn.Module):
    """`[B, C, H, W]` -> `[B, C, H, W]`."""

    def __init__(self, stage: int, channels: int, heads: int, groups: int):
        super().__init__()
        kinds = BLOCKS[stage]
        make = {
            "N": lambda: Neighborhood(channels, heads),
            "D": lambda: Deformable(stage, channels, heads, groups),
        }
        depthwise = lambda: nn.Conv2d(channels, channels, 3, 1, 1, groups=channels)  # noqa: E731
        self.local_perception_units = nn.ModuleList(depthwise() for _ in kinds)
        self.layer_norms = nn.ModuleList(Norm(channels) for _ in range(2 * len(kinds)))
        self.attns = nn.ModuleList(make[kind]() for kind in kinds)
        self.mlps = nn.ModuleList(Mlp(channels) for _ in kinds)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block, (unit, attention, mlp) in enumerate(zip(self.local_perception_units, self.attns, self.mlps)):
            x = unit(x.contiguous()) + x
            x = attention(self.layer_norms[2 * block](x)) + x
            x = mlp(self.layer_norms[2 * block + 1](x)) + x
        return x


class Norm(nn.Module):
    """A layer norm over the channels of `[B, C, H, W]`."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Mlp(nn.Module):
    """1x1 convolutions around a depthwise one with a shortcut, on `[B, C, H, W]`."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = 4 * channels
        self.linear1 = nn.Sequential(nn.Conv2d(channels, hidden, 1))
        self.linear2 = nn.Sequential(nn.Conv2d(hidden, channels, 1))
        self.dwc = nn.Conv2d(hidden, hidden, 3, 1, 1, groups=hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.linear1(x)
        return self.linear2(F.gelu(x + self.dwc(x)))


class Neighborhood(nn.Module):
    """NATTEN's module on `[B, C, H, W]`, its parameters without a prefix."""

    def __new__(cls, channels: int, heads: int):
        module = natten_cpu.load().NeighborhoodAttention2D(channels, heads, WINDOW, 1, rel_pos_bias=True)
        attend = module.forward
        module.forward = lambda x: attend(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return module


class Deformable(nn.Module):
    """Attention of all pixels of `[B, C, H, W]` to keys sampled where a small network wants them."""

    def __init__(self, stage: int, channels: int, heads: int, groups: int):
        super().__init__()
        of_group, kernel, stride = channels // groups, KERNELS[stage], STRIDES[stage]
        side = 2 * ((TABLE // 4) >> stage) - 1
        self.heads, self.groups, self.scale = heads, groups, (channels // heads) ** -0.5
        self.conv_offset = nn.Sequential(
            nn.Conv2d(of_group, of_group, kernel, stride, kernel // 2, groups=of_group),
            Norm(of_group),
            nn.GELU(),
            nn.Conv2d(of_group, 2, 1, bias=False),
        )
        self.proj_q, self.proj_k, self.proj_v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))
        self.rpe_table = nn.Parameter(torch.empty(heads, side, side).normal_(std=0.01))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, channels, height, width = x.shape
        points, heads = batch * self.groups, batch * self.heads
        q = self.proj_q(x)
        offsets = self.conv_offset(q.reshape(points, -1, height, width)).contiguous()  # [B * G, 2, Hk, Wk]
        rows, columns = offsets.shape[2:]
        count = rows * columns
        keys = grid(torch.arange(rows) + 0.5, torch.arange(columns) + 0.5, x)  # [Hk, Wk, 2] as (y, x)
        at = (offsets.permute(0, 2, 3, 1) + keys).clamp(-1.0, 1.0)  # [B * G, Hk, Wk, 2]

        maps = x.reshape(points, -1, height, width)
        sampled = F.grid_sample(maps, at[..., (1, 0)], mode="bilinear", align_corners=True)
        sampled = sampled.reshape(batch, channels, 1, count)
        q = q.reshape(heads, -1, height * width)
        k = self.proj_k(sampled).reshape(heads, -1, count)
        v = self.proj_v(sampled).reshape(heads, -1, count)
        scores = torch.einsum("bcm,bcn->bmn", q, k).mul(self.scale)  # [B * M, HW, N]

        pixels = grid(torch.arange(height), torch.arange(width), x).reshape(1, -1, 1, 2)
        far = (pixels - at.reshape(points, 1, count, 2)).mul(0.5)  # [B * G, HW, N, 2]
        tables = self.rpe_table[None].expand(batch, -1, -1, -1).reshape(points, -1, *self.rpe_table.shape[1:])
        bias = F.grid_sample(tables, far[..., (1, 0)], mode="bilinear", align_corners=True)
        weights = F.softmax(scores + bias.reshape(heads, height * width, count), dim=2)
        out = torch.einsum("bmn,bcn->bcm", weights, v).reshape(batch, channels, height, width)
        return self.proj_out(out)


def grid(rows: torch.Tensor, columns: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Places as (y, x) on a scale where the first pixel of an axis is at -1 and the last at 1: `[H, W, 2]`."""
    axes = [axis.to(like) / (len(axis) - 1.0) * 2.0 - 1.0 for axis in (rows, columns)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
