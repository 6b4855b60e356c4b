"""2D neighborhood attention written from its definition, one query at a time: slow, and independent of the Rust code.

Definition, per axis of length L with window K and dilation d (K odd, L >= K * d):
- the positions of equal index modulo d form a group; a position's rank is its place in the group;
- a query sees K neighbouring ranks of its own group, those around it where they exist: at the ends of the group the window
  shifts inwards, so that there are always K;
- the relative position bias is indexed by (rank of key - rank of query) + K - 1.
On two axes the keys are the product of both axes' keys. score = (q * scale) . k + bias, softmax over all K * K keys.

The module around it zero-pads a map smaller than K * d right and bottom, before the qkv projection and without a mask.
"""

import torch
from torch import nn


def axis_keys(position: int, length: int, window: int, dilation: int) -> tuple[list[int], list[int]]:
    """Positions that `position` sees on one axis, and their indices into the bias table."""
    group = [p for p in range(length) if p % dilation == position % dilation]
    query = group.index(position)
    # All windows of K neighbouring ranks that contain the query; the one that is centred best.
    windows = [range(s, s + window) for s in range(len(group) - window + 1) if s <= query < s + window]
    best = min(windows, key=lambda ranks: abs(ranks[window // 2] - query))
    return [group[rank] for rank in best], [rank - query + window - 1 for rank in best]


def neighborhood_attention(q, k, v, rpb, window: int, dilation: int, scale: float) -> torch.Tensor:
    """q, k, v [B, H, W, M, D], rpb [M, 2K-1, 2K-1] -> [B, H, W, M, D]."""
    _, height, width, _, _ = q.shape
    lines = []
    for y in range(height):
        rows, row_bias = axis_keys(y, height, window, dilation)
        line = []
        for x in range(width):
            columns, column_bias = axis_keys(x, width, window, dilation)
            keys = k[:, rows][:, :, columns].flatten(1, 2)  # [B, K*K, M, D]
            values = v[:, rows][:, :, columns].flatten(1, 2)
            scores = torch.einsum("bmd,bkmd->bmk", q[:, y, x] * scale, keys)
            scores = scores + rpb[:, row_bias][:, :, column_bias].flatten(1)
            line.append(torch.einsum("bmk,bkmd->bmd", scores.softmax(-1), values))
        lines.append(torch.stack(line, 1))
    return torch.stack(lines, 1)


class NeighborhoodAttention2D(nn.Module):
    """Stands in for natten's module of the same name (0.14 to 0.17): same arguments, same parameter names."""

    def __init__(
        self,
        dim,
        num_heads,
        kernel_size,
        dilation=None,
        bias=True,
        qkv_bias=True,
        qk_scale=None,
        attn_drop=0.0,
        proj_drop=0.0,
    ):
        super().__init__()
        if not bias or attn_drop or proj_drop:
            raise NotImplementedError("the goldens use a relative position bias and no dropout")
        self.heads, self.window, self.dilation = num_heads, kernel_size, dilation or 1
        self.scale = qk_scale or (dim // num_heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.rpb = nn.Parameter(torch.zeros(num_heads, 2 * kernel_size - 1, 2 * kernel_size - 1))
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):  # [B, H, W, C]
        batch, height, width, channels = x.shape
        least = self.window * self.dilation
        padded = x.new_zeros(batch, max(height, least), max(width, least), channels)
        padded[:, :height, :width] = x
        q, k, v = self.qkv(padded).unflatten(-1, (3, self.heads, channels // self.heads)).unbind(3)
        out = neighborhood_attention(q, k, v, self.rpb, self.window, self.dilation, self.scale)
        return self.proj(out[:, :height, :width].flatten(3))
