//! The stack machine: opcodes, stack, marks and memo.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::globals::{Global, lookup};
use super::heap::{Dict, Heap, Id, Node, Object, Storage, TensorSpec};
use super::input::Input;
use super::text;
use crate::bytes::Bytes;
use crate::error::{Fault, shown};

/// What persistent ids stand for: objects outside the pickle.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Persistence<'a> {
    /// Nothing.
    None,
    /// torch's storages: `('storage', type, key, location, elements[, view])`.
    Storages,
    /// Tensors by number, as in torch's oldest format.
    Tensors(&'a BTreeMap<String, External>),
}

/// A tensor that the pickle refers to by number.
pub(crate) type External = TensorSpec;

/// One pickle, read.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub heap: Heap,
    pub root: Id,
    /// Where the pickle ends in its bytes.
    pub end: usize,
}

/// Reads the pickle at `start`; `record` is what errors call the bytes.
pub(crate) fn load(
    bytes: &Bytes,
    start: usize,
    record: &str,
    persistence: Persistence<'_>,
) -> Result<Loaded, Fault> {
    let mut machine = Machine {
        input: Input::new(bytes.clone(), start, record),
        persistence,
        heap: Heap::new(bytes.len() - start.min(bytes.len())),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        opcode_at: start,
    };
    loop {
        if let Some(root) = machine.step()? {
            return Ok(Loaded { end: machine.input.at(), heap: machine.heap, root });
        }
    }
}

pub(super) struct Machine<'a> {
    input: Input<'a>,
    persistence: Persistence<'a>,
    pub(super) heap: Heap,
    stack: Vec<Id>,
    /// Lengths of the stack at the marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    opcode_at: usize,
}

/// Bytes that an entry of the memo or a mark costs.
const ENTRY: usize = 32;

impl<'a> Machine<'a> {
    /// What errors call the bytes.
    pub(super) fn record(&self) -> &'a str {
        self.input.record()
    }
}

impl Machine<'_> {
    /// Runs one opcode; the root, once it is the last one.
    fn step(&mut self) -> Result<Option<Id>, Fault> {
        self.opcode_at = self.input.at();
        let opcode = self.input.byte()?;
        match opcode {
            b'.' => return self.pop().map(Some),
            0x80 => {
                let protocol = self.input.byte()?;
                if protocol > 5 {
                    let help = "save it again with protocol 5 or lower";
                    return Err(Fault::unsupported(
                        self.place(),
                        "protocol 0 to 5",
                        protocol.to_string(),
                        help,
                    ));
                }
            }
            0x95 => {
                self.input.length8()?;
            }
            b'N' | 0x88 | 0x89 | b'I' | b'J' | b'K' | b'M' | b'L' | 0x8a | 0x8b | b'F' | b'G' => {
                let node = self.number(opcode)?;
                self.push(node)?;
            }
            b'S' | b'T' | b'U' | b'V' | b'X' | 0x8c | 0x8d | b'B' | b'C' | 0x8e | 0x96 => {
                let node = self.string(opcode)?;
                self.push(node)?;
            }
            b'(' => {
                self.heap.structure.take(ENTRY, self.input.record())?;
                self.marks.push(self.stack.len());
            }
            b'0' => {
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'1' => {
                self.pop_to_mark()?;
            }
            b'2' => {
                let top = self.pop()?;
                self.stack.extend([top, top]);
            }
            b'g' | b'h' | b'j' | b'p' | b'q' | b'r' | 0x94 => self.memory(opcode)?,
            b']' | b'l' | b')' | b't' | 0x85..=0x87 | b'}' | b'd' | 0x8f | 0x91 => self.container(opcode)?,
            b'a' | b'e' | b's' | b'u' | 0x90 => self.fill(opcode)?,
            b'c' | 0x93 => {
                let global = self.global(opcode)?;
                self.push(Node::Global(global))?;
            }
            b'R' | b'i' | b'o' | 0x81 | 0x92 => self.make(opcode)?,
            b'b' => {
                let state = self.pop()?;
                let target = self.top()?;
                self.build(target, state)?;
            }
            b'P' | b'Q' => self.persistent(opcode)?,
            0x82..=0x84 | 0x97 | 0x98 => {
                let help = "save it again without extension codes and out-of-band buffers";
                let got = format!("opcode 0x{opcode:02x}");
                return Err(Fault::unsupported(
                    self.place(),
                    "a pickle that is complete in itself",
                    got,
                    help,
                ));
            }
            _ => {
                return Err(Fault::damaged(self.place(), "an opcode of pickle", format!("0x{opcode:02x}")));
            }
        }
        Ok(None)
    }

    /// Where the opcode that is being run is.
    pub(super) fn place(&self) -> String {
        format!("{} at byte {}", self.input.record(), self.opcode_at)
    }

    pub(super) fn wrong(&self, expected: &str, got: Id) -> Fault {
        Fault::damaged(self.place(), expected, shown(&self.heap.kind(got)))
    }

    pub(super) fn add(&mut self, node: Node) -> Result<Id, Fault> {
        self.heap.add(node, self.input.record())
    }

    fn push(&mut self, node: Node) -> Result<(), Fault> {
        let id = self.add(node)?;
        self.stack.push(id);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, Fault> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn top(&self) -> Result<Id, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(&id) if self.stack.len() > floor => Ok(id),
            _ => Err(Fault::damaged(self.place(), "an object on the stack", "none")),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, Fault> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => Err(Fault::damaged(self.place(), "a mark on the stack", "none")),
        }
    }

    fn number(&mut self, opcode: u8) -> Result<Node, Fault> {
        Ok(match opcode {
            b'N' => Node::None,
            0x88 => Node::Bool(true),
            0x89 => Node::Bool(false),
            b'J' => Node::Int(i32::from_le_bytes(self.input.array()?).into()),
            b'K' => Node::Int(self.input.byte()?.into()),
            b'M' => Node::Int(u16::from_le_bytes(self.input.array()?).into()),
            b'G' => Node::Float(f64::from_be_bytes(self.input.array()?)),
            0x8a | 0x8b => {
                let count = if opcode == 0x8a { self.input.byte()?.into() } else { self.input.length4()? };
                let bytes = self.input.part(count)?;
                text::little_endian(&bytes).map_or(Node::LongInt(bytes), Node::Int)
            }
            _ => {
                let line = self.input.line()?;
                let words = std::str::from_utf8(&line).unwrap_or_default();
                let int = |words: &str| words.parse().ok().map(Node::Int);
                let node = match (opcode, words) {
                    (b'I', "00") => Some(Node::Bool(false)),
                    (b'I', "01") => Some(Node::Bool(true)),
                    (b'F', words) => words.parse().ok().map(Node::Float),
                    (b'L', words) => int(words.strip_suffix('L').unwrap_or(words)),
                    (_, words) => int(words),
                };
                node.ok_or_else(|| Fault::damaged(self.place(), "a number", shown(words)))?
            }
        })
    }

    fn string(&mut self, opcode: u8) -> Result<Node, Fault> {
        if matches!(opcode, b'S' | b'V') {
            let line = self.input.line()?;
            self.heap.payload.take(line.len(), self.input.record())?;
            let decoded = if opcode == b'S' {
                text::unquote(&line).map(|bytes| Node::Either(bytes.into()))
            } else {
                text::raw_unicode(&line).map(|text| Node::Text(text.into_bytes().into()))
            };
            return decoded.ok_or_else(|| Fault::damaged(self.place(), "a string literal", "another line"));
        }
        let count = match opcode {
            b'U' | 0x8c | b'C' => self.input.byte()?.into(),
            b'T' | b'X' | b'B' => self.input.length4()?,
            _ => self.input.length8()?,
        };
        let bytes = self.input.part(count)?;
        match opcode {
            b'T' | b'U' => Ok(Node::Either(bytes)),
            b'X' | 0x8c | 0x8d => match std::str::from_utf8(&bytes) {
                Ok(_) => Ok(Node::Text(bytes)),
                Err(error) => Err(Fault::damaged(self.place(), "a string in UTF-8", error.to_string())),
            },
            _ => Ok(Node::Bytes(bytes)),
        }
    }

    /// The memo: objects by number.
    fn memory(&mut self, opcode: u8) -> Result<(), Fault> {
        let index = match opcode {
            0x94 => self.memo.len() as u32,
            b'h' | b'q' => self.input.byte()?.into(),
            b'j' | b'r' => u32::from_le_bytes(self.input.array()?),
            _ => {
                let line = self.input.line()?;
                let number = std::str::from_utf8(&line).ok().and_then(|words| words.parse().ok());
                number.ok_or_else(|| Fault::damaged(self.place(), "a number of the memo", "another line"))?
            }
        };
        if matches!(opcode, b'g' | b'h' | b'j') {
            let known = self.memo.get(&index).copied();
            let known = known
                .ok_or_else(|| Fault::damaged(self.place(), format!("object {index} in the memo"), "none"))?;
            self.stack.push(known);
        } else {
            self.heap.structure.take(ENTRY, self.input.record())?;
            let top = self.top()?;
            self.memo.insert(index, top);
        }
        Ok(())
    }

    fn container(&mut self, opcode: u8) -> Result<(), Fault> {
        let node = match opcode {
            b']' => Node::List(Vec::new()),
            b')' => Node::Tuple(Vec::new()),
            b'}' => Node::Dict(Box::default()),
            0x8f => Node::Set(Vec::new()),
            b'l' => Node::List(self.pop_to_mark()?),
            b't' => Node::Tuple(self.pop_to_mark()?),
            0x91 => Node::Set(self.pop_to_mark()?),
            b'd' => {
                let entries = self.pairs()?;
                Node::Dict(Box::new(Dict { entries, attributes: None }))
            }
            _ => {
                let count = usize::from(opcode - 0x84);
                let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
                items.reverse();
                Node::Tuple(items)
            }
        };
        self.push(node)
    }

    /// Keys and values down to the mark.
    fn pairs(&mut self) -> Result<Vec<(Id, Id)>, Fault> {
        let items = self.pop_to_mark()?;
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(Fault::damaged(self.place(), "a value for every key", "a key without"));
        }
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    /// Adds to the container below.
    fn fill(&mut self, opcode: u8) -> Result<(), Fault> {
        if matches!(opcode, b's' | b'u') {
            let pairs = if opcode == b'u' {
                self.pairs()?
            } else {
                let value = self.pop()?;
                vec![(self.pop()?, value)]
            };
            let target = self.top()?;
            match self.heap.get_mut(target) {
                Node::Dict(dict) => dict.entries.extend(pairs),
                Node::Object(object) => object.entries.extend(pairs),
                _ => return Err(self.wrong("a dict to fill", target)),
            }
            return Ok(());
        }
        let items = if opcode == b'a' { vec![self.pop()?] } else { self.pop_to_mark()? };
        let target = self.top()?;
        match (opcode, self.heap.get_mut(target)) {
            (0x90, Node::Set(set)) => set.extend(items),
            (b'a' | b'e', Node::List(list)) => list.extend(items),
            (b'a' | b'e', Node::Object(object)) => object.items.extend(items),
            _ => return Err(self.wrong("a list or set to fill", target)),
        }
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Result<Global, Fault> {
        let (module, name);
        if opcode == 0x93 {
            let ids = [self.pop()?, self.pop()?];
            let [Some(n), Some(m)] = ids.map(|id| self.heap.text(id).map(str::to_owned)) else {
                return Err(Fault::damaged(self.place(), "a module and a name", "something else"));
            };
            (module, name) = (m, n);
        } else {
            let lines = [self.input.line()?, self.input.line()?];
            let [m, n] = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
            (module, name) = (m, n);
        }
        lookup(&module, &name)
            .ok_or_else(|| Fault::forbidden(self.place(), shown(&format!("{module}.{name}"))))
    }

    /// Calls, in the five ways that pickle has for it.
    fn make(&mut self, opcode: u8) -> Result<(), Fault> {
        let (callee, args) = match opcode {
            b'i' => {
                let global = self.global(b'c')?;
                let items = self.pop_to_mark()?;
                (self.add(Node::Global(global))?, self.add(Node::Tuple(items))?)
            }
            b'o' => {
                let mut items = self.pop_to_mark()?;
                if items.is_empty() {
                    return Err(Fault::damaged(self.place(), "a class", "none"));
                }
                let class = items.remove(0);
                (class, self.add(Node::Tuple(items))?)
            }
            0x92 => {
                let keywords = self.pop()?;
                if !matches!(self.heap.get(keywords), Node::Dict(dict) if dict.entries.is_empty()) {
                    let help = "save the weights alone";
                    let got = shown(&self.heap.kind(keywords));
                    return Err(Fault::unsupported(self.place(), "no keyword arguments", got, help));
                }
                let args = self.pop()?;
                (self.pop()?, args)
            }
            _ => {
                let args = self.pop()?;
                (self.pop()?, args)
            }
        };
        let Node::Global(global) = self.heap.get(callee) else {
            return Err(Fault::forbidden(
                self.place(),
                format!("a call of {}", shown(&self.heap.kind(callee))),
            ));
        };
        let global = global.clone();
        if !matches!(self.heap.get(args), Node::Tuple(_)) {
            return Err(self.wrong("a tuple of arguments", args));
        }
        let node = self.call(&global, args)?;
        self.push(node)
    }

    /// An inert object; `args` is a tuple.
    pub(super) fn inert(name: &str, args: Id) -> Node {
        let object = Object {
            name: name.to_owned(),
            args: Some(args),
            items: Vec::new(),
            entries: Vec::new(),
            state: None,
        };
        Node::Object(Box::new(object))
    }

    fn persistent(&mut self, opcode: u8) -> Result<(), Fault> {
        let id = if opcode == b'Q' {
            self.pop()?
        } else {
            let line = self.input.line()?;
            if std::str::from_utf8(&line).is_err() {
                return Err(Fault::damaged(self.place(), "a persistent id", "bytes that are no text"));
            }
            self.add(Node::Text(line))?
        };
        let node = match self.persistence {
            Persistence::None => {
                let help = "a file that torch wrote in parts must come with all of them";
                return Err(Fault::unsupported(
                    self.place(),
                    "a pickle that is complete in itself",
                    "a persistent id",
                    help,
                ));
            }
            Persistence::Storages => self.storage(id)?,
            Persistence::Tensors(tensors) => {
                let key = match self.heap.get(id) {
                    Node::Int(number) => Some(number.to_string()),
                    _ => self.heap.text(id).map(str::to_owned),
                };
                let spec = key.as_deref().and_then(|key| tensors.get(key));
                Node::Tensor(Box::new(spec.ok_or_else(|| self.wrong("the number of a tensor", id))?.clone()))
            }
        };
        self.push(node)
    }

    /// `('storage', type, key, location, elements)` and, in the older format, `(view key, offset, elements)` or None.
    fn storage(&mut self, id: Id) -> Result<Node, Fault> {
        let parts = self.heap.sequence(id).unwrap_or_default();
        let (&[tag, class, key, _, elements], rest) = parts
            .split_first_chunk::<5>()
            .ok_or_else(|| self.wrong("a storage: ('storage', type, key, location, elements)", id))?;
        if self.heap.text(tag) != Some("storage") {
            let help = "save its weights alone: torch.save(model.state_dict(), FILE)";
            return Err(Fault::unsupported(self.place(), "weights", "a whole pickled module", help));
        }
        let (Some(key), Some(mut elements)) = (self.heap.text(key), self.heap.size(elements)) else {
            return Err(self.wrong("a storage: ('storage', type, key, location, elements)", id));
        };
        let key = key.to_owned();
        let mut skip = 0;
        if let &[view] = rest
            && !matches!(self.heap.get(view), Node::None)
        {
            let parts = self.heap.sequence(view).unwrap_or_default();
            let sizes = parts.get(1..3).map(|part| [self.heap.size(part[0]), self.heap.size(part[1])]);
            let Some([Some(offset), Some(size)]) = sizes else {
                return Err(self.wrong("a view of a storage: (key, offset, elements)", view));
            };
            (skip, elements) = (offset, size);
        }
        let storage = match self.heap.get(class) {
            Node::Global(Global::TypedStorage(dtype)) => {
                Storage::Named { key, dtype: dtype.clone(), elements, skip }
            }
            Node::Global(Global::UntypedStorage) if skip == 0 => Storage::Untyped { key, bytes: elements },
            _ => return Err(self.wrong("a type of storage", class)),
        };
        Ok(Node::Storage(Arc::new(storage)))
    }
}
