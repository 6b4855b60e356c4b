"""Whether smalti's classifier gives a peer's logits with the peer's weights.

They go the way that anybody's weights go: `smalti weights convert` from the peer's own names, then `smalti forward`.
"""

import subprocess
import tempfile
from pathlib import Path

import smalti
import torch
from safetensors.torch import load_file, save_file

# By peer and family, whose names its parameters have.
ORIGINS = {
    "natten": {"nat": "shi", "dinat_s": "shi", "dat": "dat"},
    "timm": {"davit": "timm", "swin": "timm", "convnext": "timm", "resnet": "torchvision"},
    "torchvision": {"resnet": "torchvision"},
    "transformers": {"swin": "hf", "convnext": "hf"},
}
RECIPE = """task = "classification"

[data]
root = "."
augment = [{{ op = "random_resized_crop" }}]

[model.backbone]
family = "{family}"
variant = "{variant}"
"""


def difference(peer: str, model: torch.nn.Module, case: dict) -> float | None:
    """Largest difference between the logits of the two, over the largest logit; None where smalti does not read the weights."""
    origin = ORIGINS[peer].get(case["family"])
    if origin is None:
        return None
    torch.manual_seed(0)
    model = model.cpu().eval()
    stir(model)
    images = torch.randn(1, 3, case["size"], case["size"])
    with torch.no_grad():
        out = model(images)
    theirs = getattr(out, "logits", out)
    with tempfile.TemporaryDirectory() as folder:
        ours = smalti_logits(Path(folder), model, images, case, origin)
    return None if ours is None else float((ours - theirs).abs().max() / theirs.abs().max())


def stir(model: torch.nn.Module) -> None:
    """Moves all weights: some begin where they would hide a branch, as layer scales of 1e-5 do, and biases at 0."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1 if parameter.dim() == 1 else 0.02)


def smalti_logits(folder: Path, model, images: torch.Tensor, case: dict, origin: str) -> torch.Tensor | None:
    """What smalti makes of the images with the model's weights; None if it refuses, which it says itself."""
    weights, recipe, converted = folder / "peer.safetensors", folder / "recipe.toml", folder / "converted"
    inputs, outputs = folder / "images.safetensors", folder / "outputs.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, weights)
    save_file({"images": images}, inputs)
    recipe.write_text(RECIPE.format(**case))
    convert = ["weights", "convert", weights, converted, "--from", origin, "--config", recipe]
    forward = ["forward", "--device", "cpu", "--weights", converted / "model.safetensors"]
    forward += ["--input", inputs, "--output", outputs]
    for words in (convert, forward):
        command = [str(smalti.full_binary()), "--quiet", *map(str, words)]
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            return None
    return load_file(outputs)["logits"]
