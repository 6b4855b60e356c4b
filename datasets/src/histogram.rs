//! Counting of 8-bit values.

use ndarray::ArrayRef2;

/// How often each value occurs in `labels`, `[H, W]`.
pub(crate) fn histogram(labels: &ArrayRef2<u8>) -> [u64; 256] {
    // Four tables: neighbours are mostly equal, and one counter would wait for itself.
    let mut counts = [[0u64; 256]; 4];
    for row in labels.rows() {
        let Some(values) = row.as_slice() else {
            row.iter().for_each(|&v| counts[0][usize::from(v)] += 1);
            continue;
        };
        let (chunks, rest) = values.as_chunks::<4>();
        for chunk in chunks {
            for (table, &v) in counts.iter_mut().zip(chunk) {
                table[usize::from(v)] += 1;
            }
        }
        for &v in rest {
            counts[0][usize::from(v)] += 1;
        }
    }
    std::array::from_fn(|v| counts.iter().map(|table| table[v]).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn counts_every_pixel_once() {
        let labels = Array2::from_shape_fn((13, 7), |(y, x)| (y * x) as u8);
        let counts = histogram(&labels);
        assert_eq!(counts.iter().sum::<u64>(), 91);
        for v in 0..=255u8 {
            assert_eq!(counts[usize::from(v)], labels.iter().filter(|l| **l == v).count() as u64);
            assert_eq!(histogram(&labels.t().to_owned())[usize::from(v)], counts[usize::from(v)]);
        }
    }
}
