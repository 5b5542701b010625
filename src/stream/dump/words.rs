//! The words of a statement, as far as psql looks at them.

/// As much of a word as [`Words`] must know.
const MAX_WORD: usize = 12;

/// A function with a body in `BEGIN ATOMIC … END` holds semicolons that do not end it, so words are counted as
/// psqlscan.l does since PostgreSQL 14.
#[derive(Debug, Default)]
pub(super) struct Words {
    word: Vec<u8>,
    in_word: bool,
    number: bool,
    count: usize,
    first: [u8; 4],
    depth: u32,
}

impl Words {
    pub(super) fn add(&mut self, byte: u8) {
        if !self.in_word || (self.number && !byte.is_ascii_digit()) {
            self.word.clear();
            self.number = byte.is_ascii_digit();
            self.in_word = true;
        }
        if self.word.len() < MAX_WORD {
            self.word.push(byte.to_ascii_lowercase());
        }
    }

    /// Whether a `$` would belong to an identifier here.
    pub(super) fn in_word(&self) -> bool {
        self.in_word && !self.number
    }

    pub(super) fn is_escape_prefix(&self) -> bool {
        self.in_word() && self.word == b"e"
    }

    pub(super) fn in_body(&self) -> bool {
        self.depth > 0
    }

    /// The word ended: psql's heuristic.
    pub(super) fn end(&mut self, outside_parens: bool) {
        if !std::mem::take(&mut self.in_word) || self.number {
            return;
        }
        let word = self.word.as_slice();
        if let (Some(first), b"create" | b"function" | b"procedure" | b"or" | b"replace") =
            (self.first.get_mut(self.count), word)
        {
            *first = word[0];
        }
        self.count += 1;
        let routine = matches!(self.first, [b'c', b'f' | b'p', ..] | [b'c', b'o', b'r', b'f' | b'p']);
        if routine && outside_parens {
            match word {
                b"begin" => self.depth += 1,
                b"case" if self.depth > 0 => self.depth += 1,
                b"end" => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }
}
