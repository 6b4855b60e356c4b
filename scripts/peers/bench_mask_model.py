#!/usr/bin/env python3
"""Times smalti's Mask2Former beside Hugging Face's with the same weights, in one run; prints a markdown table.

    scripts/peers/bench_mask_model.py [--backbone swin-tiny|resnet-50] [--size 512] [--batch 1] [--objects 10] [--repeat 5]

The published sizes of COCO panoptic, 133 classes, 100 queries. The peer's random weights go to smalti as a published folder of
theirs would: `smalti weights convert FOLDER`. A training step is forward, matching, losses of all layers and backward, with as many
objects an image; the optimizer's step is not part of it. Everything has the same threads, allocator settings and OMP_WAIT_POLICY.
Times are medians after two calls that do not count (of a peer's slow calls after one). Memory is what a process grew by beside the
weights. `logits` is the largest difference between the class logits and the mask logits of the two over the largest of them.
SMALTI names another binary, SMALTI_PEERS_VENV another environment.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import environment
import smalti

CLASSES = 133


def main() -> int:
    args = arguments()
    environment.enter(environment.REQUIREMENTS_TORCH, name="torch")
    settings = smalti.settings() | {"SMALTI": str(smalti.full_binary())}
    os.environ.update(settings)
    import torch  # in the environment only, and with its settings
    import transformers

    print(
        f"torch {torch.__version__}, transformers {transformers.__version__}, {settings['OMP_NUM_THREADS']} threads; "
        f"load average before {os.getloadavg()[0]:.1f}"
    )
    from measuring import in_a_fork

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = in_a_fork(lambda: make(folder, args))
        run_smalti(["weights", "convert", folder / "peer", folder / "ours"])
        difference = in_a_fork(lambda: differences(folder))
        lines = [["pass", "smalti ms", "CPU s", "MB", "peer ms", "CPU s", "MB", "CPU time", "memory"], ["---"] * 9]
        for train in (False, True):
            ours = bench_smalti(folder, args, train)
            theirs = in_a_fork(lambda train=train: bench_peer(folder, args, train))
            if "failed" in theirs:
                return 1
            lines.append(row(train, ours, theirs))
    print(f"Mask2Former {args.backbone}, {made['parameters'] / 1e6:.2f} M parameters, {args.batch}x{args.size}, {args.objects} objects an image")
    print(f"logits: classes {difference['classes']:.0e}, masks {difference['masks']:.0e}\n")
    print("\n".join(f"| {' | '.join(cells)} |" for cells in lines))
    return 0


def make(folder: Path, args: argparse.Namespace) -> dict:
    """The peer's network, its folder as published ones are, and images."""
    import torch
    from safetensors.torch import save_file

    model = network(args.backbone)
    model.save_pretrained(folder / "peer")
    save_file({"images": torch.randn(args.batch, 3, args.size, args.size)}, folder / "images.safetensors")
    return {"parameters": sum(parameter.numel() for parameter in model.parameters())}


def network(backbone: str):
    import torch
    import transformers

    stages = ["stage1", "stage2", "stage3", "stage4"]
    if backbone == "swin-tiny":
        inner = transformers.SwinConfig(
            embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], drop_path_rate=0.3, out_features=stages
        )
    else:
        inner = transformers.ResNetConfig(out_features=stages)
    torch.manual_seed(0)
    config = transformers.Mask2FormerConfig(
        backbone_config=inner, num_labels=CLASSES, use_auxiliary_loss=True, output_auxiliary_logits=None
    )
    return transformers.Mask2FormerForUniversalSegmentation(config)


def load(folder: Path):
    import transformers

    return transformers.Mask2FormerForUniversalSegmentation.from_pretrained(folder / "peer")


def bench_peer(folder: Path, args: argparse.Namespace, train: bool) -> dict:
    """Times and memory of the peer."""
    import torch
    from measuring import calls, memory_now, memory_peak
    from safetensors.torch import load_file

    model = load(folder).train(train)
    images = load_file(folder / "images.safetensors")["images"]
    masks = [boxes(args.objects, args.size) for _ in range(args.batch)]
    classes = [torch.arange(args.objects) for _ in range(args.batch)]
    before = memory_now("cpu")

    def run():
        if not train:
            with torch.no_grad():
                model(pixel_values=images)
            return
        model(pixel_values=images, mask_labels=masks, class_labels=classes).loss.backward()
        model.zero_grad(set_to_none=False)

    milliseconds, cpu = calls(run, "cpu", args.repeat)
    return {"ms": milliseconds, "cpu_ms": cpu, "memory_mb": memory_peak("cpu") - before}


def boxes(objects: int, side: int):
    """The rectangles of `smalti bench model --config` (tools/src/engine/bench/recipe.rs), `[N, H, W]`."""
    import torch

    masks = torch.zeros(objects, side, side)
    for i, mask in enumerate(masks):
        height, width = side // (2 + i % 5), side // (2 + i % 3)
        top, left = i * 37 % 100 * (side - height) // 100, i * 61 % 100 * (side - width) // 100
        mask[top : top + height, left : left + width] = 1
    return masks


def bench_smalti(folder: Path, args: argparse.Namespace, train: bool) -> dict:
    ours, out = folder / "ours", folder / "bench.json"
    words = ["bench", "model", "--config", ours / "config.toml", "--weights", ours / "model.safetensors", "--device", "cpu"]
    words += ["--batch", f"{args.batch}x{args.size}", "--repeat", args.repeat, "--objects", args.objects, "--json", out]
    run_smalti([*words, *(["--train"] if train else [])])
    return json.loads(out.read_text())["results"][0]


def differences(folder: Path) -> dict:
    """Of class and mask logits, over the largest of the peer's."""
    import torch
    from safetensors.torch import load_file

    inputs, outputs = folder / "images.safetensors", folder / "outputs.safetensors"
    weights = folder / "ours" / "model.safetensors"
    run_smalti(["forward", "--device", "cpu", "--weights", weights, "--input", inputs, "--output", outputs])
    ours = load_file(outputs)
    with torch.no_grad():
        theirs = load(folder).eval()(pixel_values=load_file(inputs)["images"])

    def over(ours, theirs) -> float:
        return float((ours - theirs).abs().max() / theirs.abs().max())

    return {
        "classes": over(ours["class_logits"], theirs.class_queries_logits),
        "masks": over(ours["mask_logits"], theirs.masks_queries_logits),
    }


def row(train: bool, ours: dict, theirs: dict) -> list[str]:
    cells = ["training step" if train else "inference"]
    for of in (ours, theirs):
        cells += [f"{of['ms']:.0f}", f"{of['cpu_ms'] / 1e3:.2f}", f"{of['memory_mb']:.0f}"]
    return [*cells, *(f"{ours[key] / theirs[key]:.2f}x" for key in ("cpu_ms", "memory_mb"))]


def run_smalti(words: list) -> None:
    command = [os.environ["SMALTI"], "--quiet", *map(str, words)]
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        sys.exit(f"failed: {' '.join(command)}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", choices=["swin-tiny", "resnet-50"], default="swin-tiny")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--objects", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
