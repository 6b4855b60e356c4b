//! The fast reader of label maps against the `png` crate, and against damage.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::path::Path;

use png::{BitDepth, ColorType, Filter};
use proptest::prelude::*;
use smalti_datasets::label_png::LabelPng;

const KINDS: [(ColorType, BitDepth); 15] = [
    (ColorType::Grayscale, BitDepth::One),
    (ColorType::Grayscale, BitDepth::Two),
    (ColorType::Grayscale, BitDepth::Four),
    (ColorType::Grayscale, BitDepth::Eight),
    (ColorType::Grayscale, BitDepth::Sixteen),
    (ColorType::Indexed, BitDepth::One),
    (ColorType::Indexed, BitDepth::Two),
    (ColorType::Indexed, BitDepth::Four),
    (ColorType::Indexed, BitDepth::Eight),
    (ColorType::GrayscaleAlpha, BitDepth::Eight),
    (ColorType::GrayscaleAlpha, BitDepth::Sixteen),
    (ColorType::Rgb, BitDepth::Eight),
    (ColorType::Rgb, BitDepth::Sixteen),
    (ColorType::Rgba, BitDepth::Eight),
    (ColorType::Rgba, BitDepth::Sixteen),
];

const FILTERS: [Filter; 6] =
    [Filter::NoFilter, Filter::Sub, Filter::Up, Filter::Avg, Filter::Paeth, Filter::Adaptive];

/// A picture as its packed samples.
#[derive(Debug, Clone)]
struct Picture {
    color: ColorType,
    depth: BitDepth,
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl Picture {
    fn line(&self) -> usize {
        (self.width * self.color.samples() * self.depth as usize).div_ceil(8)
    }

    fn encode(&self, filter: Filter) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(self.color);
        encoder.set_depth(self.depth);
        encoder.set_filter(filter);
        if self.color == ColorType::Indexed {
            encoder.set_palette(vec![0; 3 << self.depth as u8]);
        }
        encoder.write_header().unwrap().write_image_data(&self.data).unwrap();
        bytes
    }

    /// Sample `channel` of a pixel.
    fn sample(&self, pixel: usize, channel: usize) -> u32 {
        let (y, x) = (pixel / self.width, pixel % self.width);
        let row = &self.data[y * self.line()..];
        let (bits, at) = (self.depth as usize, x * self.color.samples() + channel);
        match bits {
            16 => u32::from(row[2 * at]) << 8 | u32::from(row[2 * at + 1]),
            _ => (u32::from(row[at * bits / 8]) >> (8 - bits - at * bits % 8)) & ((1 << bits) - 1),
        }
    }

    fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// What each of the three readers should give, `None` where it should refuse.
    fn expected(&self) -> [Option<Vec<u32>>; 3] {
        let channels = self.color.samples();
        let first: Vec<u32> = (0..self.pixels()).map(|i| self.sample(i, 0)).collect();
        let grey = channels == 1 || (channels == 2 && self.depth == BitDepth::Eight);
        let ids = (channels >= 3 && self.depth == BitDepth::Eight).then(|| {
            (0..self.pixels())
                .map(|i| self.sample(i, 0) + 256 * self.sample(i, 1) + 65536 * self.sample(i, 2))
                .collect()
        });
        let labels = (grey && first.iter().all(|&v| v < 256)).then(|| first.clone());
        [labels, grey.then_some(first), ids]
    }
}

/// All three readers on the same bytes; `None` for an error, whose text must name the file.
fn read(decoder: &mut LabelPng, bytes: &[u8]) -> [Option<Vec<u32>>; 3] {
    let name = Path::new("x.png");
    let labels = decoder.labels_of(name, bytes).map(|map| {
        assert_eq!(map.pixels.len(), map.height * map.width);
        map.pixels.iter().map(|&v| v.into()).collect()
    });
    let labels = labels.map_err(|err| err.to_string());
    let labels16 = decoder.labels16_of(name, bytes).map(|map| map.pixels.iter().map(|&v| v.into()).collect());
    let labels16 = labels16.map_err(|err| err.to_string());
    let ids = decoder.ids_of(name, bytes).map(|map| map.pixels.to_vec()).map_err(|err| err.to_string());
    [labels, labels16, ids].map(|result| {
        if let Err(text) = &result {
            assert!(text.starts_with("x.png: "), "{text}");
        }
        result.ok()
    })
}

/// Regions of equal bytes with some noise, as label maps have them.
fn picture() -> impl Strategy<Value = Picture> {
    (0..KINDS.len(), 1usize..90, 1usize..12, any::<u64>(), 0u64..4).prop_map(
        |(kind, width, height, seed, noise)| {
            let (color, depth) = KINDS[kind];
            let mut picture = Picture { color, depth, width, height, data: Vec::new() };
            let mut state = seed | 1;
            let mut random = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state
            };
            let (line, unit) = (picture.line(), (color.samples() * depth as usize).div_ceil(8));
            let region = random() as usize % 30 + 1;
            for i in 0..line * height {
                let (y, x) = (i / line / 3, i % line / unit / region);
                let flat = (x * 31 + y * 17 + i % line % unit * 5) as u8;
                picture.data.push(if random() % 40 < noise * noise { random() as u8 } else { flat });
            }
            // Bits behind the last pixel of a row mean nothing; 16-bit greys are small every other time.
            if depth == BitDepth::Sixteen && seed % 2 == 0 {
                picture.data.iter_mut().step_by(2).for_each(|high| *high = 0);
            }
            picture
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn equals_what_was_encoded_with_every_filter(pictures in prop::collection::vec(picture(), 1..3)) {
        let mut decoder = LabelPng::new(); // buffers are used again
        for picture in pictures {
            for filter in FILTERS {
                prop_assert_eq!(read(&mut decoder, &picture.encode(filter)), picture.expected());
            }
        }
    }

    #[test]
    fn damage_is_an_error_or_harmless(picture in picture(), filter in 0usize..6, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = picture.encode(FILTERS[filter]);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let expected = picture.expected();
        for (got, expected) in read(&mut LabelPng::new(), &bytes).into_iter().zip(expected) {
            prop_assert!(got.is_none() || got == expected);
        }
    }
}

#[test]
fn a_file_cut_at_any_byte_is_an_error_until_the_pixels_are_there() {
    let picture = Picture {
        color: ColorType::Rgb,
        depth: BitDepth::Eight,
        width: 9,
        height: 7,
        data: (0..9 * 7 * 3).map(|i| (i * 7) as u8).collect(),
    };
    let bytes = picture.encode(Filter::Paeth);
    let mut decoder = LabelPng::new();
    let mut good = 0;
    for len in 0..bytes.len() {
        let [_, _, ids] = read(&mut decoder, &bytes[..len]);
        good += usize::from(ids.is_some());
        assert!(ids.is_none() || ids == picture.expected()[2]);
    }
    assert_eq!(good, 12); // the end chunk may be missing or cut
}

/// A PNG of any chunks, checksums right.
fn chunks(parts: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in parts {
        bytes.extend((data.len() as u32).to_be_bytes());
        let start = bytes.len();
        bytes.extend_from_slice(*kind);
        bytes.extend_from_slice(data);
        bytes.extend(libdeflater::crc32(&bytes[start..]).to_be_bytes());
    }
    bytes
}

fn deflated(raw: &[u8]) -> Vec<u8> {
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut out = vec![0; compressor.zlib_compress_bound(raw.len())];
    let len = compressor.zlib_compress(raw, &mut out).unwrap();
    out.truncate(len);
    out
}

fn header(width: u32, height: u32, depth: u8, color: u8, interlace: u8) -> Vec<u8> {
    let mut data = [width.to_be_bytes(), height.to_be_bytes()].concat();
    data.extend([depth, color, 0, 0, interlace]);
    data
}

#[track_caller]
fn refused(bytes: &[u8], expected: &str) {
    let text = LabelPng::new().labels_of(Path::new("x.png"), bytes).unwrap_err().to_string();
    assert!(text.starts_with("x.png: ") && text.contains(expected), "no `{expected}` in `{text}`");
}

#[test]
fn huge_sizes_are_refused_before_anything_is_allocated() {
    let small = deflated(&[0; 100]);
    for (width, height) in [(u32::MAX, u32::MAX), (1 << 15, 1 << 14), (1 << 14, 1 << 14), (40_000, 10)] {
        let bytes = chunks(&[(b"IHDR", &header(width, height, 8, 0, 0)), (b"IDAT", &small), (b"IEND", b"")]);
        refused(
            &bytes,
            if u64::from(width) * u64::from(height) > 1 << 28 { "at most" } else { "cannot hold" },
        );
    }
    refused(&chunks(&[(b"IHDR", &header(0, 5, 8, 0, 0)), (b"IDAT", &small)]), "empty");
}

#[test]
fn what_is_wrong_is_said() {
    let (head, data) = (header(2, 2, 8, 0, 0), deflated(&[0, 1, 2, 2, 3, 4]));
    let good = chunks(&[
        (b"IHDR", &head),
        (b"teXt", b"hi"),
        (b"IDAT", &data[..5]),
        (b"IDAT", &data[5..]),
        (b"IEND", b""),
    ]);
    let mut decoder = LabelPng::new();
    assert_eq!(decoder.labels_of(Path::new("x.png"), &good).unwrap().pixels, [1, 2, 4, 6]);

    let with = |raw: &[u8]| chunks(&[(b"IHDR", &head), (b"IDAT", &deflated(raw)), (b"IEND", b"")]);
    refused(&with(&[0, 1, 2, 2, 3]), "expected 6 bytes");
    refused(&with(&[0, 1, 2, 5, 3, 4]), "row 1 has filter 5");
    refused(&chunks(&[(b"IHDR", &head), (b"IEND", b"")]), "without pixel data");
    refused(&chunks(&[(b"IDAT", &data)]), "header first");
    refused(&chunks(&[(b"IHDR", &head), (b"ABCD", b""), (b"IDAT", &data)]), "ABCD");
    refused(&chunks(&[(b"IHDR", &header(2, 2, 3, 0, 0)), (b"IDAT", &data)]), "bit depth 3");
    refused(&chunks(&[(b"IHDR", &header(2, 2, 16, 3, 0)), (b"IDAT", &data)]), "Indexed");
    refused(&chunks(&[(b"IHDR", &header(2, 2, 8, 2, 0)), (b"IDAT", &data)]), "convert colours");
    refused(&chunks(&[(b"IHDR", &head), (b"IDAT", &[1, 2, 3])]), "does not inflate");
    refused(b"", "x.png");
    refused(b"\xFF\xD8\xFF", "JPEG");
    refused(b"GIF89a", "GIF");
    // More pixel data than pixels is what other readers take, too.
    let more = with(&[0, 1, 2, 2, 3, 4, 9, 9, 9]);
    assert_eq!(decoder.labels_of(Path::new("x.png"), &more).unwrap().pixels, [1, 2, 4, 6]);
}

#[test]
fn interlaced_files_are_read() {
    // Adam7 of 3x3: pass 1 has pixel (0, 0), pass 4 (0, 2)... laid out by hand: one row a pass, filter byte first.
    let passes: &[&[u8]] = &[
        &[0, 10],         // 1: y 0, x 0
        &[0, 12],         // 4: y 0, x 2
        &[0, 30, 32],     // 5: y 2, x 0 2
        &[0, 11],         // 6: y 0, x 1
        &[0, 31],         // 6: y 2, x 1
        &[0, 20, 21, 22], // 7: y 1
    ];
    let bytes =
        chunks(&[(b"IHDR", &header(3, 3, 8, 0, 1)), (b"IDAT", &deflated(&passes.concat())), (b"IEND", b"")]);
    let mut decoder = LabelPng::new();
    let map = decoder.labels_of(Path::new("x.png"), &bytes).unwrap();
    assert_eq!(map.pixels, [10, 11, 12, 20, 21, 22, 30, 31, 32]);
}

#[test]
fn files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut decoder = LabelPng::new();
    let missing = decoder.ids(&dir.path().join("no.png")).unwrap_err().to_string();
    assert!(missing.contains("no.png"), "{missing}");
    let folder = decoder.labels16(dir.path()).unwrap_err().to_string();
    assert!(folder.contains("got a folder"), "{folder}");
}
