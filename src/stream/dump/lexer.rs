//! Where statements, comments and psql commands begin and end in a dump, read byte by byte.
//!
//! The rules are psql's (src/fe_utils/psqlscan.l; manual §4.1), for psql is what reads a dump back. Every state
//! takes one byte or one run of bytes, so a piece may end anywhere.

use memchr::{memchr, memchr2};

use super::words::Words;

/// A statement is kept up to this length: a COPY of 1600 columns with names of 63 quoted quotes has 210 kB.
const MAX_KEPT: usize = 1 << 20;
/// Comments and psql commands are kept up to this length.
const MAX_LINE: usize = 1024;
/// A dollar quote's tag is an identifier: at most 63 bytes count, more are allowed.
const MAX_TAG: usize = 256;

/// What a call of [`Lexer::read`] came upon.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lexed {
    /// Nothing yet; more bytes are needed.
    More,
    /// A statement ended: see [`Lexer::text`]. Say [`Lexer::next_statement`] when done with it.
    Statement,
    /// A line comment between statements ended: see [`Lexer::comment`].
    Comment,
    /// A psql command ended: see [`Lexer::comment`], which has its whole line.
    Meta,
    /// The line break after a COPY statement: data begins.
    Data,
    /// No dump looks so.
    Refused(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Plain,
    /// After `-` outside of everything.
    Dash,
    /// After `/` outside of everything.
    Slash,
    LineComment,
    Meta,
    Block {
        depth: u32,
        last: u8,
    },
    /// Inside `"…"`.
    Name,
    /// Inside `'…'`; `escapes` where a backslash takes the next byte with it.
    Quote {
        escapes: bool,
    },
    /// After a backslash in such a string.
    Escaped,
    /// After a `'` that ends a string, unless another one follows.
    QuoteEnd {
        escapes: bool,
    },
    /// In `$tag`, which may or may not become a dollar quote.
    Tag,
    /// In a dollar quote's body, with so many bytes of the closing tag just seen.
    Body {
        matched: usize,
    },
    ExpectData,
}

/// The lexer. It holds the current statement, comments left out.
pub(super) struct Lexer {
    state: State,
    text: Vec<u8>,
    most: usize,
    cut_off: bool,
    line: Vec<u8>,
    tag: Vec<u8>,
    words: Words,
    parens: u32,
    standard_strings: bool,
    /// After an `E''` string: whether a line break has come, so that a quote would continue it.
    continuation: Option<bool>,
    statements: u64,
}

impl Lexer {
    pub(super) fn new() -> Self {
        Self::keeping(MAX_KEPT)
    }

    /// A lexer that keeps statements up to this length.
    pub(super) fn keeping(most: usize) -> Self {
        Self {
            state: State::Plain,
            text: Vec::new(),
            most,
            cut_off: false,
            line: Vec::new(),
            tag: Vec::new(),
            words: Words::default(),
            parens: 0,
            standard_strings: true,
            continuation: None,
            statements: 0,
        }
    }

    /// The current statement without leading blanks; cut off where it is too long to keep.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The same, given away.
    pub(super) fn take_text(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.text)
    }

    /// Whether [`text`](Self::text) is only the beginning.
    pub(super) fn is_cut_off(&self) -> bool {
        self.cut_off
    }

    /// The comment or psql command that just ended, from its first byte, without its line break.
    pub(super) fn comment(&self) -> &[u8] {
        &self.line
    }

    /// How many statements have ended.
    pub(super) fn statements(&self) -> u64 {
        self.statements
    }

    /// Whether the stream may end here.
    pub(super) fn at_rest(&self) -> bool {
        self.text.is_empty() && self.state == State::Plain
    }

    /// `SET standard_conforming_strings` was read: whether `'…'` takes backslashes literally.
    pub(super) fn set_standard_strings(&mut self, on: bool) {
        self.standard_strings = on;
    }

    /// Forgets the statement that just ended.
    pub(super) fn next_statement(&mut self) {
        self.text.clear();
        self.cut_off = false;
        self.words = Words::default();
        self.parens = 0;
        self.continuation = None;
        self.statements += 1;
    }

    /// The statement that just ended is a COPY: a line break must follow, then data.
    pub(super) fn expect_data(&mut self) {
        self.state = State::ExpectData;
    }

    /// Reads on until something ends; gives how many bytes it took.
    pub(super) fn read(&mut self, bytes: &[u8]) -> (usize, Lexed) {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let (used, lexed) = match self.state {
                State::Plain => self.plain(rest[0]),
                State::Dash => self.second(b'-', rest[0], State::LineComment),
                State::Slash => self.second(b'/', rest[0], State::Block { depth: 1, last: 0 }),
                State::LineComment | State::Meta => self.line(rest),
                State::Block { depth, last } => (1, self.block(depth, last, rest[0])),
                State::Name => (self.until(rest, memchr(b'"', rest), State::Plain), Lexed::More),
                State::Quote { escapes } => (self.quote(rest, escapes), Lexed::More),
                State::Escaped => {
                    self.state = State::Quote { escapes: true };
                    (self.keep(&rest[..1]), Lexed::More)
                }
                State::QuoteEnd { escapes } => (self.quote_end(rest, escapes), Lexed::More),
                State::Tag => (self.tag(rest), Lexed::More),
                State::Body { matched } => (self.body(rest, matched), Lexed::More),
                State::ExpectData => (1, self.data(rest[0])),
            };
            at += used;
            if lexed != Lexed::More {
                return (at, lexed);
            }
        }
        (at, Lexed::More)
    }

    /// Adds bytes to the statement; gives their number.
    fn keep(&mut self, bytes: &[u8]) -> usize {
        let room = self.most.saturating_sub(self.text.len());
        self.cut_off |= bytes.len() > room;
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
        bytes.len()
    }

    /// Adds bytes up to and with `end`, and changes the state there.
    fn until(&mut self, bytes: &[u8], end: Option<usize>, then: State) -> usize {
        match end {
            Some(end) => {
                self.state = then;
                self.keep(&bytes[..=end])
            }
            None => self.keep(bytes),
        }
    }

    fn plain(&mut self, byte: u8) -> (usize, Lexed) {
        if is_word(byte) || (byte == b'$' && self.words.in_word()) {
            self.continuation = None;
            self.words.add(byte);
            return (self.keep(&[byte]), Lexed::More);
        }
        let escapes = self.words.is_escape_prefix() || self.continuation == Some(true);
        self.words.end(self.parens == 0);
        if byte.is_ascii_whitespace() || byte == 0x0b {
            self.continuation = self.continuation.map(|line_break| line_break || byte == b'\n' || byte == b'\r');
            if !self.text.is_empty() {
                self.keep(&[byte]);
            }
            return (1, Lexed::More);
        }
        self.state = match byte {
            b'-' => State::Dash,
            b'/' => State::Slash,
            b'\'' => State::Quote { escapes: escapes || !self.standard_strings },
            b'"' => State::Name,
            b'$' => {
                self.tag.clear();
                State::Tag
            }
            b'\\' if !self.text.is_empty() => return (1, Lexed::Refused("a psql command inside a statement")),
            b'\\' => {
                self.line.clear();
                self.line.push(byte);
                State::Meta
            }
            _ => State::Plain,
        };
        if matches!(self.state, State::Dash | State::Slash | State::Tag | State::Meta) {
            return (1, Lexed::More);
        }
        self.continuation = None;
        match byte {
            b'(' => self.parens += 1,
            b')' => self.parens = self.parens.saturating_sub(1),
            b';' if self.parens == 0 && !self.words.in_body() => return (1, Lexed::Statement),
            _ => {}
        }
        (self.keep(&[byte]), Lexed::More)
    }

    /// After the first byte of what may be a comment.
    fn second(&mut self, first: u8, byte: u8, state: State) -> (usize, Lexed) {
        if byte == if first == b'-' { b'-' } else { b'*' } {
            self.line.clear();
            self.line.extend_from_slice(&[first, byte]);
            self.state = state;
            return (1, Lexed::More);
        }
        self.continuation = None;
        self.state = State::Plain;
        self.keep(&[first]);
        (0, Lexed::More)
    }

    /// In a comment or psql command that goes to the end of the line.
    fn line(&mut self, bytes: &[u8]) -> (usize, Lexed) {
        let end = memchr2(b'\n', b'\r', bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let room = MAX_LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(&part[..part.len().min(room)]);
        let Some(end) = end else { return (bytes.len(), Lexed::More) };
        let meta = self.state == State::Meta;
        self.state = State::Plain;
        // The line break is left for `plain`: a string may continue after it.
        match (meta, self.text.is_empty()) {
            (true, _) => (end, Lexed::Meta),
            (false, true) => (end, Lexed::Comment),
            (false, false) => (end, Lexed::More),
        }
    }

    /// In a `/* … */` comment; they nest.
    fn block(&mut self, depth: u32, last: u8, byte: u8) -> Lexed {
        self.state = match (last, byte) {
            (b'*', b'/') if depth == 1 => State::Plain,
            (b'*', b'/') => State::Block { depth: depth - 1, last: 0 },
            (b'/', b'*') => State::Block { depth: depth + 1, last: 0 },
            _ => State::Block { depth, last: byte },
        };
        Lexed::More
    }

    fn quote(&mut self, bytes: &[u8], escapes: bool) -> usize {
        if !escapes {
            return self.until(bytes, memchr(b'\'', bytes), State::QuoteEnd { escapes });
        }
        let end = memchr2(b'\'', b'\\', bytes);
        let escaped = end.is_some_and(|end| bytes[end] == b'\\');
        self.until(bytes, end, if escaped { State::Escaped } else { State::QuoteEnd { escapes } })
    }

    fn quote_end(&mut self, bytes: &[u8], escapes: bool) -> usize {
        if bytes[0] == b'\'' {
            self.state = State::Quote { escapes };
            return self.keep(&bytes[..1]);
        }
        self.continuation = escapes.then_some(false);
        self.state = State::Plain;
        0
    }

    /// After a `$` that does not belong to a word.
    fn tag(&mut self, bytes: &[u8]) -> usize {
        let byte = bytes[0];
        let fits = is_word(byte) && !(self.tag.is_empty() && byte.is_ascii_digit());
        if fits && self.tag.len() < MAX_TAG {
            self.tag.push(byte);
            return 1;
        }
        let tag = std::mem::take(&mut self.tag);
        self.keep(b"$");
        self.keep(&tag);
        self.continuation = None;
        if byte != b'$' {
            self.state = State::Plain;
            return 0;
        }
        self.tag.push(b'$');
        self.tag.extend_from_slice(&tag);
        self.tag.push(b'$');
        self.state = State::Body { matched: 0 };
        self.keep(b"$")
    }

    fn body(&mut self, bytes: &[u8], matched: usize) -> usize {
        if matched == 0 {
            return self.until(bytes, memchr(b'$', bytes), State::Body { matched: 1 });
        }
        let byte = bytes[0];
        self.state = if byte != self.tag[matched] {
            // The tag has dollars only at its ends, so nothing but this byte can begin another one.
            State::Body { matched: usize::from(byte == b'$') }
        } else if matched + 1 == self.tag.len() {
            State::Plain
        } else {
            State::Body { matched: matched + 1 }
        };
        self.keep(&bytes[..1])
    }

    fn data(&mut self, byte: u8) -> Lexed {
        self.state = State::Plain;
        if byte == b'\n' { Lexed::Data } else { Lexed::Refused("a COPY statement whose line goes on") }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}
