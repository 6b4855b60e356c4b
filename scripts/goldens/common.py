"""What all makers share: random parameters, the probe loss, the passes over a model and the file format."""

import json
import math
import re
from collections.abc import Callable
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
            norm = isinstance(module, (nn.LayerNorm, nn.BatchNorm2d))
            for name, parameter in module.named_parameters(recurse=False):
                if name in ("rpb", "gamma1", "gamma2"):
                    draw(parameter, 0.0 if name == "rpb" else 0.5, 1.0 if name == "rpb" else 0.4)
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
    rename: Callable[[str], str] = lambda key: key,
    buffers: Callable[[str], bool] = lambda key: True,
) -> dict[str, torch.Tensor]:
    """A golden's tensors: `model`, which returns levels or logits, run on `image` in both precisions.

    `rename` turns the model's keys into the file's; `whole_gradient` matches renamed keys.
    """
    weights = {rename(key): value.clone() for key, value in model.state_dict().items() if buffers(key)}
    tensors = {f"weight/{key}": value for key, value in weights.items()} | {"input": image}
    probes = None
    for dtype, label in ((torch.float32, "f32"), (torch.float64, "f64")):
        model.to(dtype).zero_grad()
        x = image.to(dtype, copy=True).requires_grad_()
        result = model(x)
        classifier = isinstance(result, torch.Tensor)
        outputs = [result] if classifier else list(result)
        probes = probes or [randn(output.shape, probe_seed + i) for i, output in enumerate(outputs)]
        probe_loss(outputs, probes).backward()
        tensors |= {f"{label}/logits": result} if classifier else {f"{label}/level/{i}": o for i, o in enumerate(outputs)}
        tensors[f"{label}/grad_input"] = x.grad
        for key, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            if whole_gradient.fullmatch(rename(key)):
                tensors[f"{label}/grad/{rename(key)}"] = parameter.grad.clone()
            else:
                tensors[f"{label}/grad_norm/{rename(key)}"] = parameter.grad.norm()
    return tensors | {f"probe/{i}": probe for i, probe in enumerate(probes)}


def save(path: Path, tensors: dict[str, torch.Tensor], **metadata) -> None:
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in metadata.items()}
    texts["torch"] = torch.__version__.split("+")[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    safetensors.torch.save_file(contiguous, path, texts)
    print(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size / 1e6:.2f} MB")
