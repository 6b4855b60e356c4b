//! Polygons: coordinates of any kind, drawn as spans and checked against a walk that sets one point after the other.

use smalti_datasets::rle::Spans;

use crate::{Target, Verdict};

/// An input is a height, a width and coordinates as text.
#[derive(Default)]
pub struct Polygons {
    spans: Spans,
}

impl Target for Polygons {
    fn corpus(&self) -> Vec<Vec<u8>> {
        let parts = [
            "1 1 6 1 6 7 1 7",
            "0.5 0.25 9.75 1.5 5 7.99",
            "-3 -3 20 -3 20 20 -3 20",
            "0 0 5 5 0 5 5 0",
            "2 2 2 2 4 2 3 3.3 1e3 -1e3",
            "0 0 0.1 0 0.2 0.2 7 7 3 1",
        ];
        let sizes = [[8, 10], [1, 30], [30, 1], [16, 16]];
        sizes.iter().flat_map(|size| parts.map(|part| [&size[..], part.as_bytes()].concat())).collect()
    }

    fn words(&self) -> &'static [&'static [u8]] {
        &[
            b" ",
            b"-",
            b".",
            b"e",
            b"NaN",
            b"inf",
            b"1e308",
            b"-1e9",
            b"2147483647",
            b"0.1",
            b"0.3",
            b"-0.5",
            b" 3 3 3 3",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<Verdict, String> {
        let [height, width, text @ ..] = input else { return Ok(Verdict::Refused) };
        let size = [u32::from(*height), u32::from(*width)];
        let text = String::from_utf8_lossy(text);
        let xy: Vec<f64> = text.split(' ').filter_map(|word| word.parse().ok()).collect();
        let drawn = self.spans.read_polygons(size, [&xy[..]]);
        if drawn.is_err() {
            return Ok(Verdict::Refused);
        }
        let mask = self.spans.to_rle().decode();
        let near = xy.iter().all(|c| c.abs() < 1e4);
        if near && mask.t().iter().copied().ne(plainly(size, &xy)) {
            return Err(format!("{xy:?} on {size:?} is drawn otherwise"));
        }
        Ok(Verdict::Read)
    }
}

/// One part, as the description of the reference says it: the pixels down the columns.
fn plainly([height, width]: [u32; 2], xy: &[f64]) -> Vec<u8> {
    let (h, w) = (i64::from(height), i64::from(width));
    let corners: Vec<(i64, i64)> =
        xy.chunks_exact(2).map(|p| ((5.0 * p[0] + 0.5) as i64, (5.0 * p[1] + 0.5) as i64)).collect();
    let mut points = Vec::new();
    for (k, &(xs, ys)) in corners.iter().enumerate() {
        let (xe, ye) = corners[(k + 1) % corners.len()];
        let (dx, dy) = ((xe - xs).abs(), (ye - ys).abs());
        let flip = (dx >= dy && xs > xe) || (dx < dy && ys > ye);
        let ((xs, ys), (xe, ye)) = if flip { ((xe, ye), (xs, ys)) } else { ((xs, ys), (xe, ye)) };
        let steps = dx.max(dy);
        let slope = if dx >= dy { (ye - ys) as f64 / dx as f64 } else { (xe - xs) as f64 / dy as f64 };
        for d in 0..=steps {
            let t = if flip { steps - d } else { d };
            let minor = |start: i64| (start as f64 + slope * t as f64 + 0.5) as i64;
            points.push(if dx >= dy { (t + xs, minor(ys)) } else { (minor(xs), t + ys) });
        }
    }
    let mut crossings = Vec::new();
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        if x0 == x1 {
            continue;
        }
        let x = (x0.min(x1) as f64 + 0.5) / 5.0 - 0.5;
        if x.floor() != x || x < 0.0 || x > (w - 1) as f64 {
            continue;
        }
        let y = ((y0.min(y1) as f64 + 0.5) / 5.0 - 0.5).clamp(0.0, h as f64).ceil();
        crossings.push(x as i64 * h + y as i64);
    }
    crossings.sort_unstable();
    let inside = |at: i64| (crossings.partition_point(|&c| c <= at) % 2) as u8;
    (0..h * w).map(inside).collect()
}
