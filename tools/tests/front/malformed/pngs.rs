//! PNG files that no encoder writes.

use std::fs;
use std::path::Path;

/// Changes the size that a PNG's header declares, with a right checksum.
pub fn declare_size(dir: &Path, name: &str, width: u32, height: u32) {
    change(dir, name, |bytes| {
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
    });
}

/// Changes the bit depth and colour type of the header.
pub fn declare_kind(dir: &Path, name: &str, depth: u8, kind: u8) {
    change(dir, name, |bytes| bytes[24..26].copy_from_slice(&[depth, kind]));
}

/// Flips a byte in the middle of the compressed pixels, with a right chunk checksum, so that only inflating can tell.
pub fn damage_pixels(dir: &Path, name: &str) {
    let path = dir.join(name);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(4).position(|w| w == b"IDAT").unwrap();
    let length = u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap()) as usize;
    bytes[at + 4 + length / 2] ^= 0x55;
    let sum = crc(&bytes[at..at + 4 + length]);
    bytes[at + 4 + length..at + 8 + length].copy_from_slice(&sum.to_be_bytes());
    fs::write(path, bytes).unwrap();
}

/// Leaves the first half of the file.
pub fn cut(dir: &Path, name: &str) {
    let bytes = fs::read(dir.join(name)).unwrap();
    fs::write(dir.join(name), &bytes[..bytes.len() / 2]).unwrap();
}

fn change(dir: &Path, name: &str, edit: impl FnOnce(&mut [u8])) {
    let path = dir.join(name);
    let mut bytes = fs::read(&path).unwrap();
    edit(&mut bytes);
    let sum = crc(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.to_be_bytes());
    fs::write(path, bytes).unwrap();
}

/// The checksum of a PNG chunk: CRC-32 of its type and data.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |s, _| if s & 1 == 1 { s >> 1 ^ 0xEDB8_8320 } else { s >> 1 })
    })
}
