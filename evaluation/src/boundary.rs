//! The boundary of a mask: its pixels within a distance of the background.
//!
//! Boundary IoU compares boundaries instead of areas and so sees errors along the outline of large objects, which mask
//! IoU hardly does. Source: Cheng et al., Boundary IoU (CVPR 2021), section 4. What lies outside the image counts as
//! background, so a mask may be cut to its box first: its boundary stays the same.

use crate::EvalError;

/// Width of the boundary in pixels for an image: 2 % of its diagonal, rounded half to even, at least 1.
pub fn distance(height: usize, width: usize) -> usize {
    let diagonal = ((height * height + width * width) as f64).sqrt();
    ((0.02 * diagonal).round_ties_even() as usize).max(1)
}

/// Buffers of [`Boundary::of`], kept from mask to mask.
#[derive(Debug, Default)]
pub struct Boundary {
    /// Per column: how many rows in turn, up to the current one, have a window of ones around it. `[W]`
    streak: Vec<u32>,
    result: Vec<u8>,
}

impl Boundary {
    /// No buffers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The boundary of a mask `[H, W]` of zeros and ones: every one with a zero (or the edge of the mask) within
    /// `distance` pixels in both directions. `[H, W]` of zeros and ones.
    ///
    /// # Errors
    /// [`EvalError::PixelCount`] if the mask does not have `height * width` pixels.
    pub fn of(
        &mut self,
        mask: &[u8],
        height: usize,
        width: usize,
        distance: usize,
    ) -> Result<&[u8], EvalError> {
        if mask.len() != height * width {
            return Err(EvalError::PixelCount { pred: mask.len(), gt: height * width });
        }
        self.result.clear();
        self.result.extend_from_slice(mask);
        let window = 2 * distance + 1;
        if height < window || width < window {
            return Ok(&self.result); // no pixel is that far from the edge
        }
        self.streak.clear();
        self.streak.resize(width, 0);
        for (y, row) in mask.chunks_exact(width).enumerate() {
            let mut run = 0;
            for (x, &value) in row.iter().enumerate() {
                run = if value == 0 { 0 } else { run + 1 };
                if let Some(centre) = x.checked_sub(distance) {
                    let streak = &mut self.streak[centre];
                    *streak = if run >= window { *streak + 1 } else { 0 };
                }
            }
            let Some(centre) = y.checked_sub(distance) else { continue };
            // Columns nearer to the right edge than `distance` never got a window: their streak stays 0.
            let out = &mut self.result[centre * width..(centre + 1) * width];
            for (value, &streak) in out.iter_mut().zip(&self.streak) {
                *value &= u8::from((streak as usize) < window);
            }
        }
        Ok(&self.result)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_distance_follows_the_diagonal() {
        assert_eq!(distance(480, 640), 16);
        assert_eq!(distance(1024, 2048), 46); // 45.79
        assert_eq!(distance(3, 4), 1);
        assert_eq!(distance(75, 100), 2); // 2.5 goes to the even side
    }

    #[test]
    fn a_filled_image_keeps_a_frame() {
        let mut boundary = Boundary::new();
        let got = boundary.of(&[1; 20], 4, 5, 1).unwrap();
        assert_eq!(got, [1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
        assert!(boundary.of(&[1; 19], 4, 5, 1).is_err());
    }

    /// Erosion by a 3x3 square, `times` over, zeros outside: the definition.
    fn eroded(mask: &[u8], height: usize, width: usize, times: usize) -> Vec<u8> {
        let mut mask = mask.to_vec();
        for _ in 0..times {
            let at = |y: isize, x: isize| {
                let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
                u8::from(inside && mask[y as usize * width + x as usize] == 1)
            };
            let pixel = |i: usize| {
                let (y, x) = ((i / width) as isize, (i % width) as isize);
                (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| at(y + dy, x + dx))).min().unwrap()
            };
            mask = (0..height * width).map(pixel).collect();
        }
        mask
    }

    proptest! {
        #[test]
        fn equals_the_mask_without_its_erosion(
            (height, width, mask) in (1usize..14, 1usize..14).prop_flat_map(|(h, w)| {
                (Just(h), Just(w), proptest::collection::vec((0u8..12).prop_map(|v| u8::from(v > 0)), h * w))
            }),
            distance in 1usize..4,
        ) {
            let inner = eroded(&mask, height, width, distance);
            let expected: Vec<u8> = mask.iter().zip(inner).map(|(m, i)| m - i).collect();
            let mut boundary = Boundary::new();
            prop_assert_eq!(boundary.of(&mask, height, width, distance).unwrap(), expected.as_slice());
        }
    }
}
