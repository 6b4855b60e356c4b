//! Large JSON files in blocks of whole array elements, so that they can be parsed in parallel and never lie in memory.
//!
//! Two layouts: a list at the top (`[{...}, {...}]`, as results are), and an object of lists (`{"images": [...], ...}`,
//! as annotation files are). Only what is needed to find the ends of elements is looked at: strings with their escapes,
//! brackets, commas. Whether an element is valid JSON is for the one who parses the block to find out; what stands
//! between elements, a file that ends early and text after the end are refused here.

mod nesting;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::nesting::Nesting;
use crate::error::DataError;

/// Bytes read at a time, and so about the length of a block.
const READ: usize = 1 << 19;

/// Some elements of one list, or a value that is not a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Key of the list at the top of the file; `None` where the file itself is the list.
    pub member: Option<Arc<str>>,
    /// Number of the first element in its list, counted from 0.
    pub first: usize,
    /// Whether the text is a list of elements, or one value of another kind that is a direct member of the file's object.
    pub is_list: bool,
    /// A JSON list of the elements, brackets included; or the value. Not checked.
    pub text: Vec<u8>,
    /// Place of the text's first byte in the file; of a list the byte before its first element.
    pub offset: u64,
}

/// Reads the blocks of a file from first to last; after an error there are no more.
#[derive(Debug)]
pub struct JsonBlocks<R> {
    path: PathBuf,
    source: R,
    /// What was read but not given out yet; of a list that goes on, with a `[` before its first element.
    buffer: Vec<u8>,
    /// Next byte of the buffer to look at.
    at: usize,
    /// Place of the buffer's first byte in the file.
    offset: u64,
    ended: bool,
    is_object: bool,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Start,
    /// In the object at the top, before a key; `first` if there was none yet.
    Members {
        first: bool,
    },
    /// In a list.
    Elements(Elements),
    /// Behind a member of the object at the top.
    AfterMember,
    Done,
}

#[derive(Debug, Clone)]
struct Elements {
    member: Option<Arc<str>>,
    /// Number of the first element in the buffer.
    first: usize,
    /// Commas between elements from the start of the buffer to `at`.
    commas: usize,
    /// Place behind the last of them.
    cut: usize,
    nesting: Nesting,
}

impl JsonBlocks<File> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`DataError::Io`], naming the file.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io(path, "opening"))?;
        Ok(Self::new(path, file))
    }

    /// About how many blocks the file has.
    pub fn estimate(&self) -> usize {
        self.source.metadata().map_or(0, |meta| meta.len() as usize / READ + 1)
    }
}

impl<R: Read> JsonBlocks<R> {
    /// Reads from any source; `path` is for messages.
    pub fn new(path: &Path, source: R) -> Self {
        Self {
            path: path.to_owned(),
            source,
            buffer: Vec::new(),
            at: 0,
            offset: 0,
            ended: false,
            is_object: false,
            state: State::Start,
        }
    }

    /// Whether the file turned out to be an object; known after the first block was asked for.
    pub fn is_object(&self) -> bool {
        self.is_object
    }

    /// Appends to the buffer; false at the end of the file.
    fn read(&mut self) -> Result<bool, DataError> {
        if self.ended {
            return Ok(false);
        }
        let before = self.buffer.len();
        self.buffer.reserve(READ + 1);
        let mut part = self.source.by_ref().take(READ as u64);
        part.read_to_end(&mut self.buffer).map_err(DataError::io(&self.path, "reading"))?;
        self.ended = self.buffer.len() == before;
        Ok(!self.ended)
    }

    /// The next byte that is not white space, without passing it; `None` at the end of the file.
    fn peek(&mut self) -> Result<Option<u8>, DataError> {
        loop {
            while let Some(&byte) = self.buffer.get(self.at) {
                if !byte.is_ascii_whitespace() {
                    return Ok(Some(byte));
                }
                self.at += 1;
            }
            if !self.read()? {
                return Ok(None);
            }
        }
    }

    /// Forgets the bytes before `at`.
    fn drop_passed(&mut self) {
        self.buffer.drain(..self.at);
        self.offset += self.at as u64;
        self.at = 0;
    }

    fn wrong(&self, reason: impl Into<String>) -> DataError {
        let place = self.offset + self.at as u64;
        DataError::record(&self.path, format!("byte {place}"), reason)
    }

    fn expected(&self, what: &str, got: Option<u8>) -> DataError {
        let got = got.map_or_else(|| "the end of the file".into(), |b| format!("`{}`", b.escape_ascii()));
        self.wrong(format!("expected {what}, got {got}"))
    }

    fn advance(&mut self) -> Result<Option<Block>, DataError> {
        loop {
            match std::mem::replace(&mut self.state, State::Done) {
                State::Start => match self.peek()? {
                    Some(b'[') => self.enter_list(None),
                    Some(b'{') => {
                        self.at += 1;
                        self.is_object = true;
                        self.state = State::Members { first: true };
                    }
                    got => return Err(self.expected("JSON that starts with `[` or `{`", got)),
                },
                State::Members { first } => match self.peek()? {
                    Some(b'}') if first => self.at += 1,
                    Some(b'"') => {
                        if let Some(block) = self.member()? {
                            return Ok(Some(block));
                        }
                    }
                    got => return Err(self.expected("a key in quotes", got)),
                },
                State::Elements(list) => return self.elements(list).map(Some),
                State::AfterMember => match self.peek()? {
                    Some(b',') => {
                        self.at += 1;
                        self.state = State::Members { first: false };
                    }
                    Some(b'}') => self.at += 1,
                    got => return Err(self.expected("`,` or `}`", got)),
                },
                State::Done => {
                    if let Some(byte) = self.peek()? {
                        return Err(self.expected("nothing after the end of the JSON", Some(byte)));
                    }
                    return Ok(None);
                }
            }
        }
    }

    /// At the `[` of a list.
    fn enter_list(&mut self, member: Option<Arc<str>>) {
        self.drop_passed();
        self.at = 1;
        let nesting = Nesting::default();
        self.state = State::Elements(Elements { member, first: 0, commas: 0, cut: 1, nesting });
    }

    /// At the quote of a key: enters a list, or gives out a value of another kind.
    fn member(&mut self) -> Result<Option<Block>, DataError> {
        self.drop_passed();
        let mut nesting = Nesting::default();
        let end = loop {
            match nesting.value_end(&self.buffer, &mut self.at) {
                Some(end) => break end,
                None if self.read()? => {}
                None => return Err(self.wrong("the file ends inside a key")),
            }
        };
        let text = &self.buffer[..end];
        let key: String = serde_json::from_slice(text)
            .map_err(|_| self.wrong(format!("expected a key, got {}", text.escape_ascii())))?;
        self.at = end;
        match self.peek()? {
            Some(b':') => self.at += 1,
            got => return Err(self.expected("`:`", got)),
        }
        let start = self.peek()?;
        if start == Some(b'[') {
            self.enter_list(Some(key.into()));
            return Ok(None);
        }
        self.drop_passed();
        let mut nesting = Nesting::default();
        let end = loop {
            match nesting.value_end(&self.buffer, &mut self.at) {
                Some(end) => break end,
                None if self.read()? => {}
                None => return Err(self.wrong(format!("the file ends inside `{key}`"))),
            }
        };
        self.at = end;
        self.state = State::AfterMember;
        let (text, offset) = (self.buffer[..end].to_vec(), self.offset);
        Ok(Some(Block { member: Some(key.into()), first: 0, is_list: false, text, offset }))
    }

    /// In a list: the elements that are complete.
    fn elements(&mut self, mut list: Elements) -> Result<Block, DataError> {
        loop {
            while let Some(found) = list.nesting.separator(&self.buffer, &mut self.at) {
                if found == b',' {
                    list.commas += 1;
                    list.cut = self.at;
                    continue;
                }
                return self.last_elements(&list);
            }
            if list.commas > 0 {
                return Ok(self.some_elements(list));
            }
            if !self.read()? {
                let name = list.member.as_deref().map(|m| format!(" of `{m}`")).unwrap_or_default();
                return Err(self.wrong(format!("the file ends inside element {}{name}", list.first)));
            }
        }
    }

    /// Up to the closing bracket, which was just passed.
    fn last_elements(&mut self, list: &Elements) -> Result<Block, DataError> {
        if list.first + list.commas > 0
            && self.buffer[list.cut..self.at - 1].iter().all(u8::is_ascii_whitespace)
        {
            return Err(self.wrong(format!(
                "expected an element after the comma, got `{}`",
                char::from(self.buffer[self.at - 1])
            )));
        }
        let rest = self.buffer.split_off(self.at);
        let text = std::mem::replace(&mut self.buffer, rest);
        let (first, offset) = (list.first, self.offset);
        self.offset += self.at as u64;
        self.at = 0;
        self.state = if list.member.is_some() { State::AfterMember } else { State::Done };
        Ok(Block { member: list.member.clone(), first, is_list: true, text, offset })
    }

    /// Up to the last comma between elements; the buffer keeps the rest, behind a new bracket.
    fn some_elements(&mut self, mut list: Elements) -> Block {
        let mut rest = Vec::with_capacity(self.buffer.len() - list.cut + READ + 2);
        rest.push(b'[');
        rest.extend_from_slice(&self.buffer[list.cut..]);
        let mut text = std::mem::replace(&mut self.buffer, rest);
        text.truncate(list.cut);
        if let Some(comma) = text.last_mut() {
            *comma = b']';
        }
        let (first, offset) = (list.first, self.offset);
        self.offset += list.cut as u64 - 1; // the bracket takes the comma's place
        self.at -= list.cut - 1;
        list.first += list.commas;
        (list.commas, list.cut) = (0, 1);
        let member = list.member.clone();
        self.state = State::Elements(list);
        Block { member, first, is_list: true, text, offset }
    }
}

impl<R: Read> Iterator for JsonBlocks<R> {
    type Item = Result<Block, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.state = State::Done;
            self.ended = true;
            self.buffer.clear();
            self.at = 0;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Gives out as little at a time as it is told to.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let n = self.1.min(out.len()).min(self.0.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn blocks(text: &str) -> Result<Vec<Block>, String> {
        JsonBlocks::new(Path::new("x.json"), text.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|err| err.to_string())
    }

    #[test]
    fn a_list_comes_back_whole_and_numbered() {
        let awkward = r#"a\"],[{ \\"#;
        let items: Vec<Value> = (0..80_000).map(|i| json!({"id": i, "s": awkward, "b": [i, [2]]})).collect();
        let text = serde_json::to_string(&items).unwrap();
        let got = blocks(&text).unwrap();
        assert!(got.len() > 5);
        let mut read = Vec::new();
        for block in got {
            assert_eq!((block.first, block.is_list, &block.member), (read.len(), true, &None));
            let place = block.offset as usize;
            assert_eq!(text.as_bytes()[place + 1..place + 9], block.text[1..9]);
            read.extend(serde_json::from_slice::<Vec<Value>>(&block.text).unwrap());
        }
        assert_eq!(read, items);
    }

    #[test]
    fn lists_and_values_of_an_object_are_told_apart() {
        let text = r#" { "info": {"a,": "]}"}, "images" : [1, 2 ] ,"n":-3.5e1, "s":"x\"y", "none":[], "z":null}
        "#;
        for step in [1, 3, 1000] {
            let blocks: Vec<Block> =
                JsonBlocks::new(Path::new("x"), Slow(text.as_bytes(), step)).map(Result::unwrap).collect();
            let seen: Vec<(&str, bool, Value)> = blocks
                .iter()
                .map(|b| (b.member.as_deref().unwrap(), b.is_list, serde_json::from_slice(&b.text).unwrap()))
                .collect();
            let expected = [
                ("info", false, json!({"a,": "]}"})),
                ("images", true, json!([1, 2])),
                ("n", false, json!(-35.0)),
                ("s", false, json!("x\"y")),
                ("none", true, json!([])),
                ("z", false, json!(null)),
            ];
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn a_file_that_is_cut_anywhere_is_refused() {
        for text in [r#"[{"a":"x\"y"},{"b":[1,2]}]"#, r#"{"a":[{"b":1},2],"c":{"d":"e"},"f":7}"#] {
            for end in 0..text.len() {
                assert!(blocks(&text[..end]).is_err(), "{}", &text[..end]);
            }
            assert!(blocks(text).is_ok());
        }
    }

    #[test]
    fn what_stands_between_elements_is_checked() {
        for (text, part) in [
            ("", "byte 0: expected JSON that starts with `[` or `{`, got the end of the file"),
            ("7", "got `7`"),
            ("[1] x", "byte 4: expected nothing after the end of the JSON, got `x`"),
            ("[1,]", "an element after the comma"),
            ("{\"a\":[],}", "a key in quotes, got `}`"),
            ("{\"a\" 1}", "expected `:`, got `1`"),
            ("{\"a\":[] \"b\":1}", "expected `,` or `}`"),
            ("[\"abc", "ends inside element 0"),
            ("{\"a\":[1,2,{", "ends inside element 2 of `a`"),
            ("{\"a\":{", "ends inside `a`"),
            ("{\"a\\x\":1}", "expected a key"),
        ] {
            let err = blocks(text).unwrap_err();
            assert!(err.contains(part), "{text}: {err}");
        }
        assert_eq!(blocks("[]").unwrap()[0].text, b"[]");
        assert!(blocks("{}").unwrap().is_empty());
    }
}
