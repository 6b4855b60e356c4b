#!/usr/bin/env python3
"""Makes heads/tests/goldens/*.safetensors from transformers' UperNet; see README.md."""

from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F
from transformers.models.upernet.modeling_upernet import UperNetFCNHead, UperNetHead

from common import fill, probe_loss, randn, save

GOLDENS = Path(__file__).parents[2] / "heads" / "tests" / "goldens"
IGNORE = 255

CLASSES, WIDTH, AUXILIARY_WIDTH = 5, 8, 6
CHANNELS = [6, 8, 10, 12]
# Odd sizes that are no halves of each other; 7x5 divides by none of the pool scales but 1 and has fewer columns than 6.
SIZES = [(27, 19), (14, 11), (10, 8), (7, 5)]
LABEL_SIZE = (61, 43)
CLASS_WEIGHTS = [0.5, 1.0, 2.0, 0.25, 3.0]

# Parameters whose gradients of the training loss are stored.
LOSS_GRADIENTS = (
    "decode_head.conv_seg.weight",
    "decode_head.fpn_bottleneck.conv.weight",
    "decode_head.lateral_convs.0.conv.weight",
    "auxiliary_head.convs.0.conv.weight",
    "auxiliary_head.conv_seg.bias",
)


class Heads(nn.Module):
    """Both heads of UperNetForSemanticSegmentation, without its backbone."""

    def __init__(self):
        super().__init__()
        config = SimpleNamespace(
            pool_scales=(1, 2, 3, 6),
            hidden_size=WIDTH,
            num_labels=CLASSES,
            auxiliary_in_channels=None,
            auxiliary_channels=AUXILIARY_WIDTH,
            auxiliary_num_convs=1,
            auxiliary_concat_input=False,
        )
        self.decode_head = UperNetHead(config, CHANNELS)
        self.auxiliary_head = UperNetFCNHead(config, CHANNELS, in_index=2)

    def forward(self, levels):
        return self.decode_head(levels), self.auxiliary_head(levels)


def assert_margin(model: nn.Module, features) -> None:
    """Refuses inputs of a ReLU so close to 0 that another CPU's rounding could switch its gradient on or off."""
    model = deepcopy(model)  # a forward pass in training moves the running statistics
    inputs = []
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda _, arguments, _output: inputs.append(arguments[0].abs().min().item()))
    model(features)
    if min(inputs) < 1e-5:
        raise SystemExit(f"a ReLU sees {min(inputs):.1e}: take another seed")


def make_features(batch: int, seed: int) -> list[torch.Tensor]:
    shapes = [(batch, channels, *size) for channels, size in zip(CHANNELS, SIZES, strict=True)]
    return [randn(shape, seed + i) for i, shape in enumerate(shapes)]


def mmseg_key(key: str) -> str:
    return key.replace("batch_norm", "bn").replace("classifier", "conv_seg")


def mmseg_state(model: nn.Module) -> dict[str, torch.Tensor]:
    state = model.state_dict().items()
    return {mmseg_key(key): value.clone() for key, value in state if not key.endswith("num_batches_tracked")}


def mmseg_parameters(model: nn.Module):
    return ((mmseg_key(key), parameter) for key, parameter in model.named_parameters())


def recipe_loss(logits, auxiliary, labels, weights=None):
    """mmsegmentation's: logits resized to the labels, mean over valid pixels (by class weight), 0.4 of the auxiliary."""

    def cross_entropy(small):
        full = F.interpolate(small, labels.shape[1:], mode="bilinear", align_corners=False)
        return F.cross_entropy(full, labels, weight=weights, ignore_index=IGNORE)

    decode, auxiliary = cross_entropy(logits), cross_entropy(auxiliary)
    return decode + 0.4 * auxiliary, decode, auxiliary


def make_heads(name: str, train: bool, seed: int) -> None:
    model = Heads()
    fill(model, seed)
    model.train(train)
    batch = 3  # the 1x1 pool normalises over the batch alone: with 2 images its gradients would vanish
    features = make_features(batch, seed=10)
    start = {key: value.clone() for key, value in model.state_dict().items()}
    assert_margin(model, features)
    tensors = {f"weight/{key}": value for key, value in mmseg_state(model).items()}
    tensors |= {f"input/{i}": x for i, x in enumerate(features)}
    probes = None
    for dtype, label in ((torch.float32, "f32"), (torch.float64, "f64")):
        model.to(dtype).load_state_dict(start)
        model.zero_grad()
        inputs = [x.to(dtype, copy=True).requires_grad_() for x in features]
        outputs = model(inputs)
        probes = probes or [randn(output.shape, 20 + i) for i, output in enumerate(outputs)]
        probe_loss(outputs, probes).backward()
        tensors |= {f"{label}/logits": outputs[0], f"{label}/auxiliary": outputs[1]}
        tensors |= {f"{label}/grad_input/{i}": x.grad for i, x in enumerate(inputs)}
        tensors |= {f"{label}/grad/{key}": parameter.grad.clone() for key, parameter in mmseg_parameters(model)}
        # Training moves the running statistics; evaluation must not.
        state = mmseg_state(model)
        tensors |= {f"{label}/after/{key}": value for key, value in state.items() if "running" in key}
    tensors |= {f"probe/{i}": probe for i, probe in enumerate(probes)}
    save(GOLDENS / f"{name}.safetensors", tensors)


def make_loss(seed: int) -> None:
    model = Heads()
    fill(model, seed)
    model.eval()
    features = make_features(2, seed=30)
    assert_margin(model, features)
    generator = torch.Generator().manual_seed(40)
    labels = torch.randint(0, CLASSES, (2, *LABEL_SIZE), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = IGNORE
    labels[1, :20] = IGNORE
    tensors = {f"weight/{key}": value for key, value in mmseg_state(model).items()}
    tensors |= {f"input/{i}": x for i, x in enumerate(features)}
    tensors |= {"labels": labels, "class_weights": torch.tensor(CLASS_WEIGHTS)}
    for case, weights in (("plain", None), ("weighted", torch.tensor(CLASS_WEIGHTS))):
        model.zero_grad()
        outputs = model(features)
        total, decode, auxiliary = recipe_loss(*outputs, labels, weights)
        total.backward()
        tensors |= {f"{case}/total": total, f"{case}/decode": decode, f"{case}/auxiliary": auxiliary}
        for key, parameter in mmseg_parameters(model):
            if key in LOSS_GRADIENTS:
                tensors[f"{case}/grad/{key}"] = parameter.grad.clone()
    save(GOLDENS / "loss.safetensors", tensors)


if __name__ == "__main__":
    make_heads("uper_train", train=True, seed=1)
    make_heads("uper_eval", train=False, seed=1)
    make_loss(seed=2)
