//! TensorBoard event files, written without TensorFlow.
//!
//! A file is a sequence of TFRecords: length (u64, little endian), masked CRC-32C of the length, data, masked CRC-32C
//! of the data. The data of each is an `Event` message in protobuf encoding, of which four shapes are needed here:
//! the file version, a restart marker, a scalar and an image.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::TrainError;

/// Appends to one event file; every record is handed to the operating system at once.
#[derive(Debug)]
pub struct EventWriter {
    file: File,
    path: PathBuf,
}

impl EventWriter {
    /// Starts a new event file in the folder `dir`. `purge_from` is the first step that a resumed run writes again:
    /// TensorBoard then hides what earlier files of the folder say from that step on.
    ///
    /// # Errors
    /// The folder does not exist or cannot be written.
    pub fn create(dir: &Path, purge_from: Option<u64>) -> Result<Self, TrainError> {
        let seconds = now().floor() as u64;
        let (file, path) = create_new(dir, seconds)?;
        let mut writer = Self { file, path };
        writer.append(&Message::new().bytes(3, b"brain.Event:2"))?;
        if let Some(step) = purge_from {
            let session_start = Message::new().varint(1, 1);
            writer.append(&Message::new().varint(2, step).message(7, &session_start))?;
        }
        Ok(writer)
    }

    /// Where the events go.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes scalars of one step, by tag such as `train/loss`. Non-finite values are written as they are;
    /// TensorBoard marks them.
    ///
    /// # Errors
    /// The write fails.
    pub fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> Result<(), TrainError> {
        let mut summary = Message::new();
        for (tag, value) in values {
            let value = Message::new().bytes(1, tag.as_bytes()).float(2, *value as f32);
            summary = summary.message(1, &value);
        }
        self.append(&Message::new().varint(2, step).message(5, &summary))
    }

    /// Writes an RGB image of one step; `png` is the encoded file, `size` its height and width in pixels.
    ///
    /// # Errors
    /// The write fails.
    pub fn image(&mut self, step: u64, tag: &str, size: (u32, u32), png: &[u8]) -> Result<(), TrainError> {
        const RGB: u64 = 3;
        let image =
            Message::new().varint(1, size.0.into()).varint(2, size.1.into()).varint(3, RGB).bytes(4, png);
        let value = Message::new().bytes(1, tag.as_bytes()).message(4, &image);
        let summary = Message::new().message(1, &value);
        self.append(&Message::new().varint(2, step).message(5, &summary))
    }

    /// Adds the time to an event and writes it as one record, in one call: a kill cuts at most the last record.
    fn append(&mut self, event: &Message) -> Result<(), TrainError> {
        let event = Message::new().double(1, now()).join(event);
        self.file.write_all(&record(&event.0)).map_err(TrainError::io(&self.path, "writing"))
    }
}

/// `events.out.tfevents.<seconds>.<host>.<process>.<n>`, the first `n` that is free.
fn create_new(dir: &Path, seconds: u64) -> Result<(File, PathBuf), TrainError> {
    let host = crate::env::host_name();
    let process = std::process::id();
    let mut n = 0;
    loop {
        let path = dir.join(format!("events.out.tfevents.{seconds:010}.{host}.{process}.{n}"));
        match OpenOptions::new().append(true).create_new(true).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => n += 1,
            Err(error) => return Err(TrainError::io(&path, "creating the file")(error)),
        }
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

/// CRC-32C rotated and offset, as TFRecords have it, so that a record holding records still checks.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Frames one record.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(data.len() + 16);
    record.extend_from_slice(&length);
    record.extend_from_slice(&masked_crc(&length).to_le_bytes());
    record.extend_from_slice(data);
    record.extend_from_slice(&masked_crc(data).to_le_bytes());
    record
}

/// A protobuf message under construction; each method appends one field.
struct Message(Vec<u8>);

impl Message {
    const VARINT: u64 = 0;
    const FIXED_64: u64 = 1;
    const LENGTH_DELIMITED: u64 = 2;
    const FIXED_32: u64 = 5;

    const fn new() -> Self {
        Self(Vec::new())
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(mut self, field: u64, wire_type: u64) -> Self {
        self.raw_varint(field << 3 | wire_type);
        self
    }

    fn varint(self, field: u64, value: u64) -> Self {
        let mut message = self.key(field, Self::VARINT);
        message.raw_varint(value);
        message
    }

    fn double(self, field: u64, value: f64) -> Self {
        let mut message = self.key(field, Self::FIXED_64);
        message.0.extend_from_slice(&value.to_le_bytes());
        message
    }

    fn float(self, field: u64, value: f32) -> Self {
        let mut message = self.key(field, Self::FIXED_32);
        message.0.extend_from_slice(&value.to_le_bytes());
        message
    }

    fn bytes(self, field: u64, value: &[u8]) -> Self {
        let mut message = self.key(field, Self::LENGTH_DELIMITED);
        message.raw_varint(value.len() as u64);
        message.0.extend_from_slice(value);
        message
    }

    fn message(self, field: u64, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }

    fn join(mut self, other: &Self) -> Self {
        self.0.extend_from_slice(&other.0);
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A field as read back: its number and value.
    #[derive(Debug, PartialEq)]
    enum Field {
        Varint(u64, u64),
        Double(u64, f64),
        Float(u64, f32),
        Bytes(u64, Vec<u8>),
    }

    fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
        let (head, rest) = bytes.split_at(N);
        *bytes = rest;
        head.try_into().unwrap()
    }

    fn take_varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let [byte] = take(bytes);
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    fn fields(mut bytes: &[u8]) -> Vec<Field> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = take_varint(&mut bytes);
            let field = key >> 3;
            fields.push(match key & 7 {
                Message::VARINT => Field::Varint(field, take_varint(&mut bytes)),
                Message::FIXED_64 => Field::Double(field, f64::from_le_bytes(take(&mut bytes))),
                Message::FIXED_32 => Field::Float(field, f32::from_le_bytes(take(&mut bytes))),
                _ => {
                    let length = take_varint(&mut bytes) as usize;
                    let (head, rest) = bytes.split_at(length);
                    bytes = rest;
                    Field::Bytes(field, head.to_vec())
                }
            });
        }
        fields
    }

    /// Splits a file into records, checking both checksums of each.
    fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let length: [u8; 8] = take(&mut bytes);
            assert_eq!(u32::from_le_bytes(take(&mut bytes)), masked_crc(&length));
            let (data, rest) = bytes.split_at(u64::from_le_bytes(length) as usize);
            bytes = rest;
            assert_eq!(u32::from_le_bytes(take(&mut bytes)), masked_crc(data));
            records.push(data.to_vec());
        }
        records
    }

    /// Events of a file as fields, the time taken off.
    fn events(path: &Path) -> Vec<Vec<Field>> {
        records(&std::fs::read(path).unwrap())
            .iter()
            .map(|record| {
                let mut event = fields(record);
                assert!(matches!(event.remove(0), Field::Double(1, time) if time > 1.7e9));
                event
            })
            .collect()
    }

    fn inner(field: &Field) -> Vec<Field> {
        match field {
            Field::Bytes(_, bytes) => fields(bytes),
            other => panic!("not a message: {other:?}"),
        }
    }

    #[test]
    fn checksums_of_the_standard() {
        // RFC 3720, B.4, and the check value of the CRC-32C catalogue.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c::crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        // Rotated right by 15: 0xe3069283 -> 0x2507c60d; plus 0xa282ead8.
        assert_eq!(masked_crc(b"123456789"), 0xc78a_b0e5);
    }

    #[test]
    fn varints_of_the_protobuf_manual() {
        assert_eq!(Message::new().varint(1, 150).0, [0x08, 0x96, 0x01]);
        assert_eq!(Message::new().bytes(2, b"testing").0, b"\x12\x07testing");
    }

    #[test]
    fn reads_back_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(dir.path(), None).unwrap();
        writer.scalars(300, &[("train/loss", 1.25), ("train/lr", 6e-5)]).unwrap();
        writer.image(400, "val/overlay", (2, 3), b"png").unwrap();
        let events = events(writer.path());
        assert_eq!(events[0], [Field::Bytes(3, b"brain.Event:2".to_vec())]);

        assert_eq!(events[1][0], Field::Varint(2, 300));
        let values = inner(&events[1][1]);
        assert_eq!(inner(&values[0]), [Field::Bytes(1, b"train/loss".to_vec()), Field::Float(2, 1.25)]);
        assert_eq!(inner(&values[1]), [Field::Bytes(1, b"train/lr".to_vec()), Field::Float(2, 6e-5)]);

        assert_eq!(events[2][0], Field::Varint(2, 400));
        let value = inner(&inner(&events[2][1])[0]);
        assert_eq!(value[0], Field::Bytes(1, b"val/overlay".to_vec()));
        let image =
            [Field::Varint(1, 2), Field::Varint(2, 3), Field::Varint(3, 3), Field::Bytes(4, b"png".to_vec())];
        assert_eq!(inner(&value[1]), image);
    }

    #[test]
    fn a_resumed_run_writes_a_second_file_that_purges() {
        let dir = tempfile::tempdir().unwrap();
        let first = EventWriter::create(dir.path(), None).unwrap();
        let second = EventWriter::create(dir.path(), Some(201)).unwrap();
        assert_ne!(first.path(), second.path());
        let events = events(second.path());
        assert_eq!(events[1][0], Field::Varint(2, 201));
        assert_eq!(inner(&events[1][1]), [Field::Varint(1, 1)]);
    }

    #[test]
    fn a_missing_folder_is_an_error_naming_it() {
        let error = EventWriter::create(Path::new("no/such/folder"), None).unwrap_err();
        assert!(error.to_string().starts_with("no/such/folder/events.out.tfevents."), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    proptest! {
        #[test]
        fn any_fields_come_back(number in 1_u64..1000, value in any::<u64>(), text in ".*") {
            let message = Message::new().varint(number, value).bytes(number, text.as_bytes());
            let expected = [Field::Varint(number, value), Field::Bytes(number, text.into_bytes())];
            prop_assert_eq!(fields(&message.0), expected);
        }

        #[test]
        fn any_records_come_back(data in proptest::collection::vec(any::<Vec<u8>>(), 0..4)) {
            let bytes: Vec<u8> = data.iter().flat_map(|data| record(data)).collect();
            prop_assert_eq!(records(&bytes), data);
        }
    }
}
