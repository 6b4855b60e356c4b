"""The ops written down as the papers define them, for small inputs: what a peer must give before it is timed."""

import torch


def axis_keys(size: int, window: int, dilation: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys of every position of one axis and the rows of the bias table that belong to them, both `[size, window]`.

    Positions of equal index modulo `dilation` form a group; windows shift inwards at the group's ends.
    """
    position = torch.arange(size)
    group, rank = position % dilation, position // dilation
    length = (size - group + dilation - 1) // dilation
    start = torch.minimum((rank - window // 2).clamp(min=0), length - window)
    ranks = start[:, None] + torch.arange(window)
    return group[:, None] + dilation * ranks, ranks - rank[:, None] + window - 1


def na2d(q, k, v, bias, window: int, dilation: int, scale: float) -> torch.Tensor:
    """2D neighborhood attention of `[B, H, W, M, D]` by gathering every window."""
    batch, height, width, heads, dim = q.shape
    (rows, bias_rows), (columns, bias_columns) = (axis_keys(n, window, dilation) for n in (height, width))

    def windows(x):  # [B, H, W, Ky, Kx, M, D]
        return x[:, rows[:, None, :, None], columns[None, :, None, :]]

    scores = torch.einsum("bhwmd,bhwyxmd->bhwmyx", q * scale, windows(k))
    table = bias[:, bias_rows[:, None, :, None], bias_columns[None, :, None, :]]  # [M, H, W, Ky, Kx]
    scores = scores + table.permute(1, 2, 0, 3, 4)
    weights = scores.flatten(-2).softmax(-1).unflatten(-1, (window, window))
    return torch.einsum("bhwmyx,bhwyxmd->bhwmd", weights, windows(v))


def ms_deform_attn(value, levels, reference, offsets, logits) -> torch.Tensor:
    """Multi-scale deformable attention by gathering the four corners of every sample; shapes as in smalti's op."""
    batch, _, heads, dim = value.shape
    queries, points = offsets.shape[1], offsets.shape[4]
    weights = logits.softmax(-1).unflatten(-1, (len(levels), points))
    out, begin = 0, 0
    for level, (height, width) in enumerate(levels):
        of_level = value[:, begin : begin + height * width].transpose(1, 2)  # [B, M, H * W, D]
        begin += height * width
        size = torch.tensor([width, height], dtype=value.dtype)
        # Pixel centres are at whole numbers: [B, Q, M, P, 2] of x, y.
        place = reference[:, :, None, None, level] * size + offsets[:, :, :, level] - 0.5
        low = place.floor()
        for dy in (0, 1):
            for dx in (0, 1):
                x, y = low[..., 0] + dx, low[..., 1] + dy
                share = (1 - (place[..., 0] - x).abs()) * (1 - (place[..., 1] - y).abs())
                inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
                at = (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)).long()
                at = at.transpose(1, 2).reshape(batch, heads, queries * points, 1).expand(-1, -1, -1, dim)
                corner = of_level.gather(2, at).unflatten(2, (queries, points)).transpose(1, 2)
                out = out + (corner * (share * inside * weights[:, :, :, level])[..., None]).sum(3)
    return out
