#!/usr/bin/env python3
"""Makes heads/tests/layouts/{hf,detectron2}_mask2former, one tiny Mask2Former on Swin as transformers' save_pretrained writes it and
as the authors' code names it, with what either network gives; and heads/tests/goldens/mask2former_authors.safetensors, outputs and
gradients of the authors' network in f64; see README.md."""

import argparse
import json
import pickle
import re
from copy import deepcopy
from pathlib import Path
from unittest import mock

import torch
import transformers
from torch.nn import functional as F
from transformers.models.mask2former import modeling_mask2former

import reference_mask2former
from common import fill, probe_loss, randn, save
from make_layouts import LAYOUTS, STAGES, SWIN, case, finish, image, pretrained
from make_mask2former import GOLDENS
from make_mask2former import convert as convert_head
from make_swin import convert as convert_swin

CLASSES = ["person", "sky", "road"]
HEAD = {
    "feature_size": 32,
    "hidden_dim": 32,
    "mask_feature_size": 16,
    "num_attention_heads": 2,
    "num_queries": 5,
    "encoder_layers": 1,
    "encoder_feedforward_dim": 16,
    "decoder_layers": 4,
    "dim_feedforward": 16,
}
SIZE = (70, 65)
SEED = 90
# Parameters whose whole gradient is stored; of all others its norm.
WHOLE_GRADIENT = re.compile(
    r".*(query_\w+|level_embed|class_embed|mask_features|adapter_1|patch_embed\.proj|sampling_offsets)(\.weight|\.bias)?"
)


def of_transformers() -> transformers.Mask2FormerForUniversalSegmentation:
    modeling_mask2former.requires_backends = lambda *_: None  # the loss alone needs scipy
    labels = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: i for i, name in enumerate(CLASSES)}}
    backbone = transformers.SwinConfig(**SWIN, out_features=STAGES)
    config = transformers.Mask2FormerConfig(backbone_config=backbone, dropout=0.0, **HEAD, **labels)
    model = transformers.Mask2FormerForUniversalSegmentation(config).eval()
    fill(model, SEED)
    return model


def authors_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    encoder, head = "model.pixel_level_module.encoder.", {}
    backbone = convert_swin({key.removeprefix(encoder): tensor for key, tensor in state.items() if key.startswith(encoder)})
    for key, tensor in state.items():
        if not key.startswith((encoder, "criterion.")):
            head[key.removeprefix("model.").replace("pixel_level_module.decoder.", "pixel_decoder.")] = tensor
    # transformers keeps the classifier's last norm, and throws its result away.
    return {f"backbone.{key}": tensor for key, tensor in backbone.items() if not key.startswith("norm.")} | convert_head(head)


def outputs_of_transformers(model, picture: torch.Tensor) -> dict[str, torch.Tensor]:
    result = model(pixel_values=picture, output_hidden_states=True, output_auxiliary_logits=True)
    outputs = {f"backbone/{i}": level for i, level in enumerate(result.encoder_hidden_states)}
    outputs |= {f"memory/{i}": level for i, level in enumerate(result.pixel_decoder_hidden_states)}
    outputs["mask_features"] = result.pixel_decoder_last_hidden_state
    layers = [(layer["class_queries_logits"], layer["masks_queries_logits"]) for layer in result.auxiliary_logits]
    for i, (classes, masks) in enumerate([*layers, (result.class_queries_logits, result.masks_queries_logits)]):
        outputs |= {f"class_logits/{i}": classes, f"mask_logits/{i}": masks}
    return outputs


def assert_mask_margin(outputs: dict[str, torch.Tensor]) -> None:
    """Refuses logits of attention masks so close to 0 that rounding could let a query look elsewhere."""
    smallest = min(
        F.interpolate(outputs[f"mask_logits/{i}"], outputs[f"memory/{i}"].shape[-2:], mode="bilinear").abs().min().item()
        for i in range(3)
    )
    print(f"smallest logit of an attention mask: {smallest:.1e}")
    if smallest < 1e-4:
        raise SystemExit("take another seed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, help="facebookresearch/Mask2Former, see README.md")
    options = parser.parse_args()
    picture = image(*SIZE)

    model = of_transformers()
    state = {key: tensor.detach().clone() for key, tensor in model.state_dict().items()}
    with torch.no_grad():
        theirs = outputs_of_transformers(model, picture)
    pretrained("hf_mask2former", model)
    settings = {
        "image_processor_type": "Mask2FormerImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": 96, "longest_edge": 160},
        "size_divisor": 32,
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.48500001430511475, 0.4560000002384186, 0.4059999883174896],
        "image_std": [0.2290000021457672, 0.2239999920129776, 0.22499999403953552],
        "ignore_index": 255,
        "do_reduce_labels": False,
    }
    (LAYOUTS / "hf_mask2former" / "preprocessor_config.json").write_text(json.dumps(settings, indent=1) + "\n")
    finish("hf_mask2former", SIZE, theirs)

    swin = {key: SWIN[key] for key in ("embed_dim", "depths", "num_heads", "window_size", "mlp_ratio", "drop_path_rate")}
    authors = reference_mask2former.Mask2Former(reference_mask2former.classes(options.checkout), swin, HEAD, len(CLASSES)).eval()
    missing, surplus = authors.load_state_dict(authors_names(state), strict=False)
    assert not surplus and all(key.endswith("relative_position_index") for key in missing), (missing, surplus)
    # Their pixel decoder casts to f32, which is wanted of half precision alone.
    with mock.patch.object(torch.Tensor, "float", lambda tensor: tensor):
        network = deepcopy(authors).double()
        exact = picture.double().requires_grad_()
        outputs = network(exact)
        assert_mask_margin(outputs)
        probes = {key: randn(output.shape, 200 + i) for i, (key, output) in enumerate(outputs.items())}
        probe_loss(list(outputs.values()), list(probes.values())).backward()
    noise = max(
        ((theirs[key].double() - output).abs() / (output.abs() + output.square().mean().sqrt())).max().item()
        for key, output in outputs.items()
    )
    print(f"transformers' f32 against the authors' f64: {noise:.1e}")
    assert theirs.keys() == outputs.keys() and noise < 1e-5
    checkpoint = {"model": {key: tensor.numpy() for key, tensor in authors.state_dict().items()}, "__author__": "third_party"}
    checkpoint["model"]["criterion.empty_weight"] = torch.tensor([1.0] * len(CLASSES) + [0.1]).numpy()
    with open(case("detectron2_mask2former") / "model_final.pkl", "wb") as file:
        pickle.dump(checkpoint, file, protocol=4)
    with torch.no_grad():
        finish("detectron2_mask2former", SIZE, authors(picture))
    tensors = {"input": picture, "f64/grad_input": exact.grad} | {f"f64/{key}": output for key, output in outputs.items()}
    tensors |= {f"probe/{key}": probe for key, probe in probes.items()}
    for key, parameter in network.named_parameters():
        whole = WHOLE_GRADIENT.fullmatch(key)
        tensors |= {f"f64/grad/{key}": parameter.grad} if whole else {f"f64/grad_norm/{key}": parameter.grad.norm()}
    save(GOLDENS / "mask2former_authors.safetensors", tensors)


if __name__ == "__main__":
    main()
