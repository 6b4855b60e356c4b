//! Whose weights these may be: a hint from the names of the tensors. Loading never relies on it.

/// A family of models and the code base whose names its tensors carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guess {
    /// The model.
    pub family: &'static str,
    /// Whose names these are.
    pub names: &'static str,
}

/// A guess holds if every fragment is in some name. The first that holds is taken, so the telling ones stand first.
const GUESSES: [(&str, &str, &[&str]); 23] = [
    ("Mask2Former", "detectron2", &["sem_seg_head.predictor.query_feat", "sem_seg_head.pixel_decoder."]),
    ("Mask2Former", "detectron2, before the rename", &["sem_seg_head.predictor.static_query"]),
    ("Mask2Former", "Hugging Face", &["pixel_level_module.", "transformer_module.queries_features"]),
    ("OneFormer", "SHI-Labs", &["sem_seg_head.predictor.", "task_mlp."]),
    (
        "UperNet",
        "Hugging Face",
        &["decode_head.psp_modules.", ".batch_norm.weight", "decode_head.classifier."],
    ),
    ("UperNet", "mmsegmentation", &["decode_head.psp_modules.", ".bn.weight", "decode_head.conv_seg."]),
    ("DiNAT", "Hugging Face", &["encoder.levels.", ".attention.self.rpb"]),
    ("NAT or DiNAT", "SHI-Labs", &["levels.", ".attn.rpb", "patch_embed.proj.1."]),
    ("DiNAT_s", "SHI-Labs", &["layers.", ".attn.rpb", "patch_embed.proj.weight"]),
    ("DAT or DAT++", "LeapLabTHU", &["patch_proj.", ".attns.", "down_projs."]),
    ("DAT or DAT++", "LeapLabTHU", &["stages.", ".conv_offset."]),
    ("DaViT", "timm", &["stages.", ".cpe1.proj.", "stem.conv."]),
    ("DaViT", "the authors", &["main_blocks.", ".cpe.", "patch_embeds."]),
    ("DaViT", "Florence-2", &["convs.0.proj.", ".channel_attn.fn."]),
    ("Swin", "Hugging Face", &["encoder.layers.", ".attention.self.relative_position_bias_table"]),
    ("Swin", "mmsegmentation", &["stages.", ".attn.w_msa.relative_position_bias_table"]),
    ("Swin", "Microsoft, timm or detectron2", &["layers.", ".attn.relative_position_bias_table"]),
    ("ConvNeXt", "Hugging Face", &["encoder.stages.", ".dwconv.", ".layer_scale_parameter"]),
    ("ConvNeXt", "the authors", &["downsample_layers.", ".dwconv.", ".pwconv1."]),
    ("ConvNeXt", "timm", &["stages.", ".conv_dw.", ".mlp.fc1."]),
    ("ResNet", "detectron2", &["stem.conv1.", "res4.", ".shortcut."]),
    ("ResNet", "Hugging Face", &["embedder.embedder.convolution.", "encoder.stages.", ".shortcut."]),
    ("ResNet", "torchvision or timm", &["layer1.0.conv1.", "layer4.", ".downsample.0."]),
];

/// Guesses from the names of a state dict.
pub fn guess<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Guess> {
    let names: Vec<&str> = names.into_iter().collect();
    let holds = |fragment: &&str| names.iter().any(|name| name.contains(fragment));
    GUESSES
        .iter()
        .find(|(.., fragments)| fragments.iter().all(&holds))
        .map(|&(family, names, _)| Guess { family, names })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_family() {
        type Expected = Option<(&'static str, &'static str)>;
        let cases: [(&[&str], Expected); 8] = [
            (
                &["patch_embed.proj.0.weight", "patch_embed.proj.1.weight", "levels.0.blocks.0.attn.rpb"],
                Some(("NAT or DiNAT", "SHI-Labs")),
            ),
            (&["patch_embed.proj.weight", "layers.0.blocks.0.attn.rpb"], Some(("DiNAT_s", "SHI-Labs"))),
            (
                &["layers.0.blocks.0.attn.relative_position_bias_table", "patch_embed.proj.weight"],
                Some(("Swin", "Microsoft, timm or detectron2")),
            ),
            (
                &[
                    "conv1.weight",
                    "layer1.0.conv1.weight",
                    "layer1.0.downsample.0.weight",
                    "layer4.0.conv1.weight",
                ],
                Some(("ResNet", "torchvision or timm")),
            ),
            (&["stem.conv.weight", "stages.0.blocks.0.0.cpe1.proj.weight"], Some(("DaViT", "timm"))),
            (
                &[
                    "backbone.levels.0.blocks.0.attn.rpb",
                    "decode_head.psp_modules.0.1.bn.weight",
                    "decode_head.conv_seg.bias",
                ],
                Some(("UperNet", "mmsegmentation")),
            ),
            (&["weight", "bias"], None),
            (&[], None),
        ];
        for (names, expected) in cases {
            let found = guess(names.iter().copied()).map(|guess| (guess.family, guess.names));
            assert_eq!(found, expected, "{names:?}");
        }
    }
}
