#!/usr/bin/env python3
"""The peer of `cargo bench -p smalti-heads --bench mask_model`: Hugging Face Mask2Former + Swin-T on the CPU.

    python3 -m venv /tmp/peer && /tmp/peer/bin/pip install -r scripts/goldens/requirements.txt
    OMP_WAIT_POLICY=passive /tmp/peer/bin/python scripts/peers/mask_model.py [--size 512] [--batch 1]

The same sizes, 133 classes, the plain sum of all layers' predictions as the loss, medians of 5 after one warm-up.
"""

import argparse

import torch
import transformers

from semantic_model import median_seconds, peak_mib


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    args = parser.parse_args()

    backbone = transformers.SwinConfig(
        embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], drop_path_rate=0.0,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = transformers.Mask2FormerConfig(backbone_config=backbone, num_labels=133, output_auxiliary_logits=True)
    torch.manual_seed(0)
    model = transformers.Mask2FormerForUniversalSegmentation(config)
    images = torch.randn(args.batch, 3, args.size, args.size)
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    print(
        f"Mask2Former + Swin-T, {parameters:.2f} M parameters, {args.size}x{args.size}, batch {args.batch}, "
        f"torch {torch.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads"
    )
    pixel_level = model.model.pixel_level_module

    def pixel_decoder():
        with torch.no_grad():
            pixel_level.decoder(levels)

    def inference():
        with torch.no_grad():
            model(pixel_values=images)

    def step():
        model.zero_grad(set_to_none=False)
        output = model(pixel_values=images)
        layers = [output, *output.auxiliary_logits]
        sum(layer[name].sum() for layer in layers for name in ("class_queries_logits", "masks_queries_logits")).backward()

    def row(what, run):
        print(f"{what:15} {median_seconds(run) * 1e3:8.1f} ms   peak {peak_mib():6.0f} MiB")

    model.eval()
    with torch.no_grad():
        levels = pixel_level.encoder(images).feature_maps
    row("pixel decoder", pixel_decoder)
    row("inference", inference)
    model.train()
    row("training step", step)


if __name__ == "__main__":
    main()
