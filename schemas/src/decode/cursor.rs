//! A strict JSON reader (RFC 8259) over bytes that are known to be UTF-8. No recursion, no allocation.

use super::problem::Problem;

/// Levels of objects and arrays in an event, the event itself included. serde_json stops at 128.
pub const MAX_DEPTH: u32 = 64;

/// A position in one record.
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

/// The content of a string between its quotes.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) raw: &'a [u8],
    pub(super) escaped: bool,
}

/// A number as written.
#[derive(Clone, Copy)]
pub(super) struct Number<'a> {
    pub(super) raw: &'a [u8],
    /// Neither fraction nor exponent.
    pub(super) integer: bool,
}

impl<'a> Cursor<'a> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Steps over `byte`, where it is next.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    pub(super) fn whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Steps over `word` (`true`, `false`, `null`).
    pub(super) fn word(&mut self, word: &[u8]) -> Result<(), Problem> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(self.syntax("not a JSON value (NaN and Infinity are not JSON)"));
        }
        self.at += word.len();
        Ok(())
    }

    pub(super) fn string(&mut self) -> Result<Text<'a>, Problem> {
        if !self.take(b'"') {
            return Err(self.syntax("a string was expected"));
        }
        let (start, mut escaped) = (self.at, false);
        loop {
            self.at += plain_prefix(&self.bytes[self.at..]);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.syntax("a control character in a string")),
                None => return Err(self.syntax("the record ends inside a string")),
            }
        }
        let raw = &self.bytes[start..self.at];
        self.at += 1;
        Ok(Text { raw, escaped })
    }

    fn escape(&mut self) -> Result<(), Problem> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let unit =
                    hex4(&self.bytes[self.at + 2..]).ok_or(self.syntax("a broken \\u escape"))?;
                self.at += 6;
                match unit {
                    0xd800..=0xdbff => {
                        let rest = &self.bytes[self.at..];
                        let low = rest.strip_prefix(b"\\u").and_then(hex4);
                        if !low.is_some_and(|low| (0xdc00..=0xdfff).contains(&low)) {
                            return Err(self.syntax("half a surrogate pair"));
                        }
                        self.at += 6;
                    }
                    0xdc00..=0xdfff => return Err(self.syntax("half a surrogate pair")),
                    _ => {}
                }
            }
            Some(_) => return Err(self.syntax("an unknown escape")),
            None => return Err(self.syntax("the record ends inside a string")),
        }
        Ok(())
    }

    pub(super) fn number(&mut self) -> Result<Number<'a>, Problem> {
        let (start, mut integer) = (self.at, true);
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        } else if self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.syntax("a number with a leading zero"));
        }
        if self.take(b'.') {
            integer = false;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            integer = false;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Number { raw: &self.bytes[start..self.at], integer })
    }

    fn digits(&mut self) -> Result<(), Problem> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.syntax("not a JSON number")) } else { Ok(()) }
    }

    /// Steps over a value of any kind that lies in `depth` objects and arrays.
    pub(super) fn skip_value(&mut self, depth: u32) -> Result<(), Problem> {
        // One bit per open level, the innermost lowest: 1 is an object, 0 an array.
        let (mut open, mut levels): (u64, u32) = (0, 0);
        loop {
            match self.peek() {
                Some(byte @ (b'{' | b'[')) => {
                    self.at += 1;
                    self.whitespace();
                    let object = byte == b'{';
                    if depth + levels >= MAX_DEPTH {
                        return Err(Problem::Depth);
                    }
                    if self.take(if object { b'}' } else { b']' }) {
                        // An empty one is a value that has ended.
                    } else {
                        (open, levels) = (open << 1 | u64::from(object), levels + 1);
                        if object {
                            self.member_name()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => drop(self.string()?),
                Some(b'-' | b'0'..=b'9') => drop(self.number()?),
                Some(b't') => self.word(b"true")?,
                Some(b'f') => self.word(b"false")?,
                Some(b'n') => self.word(b"null")?,
                Some(_) => {
                    return Err(self.syntax("not a JSON value (NaN and Infinity are not JSON)"));
                }
                None => return Err(self.syntax("the record ends where a value was expected")),
            }
            loop {
                if levels == 0 {
                    return Ok(());
                }
                let object = open & 1 == 1;
                self.whitespace();
                if self.take(b',') {
                    self.whitespace();
                    if object {
                        self.member_name()?;
                    }
                    break;
                }
                if !self.take(if object { b'}' } else { b']' }) {
                    return Err(
                        self.syntax("a comma or the end of an object or array was expected")
                    );
                }
                (open, levels) = (open >> 1, levels - 1);
            }
        }
    }

    /// Steps over `"name" :` and the whitespace behind it.
    pub(super) fn member_name(&mut self) -> Result<Text<'a>, Problem> {
        let name = self.string()?;
        self.whitespace();
        if !self.take(b':') {
            return Err(self.syntax("a colon was expected"));
        }
        self.whitespace();
        Ok(name)
    }

    pub(super) fn syntax(&self, what: &'static str) -> Problem {
        Problem::Syntax { what, at: self.at }
    }
}

impl Text<'_> {
    /// Appends the string's characters to `out`. The escapes have been checked by the cursor.
    pub(super) fn unescape(self, out: &mut Vec<u8>) {
        let mut rest = self.raw;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            out.extend_from_slice(&rest[..at]);
            let mut used = 2;
            let unescaped = match rest[at + 1] {
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => {
                    let mut unit = hex4(&rest[at + 2..]).unwrap_or(0xfffd);
                    used = 6;
                    if (0xd800..=0xdbff).contains(&unit) {
                        let low = hex4(&rest[at + 8..]).unwrap_or(0xdc00);
                        unit = 0x1_0000 + ((unit - 0xd800) << 10 | (low - 0xdc00));
                        used = 12;
                    }
                    char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)
                }
                other => char::from(other),
            };
            out.extend_from_slice(unescaped.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[at + used..];
        }
        out.extend_from_slice(rest);
    }
}

/// How many bytes come before the first quote, backslash or control character.
#[inline]
pub(super) fn plain_prefix(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let mut at = 0;
    while let Some(window) = bytes.get(at..at + 8).and_then(|window| window.try_into().ok()) {
        let word = u64::from_le_bytes(window);
        // "Has a zero byte" and "has a byte below 0x20"; the lowest bit set is exact in both.
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let hit = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        if hit & HIGHS != 0 {
            return at + (hit & HIGHS).trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    at + bytes[at..].iter().position(special).unwrap_or(bytes.len() - at)
}

fn hex4(bytes: &[u8]) -> Option<u32> {
    bytes
        .get(..4)?
        .iter()
        .try_fold(0, |unit, byte| Some(unit << 4 | char::from(*byte).to_digit(16)?))
}
