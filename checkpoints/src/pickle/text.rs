//! Values that protocols 0 and 1 write as text.

/// The content of a quoted Python string literal, as `repr` of Python 2 writes it.
pub(crate) fn unquote(literal: &[u8]) -> Option<Vec<u8>> {
    let (&quote, rest) = literal.split_first()?;
    let (&last, body) = rest.split_last()?;
    if last != quote || !matches!(quote, b'\'' | b'"') {
        return None;
    }
    let mut out = Vec::with_capacity(body.len());
    let mut bytes = body.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match bytes.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                (high * 16 + low) as u8
            }
            escaped @ (b'\\' | b'\'' | b'"') => escaped,
            _ => return None,
        });
    }
    Some(out)
}

/// Text with `\uXXXX` and `\UXXXXXXXX`, every other byte a Latin-1 character.
pub(crate) fn raw_unicode(line: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(line.len());
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        let digits = match (byte, line.get(at + 1)) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => 0,
        };
        if digits == 0 {
            out.push(char::from(byte));
            at += 1;
            continue;
        }
        let hex = std::str::from_utf8(line.get(at + 2..at + 2 + digits)?).ok()?;
        out.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
        at += 2 + digits;
    }
    Some(out)
}

/// The bytes that text stands for where every character is one byte.
pub(crate) fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

/// A little-endian two's complement integer, if it has at most 64 bits.
pub(crate) fn little_endian(bytes: &[u8]) -> Option<i64> {
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let fill = if negative { 0xff } else { 0 };
    let (low, high) = bytes.split_at(bytes.len().min(8));
    if high.iter().any(|&byte| byte != fill) {
        return None;
    }
    let mut out = [fill; 8];
    out[..low.len()].copy_from_slice(low);
    let value = i64::from_le_bytes(out);
    ((value < 0) == negative).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals() {
        assert_eq!(unquote(br"'a\\b\'\x00\xff\n'").unwrap(), b"a\\b'\x00\xff\n");
        assert_eq!(unquote(b"\"\"").unwrap(), b"");
        for bad in [&b"'"[..], b"", b"'a\"", b"abc", b"'\\'", b"'\\q'", b"'\\x1'"] {
            assert!(unquote(bad).is_none(), "{bad:?}");
        }
        assert_eq!(raw_unicode(b"\\u00e9\xe9\\U0001f600\\n").unwrap(), "\u{e9}\u{e9}\u{1f600}\\n");
        assert!(raw_unicode(b"\\u12").is_none() && raw_unicode(b"\\ud800").is_none());
        assert_eq!(latin1("\u{e9}A").unwrap(), [0xe9, 0x41]);
        assert!(latin1("\u{20ac}").is_none());
    }

    #[test]
    fn integers() {
        for (bytes, value) in [
            (&b""[..], Some(0)),
            (b"\xff", Some(-1)),
            (b"\xff\x00", Some(255)),
            (b"\x00\x00\x00\x00\x00\x00\x00\x80", Some(i64::MIN)),
            (b"\x00\x00\x00\x00\x00\x00\x00\x80\x00", None),
            (b"\xff\xff\xff\xff\xff\xff\xff\x7f\x00", Some(i64::MAX)),
            (b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", None),
        ] {
            assert_eq!(little_endian(bytes), value, "{bytes:?}");
        }
    }
}
