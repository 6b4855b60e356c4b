//! The layouts: for each family and code base one table that serves both directions.
//!
//! Our names are the authors': of Swin Microsoft's, of ConvNeXt Facebook's, of ResNet torchvision's, of NAT and `DiNAT` SHI
//! Labs', of DAT++ those of LeapLabTHU/DAT 32173fc, of `DaViT` timm's. The names of the others were read in transformers 5.23.0,
//! timm 1.0.31, mmsegmentation 0.30 and mmpretrain 1.2 (by their published checkpoints), detectron2 02b5c4e, dingmyu/davit
//! fc79470, LeapLabTHU/DAT-Segmentation fdd2039 and DAT-Detection 4d4023d, Florence-2's own code.

use super::dropped::{COUNTERS, SWIN_BUFFERS};
use super::rule::{Rule, fused, merging, outside, same, stacked};
use super::{Family, Layout, Origin};

/// Every layout of a backbone. Where two of one family share most names, each signature has a name that the other lacks.
pub(super) static LAYOUTS: [Layout; 22] = [
    Layout {
        family: Family::Nat,
        origin: Origin::Shi,
        note: None,
        signature: &["levels.#.blocks.#.attn.rpb", "patch_embed.proj.1.weight"],
        roots: &[],
        rules: &AS_OURS,
        dropped: &[],
    },
    Layout {
        family: Family::Nat,
        origin: Origin::Hf,
        note: None,
        signature: &["encoder.levels.#.layers.#.attention.self.rpb"],
        roots: &["dinat.", "nat."],
        rules: &NAT_HF,
        dropped: &[],
    },
    Layout {
        family: Family::DinatS,
        origin: Origin::Shi,
        note: None,
        signature: &["layers.#.blocks.#.attn.rpb", "patch_embed.proj.weight"],
        roots: &[],
        rules: &AS_OURS,
        dropped: &[],
    },
    Layout {
        family: Family::Dat,
        origin: Origin::Dat,
        note: None,
        signature: &[
            "patch_proj.3.weight",
            "stages.#.local_perception_units.#.weight",
            "!stages.#.layer_scales.#.gamma",
        ],
        roots: &[],
        rules: &AS_OURS,
        dropped: &[],
    },
    Layout {
        family: Family::Dat,
        origin: Origin::Mmseg,
        note: None,
        signature: &[
            "patch_proj.3.weight",
            "stages.#.local_perception_units.#.weight",
            "stages.#.layer_scales.#.gamma",
        ],
        roots: &[],
        rules: &DAT_DENSE,
        dropped: &[],
    },
    Layout {
        family: Family::Swin,
        origin: Origin::Microsoft,
        note: None,
        signature: &[
            "layers.#.blocks.#.attn.relative_position_bias_table",
            "layers.0.downsample.reduction.weight",
        ],
        roots: &[],
        rules: &AS_OURS,
        dropped: &SWIN_BUFFERS,
    },
    Layout {
        family: Family::Swin,
        origin: Origin::Timm,
        note: None,
        signature: &[
            "layers.#.blocks.#.attn.relative_position_bias_table",
            "layers.3.downsample.reduction.weight",
        ],
        roots: &[],
        rules: &SWIN_TIMM,
        dropped: &SWIN_BUFFERS,
    },
    Layout {
        family: Family::Swin,
        origin: Origin::Hf,
        note: None,
        signature: &["encoder.layers.#.blocks.#.attention.self.relative_position_bias_table"],
        roots: &["swin."],
        rules: &SWIN_HF,
        dropped: &SWIN_BUFFERS,
    },
    Layout {
        family: Family::Swin,
        origin: Origin::Mmseg,
        note: None,
        signature: &["stages.#.blocks.#.attn.w_msa.relative_position_bias_table"],
        roots: &[],
        rules: &SWIN_MMSEG,
        dropped: &SWIN_BUFFERS,
    },
    Layout {
        family: Family::ConvNext,
        origin: Origin::Facebook,
        note: None,
        signature: &["stages.#.#.pwconv1.weight", "downsample_layers.0.0.weight"],
        roots: &[],
        rules: &AS_OURS,
        dropped: &[],
    },
    Layout {
        family: Family::ConvNext,
        origin: Origin::Hf,
        note: None,
        signature: &["encoder.stages.#.layers.#.dwconv.weight"],
        roots: &["convnext."],
        rules: &CONVNEXT_HF,
        dropped: &[],
    },
    Layout {
        family: Family::ConvNext,
        origin: Origin::Timm,
        note: None,
        signature: &["stages.#.blocks.#.conv_dw.weight", "stem.0.weight"],
        roots: &[],
        rules: &CONVNEXT_TIMM,
        dropped: &[],
    },
    Layout {
        family: Family::ConvNext,
        origin: Origin::Mmseg,
        note: None,
        signature: &["stages.#.#.depthwise_conv.weight"],
        roots: &[],
        rules: &CONVNEXT_MMSEG,
        dropped: &[],
    },
    Layout {
        family: Family::ResNet,
        origin: Origin::Torchvision,
        note: None,
        signature: &["layer1.#.conv1.weight", "bn1.running_mean"],
        roots: &[],
        rules: &AS_OURS,
        dropped: &COUNTERS,
    },
    Layout {
        family: Family::ResNet,
        origin: Origin::Hf,
        note: None,
        signature: &["encoder.stages.#.layers.#.layer.#.convolution.weight"],
        roots: &["resnet."],
        rules: &RESNET_HF,
        dropped: &COUNTERS,
    },
    Layout {
        family: Family::ResNet,
        origin: Origin::Detectron2,
        note: None,
        signature: &["res2.#.conv1.weight", "stem.conv1.weight"],
        roots: &[],
        rules: &RESNET_DETECTRON2,
        dropped: &COUNTERS,
    },
    Layout {
        family: Family::Davit,
        origin: Origin::Timm,
        note: None,
        signature: &["stages.#.blocks.#.0.attn.qkv.weight", "stem.conv.weight"],
        roots: &[],
        rules: &AS_OURS,
        dropped: &[],
    },
    Layout {
        family: Family::Davit,
        origin: Origin::Timm,
        note: Some("timm's named blocks"),
        signature: &["stages.#.blocks.#.spatial_block.attn.qkv.weight", "stem.conv.weight"],
        roots: &[],
        rules: &DAVIT_NAMED,
        dropped: &[],
    },
    Layout {
        family: Family::Davit,
        origin: Origin::Davit,
        note: None,
        signature: &["main_blocks.#.#.#.attn.qkv.weight"],
        roots: &[],
        rules: &DAVIT_AUTHORS,
        dropped: &[],
    },
    Layout {
        family: Family::Davit,
        origin: Origin::Hf,
        note: Some("transformers' Florence-2"),
        signature: &["blocks.#.#.spatial_block.window_attn.qkv.weight"],
        roots: &[],
        rules: &DAVIT_FLORENCE_HF,
        dropped: &[],
    },
    Layout {
        family: Family::Davit,
        origin: Origin::Hf,
        note: Some("Florence-2's own code"),
        signature: &["blocks.#.#.spatial_block.window_attn.fn.qkv.weight"],
        roots: &[],
        rules: &DAVIT_FLORENCE,
        dropped: &[],
    },
    Layout {
        family: Family::Swin,
        origin: Origin::Hf,
        note: Some("transformers 5 in memory"),
        signature: &[
            "encoder.layers.#.blocks.#.attention.relative_position_bias.relative_position_bias_table",
        ],
        roots: &["swin."],
        rules: &SWIN_HF_V5,
        dropped: &SWIN_BUFFERS,
    },
];

/// Names of UperNet's and FCN's heads: Hugging Face's on the right.
pub(super) static HEADS_HF: [Rule; 8] = [
    same(&["decode_head.conv_seg.**"], &["decode_head.classifier.**"]),
    same(&["decode_head.psp_modules.#.1.bn.**"], &["decode_head.psp_modules.#.1.batch_norm.**"]),
    same(&["decode_head.lateral_convs.#.bn.**"], &["decode_head.lateral_convs.#.batch_norm.**"]),
    same(&["decode_head.fpn_convs.#.bn.**"], &["decode_head.fpn_convs.#.batch_norm.**"]),
    same(&["decode_head.bottleneck.bn.**"], &["decode_head.bottleneck.batch_norm.**"]),
    same(&["decode_head.fpn_bottleneck.bn.**"], &["decode_head.fpn_bottleneck.batch_norm.**"]),
    same(&["auxiliary_head.conv_seg.**"], &["auxiliary_head.classifier.**"]),
    same(&["auxiliary_head.convs.#.bn.**"], &["auxiliary_head.convs.#.batch_norm.**"]),
];

static AS_OURS: [Rule; 1] = [same(&["**"], &["**"])];

static NAT_HF: [Rule; 15] = [
    same(&["patch_embed.proj.#.**"], &["embeddings.patch_embeddings.projection.#.**"]),
    same(&["patch_embed.norm.**"], &["embeddings.norm.**"]),
    same(&["levels.#.blocks.#.norm1.**"], &["encoder.levels.#.layers.#.layernorm_before.**"]),
    same(&["levels.#.blocks.#.norm2.**"], &["encoder.levels.#.layers.#.layernorm_after.**"]),
    same(&["levels.#.blocks.#.attn.rpb"], &["encoder.levels.#.layers.#.attention.self.rpb"]),
    fused(
        &["levels.#.blocks.#.attn.qkv.weight"],
        &[
            "encoder.levels.#.layers.#.attention.self.query.weight",
            "encoder.levels.#.layers.#.attention.self.key.weight",
            "encoder.levels.#.layers.#.attention.self.value.weight",
        ],
    ),
    fused(
        &["levels.#.blocks.#.attn.qkv.bias"],
        &[
            "encoder.levels.#.layers.#.attention.self.query.bias",
            "encoder.levels.#.layers.#.attention.self.key.bias",
            "encoder.levels.#.layers.#.attention.self.value.bias",
        ],
    ),
    same(&["levels.#.blocks.#.attn.proj.**"], &["encoder.levels.#.layers.#.attention.output.dense.**"]),
    same(&["levels.#.blocks.#.mlp.fc1.**"], &["encoder.levels.#.layers.#.intermediate.dense.**"]),
    same(&["levels.#.blocks.#.mlp.fc2.**"], &["encoder.levels.#.layers.#.output.dense.**"]),
    stacked(
        &["levels.#.blocks.#.gamma1", "levels.#.blocks.#.gamma2"],
        &["encoder.levels.#.layers.#.layer_scale_parameters"],
    ),
    same(&["levels.#.downsample.**"], &["encoder.levels.#.downsample.**"]),
    same(&["norm.**"], &["layernorm.**"]),
    same(&["norm#.**"], &["hidden_states_norms.stage#+1.**"]),
    outside(&["head.**"], &["classifier.**"]),
];

/// The names of DAT-Segmentation and DAT-Detection; without layer scales they are the classifier's.
static DAT_DENSE: [Rule; 2] =
    [same(&["stages.#.layer_scales.#.weight"], &["stages.#.layer_scales.#.gamma"]), same(&["**"], &["**"])];

static SWIN_TIMM: [Rule; 3] = [
    same(&["layers.#.downsample.**"], &["layers.#+1.downsample.**"]),
    same(&["head.**"], &["head.fc.**"]),
    same(&["**"], &["**"]),
];

static SWIN_HF: [Rule; 14] = swin_hf([
    same(
        &["layers.#.blocks.#.attn.relative_position_bias_table"],
        &["encoder.layers.#.blocks.#.attention.self.relative_position_bias_table"],
    ),
    fused(
        &["layers.#.blocks.#.attn.qkv.weight"],
        &[
            "encoder.layers.#.blocks.#.attention.self.query.weight",
            "encoder.layers.#.blocks.#.attention.self.key.weight",
            "encoder.layers.#.blocks.#.attention.self.value.weight",
        ],
    ),
    fused(
        &["layers.#.blocks.#.attn.qkv.bias"],
        &[
            "encoder.layers.#.blocks.#.attention.self.query.bias",
            "encoder.layers.#.blocks.#.attention.self.key.bias",
            "encoder.layers.#.blocks.#.attention.self.value.bias",
        ],
    ),
    same(&["layers.#.blocks.#.attn.proj.**"], &["encoder.layers.#.blocks.#.attention.output.dense.**"]),
    same(&["layers.#.blocks.#.mlp.fc1.**"], &["encoder.layers.#.blocks.#.intermediate.dense.**"]),
    same(&["layers.#.blocks.#.mlp.fc2.**"], &["encoder.layers.#.blocks.#.output.dense.**"]),
]);

/// The names that transformers 5 has in memory; its `save_pretrained` writes the older ones.
static SWIN_HF_V5: [Rule; 14] = swin_hf([
    same(
        &["layers.#.blocks.#.attn.relative_position_bias_table"],
        &["encoder.layers.#.blocks.#.attention.relative_position_bias.relative_position_bias_table"],
    ),
    fused(
        &["layers.#.blocks.#.attn.qkv.weight"],
        &[
            "encoder.layers.#.blocks.#.attention.q_proj.weight",
            "encoder.layers.#.blocks.#.attention.k_proj.weight",
            "encoder.layers.#.blocks.#.attention.v_proj.weight",
        ],
    ),
    fused(
        &["layers.#.blocks.#.attn.qkv.bias"],
        &[
            "encoder.layers.#.blocks.#.attention.q_proj.bias",
            "encoder.layers.#.blocks.#.attention.k_proj.bias",
            "encoder.layers.#.blocks.#.attention.v_proj.bias",
        ],
    ),
    same(&["layers.#.blocks.#.attn.proj.**"], &["encoder.layers.#.blocks.#.attention.o_proj.**"]),
    same(&["layers.#.blocks.#.mlp.fc1.**"], &["encoder.layers.#.blocks.#.mlp.fc1.**"]),
    same(&["layers.#.blocks.#.mlp.fc2.**"], &["encoder.layers.#.blocks.#.mlp.fc2.**"]),
]);

/// What the two kinds of names share, and the attention and MLP of one of them.
const fn swin_hf(block: [Rule; 6]) -> [Rule; 14] {
    let [a, b, c, d, e, f] = block;
    [
        same(&["patch_embed.proj.**"], &["embeddings.patch_embeddings.projection.**"]),
        same(&["patch_embed.norm.**"], &["embeddings.norm.**"]),
        same(&["layers.#.blocks.#.norm1.**"], &["encoder.layers.#.blocks.#.layernorm_before.**"]),
        same(&["layers.#.blocks.#.norm2.**"], &["encoder.layers.#.blocks.#.layernorm_after.**"]),
        a,
        b,
        c,
        d,
        e,
        f,
        same(&["layers.#.downsample.**"], &["encoder.layers.#.downsample.**"]),
        same(&["norm.**"], &["layernorm.**"]),
        same(&["norm#.**"], &["hidden_states_norms.stage#+1.**"]),
        outside(&["head.**"], &["classifier.**"]),
    ]
}

static SWIN_MMSEG: [Rule; 14] = [
    same(&["patch_embed.proj.**"], &["patch_embed.projection.**"]),
    same(&["patch_embed.norm.**"], &["patch_embed.norm.**"]),
    same(
        &["layers.#.blocks.#.attn.relative_position_bias_table"],
        &["stages.#.blocks.#.attn.w_msa.relative_position_bias_table"],
    ),
    same(&["layers.#.blocks.#.attn.qkv.**"], &["stages.#.blocks.#.attn.w_msa.qkv.**"]),
    same(&["layers.#.blocks.#.attn.proj.**"], &["stages.#.blocks.#.attn.w_msa.proj.**"]),
    same(&["layers.#.blocks.#.norm1.**"], &["stages.#.blocks.#.norm1.**"]),
    same(&["layers.#.blocks.#.norm2.**"], &["stages.#.blocks.#.norm2.**"]),
    same(&["layers.#.blocks.#.mlp.fc1.**"], &["stages.#.blocks.#.ffn.layers.0.0.**"]),
    same(&["layers.#.blocks.#.mlp.fc2.**"], &["stages.#.blocks.#.ffn.layers.1.**"]),
    merging(&["layers.#.downsample.norm.**"], &["stages.#.downsample.norm.**"]),
    merging(&["layers.#.downsample.reduction.**"], &["stages.#.downsample.reduction.**"]),
    same(&["norm#.**"], &["norm#.**"]),
    same(&["norm.**"], &["norm.**"]),
    same(&["head.**"], &["head.**"]),
];

static CONVNEXT_HF: [Rule; 11] = [
    same(&["downsample_layers.0.0.**"], &["embeddings.patch_embeddings.**"]),
    same(&["downsample_layers.0.1.**"], &["embeddings.layernorm.**"]),
    same(&["downsample_layers.#.#.**"], &["encoder.stages.#.downsampling_layer.#.**"]),
    same(&["stages.#.#.dwconv.**"], &["encoder.stages.#.layers.#.dwconv.**"]),
    same(&["stages.#.#.norm.**"], &["encoder.stages.#.layers.#.layernorm.**"]),
    same(&["stages.#.#.pwconv1.**"], &["encoder.stages.#.layers.#.pwconv1.**"]),
    same(&["stages.#.#.pwconv2.**"], &["encoder.stages.#.layers.#.pwconv2.**"]),
    same(&["stages.#.#.gamma"], &["encoder.stages.#.layers.#.layer_scale_parameter"]),
    same(&["norm.**"], &["layernorm.**"]),
    same(&["norm#.**"], &["hidden_states_norms.stage#+1.**"]),
    outside(&["head.**"], &["classifier.**"]),
];

static CONVNEXT_TIMM: [Rule; 10] = [
    same(&["downsample_layers.0.#.**"], &["stem.#.**"]),
    same(&["downsample_layers.#.#.**"], &["stages.#.downsample.#.**"]),
    same(&["stages.#.#.dwconv.**"], &["stages.#.blocks.#.conv_dw.**"]),
    same(&["stages.#.#.norm.**"], &["stages.#.blocks.#.norm.**"]),
    same(&["stages.#.#.pwconv1.**"], &["stages.#.blocks.#.mlp.fc1.**"]),
    same(&["stages.#.#.pwconv2.**"], &["stages.#.blocks.#.mlp.fc2.**"]),
    same(&["stages.#.#.gamma"], &["stages.#.blocks.#.gamma"]),
    same(&["norm.**"], &["head.norm.**"]),
    same(&["head.**"], &["head.fc.**"]),
    same(&["norm#.**"], &["norm#.**"]),
];

static CONVNEXT_MMSEG: [Rule; 4] = [
    same(&["stages.#.#.dwconv.**"], &["stages.#.#.depthwise_conv.**"]),
    same(&["stages.#.#.pwconv1.**"], &["stages.#.#.pointwise_conv1.**"]),
    same(&["stages.#.#.pwconv2.**"], &["stages.#.#.pointwise_conv2.**"]),
    same(&["**"], &["**"]),
];

static RESNET_HF: [Rule; 7] = [
    same(&["conv1.**"], &["embedder.embedder.convolution.**"]),
    same(&["bn1.**"], &["embedder.embedder.normalization.**"]),
    same(&["layer#.#.conv#.**"], &["encoder.stages.#-1.layers.#.layer.#-1.convolution.**"]),
    same(&["layer#.#.bn#.**"], &["encoder.stages.#-1.layers.#.layer.#-1.normalization.**"]),
    same(&["layer#.#.downsample.0.**"], &["encoder.stages.#-1.layers.#.shortcut.convolution.**"]),
    same(&["layer#.#.downsample.1.**"], &["encoder.stages.#-1.layers.#.shortcut.normalization.**"]),
    outside(&["fc.**"], &["classifier.1.**"]),
];

static RESNET_DETECTRON2: [Rule; 8] = [
    same(&["bn1.**"], &["stem.conv1.norm.**"]),
    same(&["conv1.**"], &["stem.conv1.**"]),
    same(&["layer#.#.bn#.**"], &["res#+1.#.conv#.norm.**"]),
    same(&["layer#.#.conv#.**"], &["res#+1.#.conv#.**"]),
    same(&["layer#.#.downsample.1.**"], &["res#+1.#.shortcut.norm.**"]),
    same(&["layer#.#.downsample.0.**"], &["res#+1.#.shortcut.**"]),
    same(&["fc.**"], &["stem.fc.**"]),
    same(&["fc.**"], &["linear.**"]),
];

static DAVIT_NAMED: [Rule; 3] = [
    same(&["stages.#.blocks.#.0.**"], &["stages.#.blocks.#.spatial_block.**"]),
    same(&["stages.#.blocks.#.1.**"], &["stages.#.blocks.#.channel_block.**"]),
    same(&["**"], &["**"]),
];

static DAVIT_AUTHORS: [Rule; 10] = [
    same(&["stem.conv.**"], &["patch_embeds.0.proj.**"]),
    same(&["stem.norm.**"], &["patch_embeds.0.norm.**"]),
    same(&["stages.#.downsample.conv.**"], &["patch_embeds.#.proj.**"]),
    same(&["stages.#.downsample.norm.**"], &["patch_embeds.#.norm.**"]),
    same(&["stages.#.blocks.#.#.cpe1.**"], &["main_blocks.#.#.#.cpe.0.**"]),
    same(&["stages.#.blocks.#.#.cpe2.**"], &["main_blocks.#.#.#.cpe.1.**"]),
    same(&["stages.#.blocks.#.#.**"], &["main_blocks.#.#.#.**"]),
    same(&["head.norm.**"], &["norms.**"]),
    same(&["head.fc.**"], &["head.**"]),
    same(&["norm#.**"], &["norm#.**"]),
];

static DAVIT_FLORENCE_HF: [Rule; 16] = davit_florence(
    same(&["stem.conv.**"], &["convs.0.conv.**"]),
    same(&["stages.#.downsample.conv.**"], &["convs.#.conv.**"]),
    [
        same(&["stages.#.blocks.#.0.cpe1.proj.**"], &["blocks.#.#.spatial_block.conv1.**"]),
        same(&["stages.#.blocks.#.0.norm1.**"], &["blocks.#.#.spatial_block.norm1.**"]),
        same(&["stages.#.blocks.#.0.attn.**"], &["blocks.#.#.spatial_block.window_attn.**"]),
        same(&["stages.#.blocks.#.0.cpe2.proj.**"], &["blocks.#.#.spatial_block.conv2.**"]),
        same(&["stages.#.blocks.#.0.norm2.**"], &["blocks.#.#.spatial_block.norm2.**"]),
        same(&["stages.#.blocks.#.0.mlp.**"], &["blocks.#.#.spatial_block.ffn.**"]),
    ],
    [
        same(&["stages.#.blocks.#.1.cpe1.proj.**"], &["blocks.#.#.channel_block.conv1.**"]),
        same(&["stages.#.blocks.#.1.norm1.**"], &["blocks.#.#.channel_block.norm1.**"]),
        same(&["stages.#.blocks.#.1.attn.**"], &["blocks.#.#.channel_block.channel_attn.**"]),
        same(&["stages.#.blocks.#.1.cpe2.proj.**"], &["blocks.#.#.channel_block.conv2.**"]),
        same(&["stages.#.blocks.#.1.norm2.**"], &["blocks.#.#.channel_block.norm2.**"]),
        same(&["stages.#.blocks.#.1.mlp.**"], &["blocks.#.#.channel_block.ffn.**"]),
    ],
);

static DAVIT_FLORENCE: [Rule; 16] = davit_florence(
    same(&["stem.conv.**"], &["convs.0.proj.**"]),
    same(&["stages.#.downsample.conv.**"], &["convs.#.proj.**"]),
    [
        same(&["stages.#.blocks.#.0.cpe1.proj.**"], &["blocks.#.#.spatial_block.conv1.fn.dw.**"]),
        same(&["stages.#.blocks.#.0.norm1.**"], &["blocks.#.#.spatial_block.window_attn.norm.**"]),
        same(&["stages.#.blocks.#.0.attn.**"], &["blocks.#.#.spatial_block.window_attn.fn.**"]),
        same(&["stages.#.blocks.#.0.cpe2.proj.**"], &["blocks.#.#.spatial_block.conv2.fn.dw.**"]),
        same(&["stages.#.blocks.#.0.norm2.**"], &["blocks.#.#.spatial_block.ffn.norm.**"]),
        same(&["stages.#.blocks.#.0.mlp.**"], &["blocks.#.#.spatial_block.ffn.fn.net.**"]),
    ],
    [
        same(&["stages.#.blocks.#.1.cpe1.proj.**"], &["blocks.#.#.channel_block.conv1.fn.dw.**"]),
        same(&["stages.#.blocks.#.1.norm1.**"], &["blocks.#.#.channel_block.channel_attn.norm.**"]),
        same(&["stages.#.blocks.#.1.attn.**"], &["blocks.#.#.channel_block.channel_attn.fn.**"]),
        same(&["stages.#.blocks.#.1.cpe2.proj.**"], &["blocks.#.#.channel_block.conv2.fn.dw.**"]),
        same(&["stages.#.blocks.#.1.norm2.**"], &["blocks.#.#.channel_block.ffn.norm.**"]),
        same(&["stages.#.blocks.#.1.mlp.**"], &["blocks.#.#.channel_block.ffn.fn.net.**"]),
    ],
);

/// What Florence-2's two kinds of names share, and the convolutions and blocks of one of them.
const fn davit_florence(stem: Rule, down: Rule, spatial: [Rule; 6], channel: [Rule; 6]) -> [Rule; 16] {
    let ([a, b, c, d, e, f], [g, h, i, j, k, l]) = (spatial, channel);
    [
        stem,
        same(&["stem.norm.**"], &["convs.0.norm.**"]),
        down,
        same(&["stages.#.downsample.norm.**"], &["convs.#.norm.**"]),
        a,
        b,
        c,
        d,
        e,
        f,
        g,
        h,
        i,
        j,
        k,
        l,
    ]
}
