//! Which attention each block has: the letters of the reference's `stage_spec`.

use crate::ModelError;
use crate::fields::{STAGES, bad};

/// What a block attends by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// `N`: neighborhood attention.
    Neighborhood,
    /// `D`: deformable attention.
    Deformable,
}

/// The published order for so many blocks: the kinds in turn, and in the last stage deformable attention alone.
pub(super) fn default_blocks(depths: &[i64; STAGES]) -> [Vec<BlockKind>; STAGES] {
    let kind = |stage, block| {
        if stage + 1 < STAGES && block % 2 == 0 { BlockKind::Neighborhood } else { BlockKind::Deformable }
    };
    std::array::from_fn(|stage| (0..depths[stage]).map(|block| kind(stage, block)).collect())
}

/// A letter a block, a string a stage.
pub(super) fn parse_blocks(letters: &[String]) -> Result<[Vec<BlockKind>; STAGES], ModelError> {
    let stage = |letters: &String| letters.chars().map(parse_block).collect::<Option<Vec<_>>>();
    let stages = letters.iter().map(stage).collect::<Option<Vec<_>>>();
    stages
        .and_then(|stages| stages.try_into().ok())
        .ok_or_else(|| bad("blocks", "4 strings of the letters N and D", format!("{letters:?}")))
}

fn parse_block(letter: char) -> Option<BlockKind> {
    match letter {
        'N' => Some(BlockKind::Neighborhood),
        'D' => Some(BlockKind::Deformable),
        _ => None,
    }
}
