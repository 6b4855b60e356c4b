//! Tensors that are not taken over, and why nothing is lost.

/// Tensors that are not taken over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dropped {
    /// Their names end so, or, with a dot at the end, begin so.
    pub name: &'static str,
    /// Why nothing is lost.
    pub reason: &'static str,
}

impl Dropped {
    /// Whether it is about this tensor.
    pub(crate) fn fits(&self, name: &str) -> bool {
        if self.name.ends_with('.') { name.starts_with(self.name) } else { name.ends_with(self.name) }
    }
}

/// What stands beside a backbone in models whose heads are not read.
pub(super) static BESIDE: [Dropped; 16] = {
    const MASK_HEADS: &str = "heads of OneFormer, and with other pixel decoders than Mask2Former's, are not read, only the backbone";
    const FLORENCE2: &str = "of Florence-2 only the vision tower is read";
    const DETECTOR: &str = "heads of detectors are not read, only the backbone";
    const SEGMENTER: &str = "heads other than UperNet's are not read, only the backbone";
    [
        Dropped { name: "sem_seg_head.", reason: MASK_HEADS },
        Dropped { name: "criterion.", reason: MASK_HEADS },
        Dropped { name: "model.pixel_level_module.decoder.", reason: MASK_HEADS },
        Dropped { name: "model.transformer_module.", reason: MASK_HEADS },
        Dropped { name: "class_predictor.", reason: MASK_HEADS },
        Dropped { name: "language_model.", reason: FLORENCE2 },
        Dropped { name: "model.language_model.", reason: FLORENCE2 },
        Dropped { name: "model.multi_modal_projector.", reason: FLORENCE2 },
        Dropped { name: "image_pos_embed.", reason: FLORENCE2 },
        Dropped { name: "image_proj_norm.", reason: FLORENCE2 },
        Dropped { name: "neck.", reason: "feature pyramids are not read, only the backbone" },
        Dropped { name: "rpn_head.", reason: DETECTOR },
        Dropped { name: "roi_head.", reason: DETECTOR },
        Dropped { name: "bbox_head.", reason: DETECTOR },
        Dropped { name: "decode_head.", reason: SEGMENTER },
        Dropped { name: "auxiliary_head.", reason: SEGMENTER },
    ]
};

pub(super) static SWIN_BUFFERS: [Dropped; 2] = [
    Dropped { name: ".relative_position_index", reason: "computed from the window" },
    Dropped { name: ".attn_mask", reason: "computed from the size of the map" },
];

pub(super) static COUNTERS: [Dropped; 1] =
    [Dropped { name: "num_batches_tracked", reason: "a counter that nothing reads" }];
