//! Where the pixels of a transformed image lie in the image as it was read.
//!
//! Flips, resizes and crops are written down, not carried out on masks: for every row and column of the result there is
//! one of the source, and for points of outlines the arithmetic of each step. Only the last window is ever drawn.

use crate::config::FlipDirection;
use crate::transform::resize::Region;
use crate::transform::resize_filter::ResizeFilter;

/// The geometry of all steps so far.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// Source row of every row; falls where the image is upside down.
    rows: Vec<u32>,
    /// Source column of every column; falls where the image is mirrored.
    columns: Vec<u32>,
    /// Steps of a point `[x, y]`: each coordinate times the first number, plus the second.
    steps: Vec<[[f64; 2]; 2]>,
}

impl Frame {
    /// An untouched image of this height and width.
    pub fn new([height, width]: [usize; 2]) -> Self {
        Self { rows: (0..height as u32).collect(), columns: (0..width as u32).collect(), steps: Vec::new() }
    }

    /// Height and width of the result.
    pub fn size(&self) -> [usize; 2] {
        [self.rows.len(), self.columns.len()]
    }

    /// Source row of every row.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Source column of every column.
    pub fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// Mirrors.
    pub fn mirror(&mut self, direction: FlipDirection) {
        let (same, swapped) = ([1.0, 0.0], |edge: usize| [-1.0, edge as f64]);
        match direction {
            FlipDirection::Horizontal => {
                self.columns.reverse();
                self.steps.push([swapped(self.columns.len()), same]);
            }
            FlipDirection::Vertical => {
                self.rows.reverse();
                self.steps.push([same, swapped(self.rows.len())]);
            }
        }
    }

    /// Resizes to a height and width.
    pub fn resize(&mut self, target: [usize; 2], filter: ResizeFilter) {
        let [height, width] = self.size();
        if target == [height, width] {
            return;
        }
        let look_up = |from: &[u32], target| {
            filter.nearest(from.len(), target).into_iter().map(|at| from[at as usize]).collect()
        };
        self.rows = look_up(&self.rows, target[0]);
        self.columns = look_up(&self.columns, target[1]);
        let scale = |axis: usize, edge: usize| target[axis] as f64 / edge as f64;
        self.steps.push([[scale(1, width), 0.0], [scale(0, height), 0.0]]);
    }

    /// Keeps a window, which lies inside.
    pub fn crop(&mut self, region: Region) {
        let Region { top, left, size: [height, width] } = region;
        self.rows = self.rows[top..top + height].to_vec();
        self.columns = self.columns[left..left + width].to_vec();
        self.steps.push([[1.0, -(left as f64)], [1.0, -(top as f64)]]);
    }

    /// An outline `x, y, x, y, ...` of the source in the result; a last number without a partner is left as it is.
    pub fn outline(&self, xy: &[f64]) -> Vec<f64> {
        let mut moved = xy.to_vec();
        for [x_step, y_step] in &self.steps {
            for [x, y] in moved.as_chunks_mut::<2>().0 {
                *x = *x * x_step[0] + x_step[1];
                *y = *y * y_step[0] + y_step[1];
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_add_up_in_their_order() {
        let mut frame = Frame::new([4, 6]);
        frame.mirror(FlipDirection::Horizontal);
        frame.resize([8, 12], ResizeFilter::Pil);
        frame.crop(Region { top: 1, left: 2, size: [3, 4] });
        assert_eq!(frame.size(), [3, 4]);
        assert_eq!(frame.rows(), [0, 1, 1]); // 1..4 of 0 0 1 1 2 2 3 3
        assert_eq!(frame.columns(), [4, 4, 3, 3]); // 2..6 of 5 5 4 4 3 3 2 2 1 1 0 0
        // x: (6 - 5) * 2 - 2 = 0; y: 1.5 * 2 - 1 = 2.
        assert_eq!(frame.outline(&[5.0, 1.5]), [0.0, 2.0]);
        frame.mirror(FlipDirection::Horizontal);
        assert_eq!(frame.columns(), [3, 3, 4, 4]);
        assert_eq!(frame.outline(&[5.0, 1.5, 7.0]), [4.0, 2.0, 7.0]);
        frame.mirror(FlipDirection::Vertical);
        assert_eq!(frame.rows(), [1, 1, 0]);
        assert_eq!(frame.outline(&[5.0, 1.5]), [4.0, 1.0]);
    }
}
