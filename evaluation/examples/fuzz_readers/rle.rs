//! Compressed run lengths: `Rle` and `Spans` against a reader that keeps to the description of the format.

use smalti_datasets::rle::{Rle, Spans};

use crate::{Target, Verdict};

/// An input is a height, a width and the string.
#[derive(Default)]
pub struct Rles {
    spans: Spans,
}

impl Target for Rles {
    fn corpus(&self) -> Vec<Vec<u8>> {
        let masks: [(u8, u8, &[u32]); 7] = [
            (8, 10, &[16, 16, 48]),
            (8, 10, &[0, 80]),
            (8, 10, &[80]),
            (9, 10, &[6, 1, 40, 4, 5, 4, 5, 4, 21]),
            (200, 250, &[1000, 30, 170, 40, 160, 45, 155, 40, 160, 48_200]),
            (5, 5, &[2, 0, 3, 2, 1, 0, 17]),
            (3, 40, &[1; 120]),
        ];
        let texts = masks.iter().filter_map(|&(h, w, counts)| {
            let text = Rle::new([h.into(), w.into()], counts.to_vec()).ok()?.to_compressed();
            Some([&[h, w], text.as_bytes()].concat())
        });
        texts.collect()
    }

    fn words(&self) -> &'static [&'static [u8]] {
        &[b"0", b"1", b"O", b"P0", b"o", b"ooooooo0", b"n", b"N", b"`0`0", b"~", b"\xff", b"000000000000"]
    }

    fn check(&mut self, input: &[u8]) -> Result<Verdict, String> {
        let [height, width, text @ ..] = input else { return Ok(Verdict::Refused) };
        let size = [u32::from(*height), u32::from(*width)];
        let text = String::from_utf8_lossy(text);
        let read = self.compare(size, &text)?;
        // Few changes leave the sum of the runs as it was; as one column of that many pixels they are a mask again.
        let sum = runs(text.as_bytes()).map_or(0, |runs| runs.iter().sum::<i128>());
        match u32::try_from(sum) {
            Ok(sum @ 1..=20_000) if read == Verdict::Refused => self.compare([sum, 1], &text),
            _ => Ok(read),
        }
    }
}

impl Rles {
    /// Reads the string as a mask of this size, and does with it what can be done.
    fn compare(&mut self, size: [u32; 2], text: &str) -> Result<Verdict, String> {
        let plain = plainly(size, text.as_bytes());
        let fast = Rle::from_compressed(size, text).ok();
        let spans = self.spans.read_compressed(size, text).is_ok();
        let Some(counts) = plain else {
            let agreed = fast.is_none() && !spans;
            return if agreed { Ok(Verdict::Refused) } else { Err(format!("{text:?} is not refused")) };
        };
        let rle = fast.ok_or_else(|| format!("{text:?} is refused"))?;
        if rle.counts() != counts || !spans {
            return Err(format!("{text:?}: runs {:?}, expected {counts:?}", rle.counts()));
        }
        let pixels = pixels(&counts);
        let mask = rle.decode();
        if mask.t().iter().ne(pixels.iter()) {
            return Err(format!("{text:?}: decoded to other pixels"));
        }
        let area = pixels.iter().map(|&p| u32::from(p)).sum::<u32>();
        let bbox = bbox(size, &pixels);
        if (rle.area(), rle.bbox()) != (area, bbox) || (self.spans.area(), self.spans.bbox()) != (area, bbox)
        {
            return Err(format!(
                "{text:?}: area and box {:?} {:?}, of the spans {:?} {:?}, expected {area} {bbox:?}",
                rle.area(),
                rle.bbox(),
                self.spans.area(),
                self.spans.bbox()
            ));
        }
        let again = Rle::from_compressed(size, &rle.to_compressed()).map_err(|e| e.to_string())?;
        let encoded = Rle::encode(&mask).map_err(|e| e.to_string())?;
        if again != rle || self.spans.to_rle().decode() != mask || encoded.decode() != mask {
            return Err(format!("{text:?}: does not survive being written"));
        }
        Ok(Verdict::Read)
    }
}

/// The runs; `None` for what is not a mask of this size.
fn plainly(size: [u32; 2], text: &[u8]) -> Option<Vec<u32>> {
    let runs = runs(text)?;
    let total: i128 = runs.iter().sum();
    let fits = total == i128::from(size[0]) * i128::from(size[1]) && runs.iter().all(|&run| run >= 0);
    fits.then(|| runs.iter().map(|&run| run as u32).collect())
}

/// The numbers of the string, in arithmetic that cannot overflow; `None` where it is not of the form.
fn runs(text: &[u8]) -> Option<Vec<i128>> {
    let mut runs: Vec<i128> = Vec::new();
    let mut rest = text.iter();
    while let Some(&first) = rest.next() {
        let mut groups = vec![first];
        while groups.last().is_some_and(|byte| (0x50..0x70).contains(byte)) {
            groups.push(*rest.next()?);
        }
        if groups.len() > 7 || groups.iter().any(|byte| !(0x30..0x70).contains(byte)) {
            return None;
        }
        let mut value = 0i128;
        for &byte in groups.iter().rev() {
            value = value * 32 + i128::from((byte - 48) & 0x1f);
        }
        if (groups.last()? - 48) & 0x10 != 0 {
            value -= 1 << (5 * groups.len());
        }
        if runs.len() > 2 {
            value += runs[runs.len() - 2];
        }
        runs.push(value);
    }
    Some(runs)
}

/// Zeros and ones down the columns.
fn pixels(counts: &[u32]) -> Vec<u8> {
    let runs =
        counts.iter().enumerate().flat_map(|(i, &run)| std::iter::repeat_n((i % 2) as u8, run as usize));
    runs.collect()
}

fn bbox(size: [u32; 2], pixels: &[u8]) -> [u32; 4] {
    let set =
        || (0..).zip(pixels).filter(|(_, p)| **p == 1).map(|(at, _): (u32, _)| (at / size[0], at % size[0]));
    let (Some(left), Some(right)) = (set().map(|p| p.0).min(), set().map(|p| p.0).max()) else {
        return [0; 4];
    };
    let (Some(top), Some(bottom)) = (set().map(|p| p.1).min(), set().map(|p| p.1).max()) else {
        return [0; 4];
    };
    [left, top, right - left + 1, bottom - top + 1]
}
