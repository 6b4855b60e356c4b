#!/usr/bin/env python3
"""The peer of `cargo bench -p smalti-heads --bench semantic_model`: Hugging Face UperNet + Swin on the CPU.

    python3 -m venv /tmp/peer && /tmp/peer/bin/pip install -r scripts/goldens/requirements.txt
    OMP_WAIT_POLICY=passive /tmp/peer/bin/python scripts/peers/semantic_model.py [--size 512] [--batch 2]

Swin-T stands in for NAT-T, which transformers no longer has: the papers count 946 and 934 G multiply-adds for the two with
UperNet at 512x2048. Same head width (512), auxiliary head, classes (11), loss weights, medians of 5 after one warm-up.
"""

import argparse
import resource
import statistics
import time

import torch
import transformers


def median_seconds(run, warm_ups=1, runs=5):
    for _ in range(warm_ups):
        run()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=2)
    args = parser.parse_args()

    backbone = transformers.SwinConfig(
        embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], drop_path_rate=0.2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = transformers.UperNetConfig(
        backbone_config=backbone, hidden_size=512, auxiliary_in_channels=384, auxiliary_channels=256,
        auxiliary_loss_weight=0.4, num_labels=11,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.UperNetForSemanticSegmentation(config)
    images = torch.randn(args.batch, 3, args.size, args.size)
    labels = torch.randint(0, 11, (args.batch, args.size, args.size))
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    print(
        f"UperNet + Swin-T, {parameters:.1f} M parameters, {args.size}x{args.size}, batch {args.batch}, "
        f"torch {torch.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads"
    )

    def inference():
        with torch.no_grad():
            model(pixel_values=images)

    def step():
        model.zero_grad(set_to_none=False)
        model(pixel_values=images, labels=labels).loss.backward()

    model.eval()
    seconds = median_seconds(inference)
    print(f"inference       {seconds * 1e3:8.1f} ms   peak {peak_mib():6.0f} MiB")
    model.train()
    seconds = median_seconds(step)
    print(f"training step   {seconds * 1e3:8.1f} ms   peak {peak_mib():6.0f} MiB")


if __name__ == "__main__":
    main()
