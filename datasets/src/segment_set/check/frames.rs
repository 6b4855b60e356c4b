//! Checks of Cityscapes' frames.

use std::collections::BTreeSet;

use super::super::cityscapes::Frames;
use super::report::Kind;
use super::{Seen, hints};
use crate::check::Hint;
use crate::label_png::LabelPng;
use crate::sample::NO_SEGMENT;

/// Files that are looked into for a hint.
const LOOKED_INTO: usize = 20;

/// Looks at the instance ids of image `i`, whose own size was read.
pub(super) fn look_at(frames: &Frames, i: usize, seen: &mut Seen) {
    let (segments, map) = match frames.read(i) {
        Ok(found) => found,
        Err(error) => return seen.add(Kind::Unreadable, error.full_message()),
    };
    if let Some((height, width)) = seen.size.filter(|size| *size != map.dim()) {
        let (got_height, got_width) = map.dim();
        let file = frames.label_file(i);
        let text = format!(
            "{}: expected {height}x{width} (HxW) as its image, got {got_height}x{got_width}",
            file.display()
        );
        seen.add(Kind::SizeDiffers, text);
    }
    let mut areas = vec![0_u64; segments.len() + 1];
    for run in map.as_slice().unwrap_or_default().chunk_by(|a, b| a == b) {
        let at = if run[0] == NO_SEGMENT { segments.len() } else { usize::from(run[0]) };
        areas[at] += run.len() as u64;
    }
    seen.void_pixels = areas.pop().unwrap_or(0);
    seen.objects = segments.iter().map(|segment| segment.class).zip(areas).collect();
}

/// Whether the files that cannot be used hold train ids.
pub(super) fn hint_of(frames: &Frames, unreadable: u64) -> Option<Hint> {
    if unreadable == 0 {
        return None;
    }
    let mut decoder = LabelPng::new();
    let mut values = BTreeSet::new();
    for i in 0..frames.len().min(LOOKED_INTO) {
        if let Ok(map) = decoder.labels16(&frames.label_file(i)) {
            values.extend(map.pixels.chunk_by(|a, b| a == b).map(|run| run[0]));
        }
    }
    let is_train_id = |value: &u16| *value <= 18 || *value == 255;
    (values.contains(&255) && values.iter().all(is_train_id)).then(|| {
        let reason = "the files hold 0 to 18 and 255 alone, which are train ids";
        hints::hint("the `instanceIds` of gtFine_trainvaltest.zip", reason)
    })
}
