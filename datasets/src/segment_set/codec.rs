//! An index as bytes: fixed-width little-endian numbers, read back with every length and reference checked.

use super::index::{ImageEntry, Index, Instance, Object, Segment};
use super::record::RecordId;

/// An object that can be kept.
pub(super) trait Stored: Object + Sized {
    /// Tells the kinds of objects apart.
    const KIND: u8;
    /// Bytes of one.
    const SIZE: usize;
    /// Appends exactly [`Self::SIZE`] bytes.
    fn write(&self, out: &mut Vec<u8>);
    /// Takes that many.
    fn read(bytes: &mut Bytes<'_>) -> Option<Self>;
}

impl Stored for Instance {
    const KIND: u8 = 1;
    const SIZE: usize = 15;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.place.to_le_bytes());
        out.extend(self.length.to_le_bytes());
        out.extend(self.class.to_le_bytes());
        out.push(u8::from(self.crowd));
    }

    fn read(bytes: &mut Bytes<'_>) -> Option<Self> {
        let (place, length) = (u64::from_le_bytes(bytes.array()?), u32::from_le_bytes(bytes.array()?));
        Some(Self { place, length, class: u16::from_le_bytes(bytes.array()?), crowd: bytes.flag()? })
    }
}

impl Stored for Segment {
    const KIND: u8 = 2;
    const SIZE: usize = 15;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.id.to_le_bytes());
        out.extend(self.area.to_le_bytes());
        out.extend(self.class.to_le_bytes());
        out.push(u8::from(self.crowd));
    }

    fn read(bytes: &mut Bytes<'_>) -> Option<Self> {
        let (id, area) = (u32::from_le_bytes(bytes.array()?), u64::from_le_bytes(bytes.array()?));
        Some(Self { id, area, class: u16::from_le_bytes(bytes.array()?), crowd: bytes.flag()? })
    }
}

/// Least bytes of an image: kind and length of the id, two lengths of text, height, width and end.
const IMAGE: usize = 1 + 4 + 2 * 4 + 3 * 4;

/// Appends an index.
pub(super) fn encode<T: Stored>(index: &Index<T>, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let Index { categories, images, objects } = index;
    out.reserve(objects.len() * T::SIZE + images.len() * (IMAGE + 32));
    out.push(T::KIND);
    write_bytes(&serde_json::to_vec(categories)?, out);
    out.extend((images.len() as u32).to_le_bytes());
    for ImageEntry { id, file_name, size: [height, width], png, end } in images {
        match id {
            RecordId::Number(id) => {
                out.push(0);
                write_bytes(&id.to_le_bytes(), out);
            }
            RecordId::Text(id) => {
                out.push(1);
                write_bytes(id.as_bytes(), out);
            }
        }
        write_bytes(file_name.as_bytes(), out);
        write_bytes(png.as_bytes(), out);
        for number in [height, width, end] {
            out.extend(number.to_le_bytes());
        }
    }
    out.extend((objects.len() as u32).to_le_bytes());
    for object in objects {
        object.write(out);
    }
    Ok(())
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// The index of these bytes; none if they are those of no index. Allocates no more than a few times their length.
pub(super) fn decode<T: Stored>(bytes: &[u8]) -> Option<Index<T>> {
    let mut bytes = Bytes(bytes);
    let [kind] = bytes.array()?;
    if kind != T::KIND {
        return None;
    }
    let categories: Vec<crate::coco::Category> = serde_json::from_slice(bytes.bytes()?).ok()?;
    let count = bytes.count(IMAGE)?;
    let mut images = Vec::with_capacity(count);
    let mut last = 0;
    for _ in 0..count {
        let image = image(&mut bytes)?;
        if image.end < last {
            return None;
        }
        last = image.end;
        images.push(image);
    }
    let count = bytes.count(T::SIZE)?;
    if count != last as usize {
        return None;
    }
    let mut objects = Vec::with_capacity(count);
    for _ in 0..count {
        let object = T::read(&mut bytes)?;
        if usize::from(object.class()) >= categories.len() {
            return None;
        }
        objects.push(object);
    }
    bytes.0.is_empty().then_some(Index { categories, images, objects })
}

fn image(bytes: &mut Bytes<'_>) -> Option<ImageEntry> {
    let id = match bytes.array()? {
        [0] => RecordId::Number(i64::from_le_bytes(bytes.bytes()?.try_into().ok()?)),
        [1] => RecordId::Text(bytes.text()?),
        _ => return None,
    };
    let (file_name, png) = (bytes.text()?, bytes.text()?);
    let mut number = || Some(u32::from_le_bytes(bytes.array()?));
    Some(ImageEntry { id, file_name, png, size: [number()?, number()?], end: number()? })
}

/// What is left to read.
pub(super) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (found, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*found)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.array()? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    /// Bytes that their number stands before.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        let (found, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(found)
    }

    fn text(&mut self) -> Option<Box<str>> {
        std::str::from_utf8(self.bytes()?).ok().map(Box::from)
    }

    /// A number of things, each of `least` bytes or more, that may still come.
    fn count(&mut self, least: usize) -> Option<usize> {
        let count = u32::from_le_bytes(self.array()?) as usize;
        (count <= self.0.len() / least).then_some(count)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::coco::Category;

    /// Two images, one of them without objects.
    pub(in crate::segment_set) fn sample() -> Index<Instance> {
        let category = |id: u32| Category {
            id,
            name: format!("c{id}"),
            supercategory: "s".into(),
            isthing: Some(1),
            color: Some([1, 2, 3]),
        };
        let image = |id: RecordId, end: u32| ImageEntry {
            id,
            file_name: "a/b.jpg".into(),
            size: [480, 640],
            png: "".into(),
            end,
        };
        Index {
            categories: vec![category(3), category(70)],
            images: vec![image(RecordId::Number(-4), 2), image(RecordId::Text("é".into()), 2)],
            objects: vec![
                Instance { place: 1 << 40, length: 77, class: 1, crowd: true },
                Instance { place: 9, length: 1, class: 0, crowd: false },
            ],
        }
    }

    fn encoded() -> Vec<u8> {
        let mut bytes = vec![];
        encode(&sample(), &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn an_index_comes_back() {
        assert_eq!(decode::<Instance>(&encoded()).unwrap(), sample());
        assert_eq!(decode::<Segment>(&encoded()), None);
        let Index { categories, images, .. } = sample();
        let objects =
            [4, u32::MAX].map(|id| Segment { id, area: 1 << 33, class: 0, crowd: id == 4 }).to_vec();
        let segments = Index { categories, images, objects };
        let mut bytes = vec![];
        encode(&segments, &mut bytes).unwrap();
        assert_eq!(decode::<Segment>(&bytes).unwrap(), segments);
    }

    #[test]
    fn what_is_cut_or_too_long_is_none() {
        let bytes = encoded();
        assert!((0..bytes.len()).all(|end| decode::<Instance>(&bytes[..end]).is_none()));
        assert_eq!(decode::<Instance>(&[&bytes[..], &[0]].concat()), None);
    }

    proptest! {
        /// Whatever is read keeps its promises: ranges inside the list, classes inside the table.
        #[test]
        fn damaged_bytes_are_refused_or_still_an_index(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
        ) {
            let mut bytes = encoded();
            for (place, value) in changes {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            if let Some(index) = decode::<Instance>(&bytes) {
                let found: usize = (0..index.images.len()).map(|i| index.objects(i).len()).sum();
                prop_assert_eq!(found, index.objects.len());
                prop_assert!(index.objects.iter().all(|o| usize::from(o.class) < index.categories.len()));
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<Segment>(&bytes);
            let _ = decode::<Instance>(&[&[Instance::KIND, 2, 0, 0, 0, b'[', b']'], &bytes[..]].concat());
        }
    }
}
