#!/usr/bin/env python3
"""Times one peer on cases read from standard input, for bench_ops.py; answers a JSON line a case.

    run_op_peer.py PEER DEVICE REPEAT < cases.json

A case is a row of the results of `smalti bench ops --json`. Each runs in a process of its own, forked before torch
starts its threads, so that its peak memory is its own. A peer that differs from the definition is not timed: exit code 1.
"""

import json
import sys

import op_definitions
import op_peers
import torch
from measuring import in_a_fork, median, memory_now, memory_peak

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def na2d_inputs(geometry, batch, dtype, device):
    heads, side, table = geometry["heads"], geometry["side"], 2 * geometry["window"] - 1
    qkv = torch.randn(batch, side, side, 3, heads, geometry["head_dim"], dtype=dtype, device=device)
    bias = torch.randn(heads, table, table, dtype=dtype, device=device)
    return [qkv.requires_grad_(), bias.requires_grad_()]


def na2d(function, geometry, leaves):
    q, k, v = leaves[0].unbind(3)
    scale = geometry["head_dim"] ** -0.5
    return function(q, k, v, leaves[1], geometry["window"], geometry["dilation"], scale)


def msda_inputs(geometry, batch, dtype, device):
    levels, heads, points = geometry["levels"], geometry["heads"], geometry["points"]
    queries = sum(height * width for height, width in levels)
    value = torch.randn(batch, queries, heads, geometry["head_dim"], dtype=dtype, device=device)
    offsets = 2 * torch.randn(batch, queries, heads, len(levels), points, 2, device=device)
    logits = torch.randn(batch, queries, heads, len(levels) * points, device=device)
    return [value.requires_grad_(), offsets.requires_grad_(), logits.requires_grad_()]


def msda(function, geometry, leaves):
    value, offsets, logits = leaves
    return function(value, geometry["levels"], centres(geometry["levels"], value), offsets, logits)


def centres(levels, like) -> torch.Tensor:
    """Reference points of all positions, the same on every level: `[B, S, L, 2]`."""
    found = []
    for height, width in levels:
        y, x = ((torch.arange(n) + 0.5) / n for n in (height, width))
        found.append(torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1).flatten(0, 1))
    points = torch.cat(found).to(like.device)  # [S, 2]
    return points[None, :, None].expand(like.shape[0], -1, len(levels), -1)


OPS = {
    "na2d": (na2d_inputs, na2d, op_definitions.na2d),
    "ms_deform_attn": (msda_inputs, msda, op_definitions.ms_deform_attn),
}
# Borders on all sides, several tiles, a dilation; levels of unlike and odd sizes.
SMALL = {
    "na2d": [
        {"side": 20, "heads": 2, "head_dim": 8, "window": 7, "dilation": 1},
        {"side": 22, "heads": 2, "head_dim": 8, "window": 5, "dilation": 2},
    ],
    "ms_deform_attn": [{"levels": [[5, 7], [9, 6], [12, 13]], "heads": 2, "head_dim": 8, "points": 4}],
}


def learned(peer: op_peers.Peer, leaves: list) -> list:
    """The inputs that the peer has gradients for."""
    return leaves if peer.has_bias else leaves[:1]


def check(peer: op_peers.Peer, device: str) -> dict:
    """The largest difference from the definition on small inputs, outputs and gradients, relative to the largest."""
    torch.manual_seed(0)
    differences = []
    for geometry in SMALL[peer.op]:
        make, call, definition = OPS[peer.op]
        leaves = make(geometry, 2, torch.float32, "cpu")
        if not peer.has_bias:
            leaves[1] = torch.zeros_like(leaves[1])
        moved = [leaf.detach().to(device).requires_grad_() for leaf in leaves]
        expected, got = call(definition, geometry, leaves), call(peer.function, geometry, moved)
        weight = torch.randn_like(expected)
        ours = torch.autograd.grad((expected * weight).sum(), learned(peer, leaves))
        theirs = torch.autograd.grad((got * weight.to(device)).sum(), learned(peer, moved))
        for a, b in zip([got.detach(), *theirs], [expected.detach(), *ours], strict=True):
            differences.append((a.cpu() - b).abs().max() / b.abs().max())
    return {"difference": float(torch.stack(differences).max())}  # NaN if one is


def measure(peer: op_peers.Peer, case: dict, device: str, repeat: int) -> dict:
    """Median times of both passes, and how much memory they took beside the inputs."""
    make, call, _ = OPS[peer.op]
    leaves = make(case["geometry"], case["batch"], DTYPES[case["dtype"]], device)
    if device == "cpu":  # what is loaded at the first call is not the op's memory
        call(peer.function, SMALL[peer.op][0], make(SMALL[peer.op][0], 1, torch.float32, device))
    before = memory_now(device)

    def forward():
        with torch.no_grad():
            call(peer.function, case["geometry"], leaves)

    def forward_backward():
        torch.autograd.grad(call(peer.function, case["geometry"], leaves).sum(), learned(peer, leaves))

    times = {"forward": median(forward, device, repeat), "forward_backward": median(forward_backward, device, repeat)}
    return times | {"peak_mib": max(0.0, memory_peak(device) - before)}


def main() -> int:
    name, device, repeat = sys.argv[1], sys.argv[2], int(sys.argv[3])
    peer = (op_peers.CPU if device == "cpu" else op_peers.GPU)[name]
    checked = in_a_fork(lambda: check(peer, device))
    # Written so that NaN fails; sums of some dozens of f32 terms agree to about 1e-6, tensor cores' to 1e-3.
    if not checked.get("difference", 1.0) < (1e-4 if device == "cpu" else 1e-2):
        print(f"{name} is not the op that the papers define: {checked}", file=sys.stderr)
        return 1
    for case in json.load(sys.stdin):
        print(json.dumps(in_a_fork(lambda case=case: measure(peer, case, device, repeat))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
