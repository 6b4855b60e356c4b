//! DAT++ of the sizes of its parameters.

use super::{Question, Recognized, Shapes, mlp_ratio, window};
use crate::dat::PositionBias;
use crate::fields::{STAGES, bad};
use crate::{BackboneConfig, DatConfig, DatVariant, ModelError};

/// DAT++ of the sizes of its parameters; how far apart keys are and how far they move is that of the variant that fits.
pub fn dat(shapes: &Shapes<'_>) -> Result<Recognized, ModelError> {
    let embed_dim = shapes.size("patch_proj.3.weight", 0)?;
    let depths = shapes.depths(|l, j| format!("stages.{l}.local_perception_units.{j}.weight"));
    let stages: Vec<Stage> = (0..STAGES)
        .map(|l| Stage::read(shapes, l, depths[l], embed_dim << l))
        .collect::<Result<_, ModelError>>()?;
    let heads_known = stages.iter().all(|stage| stage.heads.is_some());
    let of_stages = |value: &dyn Fn(usize, &Stage) -> i64| {
        Some(stages.iter().enumerate().map(|(l, stage)| value(l, stage)).collect())
    };
    let table = stages.iter().enumerate().find_map(|(l, stage)| Some((l, stage.table_rows?)));
    let config = DatConfig {
        embed_dim: Some(embed_dim),
        blocks: Some(stages.iter().map(|stage| stage.blocks.clone()).collect()),
        // As many heads as groups is what a stage can have at least.
        heads: of_stages(&|_, stage| stage.heads.unwrap_or(stage.groups)),
        groups: of_stages(&|_, stage| stage.groups),
        mlp_ratio: Some(mlp_ratio(shapes.size("stages.0.mlps.0.linear1.0.weight", 0)?, embed_dim)),
        layer_scale: shapes.has("stages.0.layer_scales.0.weight").then_some(1e-5),
        window: stages.iter().find_map(|stage| stage.window),
        offset_kernels: of_stages(&|l, stage| stage.offset_kernel.unwrap_or(KERNELS[l])),
        position_bias: stages.iter().find_map(|stage| stage.position_bias),
        // A map of n rows has 2 n - 1 displacements; that of stage l is of 4 * 2^l pixels.
        image_size: table.map(|(l, rows)| 4 * (((rows + 1) / 2) << l)),
        ..DatConfig::default()
    };
    let arch = config.arch()?;
    let named = |variant| DatConfig {
        variant: Some(variant),
        layer_scale: config.layer_scale,
        position_bias: config.position_bias.filter(|&bias| bias != PositionBias::default()),
        image_size: config.image_size.filter(|&size| size != 224),
        ..DatConfig::default()
    };
    let known =
        DatVariant::ALL.into_iter().map(named).find(|named| named.arch().is_ok_and(|row| row == arch));
    if let Some(known) = known {
        return Ok(Recognized { config: BackboneConfig::Dat(known), question: None });
    }
    Ok(Recognized { config: BackboneConfig::Dat(config), question: Some(question(heads_known)) })
}

/// Sides of the offset convolutions' kernels where no block tells them: the published ones.
const KERNELS: [i64; STAGES] = [9, 7, 5, 3];

fn question(heads_known: bool) -> Question {
    let strides = "`model.backbone.strides` ([8, 4, 2, 1] in published ones)";
    let reach = "`offset_range_factor` if it is not -1";
    let (fields, what): (&'static [&'static str], String) = if heads_known {
        (&["strides", "variant"], format!("set {strides}, and {reach}"))
    } else {
        (&["heads", "variant"], format!("set `model.backbone.heads`, {strides}, and {reach}"))
    };
    let text = format!(
        "no published variant has these sizes, and weights do not tell how far apart keys are and how far they move: {what}"
    );
    Question { fields, text }
}

/// What the parameters of a stage tell.
struct Stage {
    /// A letter a block.
    blocks: String,
    /// Unknown of deformable attention without position bias.
    heads: Option<i64>,
    /// 1 without deformable attention.
    groups: i64,
    window: Option<i64>,
    offset_kernel: Option<i64>,
    /// None without deformable attention.
    position_bias: Option<PositionBias>,
    table_rows: Option<i64>,
}

impl Stage {
    fn read(shapes: &Shapes<'_>, stage: usize, depth: i64, channels: i64) -> Result<Self, ModelError> {
        let name = |block: usize, rest: &str| format!("stages.{stage}.attns.{block}.{rest}");
        let letter = |block| if shapes.has(&name(block, "rpb")) { 'N' } else { 'D' };
        let blocks: String = (0..depth as usize).map(letter).collect();
        let (mut heads, mut window_side) = (None, None);
        if let Some(block) = blocks.find('N') {
            heads = Some(shapes.size(&name(block, "rpb"), 0)?);
            window_side = Some(window(shapes.size(&name(block, "rpb"), 1)?));
        }
        let mut read = Self {
            blocks,
            heads,
            groups: 1,
            window: window_side,
            offset_kernel: None,
            position_bias: None,
            table_rows: None,
        };
        if let Some(block) = read.blocks.find('D') {
            let of_group = shapes.size(&name(block, "conv_offset.0.weight"), 0)?;
            if channels % of_group != 0 {
                let expected = format!("groups of equal width of stage {stage}'s {channels} channels");
                return Err(bad("groups", expected, format!("a width of {of_group}")));
            }
            read.groups = channels / of_group;
            read.offset_kernel = Some(shapes.size(&name(block, "conv_offset.0.weight"), 2)?);
            read.deformable(shapes, |rest| name(block, rest))?;
        }
        Ok(read)
    }

    /// What the position bias of a deformable block tells.
    fn deformable(&mut self, shapes: &Shapes<'_>, name: impl Fn(&str) -> String) -> Result<(), ModelError> {
        let (table, out) = (name("rpe_table"), name("rpe_table.2.weight"));
        self.position_bias = Some(if shapes.has(&table) {
            self.heads = Some(shapes.size(&table, 0)?);
            self.table_rows = Some(shapes.size(&table, 1)?);
            PositionBias::Table
        } else if shapes.has(&out) {
            self.heads = Some(self.groups * shapes.size(&out, 0)?);
            PositionBias::LogCpb
        } else {
            PositionBias::None
        });
        Ok(())
    }
}
