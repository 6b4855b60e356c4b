#!/usr/bin/env python3
"""Times one peer on cases read from standard input, for bench_model.py; answers a JSON line a case, null where it has none.

    run_model_peer.py PEER DEVICE REPEAT forward|train < cases.json

A case is a row of the results of `smalti bench model --json`. Each runs in a process of its own, forked before torch
starts its threads, so that its peak memory is its own.
"""

import json
import sys

import model_parity
import torch
from measuring import in_a_fork, median, memory_now, memory_peak
from model_peers import PEERS


def measure(name: str, case: dict, device: str, repeat: int, train: bool) -> dict | None:
    """Median time, how much memory the passes took beside the weights, and how far smalti's logits are from the peer's."""
    model = PEERS[name](case["family"], case["variant"], case["size"])
    if model is None:
        return None
    parameters = sum(parameter.numel() for parameter in model.parameters())
    model = model.to(device).train(train)
    images = torch.randn(case["batch"], 3, case["size"], case["size"], device=device)
    before = memory_now(device)

    def run():
        if not train:
            with torch.no_grad():
                model(images)
            return
        out = model(images)
        getattr(out, "logits", out).sum().backward()
        model.zero_grad(set_to_none=False)

    milliseconds = median(run, device, repeat)
    answer = {"ms": milliseconds, "peak_mb": max(0.0, memory_peak(device) - before), "parameters": parameters}
    return answer | {"difference": model_parity.difference(name, model, case)}


def main() -> int:
    name, device, repeat, mode = sys.argv[1:5]
    for case in json.load(sys.stdin):
        work = lambda case=case: measure(name, case, device, int(repeat), mode == "train")  # noqa: E731
        print(json.dumps(in_a_fork(work)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
