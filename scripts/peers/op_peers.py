"""The other implementations of smalti's ops: each takes and gives the same tensors as smalti's own.

Neighborhood attention: q, k, v `[B, H, W, M, D]` as views of a packed projection, bias `[M, 2 K - 1, 2 K - 1]`.
Deformable attention: value `[B, S, M, D]`, reference `[B, Q, L, 2]`, offsets `[B, Q, M, L, P, 2]`, logits
`[B, Q, M, L * P]`.
"""

import functools
import typing

import natten_cpu
import torch
import torch.nn.functional as F
from op_definitions import axis_keys

TILE = 8  # queries per axis of a tile


def tiled_na2d(q, k, v, bias, window: int, dilation: int, scale: float) -> torch.Tensor:
    """Plain torch: dilation groups as views, then tiles of 8x8 queries against their halo as dense products."""
    batch, height, width, heads, dim = q.shape
    assert height % dilation == 0 and width % dilation == 0, "groups of one size"

    def groups(x):  # [B, dy, dx, M, H / d, W / d, D], a view
        x = x.unflatten(2, (width // dilation, dilation)).unflatten(1, (height // dilation, dilation))
        return x.permute(0, 2, 4, 5, 1, 3, 6)

    q, k, v = groups(q), groups(k), groups(v)
    table = F.pad(bias.flatten(1), (0, 1), value=float("-inf"))  # the last entry: outside the window
    biases = {}
    rows = []
    for y in tiles(height // dilation, window):
        row = []
        for x in tiles(width // dilation, window):
            key = (y.pattern, x.pattern)
            if key not in biases:
                biases[key] = table[:, bias_places(*key, window)]  # [M, queries, keys]
            row.append(attend(q[..., y.queries, x.queries, :], k[..., y.keys, x.keys, :],
                              v[..., y.keys, x.keys, :], biases[key], scale))  # fmt: skip
        rows.append(torch.cat(row, dim=5))
    out = torch.cat(rows, dim=4)
    return out.permute(0, 4, 1, 5, 2, 3, 6).reshape(batch, height, width, heads, dim)


def attend(q, k, v, bias, scale: float) -> torch.Tensor:
    """Attention of all queries of a tile to all keys of its halo: `[..., h, w, D]`."""
    scores = torch.matmul(q.flatten(-3, -2) * scale, k.flatten(-3, -2).transpose(-2, -1)) + bias
    return torch.matmul(scores.softmax(-1), v.flatten(-3, -2)).unflatten(-2, q.shape[-3:-1])


class Pattern:
    """Row of the bias table of every query and key of a tile along one axis, `[queries, keys]`, -1 outside the window.

    Few differ: those of inner tiles are one object, so that their bias is looked up once.
    """

    def __init__(self, rows: tuple):
        self.rows = torch.tensor(rows)


class AxisTile(typing.NamedTuple):
    queries: slice
    keys: slice
    pattern: Pattern


@functools.cache
def tiles(size: int, window: int) -> list[AxisTile]:
    """One axis of a dilation group, cut into tiles."""
    keys, bias_rows = (x.tolist() for x in axis_keys(size, window, 1))
    patterns, found = {}, []
    for begin in range(0, size, TILE):
        end = min(begin + TILE, size)
        halo = range(keys[begin][0], keys[end - 1][-1] + 1)
        rows = tuple(tuple(dict(zip(keys[q], bias_rows[q])).get(key, -1) for key in halo) for q in range(begin, end))
        pattern = patterns.setdefault(rows, Pattern(rows))
        found.append(AxisTile(slice(begin, end), slice(halo.start, halo.stop), pattern))
    return found


@functools.cache
def bias_places(rows: Pattern, columns: Pattern, window: int) -> torch.Tensor:
    """Where in the flattened bias table every pair of query and key of a tile finds its entry: `[queries, keys]`."""
    side = 2 * window - 1
    y, x = rows.rows[:, None, :, None], columns.rows[None, :, None, :]  # [qy, 1, ky, 1], [1, qx, 1, kx]
    places = (y * side + x).masked_fill((y < 0) | (x < 0), side * side)
    return places.flatten(2).flatten(0, 1)


def natten_na2d(q, k, v, bias, window: int, dilation: int, scale: float) -> torch.Tensor:
    """NATTEN 0.17.5: scores, softmax, sum over values."""
    functional = natten_cpu.load().functional
    q, k, v = (x.permute(0, 3, 1, 2, 4) for x in (q, k, v))  # [B, M, H, W, D]
    scores = functional.na2d_qk(q * scale, k, window, dilation, rpb=bias)
    return functional.na2d_av(scores.softmax(-1), v, window, dilation).permute(0, 2, 3, 1, 4)


def grid_sample_msda(value, levels, reference, offsets, logits) -> torch.Tensor:
    """Deformable attention with `grid_sample`, the formulation of the model libraries that have no kernel."""
    batch, _, heads, dim = value.shape
    queries, points = offsets.shape[1], offsets.shape[4]
    sizes = torch.tensor([(width, height) for height, width in levels], device=value.device, dtype=offsets.dtype)
    places = reference[:, :, None, :, None] + offsets / sizes[:, None]  # [B, Q, M, L, P, 2]
    grids = (2 * places - 1).transpose(1, 2).flatten(0, 1)  # [B * M, Q, L, P, 2]
    # Sampled in f32: places are too coarse in a half type.
    maps = value.float().flatten(2).transpose(1, 2).reshape(batch * heads, dim, -1)  # [B * M, D, S]
    samples = []
    for level, (part, size) in enumerate(zip(maps.split([h * w for h, w in levels], dim=2), levels, strict=True)):
        samples.append(F.grid_sample(part.unflatten(2, size), grids[:, :, level], align_corners=False))
    weights = logits.softmax(-1).transpose(1, 2).reshape(batch * heads, 1, queries, -1)
    out = (torch.cat(samples, dim=-1) * weights).sum(-1)  # [B * M, D, Q]
    return out.view(batch, heads, dim, queries).permute(0, 3, 1, 2).to(value.dtype)


def flex_na2d(q, k, v, bias, window: int, dilation: int, scale: float) -> torch.Tensor:
    """torch's flex_attention, compiled: the neighborhood as a block mask, the bias as a change of scores."""
    from torch.nn.attention.flex_attention import flex_attention

    batch, height, width, heads, dim = q.shape
    mask, rows, columns = flex_mask(height, width, window, dilation, q.device)

    def add_bias(score, b, h, query, key):
        y = rows[query // width, key // width]
        x = columns[query % width, key % width]
        return score + bias[h, y, x]

    q, k, v = (x.flatten(1, 2).transpose(1, 2) for x in (q, k, v))  # [B, M, H * W, D]
    out = compiled(flex_attention)(q, k, v, score_mod=add_bias, block_mask=mask, scale=scale)
    return out.transpose(1, 2).reshape(batch, height, width, heads, dim)


@functools.cache
def compiled(function):
    return torch.compile(function, dynamic=False)


@functools.cache
def flex_mask(height: int, width: int, window: int, dilation: int, device):
    """The block mask, and for each axis the row of the bias table of every pair of positions."""
    from torch.nn.attention.flex_attention import create_block_mask

    def axis(size):
        keys, bias_rows = (x.to(device) for x in axis_keys(size, window, dilation))
        near = torch.zeros(size, size, dtype=torch.bool, device=device).scatter_(1, keys, True)
        return near, torch.zeros(size, size, dtype=torch.long, device=device).scatter_(1, keys, bias_rows)

    (near_y, rows), (near_x, columns) = axis(height), axis(width)

    def near(b, h, query, key):
        return near_y[query // width, key // width] & near_x[query % width, key % width]

    count = height * width
    return create_block_mask(near, None, None, count, count, device=device), rows, columns


def natten_0_21_na2d(q, k, v, bias, window: int, dilation: int, scale: float) -> torch.Tensor:
    """NATTEN 0.21 on a GPU; it has no bias, so it does less than the others."""
    import natten

    return natten.na2d(q, k, v, kernel_size=window, dilation=dilation, scale=scale)


class Peer(typing.NamedTuple):
    op: str
    function: typing.Callable
    dtypes: tuple = ("f32", "bf16")
    has_bias: bool = True


CPU = {
    "natten": Peer("na2d", natten_na2d, dtypes=("f32",)),
    "tiled": Peer("na2d", tiled_na2d),
    "grid_sample": Peer("ms_deform_attn", grid_sample_msda),
}
GPU = {
    "flex": Peer("na2d", flex_na2d),
    "natten-0.21": Peer("na2d", natten_0_21_na2d, has_bias=False),
    "grid_sample": Peer("ms_deform_attn", grid_sample_msda),
}
