//! Where elements of a list end: as much of the JSON grammar as that takes.

/// Where in the JSON grammar a byte is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Nesting {
    depth: usize,
    in_string: bool,
    /// The last byte was a backslash in a string.
    escaped: bool,
}

impl Nesting {
    /// Goes on to a comma or closing bracket that belongs to no element, and passes it.
    pub(super) fn separator(&mut self, text: &[u8], at: &mut usize) -> Option<u8> {
        while *at < text.len() {
            if self.in_string {
                self.skip_string(text, at);
                continue;
            }
            // Numbers, words and white space are passed quickly.
            let skip = text[*at..].iter().position(|&b| STRUCTURE[usize::from(b)]);
            let Some(skip) = skip else {
                *at = text.len();
                return None;
            };
            let byte = text[*at + skip];
            *at += skip + 1;
            match byte {
                b'"' => self.in_string = true,
                b'[' | b'{' => self.depth += 1,
                _ if self.depth == 0 => return Some(byte),
                b']' | b'}' => self.depth -= 1,
                _ => {}
            }
        }
        None
    }

    /// End of the value that starts at the text's first byte, once enough of the text is there.
    pub(super) fn value_end(&mut self, text: &[u8], at: &mut usize) -> Option<usize> {
        let is_string = text.first() == Some(&b'"');
        while *at < text.len() {
            let before = *at;
            if self.in_string {
                self.skip_string(text, at);
                if !self.in_string && is_string && self.depth == 0 {
                    return Some(*at);
                }
                continue;
            }
            *at += 1;
            match text[before] {
                b'"' => self.in_string = true,
                b'[' | b'{' => self.depth += 1,
                b',' | b']' | b'}' if self.depth == 0 => return Some(before),
                b']' | b'}' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(*at);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// Behind the end of the string, or as far as the text goes.
    fn skip_string(&mut self, text: &[u8], at: &mut usize) {
        while *at < text.len() {
            if self.escaped {
                self.escaped = false;
                *at += 1;
                continue;
            }
            let Some(found) = memchr::memchr2(b'"', b'\\', &text[*at..]) else {
                *at = text.len();
                return;
            };
            *at += found + 1;
            if text[*at - 1] == b'"' {
                self.in_string = false;
                return;
            }
            self.escaped = true;
        }
    }
}

/// Bytes that mean something outside strings.
static STRUCTURE: [bool; 256] = {
    let mut table = [false; 256];
    let bytes = b"\"[]{},";
    let mut i = 0;
    while i < bytes.len() {
        table[bytes[i] as usize] = true;
        i += 1;
    }
    table
};
