//! `torch.save` before 0.1.10: a tar archive of `storages` (raw elements), `tensors` (sizes and strides) and `pickle` (the
//! object, in which tensors are persistent ids).
//!
//! Reference: `torch/serialization.py` 2.11 (BSD-3-Clause), `legacy_load` inside `_legacy_load`. Numbers are little-endian.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bytes::Bytes;
use crate::dtype::StatedDtype;
use crate::error::Fault;
use crate::pickle::{
    Expanded, External, Global, Heap, Id, Loaded, Node, Persistence, Storage, TensorSpec, expand, load,
};
use crate::tensor::MAX_DIMS;

const BLOCK: usize = 512;

/// Whether a header of the POSIX kind, or GNU's, begins the file.
pub(crate) fn begins(bytes: &[u8]) -> bool {
    bytes.get(257..262) == Some(b"ustar")
}

/// The files of the archive by name.
fn members(bytes: &Bytes) -> Result<BTreeMap<String, Bytes>, Fault> {
    let mut members = BTreeMap::new();
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + BLOCK) {
        if header[0] == 0 {
            break; // the archive ends with empty blocks
        }
        let damaged =
            |expected: &str, got: &str| Fault::damaged(format!("tar archive at byte {at}"), expected, got);
        let text = |field: &[u8]| {
            let field = field.split(|&byte| byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(field).trim().to_owned()
        };
        let size = usize::from_str_radix(&text(&header[124..136]), 8);
        let size = size.map_err(|_| damaged("the octal size of a member", "other text"))?;
        let start = at + BLOCK;
        let content = start.checked_add(size).and_then(|end| bytes.slice(start..end));
        let content = content.ok_or_else(|| damaged("a whole member", "the end of the file"))?;
        // Extended headers have names of their own and are not looked for; only files matter.
        if matches!(header[156], 0 | b'0') {
            members.insert(text(&header[..100]).trim_start_matches("./").to_owned(), content);
        }
        at = start + size.next_multiple_of(BLOCK);
    }
    Ok(members)
}

pub(crate) fn read(bytes: &Bytes) -> Result<Expanded, Fault> {
    let members = members(bytes)?;
    let member = |name: &str| {
        members.get(name).ok_or_else(|| {
            let got = members.keys().take(8).cloned().collect::<Vec<_>>().join(", ");
            let help = "unpack it and give the weights file inside";
            Fault::unsupported("tar archive", format!("a member `{name}`, as torch wrote"), got, help)
        })
    };
    let (storages, tensors, pickle) = (member("storages")?, member("tensors")?, member("pickle")?);
    let storages = read_storages(storages)?;
    let tensors = read_tensors(tensors, &storages)?;
    let object = load(pickle, 0, "pickle", Persistence::Tensors(&tensors))?;
    expand(&object, bytes.len(), "pickle", &|key| Err(Fault::damaged("pickle", "no named storages", key)))
}

/// Reads pickle after pickle.
struct Sequence<'a> {
    bytes: &'a Bytes,
    at: usize,
    record: &'static str,
}

impl Sequence<'_> {
    fn pickle(&mut self) -> Result<Loaded, Fault> {
        let loaded = load(self.bytes, self.at, self.record, Persistence::None)?;
        self.at = loaded.end;
        Ok(loaded)
    }

    fn count(&mut self) -> Result<usize, Fault> {
        let loaded = self.pickle()?;
        let count = loaded.heap.size(loaded.root);
        count.ok_or_else(|| self.damaged("a count", loaded.heap.kind(loaded.root)))
    }

    /// A tuple of a known length.
    fn tuple<const N: usize>(&mut self) -> Result<(Heap, [Id; N]), Fault> {
        let Loaded { heap, root, .. } = self.pickle()?;
        let items = heap.sequence(root).and_then(|items| items.try_into().ok());
        match items {
            Some(items) => Ok((heap, items)),
            None => Err(self.damaged("a tuple", heap.kind(root))),
        }
    }

    fn int(&mut self) -> Result<usize, Fault> {
        let part = self.bytes.get(self.at..self.at + 8).and_then(|part| part.try_into().ok());
        let value = part.map(i64::from_le_bytes).and_then(|value| usize::try_from(value).ok());
        let value = value.ok_or_else(|| self.damaged("a number of 8 bytes, not negative", "another one"))?;
        self.at += 8;
        Ok(value)
    }

    fn damaged(&self, expected: &str, got: impl Into<String>) -> Fault {
        Fault::damaged(format!("{} at byte {}", self.record, self.at), expected, got)
    }
}

/// A number that names a storage or a tensor.
fn key(heap: &Heap, id: Id) -> Option<String> {
    heap.int(id).map(|number| number.to_string()).or_else(|| heap.text(id).map(str::to_owned))
}

type Storages = BTreeMap<String, (StatedDtype, Bytes)>;

fn read_storages(bytes: &Bytes) -> Result<Storages, Fault> {
    let mut input = Sequence { bytes, at: 0, record: "member storages" };
    let mut storages = Storages::new();
    for _ in 0..input.count()? {
        let (heap, [number, _location, class]) = input.tuple()?;
        let Node::Global(Global::TypedStorage(dtype)) = heap.get(class) else {
            return Err(input.damaged("a type of storage", heap.kind(class)));
        };
        let name = key(&heap, number).ok_or_else(|| input.damaged("a number", heap.kind(number)))?;
        let length = input.int()?.checked_mul(dtype.size().unwrap_or(1));
        let end = length.and_then(|length| input.at.checked_add(length));
        let content = end.and_then(|end| bytes.slice(input.at..end));
        let content = content.ok_or_else(|| input.damaged("a whole storage", "the end of the member"))?;
        input.at += content.len();
        storages.insert(name, (dtype.clone(), content));
    }
    let views = input.pickle()?;
    for &view in views.heap.sequence(views.root).unwrap_or_default() {
        let heap = &views.heap;
        let wrong =
            || input.damaged("a view of a storage: (number, number, offset, elements)", heap.kind(view));
        let &[target, root, offset, elements] = heap.sequence(view).unwrap_or_default() else {
            return Err(wrong());
        };
        let root = key(heap, root).and_then(|root| storages.get(&root));
        let parts = (key(heap, target), root, heap.size(offset), heap.size(elements));
        let (Some(target), Some((dtype, content)), Some(offset), Some(elements)) = parts else {
            return Err(wrong());
        };
        let size = dtype.size().unwrap_or(1);
        let range = offset.checked_mul(size).zip(elements.checked_mul(size));
        let part = range.and_then(|(start, length)| content.slice(start..start.checked_add(length)?));
        let part = (dtype.clone(), part.ok_or_else(wrong)?);
        storages.insert(target, part);
    }
    Ok(storages)
}

fn read_tensors(bytes: &Bytes, storages: &Storages) -> Result<BTreeMap<String, External>, Fault> {
    let mut input = Sequence { bytes, at: 0, record: "member tensors" };
    let mut tensors = BTreeMap::new();
    for _ in 0..input.count()? {
        let (heap, [number, storage, _class]) = input.tuple()?;
        let storage = key(&heap, storage).and_then(|storage| storages.get(&storage));
        let (Some(name), Some((dtype, content))) = (key(&heap, number), storage) else {
            return Err(input.damaged("a tensor of a known storage", "another one"));
        };
        // Four bytes that count, then four without meaning.
        let dims = input.int()? & 0xffff_ffff;
        if dims > MAX_DIMS {
            return Err(input.damaged("at most 32 dimensions", dims.to_string()));
        }
        let mut numbers = || (0..dims).map(|_| input.int()).collect::<Result<Vec<_>, _>>();
        let (shape, strides) = (numbers()?, numbers()?);
        let offset = input.int()?;
        let storage = Arc::new(Storage::Inline(content.clone()));
        let spec = TensorSpec { dtype: dtype.clone(), storage, offset, shape, strides };
        tensors.insert(name, spec);
    }
    Ok(tensors)
}
