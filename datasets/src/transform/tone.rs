//! Changes of values by table, one channel at a time, as Pillow's `ImageOps` has them.
//!
//! Checked by: `tests/augment.rs` (Pillow's pixels).

use crate::sample::Image;

/// New value of every byte.
type Table = [u8; 256];

/// Inverts all values.
pub fn invert(image: &mut Image) {
    apply(image, &table(|value| 255 - value));
}

/// Inverts values of `threshold` and above; 256 inverts none.
pub fn solarize(image: &mut Image, threshold: u16) {
    apply(image, &table(|value| if u16::from(value) < threshold { value } else { 255 - value }));
}

/// Adds `amount` to values below 128.
pub fn solarize_add(image: &mut Image, amount: u8) {
    apply(image, &table(|value| if value < 128 { value.saturating_add(amount) } else { value }));
}

/// Keeps the `bits` most significant bits, 0 to 8. Pillow takes 1 to 8; 0 is black here, as it once was there.
pub fn posterize(image: &mut Image, bits: u8) {
    let mask = !(0xFF_u16 >> bits.min(8)) as u8;
    apply(image, &table(|value| value & mask));
}

/// Spreads every channel over all values.
pub fn auto_contrast(image: &mut Image) {
    by_channel(image, |counts| {
        let low = counts.iter().position(|&count| count > 0)?;
        let high = counts.iter().rposition(|&count| count > 0)?;
        if high <= low {
            return None;
        }
        let scale = 255.0 / (high - low) as f64;
        let offset = -(low as f64) * scale;
        Some(table(|value| (f64::from(value) * scale + offset) as u8)) // `as` stops at 0 and 255
    });
}

/// Makes the values of every channel equally frequent.
pub fn equalize(image: &mut Image) {
    by_channel(image, |counts| {
        let last = counts.iter().rposition(|&count| count > 0)?;
        let step = counts[..last].iter().sum::<u64>() / 255;
        if step == 0 {
            return None;
        }
        let mut sum = step / 2;
        Some(std::array::from_fn(|value| {
            let level = sum / step;
            sum += counts[value];
            level.min(255) as u8
        }))
    });
}

fn table(of: impl Fn(u8) -> u8) -> Table {
    std::array::from_fn(|value| of(value as u8))
}

fn apply(image: &mut Image, table: &Table) {
    image.mapv_inplace(|value| table[usize::from(value)]);
}

/// A table for each channel from how often its values occur; none leaves the channel as it is.
fn by_channel(image: &mut Image, table: impl Fn(&[u64; 256]) -> Option<Table>) {
    for mut channel in image.axis_iter_mut(ndarray::Axis(2)) {
        let mut counts = [0_u64; 256];
        channel.iter().for_each(|&value| counts[usize::from(value)] += 1);
        if let Some(table) = table(&counts) {
            channel.mapv_inplace(|value| table[usize::from(value)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    fn row(values: &[u8], change: impl Fn(&mut Image)) -> Vec<u8> {
        let mut image = Array3::from_shape_fn((1, values.len(), 3), |(_, x, _)| values[x]);
        change(&mut image);
        image.slice(ndarray::s![0, .., 1]).to_vec()
    }

    #[test]
    fn values_by_hand() {
        assert_eq!(row(&[0, 100, 255], invert), [255, 155, 0]);
        assert_eq!(row(&[0, 99, 100, 255], |i| solarize(i, 100)), [0, 99, 155, 0]);
        assert_eq!(row(&[0, 255], |i| solarize(i, 256)), [0, 255]);
        assert_eq!(row(&[0, 127, 128, 200], |i| solarize_add(i, 110)), [110, 237, 128, 200]);
        assert_eq!(row(&[0, 37, 255], |i| posterize(i, 3)), [0, 32, 224]);
        assert_eq!(row(&[0, 37, 255], |i| posterize(i, 8)), [0, 37, 255]);
        assert_eq!(row(&[0, 37, 255], |i| posterize(i, 0)), [0, 0, 0]);
        // 255 / (60 - 20) = 6.375 a step
        assert_eq!(row(&[20, 21, 60], auto_contrast), [0, 6, 255]);
    }

    #[test]
    fn one_value_alone_stays() {
        assert_eq!(row(&[77, 77], auto_contrast), [77, 77]);
        assert_eq!(row(&[77, 77], equalize), [77, 77]);
    }

    #[test]
    fn equal_shares_spread_evenly() {
        // 255 pixels of each of 4 values: steps of 3; the value i has (1 + 255 i) / 3.
        let values: Vec<u8> = (0..1020).map(|i| [10, 11, 12, 13][i % 4]).collect();
        assert_eq!(row(&values, equalize)[..4], [0, 85, 170, 255]);
    }
}
