"""What all makers share: random parameters, the probe loss, the passes over a model and the file format."""

import json
import math
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import safetensors.torch
import torch
from torch import nn


def fill(model: nn.Module, seed: int) -> None:
    """Random parameters in which every mistake shows: no norm is the identity, no bias, gamma or position bias is near 0."""
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor: torch.Tensor, mean: float, std: float) -> None:
        tensor.copy_(mean + std * torch.randn(tensor.shape, generator=generator))

    with torch.no_grad():
        for module in model.modules():
            norm = isinstance(module, (nn.LayerNorm, nn.BatchNorm2d, nn.GroupNorm))
            for name, parameter in module.named_parameters(recurse=False):
                if name in ("rpb", "relative_position_bias_table", "rpe_table"):
                    draw(parameter, 0.0, 1.0)
                elif name in ("gamma1", "gamma2", "gamma", "layer_scale_parameter"):
                    draw(parameter, 0.5, 0.4)
                elif name == "bias":
                    draw(parameter, 0.0, 0.3)
                elif norm:
                    draw(parameter, 1.0, 0.3)
                else:
                    draw(parameter, 0.0, 1.0 / math.sqrt(parameter[0].numel()))
            if isinstance(module, nn.BatchNorm2d):
                draw(module.running_mean, 0.0, 0.2)
                module.running_var.copy_(0.5 + torch.rand(module.running_var.shape, generator=generator))


def randn(shape, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def probe_loss(outputs: list[torch.Tensor], probes: list[torch.Tensor]) -> torch.Tensor:
    """A scalar that gives every output its own gradient: the sum of outputs times fixed random numbers."""
    return sum((output * probe.to(output.dtype)).sum() for output, probe in zip(outputs, probes, strict=True))


def run(
    model: nn.Module,
    image: torch.Tensor,
    probe_seed: int,
    whole_gradient: re.Pattern,
    convert: Callable[[dict], dict] = lambda tensors: tensors,
) -> dict[str, torch.Tensor]:
    """A golden's tensors: `model`, which returns levels or logits, run on `image` in both precisions.

    `convert` turns tensors by the model's keys into tensors by the file's; `whole_gradient` matches the latter. In training
    mode the buffers after the pass are stored too.
    """
    tensors = {f"weight/{key}": value.clone() for key, value in convert(model.state_dict()).items()} | {"input": image}
    probes = None
    for dtype, label in ((torch.float32, "f32"), (torch.float64, "f64")):
        network = deepcopy(model).to(dtype)
        x = image.to(dtype, copy=True).requires_grad_()
        result = network(x)
        classifier = isinstance(result, torch.Tensor)
        outputs = [result] if classifier else list(result)
        probes = probes or [randn(output.shape, probe_seed + i) for i, output in enumerate(outputs)]
        probe_loss(outputs, probes).backward()
        tensors |= {f"{label}/logits": result} if classifier else {f"{label}/level/{i}": o for i, o in enumerate(outputs)}
        tensors[f"{label}/grad_input"] = x.grad
        gradients = {key: parameter.grad for key, parameter in network.named_parameters() if parameter.grad is not None}
        for key, gradient in convert(gradients).items():
            whole = whole_gradient.fullmatch(key)
            tensors |= {f"{label}/grad/{key}": gradient} if whole else {f"{label}/grad_norm/{key}": gradient.norm()}
        if model.training:
            buffers = convert(dict(network.named_buffers()))
            tensors |= {f"{label}/after/{key}": buffer for key, buffer in buffers.items()}
    return tensors | {f"probe/{i}": probe for i, probe in enumerate(probes)}


def assert_relu_margin(model: nn.Module, image: torch.Tensor) -> None:
    """Refuses inputs of a ReLU so close to 0 that another CPU's rounding could switch its gradient on or off."""
    model = deepcopy(model)  # a forward pass in training moves the running statistics
    smallest = []
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_pre_hook(lambda _, arguments: smallest.append(arguments[0].abs().min().item()))
    model(image)
    if min(smallest) < 3e-6:
        raise SystemExit(f"a ReLU sees {min(smallest):.1e}: take another seed")


def save(path: Path, tensors: dict[str, torch.Tensor], **metadata) -> None:
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in metadata.items()}
    texts["torch"] = torch.__version__.split("+")[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    safetensors.torch.save_file(contiguous, path, texts)
    print(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size / 1e6:.2f} MB")
