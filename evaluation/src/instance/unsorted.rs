//! Detections of a results file that does not go image by image, as records that bring those of an image and category
//! together.

use smalti_datasets::DataError;

use super::curve::falling;
use super::gather::Detection;
use super::matching::{Candidate, Contender, TruthFlags};
use super::results::Part;
use super::sorter::{Batch, Sorted};

/// Bytes of a candidate.
const CANDIDATE: usize = 4 + 3 + 8;

/// Adds the detections of a block. They are sorted best first, those of equal score by their place in the file.
pub(super) fn write(block: usize, part: &Part, batch: &mut Batch) {
    for (place, det) in (0u64..).zip(part.all()) {
        let Detection { score, image, category, contender: Contender { outside, candidates } } = det;
        let group = u64::from(category) << 32 | u64::from(image);
        batch.push([group, falling(score), (block as u64) << 32 | place], |out| {
            out.extend(score.to_le_bytes());
            out.push(outside);
            for &Candidate { truth, flags: TruthFlags { zero_id, crowd, ignored }, iou } in candidates {
                out.extend(truth.to_le_bytes());
                out.extend([u8::from(zero_id), u8::from(crowd), ignored]);
                out.extend(iou.to_le_bytes());
            }
        });
    }
}

/// Visits the detections of each image and category, best first.
///
/// # Errors
/// The first of the temporary file or of `visit`.
pub(super) fn by_group(
    records: &Sorted,
    mut visit: impl FnMut(&Part) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut part = Part::default();
    let mut group = None;
    let mut candidates = Vec::new();
    records.each(|[of_group, ..], content| {
        if group.is_some_and(|group| group != of_group) {
            visit(&part)?;
            part.clear();
        }
        group = Some(of_group);
        let [a, b, c, d, e, f, g, h, outside] = *content.first_chunk().expect("`write` wrote score and area");
        candidates.clear();
        candidates.extend(content[9..].as_chunks::<CANDIDATE>().0.iter().map(candidate));
        let score = f64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let contender = Contender { outside, candidates: &candidates };
        part.push(Detection { score, image: of_group as u32, category: (of_group >> 32) as u32, contender });
        Ok(())
    })?;
    if part.detections.is_empty() { Ok(()) } else { visit(&part) }
}

fn candidate(&[a, b, c, d, zero_id, crowd, ignored, ref iou @ ..]: &[u8; CANDIDATE]) -> Candidate {
    let flags = TruthFlags { zero_id: zero_id != 0, crowd: crowd != 0, ignored };
    Candidate { truth: u32::from_le_bytes([a, b, c, d]), flags, iou: f64::from_le_bytes(*iou) }
}
