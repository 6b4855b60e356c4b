#!/usr/bin/env python3
"""Makes backbones/tests/goldens/dat_*.safetensors from the authors' code; see README.md."""

import argparse
import re
from copy import deepcopy
from pathlib import Path

import torch
import yaml
from torch import nn

from common import fill, randn, run, save
from reference_dat import dat_classes

GOLDENS = Path(__file__).parents[2] / "backbones" / "tests" / "goldens"

SMALL = {"embed_dim": 6, "heads": [1, 2, 2, 4], "groups": [1, 1, 2, 2], "mlp_ratio": 2.0}

# Our config, and the input. `why` says what the case is there for. Where keys are squashed by tanh, their number on an axis is
# one more than a power of two: the reference rounds the distance between keys to f32 even in f64.
CASES = {
    "dat_plain": {
        "seed": 3005,
        "why": "tables as large as the maps, both attentions, two heads a group",
        "config": SMALL | {"blocks": ["ND", "ND", "ND", "D"], "window": 3, "image_size": 64},
        "input": [1, 3, 64, 64],
    },
    "dat_odd": {
        "seed": 3106,
        "why": "odd input, tables of images of 224, neighborhoods that pad",
        "config": SMALL | {"blocks": ["D", "N", "ND", "D"], "groups": [1, 2, 1, 4]},
        "input": [1, 3, 71, 45],
    },
    "dat_log_cpb": {
        "seed": 3207,
        "why": "bias from a network, offsets squashed and not clamped, layer scale of the dense code",
        "config": SMALL
        | {
            "blocks": ["D", "D", "D", "D"],
            "layer_scale": 0.5,
            "offset_range_factor": [1.0, 2.0, 3.0, 4.0],
            "position_bias": "log_cpb",
        },
        "input": [2, 3, 33, 65],
    },
    "dat_unbiased": {
        "seed": 3306,
        "why": "no position bias, other strides and kernels, keys that may and may not move",
        "config": SMALL
        | {
            "blocks": ["D", "D", "D", "N"],
            "window": 3,
            "strides": [2, 4, 1, 1],
            "offset_kernels": [5, 3, 1, 3],
            "offset_range_factor": [-1.0, 0.0, -2.0, 1.0],
            "position_bias": "none",
        },
        "input": [1, 3, 66, 34],
    },
    "dat_classifier": {
        "seed": 3406,
        "why": "norm, pool and linear layer, layer scale, and in the last stage one row of keys for two of queries",
        "num_classes": 5,
        "config": SMALL
        | {
            "blocks": ["D", "N", "D", "D"],
            "window": 3,
            "layer_scale": 0.5,
            "strides": [8, 4, 2, 2],
            "image_size": 64,
        },
        "input": [2, 3, 40, 65],
    },
}

# Parameters whose whole gradient is stored; of all others its norm.
WHOLE_GRADIENT = re.compile(
    r"patch_proj\..*|norms\..*|cls_.*|down_projs\.\d\.1\..*|stages\.\d\.(layer_norms|layer_scales)\..*"
    r"|stages\.\d\.attns\.\d\.(rpb|conv_offset\..*|rpe_table\.\d\..*|proj_.\.bias)|stages\.[23]\.attns\.0\.rpe_table"
    r"|stages\.[01]\.attns\.\d\.proj_.\.weight|stages\.\d\.mlps\.\d\.dwc\..*|stages\.\d\.local_perception_units\..*"
)

# Largest error of f32 against f64, and of a pass with weights off by rounding: sampling, clamping and ReLU have kinks, and a
# gradient that jumps at one of them says nothing. Half of what the tests allow leaves them room.
ALLOWED_NOISE = 5e-5


class Logits(nn.Module):
    """The authors' classifier returns its logits among other things."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model(images)[0]


def our_names(tensors: dict) -> dict:
    """Both repositories' names of a layer scale become the classifier's."""
    return {key.removeprefix("model.").replace(".gamma", ".weight"): tensor for key, tensor in tensors.items()}


def arguments(config: dict) -> dict:
    """Our config in the authors' words."""
    bias = config.get("position_bias", "table")
    every = lambda value: [value] * 4  # noqa: E731
    return {
        "img_size": config.get("image_size", 224),
        "dim_stem": config["embed_dim"],
        "dims": [config["embed_dim"] << stage for stage in range(4)],
        "depths": [len(blocks) for blocks in config["blocks"]],
        "stage_spec": [list(blocks) for blocks in config["blocks"]],
        "heads": config["heads"],
        "groups": config["groups"],
        "expansion": int(config["mlp_ratio"]),
        "nat_ksizes": every(config.get("window", 7)),
        "layer_scale_values": every(config.get("layer_scale", -1.0)),
        "strides": config.get("strides", [8, 4, 2, 1]),
        "ksizes": config.get("offset_kernels", [9, 7, 5, 3]),
        "offset_range_factor": config.get("offset_range_factor", every(-1.0)),
        "use_pes": every(bias != "none"),
        "log_cpb": every(bias == "log_cpb"),
        "use_dwc_mlps": every(True),
        "use_lpus": every(True),
        "use_conv_patches": True,
    }


def build(case: dict, seed: int, classifier: type, dense: type) -> nn.Module:
    num_classes = case.get("num_classes")
    if num_classes:
        model = Logits(classifier(num_classes=num_classes, **arguments(case["config"])))
    else:
        model = dense(**arguments(case["config"]))
    fill(model, seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("conv_offset.3.weight"):
                parameter *= 0.3  # so that most keys stay inside the map, and some do not
    return model.eval()


def run_without_zeros(model: nn.Module, image: torch.Tensor, seed: int) -> tuple[dict, list[str]]:
    """A golden's tensors but for gradients that are 0 but for rounding, and whose those are.

    The bias of the keys adds the same to all scores of a query, which a softmax does not see.
    """
    tensors = run(model, image, seed, WHOLE_GRADIENT, our_names)
    zeros = sorted(key.removeprefix("weight/") for key in tensors if key.startswith("weight/") and key.endswith("proj_k.bias"))
    for label in ("f32", "f64"):
        for key in zeros:
            gradient, scale = tensors.pop(f"{label}/grad/{key}"), tensors[f"{label}/grad_input"]
            if gradient.norm() > 1e-5 * scale.norm():
                raise SystemExit(f"{label}: the gradient of {key} is not 0")
    return tensors, zeros


def noise(left: dict, right: dict, prefixes: tuple[str, str]) -> float:
    """Largest error of outputs and gradients in the tests' measure."""
    worst = 0.0
    for key in left:
        if key.startswith(prefixes[0]):
            expected = right[prefixes[1] + key.removeprefix(prefixes[0])].double()
            error = (left[key].double() - expected).abs() / (expected.abs() + expected.square().mean().sqrt())
            worst = max(worst, error.nan_to_num().max().item())
    return worst


def make(name: str, case: dict, classifier: type, dense: type) -> None:
    seed = case["seed"]
    image = randn(case["input"], seed + 1)
    model = build(case, seed, classifier, dense)
    tensors, zeros = run_without_zeros(model, image, seed + 2)
    own_noise = noise(tensors, tensors, ("f32/", "f64/"))
    worst = own_noise
    for trial in range(3):
        rounded = deepcopy(model)
        with torch.no_grad():
            for index, parameter in enumerate(rounded.parameters()):
                parameter *= 1 + 2e-7 * randn(parameter.shape, seed + 1000 * trial + index)
        other, _ = run_without_zeros(rounded, image, seed + 2)
        worst = max(worst, noise(other, tensors, ("f64/", "f64/")))
    print(f"{name}: f32 against f64 {own_noise:.1e}, largest error by rounding {worst:.1e}")
    if worst > ALLOWED_NOISE:
        raise SystemExit(f"{name}: {worst:.1e}: take another seed")
    metadata = {"num_classes": case["num_classes"]} if "num_classes" in case else {}
    config = {"family": "dat"} | case["config"]
    metadata |= {"config": config, "zero_gradients": zeros, "why": case["why"]}
    save(GOLDENS / f"{name}.safetensors", tensors, **metadata)


def make_resized_tables(classifier: type) -> None:
    """The position bias tables of images of 64 and 96, and what `load_pretrained` makes of each for the other size."""
    config = SMALL | {"blocks": ["D", "D", "D", "D"]}
    tensors = {}
    for direction, before, after in (("larger", 64, 96), ("smaller", 96, 64)):
        for dtype, label in ((torch.float32, "f32"), (torch.float64, "f64")):
            models = [classifier(**arguments(config | {"image_size": size})) for size in (before, after)]
            fill(models[0], seed=77)
            given = {key: table for key, table in models[0].state_dict().items() if key.endswith("rpe_table")}
            tensors |= {f"{direction}/{key}": table for key, table in given.items()}
            models[1].to(dtype).load_pretrained({key: table.to(dtype) for key, table in given.items()}, None)
            tensors |= {f"{label}/{direction}/{key}": models[1].state_dict()[key] for key in given}
    save(GOLDENS / "dat_resized_tables.safetensors", tensors, why="tables resized for images of another size")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("classification", type=Path, help="the authors' DAT, see README.md")
    parser.add_argument("segmentation", type=Path, help="their DAT-Segmentation")
    options = parser.parse_args()
    classifier, dense = dat_classes(options.classification, options.segmentation)
    for name, case in CASES.items():
        make(name, case, classifier, dense)
    make_resized_tables(classifier)
    for size in ("tiny", "small", "base"):
        recipe = yaml.safe_load((options.classification / "configs" / f"dat_{size}.yaml").read_text())
        model = classifier(**recipe["MODEL"]["DAT"])
        count = sum(parameter.numel() for parameter in model.parameters())
        print(f"dat_{size}: {count} parameters of the ImageNet classifier")


if __name__ == "__main__":
    main()
