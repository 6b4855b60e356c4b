#!/usr/bin/env python3
"""Makes heads/tests/goldens/mask2former_*.safetensors from transformers' Mask2Former, keys renamed to the authors'; see README.md.

Outputs and gradients are stored in f64 only: our f32 is compared with them too.
"""

import re
from copy import deepcopy
from pathlib import Path
from unittest import mock

import torch
from torch import nn
from torch.nn import functional as F
from transformers import Mask2FormerConfig
from transformers.models.mask2former import modeling_mask2former as reference

from common import fill, probe_loss, randn, save

GOLDENS = Path(__file__).parents[2] / "heads" / "tests" / "goldens"
LEVELS = 3

CASES = {
    "mask2former_odd": {
        "why": "odd sizes, no halves of each other; two images; as many layers as go round the levels and once more",
        "config": {"feature_size": 16, "hidden_dim": 16, "mask_feature_size": 12, "num_attention_heads": 2, "num_queries": 5,
                   "encoder_layers": 2, "encoder_feedforward_dim": 20, "decoder_layers": 5, "dim_feedforward": 24},
        "groups": 4,
        "classes": 3,
        "levels": [(6, 9, 7), (8, 5, 4), (10, 3, 2), (12, 2, 1)],
        "batch": 2,
        "gradients": True,
        "seed": 30,
    },
    "mask2former_large_map": {
        "why": "a larger map, four heads, levels that halve each other; one image",
        "config": {"feature_size": 16, "hidden_dim": 16, "mask_feature_size": 16, "num_attention_heads": 4, "num_queries": 7,
                   "encoder_layers": 1, "encoder_feedforward_dim": 16, "decoder_layers": 5, "dim_feedforward": 16},
        "groups": 8,
        "classes": 2,
        "levels": [(4, 24, 16), (6, 12, 8), (8, 6, 4), (8, 3, 2)],
        "batch": 1,
        "gradients": False,
        "seed": 5,
    },
}

# Parameters whose whole gradient is stored; of all others its norm.
WHOLE_GRADIENT = re.compile(
    r".*(level_embed|query_\w+|input_proj\.\d\.\d|adapter_1(\.norm)?|layer_1\.norm|mask_features|decoder_norm|class_embed"
    r"|mask_embed\.layers\.\d)(\.weight|\.bias)?|.*\.encoder\.layers\.1\.self_attn\..*|.*_attention_layers\.[03]\..*"
    r"|.*norm\d?\.(weight|bias)"
)

RENAMES = [
    (r"^pixel_decoder\.level_embed", "pixel_decoder.transformer.level_embed"),
    (r"^pixel_decoder\.input_projections\.", "pixel_decoder.input_proj."),
    (r"^pixel_decoder\.mask_projection\.", "pixel_decoder.mask_features."),
    (r"^pixel_decoder\.(adapter|layer)_(\d)\.0\.", r"pixel_decoder.\1_\2."),
    (r"^pixel_decoder\.(adapter|layer)_(\d)\.1\.", r"pixel_decoder.\1_\2.norm."),
    (r"^(pixel_decoder)\.encoder\.(.*)\.self_attn_layer_norm\.", r"\1.transformer.encoder.\2.norm1."),
    (r"^(pixel_decoder)\.encoder\.(.*)\.final_layer_norm\.", r"\1.transformer.encoder.\2.norm2."),
    (r"^(pixel_decoder)\.encoder\.(.*)\.fc(\d)\.", r"\1.transformer.encoder.\2.linear\3."),
    (r"^pixel_decoder\.encoder\.", "pixel_decoder.transformer.encoder."),
    (r"^transformer_module\.queries_embedder\.", "predictor.query_embed."),
    (r"^transformer_module\.queries_features\.", "predictor.query_feat."),
    (r"^transformer_module\.level_embed\.", "predictor.level_embed."),
    (r"^transformer_module\.decoder\.layernorm\.", "predictor.decoder_norm."),
    (r"^transformer_module\.decoder\.mask_predictor\.mask_embedder\.(\d)\.0\.", r"predictor.mask_embed.layers.\1."),
    (r"^transformer_module\.decoder\.layers\.(\d+)\.self_attn\.", r"predictor.transformer_self_attention_layers.\1.self_attn."),
    (r"^transformer_module\.decoder\.layers\.(\d+)\.self_attn_layer_norm\.", r"predictor.transformer_self_attention_layers.\1.norm."),
    (r"^transformer_module\.decoder\.layers\.(\d+)\.cross_attn\.", r"predictor.transformer_cross_attention_layers.\1.multihead_attn."),
    (r"^transformer_module\.decoder\.layers\.(\d+)\.cross_attn_layer_norm\.", r"predictor.transformer_cross_attention_layers.\1.norm."),
    (r"^transformer_module\.decoder\.layers\.(\d+)\.final_layer_norm\.", r"predictor.transformer_ffn_layers.\1.norm."),
    (r"^transformer_module\.decoder\.layers\.(\d+)\.fc(\d)\.", r"predictor.transformer_ffn_layers.\1.linear\2."),
    (r"^class_predictor\.", "predictor.class_embed."),
]


def convert(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The authors' names, with q, k and v of self-attention in one tensor."""
    renamed = {}
    for key, tensor in tensors.items():
        for pattern, replacement in RENAMES:
            key = re.sub(pattern, replacement, key)
        renamed["sem_seg_head." + key] = tensor
    for key in [key for key in renamed if ".q_proj." in key]:
        parts = [renamed.pop(key.replace("q_proj", part)) for part in ("q_proj", "k_proj", "v_proj")]
        renamed[key.replace("q_proj.", "in_proj_")] = torch.cat(parts)
    return renamed


class Head(nn.Module):
    """Mask2FormerForUniversalSegmentation without its backbone."""

    def __init__(self, config: Mask2FormerConfig, channels: list[int], groups: int, classes: int):
        super().__init__()
        group_norm = nn.GroupNorm
        # transformers writes 32 groups down, which narrow maps do not have.
        with mock.patch.object(nn, "GroupNorm", lambda _, width: group_norm(groups, width)):
            self.pixel_decoder = reference.Mask2FormerPixelDecoder(config, channels)
        self.transformer_module = reference.Mask2FormerTransformerModule(config.feature_size, config)
        self.class_predictor = nn.Linear(config.hidden_dim, classes + 1)

    def forward(self, levels: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        pixel = self.pixel_decoder(levels)
        decoded = self.transformer_module(pixel.multi_scale_features, pixel.mask_features, output_hidden_states=True)
        outputs = {f"memory/{i}": memory for i, memory in enumerate(pixel.multi_scale_features)}
        outputs["mask_features"] = pixel.mask_features
        for i, (normed, masks) in enumerate(zip(decoded.intermediate_hidden_states, decoded.masks_queries_logits, strict=True)):
            outputs |= {f"class_logits/{i}": self.class_predictor(normed.transpose(0, 1)), f"mask_logits/{i}": masks}
        return outputs


def margins(model: Head, levels: list[torch.Tensor]) -> dict[str, float]:
    """How far the nearest value is from where rounding would change a gradient or a mask: in ReLU's inputs, in positions of samples
    from a pixel's centre line, in logits of attention masks."""
    relu, samples = [], []
    relu_inputs = re.compile(r".*(\.fc1|pixel_decoder\.layer_1\.1|mask_embedder\.[01]\.0)")
    hooks = [
        module.register_forward_hook(lambda _module, _arguments, output: relu.append(output.abs().min().item()))
        for name, module in model.named_modules()
        if relu_inputs.fullmatch(name)
    ]
    attend = reference.multi_scale_deformable_attention

    def watched(value, shapes, locations, weights):
        for level, (height, width) in enumerate(shapes):
            pixels = locations[:, :, :, level] * torch.tensor([width, height]) - 0.5
            samples.append((pixels - pixels.round()).abs().min().item())
        return attend(value, shapes, locations, weights)

    with mock.patch.object(reference, "multi_scale_deformable_attention", watched):
        outputs = model(levels)
    for hook in hooks:
        hook.remove()
    masks = [outputs[key] for key in outputs if key.startswith("mask_logits/")]
    resized = [
        F.interpolate(mask, outputs[f"memory/{i % LEVELS}"].shape[-2:], mode="bilinear", align_corners=False).flatten(2)
        for i, mask in enumerate(masks[:-1])
    ]
    empty = torch.cat([(logits < 0).all(-1).flatten() for logits in resized])
    mixed = torch.cat([((logits < 0).any(-1) & (logits >= 0).any(-1)).flatten() for logits in resized])
    return {
        "relu": min(relu),
        "sample": min(samples),
        "mask": min(logits.abs().min().item() for logits in resized),
        "empty": int(empty.sum()),
        "mixed": int(mixed.sum()),
    }


def make(name: str) -> None:
    case = CASES[name]
    channels = [level[0] for level in case["levels"]]
    model = Head(Mask2FormerConfig(dropout=0.0, **case["config"]), channels, case["groups"], case["classes"]).eval()
    fill(model, case["seed"])
    shapes = [(case["batch"], *level) for level in case["levels"]]
    levels = [randn(shape, case["seed"] + 10 + i) for i, shape in enumerate(shapes)]
    with torch.no_grad():
        near = margins(deepcopy(model).double(), [level.double() for level in levels])
    if min(near["relu"], near["sample"], near["mask"]) < 1e-5 or min(near["empty"], near["mixed"]) < 3:
        raise SystemExit(f"{name}: take another seed: {near}")

    tensors = {f"weight/{key}": value.clone() for key, value in convert(model.state_dict()).items()}
    tensors |= {f"input/{i}": level for i, level in enumerate(levels)}
    single = model(levels)
    model.double()
    levels = [level.double().requires_grad_() for level in levels]
    outputs = model(levels)
    noise = max(
        ((single[key].double() - output).abs() / (output.abs() + output.square().mean().sqrt())).max().item()
        for key, output in outputs.items()
    )
    print(f"{name}: {near}, f32 against f64: {noise:.1e}")
    tensors |= {f"f64/{key}": output for key, output in outputs.items()}
    if case["gradients"]:
        probes = {key: randn(output.shape, 100 + i) for i, (key, output) in enumerate(outputs.items())}
        probe_loss(list(outputs.values()), list(probes.values())).backward()
        tensors |= {f"probe/{key}": probe for key, probe in probes.items()}
        tensors |= {f"f64/grad_input/{i}": level.grad for i, level in enumerate(levels)}
        for key, gradient in convert({key: parameter.grad for key, parameter in model.named_parameters()}).items():
            whole = WHOLE_GRADIENT.fullmatch(key)
            tensors |= {f"f64/grad/{key}": gradient} if whole else {f"f64/grad_norm/{key}": gradient.norm()}
    settings = {**case["config"], "groups": case["groups"], "classes": case["classes"]}
    save(GOLDENS / f"{name}.safetensors", tensors, why=case["why"], config=settings)


def count_published() -> None:
    """The parameters of the published head on Swin-T with COCO's 133 classes; what heads/tests/contract/mask.rs expects."""
    model = Head(Mask2FormerConfig(), [96, 192, 384, 768], 32, 133)
    print("head on Swin-T, 133 classes:", sum(parameter.numel() for parameter in model.parameters()), "parameters")


if __name__ == "__main__":
    for name in CASES:
        make(name)
    count_published()
