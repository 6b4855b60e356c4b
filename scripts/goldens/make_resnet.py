#!/usr/bin/env python3
"""Makes backbones/tests/goldens/resnet_*.safetensors from torchvision's ResNet; see README.md."""

import re
from pathlib import Path

import torch
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.ops.misc import FrozenBatchNorm2d

from common import assert_relu_margin, fill, randn, run, save

GOLDENS = Path(__file__).parents[2] / "backbones" / "tests" / "goldens"

CASES = {
    "resnet_dense": {
        "why": "frozen norms; odd maps in every stage",
        "arch": {"depths": [2, 1, 2, 1], "width": 4},
        "input": [1, 3, 61, 75],
        "seed": 3000,
    },
    "resnet_classifier": {
        "why": "norms by running statistics, their weights trained; pool and linear layer",
        "num_classes": 7,
        "arch": {"depths": [1, 2, 1, 2], "width": 4},
        "input": [1, 3, 40, 53],
        "seed": 3100,
    },
    "resnet_training": {
        "why": "norms by the batch's statistics; running statistics after the pass",
        "num_classes": 7,
        "train": True,
        "arch": {"depths": [1, 1, 1, 2], "width": 4},
        "input": [3, 3, 33, 40],
        "seed": 3200,
    },
}

# Parameters whose whole gradient is stored; of all others its norm.
WHOLE_GRADIENT = re.compile(r"conv1\..*|bn1\..*|layer1\..*|layer\d\.\d\.bn\d\..*|layer2\.0\.downsample\..*|fc\..*")


class Shrunken(ResNet):
    """torchvision's network with stages of another width, which its own constructor fixes."""

    def __init__(self, depths: list[int], width: int, num_classes: int | None, norm: type[nn.Module]):
        nn.Module.__init__(self)
        self._norm_layer, self.inplanes, self.dilation, self.groups, self.base_width = norm, width, 1, 1, 64
        self.conv1 = nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = norm(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        for stage, depth in enumerate(depths):
            layer = self._make_layer(Bottleneck, width << stage, depth, stride=min(2, 1 + stage))
            self.add_module(f"layer{stage + 1}", layer)
        if num_classes:
            self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
            self.fc = nn.Linear(4 * (width << 3), num_classes)

    def forward(self, image):
        if hasattr(self, "fc"):
            return super().forward(image)
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        levels = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            levels.append(x)
        return levels


def fill_frozen(model: nn.Module, seed: int) -> None:
    """Random statistics and weights of frozen norms, which are no parameters."""
    for index, module in enumerate(module for module in model.modules() if isinstance(module, FrozenBatchNorm2d)):
        draws = randn((4, module.weight.numel()), seed + index)
        module.weight.copy_(1 + 0.3 * draws[0])
        module.bias.copy_(0.3 * draws[1])
        module.running_mean.copy_(0.2 * draws[2])
        module.running_var.copy_(0.5 + draws[3].sigmoid())


def convert(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: tensor for key, tensor in tensors.items() if not key.endswith("num_batches_tracked")}


def make(name: str, case: dict) -> None:
    arch, num_classes, train, seed = case["arch"], case.get("num_classes"), case.get("train", False), case["seed"]
    norm = nn.BatchNorm2d if num_classes else FrozenBatchNorm2d
    model = Shrunken(arch["depths"], arch["width"], num_classes, norm).train(train)
    fill(model, seed)
    fill_frozen(model, seed + 50)
    image = randn(case["input"], seed + 1)
    assert_relu_margin(model, image)
    tensors = run(model, image, seed + 2, WHOLE_GRADIENT, convert)
    metadata = {"num_classes": num_classes} if num_classes else {}
    metadata |= {"train": True} if train else {}
    save(GOLDENS / f"{name}.safetensors", tensors, config={"family": "resnet"} | arch, why=case["why"], **metadata)


if __name__ == "__main__":
    for name, case in CASES.items():
        make(name, case)
