//! Many sorted sources read as one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use smalti_datasets::DataError;

/// Stands at one element after the other, in ascending order of their keys.
pub(super) trait Source {
    type Key: Ord + Copy;

    /// Of the element it stands at; `None` behind the last.
    fn key(&self) -> Option<Self::Key>;

    /// Goes to the next element.
    ///
    /// # Errors
    /// That of the file behind it.
    fn advance(&mut self) -> Result<(), DataError>;
}

/// Visits all elements in order of their keys: `visit` gets the source that stands at the next one. Of equal keys those
/// of the earlier source come first.
///
/// # Errors
/// The first of a source or of `visit`.
pub(super) fn merge<S: Source>(
    mut sources: Vec<S>,
    mut visit: impl FnMut(&S) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let head = |(place, source): (usize, &S)| source.key().map(|key| Reverse((key, place)));
    let mut heads: BinaryHeap<_> = sources.iter().enumerate().filter_map(head).collect();
    while let Some(mut first) = heads.peek_mut() {
        let source = &mut sources[first.0.1];
        visit(source)?;
        source.advance()?;
        match source.key() {
            Some(key) => first.0.0 = key,
            None => {
                PeekMut::pop(first);
            }
        }
    }
    Ok(())
}
