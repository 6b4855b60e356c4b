#!/usr/bin/env python3
"""Makes heads/tests/layouts/: tiny checkpoints in every code base's own names, and what its network gives; see README.md.

The names are those that transformers' save_pretrained, timm, torchvision and the authors' code write. mmsegmentation's,
detectron2's, dingmyu/davit's and Florence-2's own are made by renaming; where a converter of timm's reads them, it must give
back timm's names and the same tensors.
"""

import argparse
import json
import pickle
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import timm
import torch
import transformers
from safetensors.torch import load_file, save_file
from timm.models import convnext as timm_convnext
from timm.models import davit as timm_davit
from timm.models import swin_transformer as timm_swin
from torch import nn
from transformers.models.dinat import modeling_dinat
from transformers.models.florence2.modeling_florence2 import Florence2VisionBackbone
from transformers.models.upernet.modeling_upernet import UperNetFCNHead, UperNetHead

from common import fill, save
from make_dat import build as build_dat
from make_resnet import Shrunken
from reference_dat import dat_classes
from reference_nat import classification_module

ROOT = Path(__file__).parents[2]
LAYOUTS = ROOT / "heads" / "tests" / "layouts"
CLASSES = 5
STAGES = ["stage1", "stage2", "stage3", "stage4"]
COMMON = {"embed_dim": 4, "depths": [1, 2, 1, 1]}
SWIN = COMMON | {"num_heads": [1, 1, 2, 2], "window_size": 2, "mlp_ratio": 2.0, "drop_path_rate": 0.0, "image_size": 64}
CONVNEXT = {"hidden_sizes": [4, 8, 16, 32], "depths": [1, 2, 1, 1], "layer_norm_eps": 1e-6, "layer_scale_init_value": 0.5}
LABELS = {"id2label": {i: name for i, name in enumerate(["wall", "sky", "door", "tree", "door "])}}
PALETTE = [[120, 120, 120], [6, 230, 230], [8, 255, 51], [4, 200, 3], [1, 2, 3]]


def image(height: int, width: int) -> torch.Tensor:
    """Numbers that every language gives alike: the test makes them itself."""
    indices = torch.arange(3 * height * width)
    return ((indices * 7919 % 257 - 128) / 64).reshape(1, 3, height, width)


def case(name: str) -> Path:
    folder = LAYOUTS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def finish(name: str, size: tuple[int, int], outputs: dict[str, torch.Tensor], **metadata) -> None:
    save(LAYOUTS / f"{name}.safetensors", outputs, size=list(size), **metadata)


def build(model: nn.Module, seed: int) -> nn.Module:
    fill(model, seed)
    return model.eval()


def levels(maps) -> dict[str, torch.Tensor]:
    return {f"level/{i}": level for i, level in enumerate(maps)}


def pretrained(name: str, model: nn.Module) -> dict[str, torch.Tensor]:
    """What save_pretrained writes, without what only says who wrote it."""
    folder = case(name)
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    for key in ("transformers_version", "dtype"):
        config.pop(key, None)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    return load_file(folder / "model.safetensors")


@torch.no_grad()
def make_swin() -> None:
    config = transformers.SwinConfig(**SWIN, out_features=STAGES, num_labels=CLASSES)
    classifier = build(transformers.SwinForImageClassification(config), 1)
    logits = classifier(image(64, 64)).logits
    pretrained("hf_swin", classifier)
    finish("hf_swin", (64, 64), {"logits": logits})

    torch.save(classifier.state_dict(), case("hf_swin_v5") / "pytorch_model.bin")
    finish("hf_swin_v5", (64, 64), {"logits": logits})

    dense = build(transformers.SwinBackbone(config), 2)
    pretrained("hf_swin_dense", dense)
    finish("hf_swin_dense", (50, 61), levels(dense(image(50, 61)).feature_maps))

    small = timm_swin.SwinTransformer(
        img_size=64,
        embed_dim=4,
        depths=SWIN["depths"],
        num_heads=SWIN["num_heads"],
        window_size=2,
        mlp_ratio=2.0,
        drop_path_rate=0.0,
        num_classes=CLASSES,
    )
    build(small, 3)
    save_file(small.state_dict(), case("timm_swin") / "model.safetensors")
    finish("timm_swin", (64, 64), {"logits": small(image(64, 64))})


def unfold_order(tensor: torch.Tensor) -> torch.Tensor:
    """Patch merging's channels in the order of nn.Unfold, which mmsegmentation merges with."""
    blocks = tensor.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
    return blocks.transpose(-1, -2).flatten(-2)


def check_unfold_order() -> None:
    """The reordering against the definition: merging by nn.Unfold gives what merging by slices gives."""
    x = torch.randn(1, 6, 8, 3, dtype=torch.float64)
    weight = torch.randn(5, 12, dtype=torch.float64)
    slices = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
    expected = torch.cat(slices, -1) @ weight.T
    unfolded = nn.functional.unfold(x.permute(0, 3, 1, 2), 2, stride=2).transpose(1, 2)
    merged = unfolded @ unfold_order(weight).T
    torch.testing.assert_close(merged.reshape(expected.shape), expected)


SWIN_TO_MMSEG = [
    (r"^backbone\.(swin\.)?embeddings\.patch_embeddings\.", "backbone.patch_embed."),
    (r"^backbone\.(swin\.)?embeddings\.norm\.", "backbone.patch_embed.norm."),
    (r"^backbone\.(swin\.)?encoder\.layers\.", "backbone.stages."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.self\.", ".attn.w_msa."),
    (r"\.attention\.output\.dense\.", ".attn.w_msa.proj."),
    (r"\.intermediate\.dense\.", ".ffn.layers.0.0."),
    (r"\.output\.dense\.", ".ffn.layers.1."),
]
CONVNEXT_TO_MMSEG = [
    (r"^backbone\.embeddings\.patch_embeddings\.", "backbone.downsample_layers.0.0."),
    (r"^backbone\.embeddings\.layernorm\.", "backbone.downsample_layers.0.1."),
    (r"^backbone\.encoder\.stages\.(\d)\.downsampling_layer\.", r"backbone.downsample_layers.\1."),
    (r"^backbone\.encoder\.stages\.(\d)\.layers\.", r"backbone.stages.\1."),
    (r"^(backbone\.stages.*)\.layernorm\.", r"\1.norm."),
    (r"\.dwconv\.", ".depthwise_conv."),
    (r"\.pwconv(\d)\.", r".pointwise_conv\1."),
    (r"\.layer_scale_parameter$", ".gamma"),
]
HEADS_TO_MMSEG = [
    (r"^backbone\.hidden_states_norms\.stage(\d)\.", lambda match: f"backbone.norm{int(match[1]) - 1}."),
    (r"^(decode_head|auxiliary_head)\.classifier\.", r"\1.conv_seg."),
    (r"\.batch_norm\.", ".bn."),
]


def mmseg(state: dict[str, torch.Tensor], renames) -> dict[str, torch.Tensor]:
    renamed = {}
    for key, tensor in state.items():
        if re.match(r"backbone\.(swin\.)?layernorm\.", key):
            continue  # of classifiers; transformers keeps it, and throws its result away
        for pattern, replacement in renames + HEADS_TO_MMSEG:
            key = re.sub(pattern, replacement, key)
        renamed[key] = tensor
    for key in [key for key in renamed if ".w_msa.query." in key]:
        renamed[key.replace("query", "qkv")] = torch.cat([renamed.pop(key.replace("query", n)) for n in ("query", "key", "value")])
    for key in renamed:
        if re.search(r"\.stages\.\d\.downsample\.", key):
            renamed[key] = unfold_order(renamed[key])
    for key in [key for key in renamed if key.endswith("w_msa.qkv.weight")]:
        index = torch.zeros(4, 4, dtype=torch.int64)
        renamed[key.replace("qkv.weight", "relative_position_index")] = index
    return renamed


@torch.no_grad()
def make_upernet() -> None:
    check_unfold_order()
    backbones = {
        "swin": (transformers.SwinConfig(**SWIN, out_features=STAGES), SWIN_TO_MMSEG),
        "convnext": (transformers.ConvNextConfig(**CONVNEXT, out_features=STAGES), CONVNEXT_TO_MMSEG),
    }
    for seed, (family, (backbone, renames)) in enumerate(backbones.items()):
        config = transformers.UperNetConfig(
            backbone_config=backbone, hidden_size=4, auxiliary_channels=3, num_labels=CLASSES, **LABELS
        )
        model = build(transformers.UperNetForSemanticSegmentation(config), 10 + seed)
        maps = model.backbone(image(70, 65)).feature_maps
        outputs = {"logits": model.decode_head(maps), "auxiliary": model.auxiliary_head(maps)}
        state = pretrained(f"hf_upernet_{family}", model)
        finish(f"hf_upernet_{family}", (70, 65), outputs)
        meta = {"CLASSES": tuple(LABELS["id2label"].values()), "PALETTE": PALETTE, "epoch": 3}
        checkpoint = {"meta": meta, "state_dict": mmseg(state, renames), "optimizer": {"state": {}}}
        torch.save(checkpoint, case(f"mmseg_upernet_{family}") / "iter_160000.pth")
        finish(f"mmseg_upernet_{family}", (70, 65), outputs)


@torch.no_grad()
def make_convnext() -> None:
    config = transformers.ConvNextConfig(**CONVNEXT, num_labels=CLASSES)
    model = build(transformers.ConvNextForImageClassification(config), 20)
    pretrained("hf_convnext", model)
    finish("hf_convnext", (66, 71), {"logits": model(image(66, 71)).logits})

    small = timm_convnext.ConvNeXt(dims=(4, 8, 16, 32), depths=(1, 2, 1, 1), num_classes=CLASSES)
    build(small, 21)
    save_file(small.state_dict(), case("timm_convnext") / "model.safetensors")
    finish("timm_convnext", (66, 71), {"logits": small(image(66, 71))})


def detectron2(state: dict[str, torch.Tensor]) -> dict:
    """As detectron2's tools/convert-torchvision-to-d2.py renames."""
    renamed = {}
    for key, tensor in state.items():
        if "layer" not in key:
            key = "stem." + key
        for stage in (1, 2, 3, 4):
            key = key.replace(f"layer{stage}", f"res{stage + 1}")
        for conv in (1, 2, 3):
            key = key.replace(f"bn{conv}", f"conv{conv}.norm")
        key = key.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        renamed[key] = tensor.numpy()
    return renamed


@torch.no_grad()
def make_resnet() -> None:
    config = transformers.ResNetConfig(
        embedding_size=2, hidden_sizes=[8, 16, 32, 64], depths=[1, 2, 1, 1], num_labels=CLASSES
    )
    model = build(transformers.ResNetForImageClassification(config), 30)
    pretrained("hf_resnet", model)
    finish("hf_resnet", (66, 71), {"logits": model(image(66, 71)).logits})

    network = build(Shrunken([1, 2, 1, 1], 2, CLASSES, nn.BatchNorm2d), 31)
    logits = network(image(66, 71))
    torch.save(network.state_dict(), case("torchvision_resnet") / "resnet.pth")
    finish("torchvision_resnet", (66, 71), {"logits": logits})
    checkpoint = {"model": detectron2(network.state_dict()), "__author__": "torchvision", "matching_heuristics": True}
    with open(case("detectron2_resnet") / "R-50.pkl", "wb") as file:
        pickle.dump(checkpoint, file, protocol=2)
    finish("detectron2_resnet", (66, 71), {"logits": logits})


@torch.no_grad()
def make_dinat(checkout: Path) -> None:
    dilations = [[1], [2, 1], [1], [1]]
    arch = {"kernel_size": 3, "mlp_ratio": 2.0, "num_heads": [1, 1, 2, 2], "drop_path_rate": 0.0} | COMMON
    authors = build(
        classification_module(checkout).NAT(**arch, dilations=dilations, layer_scale=0.5, num_classes=CLASSES), 40
    )
    logits = authors(image(66, 71))
    torch.save(authors.state_dict(), case("shi_dinat") / "dinat.pth")
    finish("shi_dinat", (66, 71), {"logits": logits}, dilations=dilations)

    modeling_dinat.requires_backends = lambda *_: None  # the model is not run: transformers 5 mixes up natten's axes
    config = transformers.DinatConfig(**arch, dilations=dilations, layer_scale_init_value=0.5, num_labels=CLASSES)
    model = transformers.DinatForImageClassification(config)
    state, theirs = authors.state_dict(), {}
    for key in model.state_dict():
        ours = key.removeprefix("dinat.").removeprefix("encoder.").replace(".layers.", ".blocks.")
        ours = ours.replace("embeddings.patch_embeddings.projection", "patch_embed.proj").replace("embeddings", "patch_embed")
        ours = ours.replace("layernorm_before", "norm1").replace("layernorm_after", "norm2").replace("layernorm", "norm")
        ours = ours.replace("attention.output.dense", "attn.proj").replace("attention.self", "attn")
        ours = ours.replace("intermediate.dense", "mlp.fc1").replace("output.dense", "mlp.fc2").replace("classifier", "head")
        if ours.endswith("layer_scale_parameters"):
            prefix = ours.removesuffix("layer_scale_parameters")
            theirs[key] = torch.stack([state[f"{prefix}gamma1"], state[f"{prefix}gamma2"]])
        elif part := re.search(r"attn\.(query|key|value)\.", ours):
            fused = state[ours.replace(part[1], "qkv")]
            theirs[key] = fused.chunk(3)[("query", "key", "value").index(part[1])].clone()
        else:
            theirs[key] = state[ours]
    model.load_state_dict(theirs)
    pretrained("hf_dinat", model)
    finish("hf_dinat", (66, 71), {"logits": logits})


def small_davit(florence: bool) -> nn.Module:
    return timm_davit.DaVit(
        depths=(1, 2, 1, 1),
        embed_dims=(4, 8, 16, 32),
        num_heads=(1, 1, 2, 2),
        window_size=3,
        mlp_ratio=2.0,
        down_kernel_size=3 if florence else 2,
        channel_attn_v2=florence,
        named_blocks=florence,
        num_classes=CLASSES,
    )


AUTHORS_DAVIT = [
    (r"^stem\.", "patch_embeds.0."),
    (r"^stages\.(\d)\.downsample\.", r"patch_embeds.\1."),
    (r"^(patch_embeds\.\d)\.conv\.", r"\1.proj."),
    (r"^stages\.(\d)\.blocks\.", r"main_blocks.\1."),
    (r"\.cpe1\.", ".cpe.0."),
    (r"\.cpe2\.", ".cpe.1."),
    (r"^head\.norm\.", "norms."),
    (r"^head\.fc\.", "head."),
]
# transformers' Florence-2 to Florence-2's own.
FLORENCE = [
    (r"^convs\.(\d)\.conv\.", r"convs.\1.proj."),
    (r"\.conv([12])\.", r".conv\1.fn.dw."),
    (r"\.(spatial|channel)_block\.norm1\.", lambda m: f".{m[1]}_block.{'window' if m[1] == 'spatial' else 'channel'}_attn.norm."),
    (r"\.(window|channel)_attn\.(qkv|proj)\.", r".\1_attn.fn.\2."),
    (r"\.norm2\.", ".ffn.norm."),
    (r"\.ffn\.(fc[12])\.", r".ffn.fn.net.\1."),
]


def renamed(state: dict[str, torch.Tensor], renames) -> dict[str, torch.Tensor]:
    result = {}
    for key, tensor in state.items():
        for pattern, replacement in renames:
            key = re.sub(pattern, replacement, key)
        result[key] = tensor
    return result


def assert_same(got: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert got.keys() == expected.keys(), got.keys() ^ expected.keys()
    assert all(torch.equal(got[key], expected[key]) for key in expected)


@torch.no_grad()
def make_davit() -> None:
    plain = build(small_davit(florence=False), 50)
    settings = {"heads": [1, 1, 2, 2], "window": 3}
    save_file(plain.state_dict(), case("timm_davit") / "model.safetensors")
    finish("timm_davit", (66, 71), {"logits": plain(image(66, 71))}, davit=settings)
    authors = renamed(plain.state_dict(), AUTHORS_DAVIT)
    assert_same(timm_davit.checkpoint_filter_fn(dict(authors), plain), plain.state_dict())
    torch.save({"state_dict": authors}, case("davit") / "davit.pth")
    finish("davit", (66, 71), {"logits": plain(image(66, 71))}, davit=settings)

    named = build(small_davit(florence=True), 51)
    settings |= {"channel_attention": "v2"}
    save_file(named.state_dict(), case("timm_davit_fl") / "model.safetensors")
    finish("timm_davit_fl", (66, 71), {"logits": named(image(66, 71))}, davit=settings)

    vision = {
        "depths": [1, 2, 1, 1],
        "embed_dim": [4, 8, 16, 32],
        "num_heads": [1, 1, 2, 2],
        "num_groups": [1, 1, 2, 2],
        "window_size": 3,
        "mlp_ratio": 2.0,
        "drop_path_rate": 0.0,
    }
    tower = build(Florence2VisionBackbone(transformers.models.florence2.Florence2VisionConfig(**vision)), 52)
    last = tower(image(66, 71)).last_hidden_state
    other = {"model.language_model.shared.weight": torch.zeros(3, 2)}
    state = {f"model.vision_tower.{key}": tensor for key, tensor in tower.state_dict().items()}
    folder = case("hf_florence2")
    save_file(state | other, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "florence2", "vision_config": vision}) + "\n")
    finish("hf_florence2", (66, 71), {"last": last})
    own = {f"vision_tower.{key}": tensor for key, tensor in renamed(tower.state_dict(), FLORENCE).items()}
    converted = timm_davit._convert_florence2(own, named)
    assert converted.keys() == {key for key in named.state_dict() if not key.startswith("head.")}
    torch.save(own | {"language_model.shared.weight": torch.zeros(3, 2)}, case("florence2") / "pytorch_model.bin")
    finish("florence2", (66, 71), {"last": last}, davit=settings)


DAT = {"embed_dim": 6, "heads": [1, 2, 2, 4], "groups": [1, 1, 2, 2], "mlp_ratio": 2.0, "window": 3, "image_size": 64}


@torch.no_grad()
def make_dat(classification: Path, segmentation: Path) -> None:
    classes = dat_classes(classification, segmentation)
    config = DAT | {"blocks": ["ND", "D", "ND", "D"]}
    classifier = build_dat({"config": config, "num_classes": CLASSES}, 70, *classes)
    checkpoint = {"model": classifier.model.state_dict(), "max_accuracy": 83.9, "epoch": 299}
    torch.save(checkpoint, case("dat") / "dat.pth")
    finish("dat", (66, 71), {"logits": classifier(image(66, 71))})

    dense = build_dat({"config": config | {"layer_scale": 0.5}}, 71, *classes)
    heads = SimpleNamespace(
        pool_scales=(1, 2, 3, 6),
        hidden_size=4,
        num_labels=CLASSES,
        auxiliary_in_channels=None,
        auxiliary_channels=3,
        auxiliary_num_convs=1,
        auxiliary_concat_input=False,
    )
    widths = [DAT["embed_dim"] << stage for stage in range(4)]
    decode = build(UperNetHead(heads, widths), 72)
    auxiliary = build(UperNetFCNHead(heads, widths, in_index=2), 73)
    maps = dense(image(70, 65))
    named = {"backbone": dense, "decode_head": decode, "auxiliary_head": auxiliary}
    state = {f"{name}.{key}": tensor for name, part in named.items() for key, tensor in part.state_dict().items()}
    meta = {"CLASSES": tuple(LABELS["id2label"].values()), "PALETTE": PALETTE}
    torch.save({"meta": meta, "state_dict": renamed(state, HEADS_TO_MMSEG)}, case("dat_upernet") / "iter_160000.pth")
    finish("dat_upernet", (70, 65), {"logits": decode(maps), "auxiliary": auxiliary(maps)})


def make_bicubic() -> None:
    """Tables of position biases for other windows, as torch interpolates them."""
    tensors = {}
    generator = torch.Generator().manual_seed(60)
    for name, small, large in (("k7_to_11", 13, 21), ("k7_to_5", 13, 9), ("w2_to_4", 3, 7)):
        for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
            table = torch.randn(2, small, small, generator=generator).to(dtype)
            wide = nn.functional.interpolate(table[None].double(), (large, large), mode="bicubic", align_corners=False)[0]
            label = f"{name}_{str(dtype).removeprefix('torch.')}"
            tensors[f"{label}/from/rpb"] = table
            tensors[f"{label}/to/rpb"] = wide.float()
            tensors[f"{label}/from/table"] = table.flatten(1).T
            tensors[f"{label}/to/table"] = wide.float().flatten(1).T
    save(ROOT / "checkpoints" / "tests" / "fixtures" / "bicubic.safetensors", tensors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, help="SHI-Labs' repository, see README.md")
    parser.add_argument("dat", type=Path, help="LeapLabTHU's DAT")
    parser.add_argument("dat_segmentation", type=Path, help="their DAT-Segmentation")
    options = parser.parse_args()
    print(f"transformers {transformers.__version__}, timm {timm.__version__}")
    make_swin()
    make_upernet()
    make_convnext()
    make_resnet()
    make_dinat(options.checkout)
    make_davit()
    make_dat(options.dat, options.dat_segmentation)
    make_bicubic()


if __name__ == "__main__":
    main()
