//! Bytes to entries and their content, in pieces of any size.

use super::{
    BLOCK, Entry, MAX_META_BYTES, Segment, TarError,
    assemble::{Assembled, Layout, Meta, assemble},
    block::{self, Block},
    pax,
    sparse::{self, MapReader},
};

/// What a parser finds, in the order of the archive.
#[derive(Debug)]
pub enum Event<'a> {
    /// An entry begins; its headers begin at this byte.
    Entry(Box<Entry>, u64),
    /// Bytes of its content.
    Data(&'a [u8]),
    /// So many zeros of its content are not stored.
    Hole(u64),
    /// The entry is complete.
    EntryEnd,
}

/// Reads an archive that comes in pieces. Memory is bounded whatever the bytes are.
#[derive(Debug, Default)]
pub struct Parser {
    position: u64,
    entry_start: u64,
    block: Vec<u8>,
    meta: Meta,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Header,
    /// The value of an extension header.
    Meta {
        what: MetaKind,
        value: Vec<u8>,
        left: u64,
        padding: u64,
    },
    /// Further blocks of GNU's old sparse map.
    OldMap(Assembled, Vec<Segment>),
    /// The map before the data of GNU sparse 1.0.
    Map(Assembled, MapReader),
    Content(Content),
    /// One block of zeros; a second one ends the archive.
    OneZero,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MetaKind {
    Pax,
    Global,
    LongName,
    LongLink,
}

#[derive(Debug)]
struct Content {
    segments: std::vec::IntoIter<Segment>,
    segment_left: u64,
    at: u64,
    size: u64,
    padding: u64,
}

impl Parser {
    /// A parser for the entries that begin at `offset` of a plain stream.
    pub fn at(offset: u64) -> Self {
        Self { position: offset, entry_start: offset, ..Self::default() }
    }

    /// Whether all entries that began are complete, with nothing before a next one.
    pub fn is_between_entries(&self) -> bool {
        matches!(self.state, State::Header | State::OneZero | State::Ended)
            && self.block.is_empty()
            && self.meta.is_empty()
    }

    /// Takes the next bytes and tells what is complete with them.
    ///
    /// # Errors
    /// [`TarError`] when the bytes are not a tar, and whatever `on` returns.
    pub fn push<E, F>(&mut self, mut bytes: &[u8], on: &mut F) -> Result<(), E>
    where
        E: From<TarError>,
        F: FnMut(Event<'_>) -> Result<(), E>,
    {
        while !bytes.is_empty() {
            let taken = match &mut self.state {
                State::Meta { value, left, padding, .. } => {
                    let taken = take(value, left, padding, bytes);
                    if *left == 0 && *padding == 0 {
                        self.meta_end()?;
                    }
                    taken
                }
                State::Content(content) => {
                    let (taken, done) = content.take(bytes, on)?;
                    if done {
                        self.state = State::Header;
                    }
                    taken
                }
                _ => {
                    let taken = bytes.len().min(BLOCK - self.block.len());
                    self.block.extend_from_slice(&bytes[..taken]);
                    if let Ok(block) = <&Block>::try_from(self.block.as_slice()) {
                        let block = *block;
                        self.block.clear();
                        self.on_block(&block, on)?;
                    }
                    taken
                }
            };
            self.position += taken as u64;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Says that there are no more bytes.
    ///
    /// # Errors
    /// When the archive has not come to its end.
    pub fn finish(self) -> Result<(), TarError> {
        match self.state {
            State::Ended => Ok(()),
            _ => Err(TarError { offset: self.position, problem: "it ends before its end mark".into() }),
        }
    }

    fn error(&self, problem: impl Into<String>) -> TarError {
        TarError { offset: self.entry_start, problem: problem.into() }
    }

    fn on_block<E, F>(&mut self, block: &Block, on: &mut F) -> Result<(), E>
    where
        E: From<TarError>,
        F: FnMut(Event<'_>) -> Result<(), E>,
    {
        let zero = block.iter().all(|b| *b == 0);
        match std::mem::take(&mut self.state) {
            State::Header if zero && self.meta.is_empty() => self.state = State::OneZero,
            State::Header => self.header(block, on)?,
            State::OldMap(assembled, segments) => self.old_map(block, assembled, segments, on)?,
            State::Map(assembled, map) => self.map(block, assembled, map, on)?,
            State::OneZero | State::Ended if zero => self.state = State::Ended,
            State::OneZero => return Err(self.error("something follows a lone block of zeros").into()),
            State::Ended => return Err(self.error("something follows the end mark").into()),
            state @ (State::Meta { .. } | State::Content(_)) => self.state = state,
        }
        Ok(())
    }

    fn header<E, F>(&mut self, block: &Block, on: &mut F) -> Result<(), E>
    where
        E: From<TarError>,
        F: FnMut(Event<'_>) -> Result<(), E>,
    {
        if self.meta.is_empty() {
            // The block's last byte is not counted yet.
            self.entry_start = (self.position / BLOCK as u64) * BLOCK as u64;
        }
        if block::number(&block[block::CHECKSUM]) != Some(i128::from(block::checksum(block))) {
            return Err(self.error("the header's checksum is wrong").into());
        }
        let what = match block[block::TYPE] {
            b'x' | b'X' => MetaKind::Pax,
            b'g' => MetaKind::Global,
            b'L' => MetaKind::LongName,
            b'K' => MetaKind::LongLink,
            _ => return self.entry(block, on),
        };
        let length = block::number(&block[block::SIZE]).and_then(|n| u64::try_from(n).ok());
        let left =
            length.filter(|n| *n <= MAX_META_BYTES).ok_or_else(|| self.error("an extension header is too long"))?;
        let padding = left.next_multiple_of(BLOCK as u64) - left;
        self.state = State::Meta { what, value: Vec::new(), left, padding };
        if left == 0 {
            self.meta_end()?;
        }
        Ok(())
    }

    fn meta_end(&mut self) -> Result<(), TarError> {
        let State::Meta { what, mut value, .. } = std::mem::take(&mut self.state) else { return Ok(()) };
        match what {
            MetaKind::Pax if self.meta.pax.is_some() => {
                return Err(self.error("two groups of pax records for one entry"));
            }
            MetaKind::Pax => self.meta.pax = Some(value),
            MetaKind::Global => {
                let harmless = pax::Records(&value).all(|r| matches!(r, Some((b"comment", _))));
                if !harmless {
                    return Err(self.error("global pax records are not read"));
                }
            }
            MetaKind::LongName | MetaKind::LongLink => {
                value.truncate(block::text(&value).len());
                let slot = if what == MetaKind::LongName { &mut self.meta.long_name } else { &mut self.meta.long_link };
                *slot = Some(value);
            }
        }
        Ok(())
    }

    fn entry<E, F>(&mut self, block: &Block, on: &mut F) -> Result<(), E>
    where
        E: From<TarError>,
        F: FnMut(Event<'_>) -> Result<(), E>,
    {
        let meta = std::mem::take(&mut self.meta);
        let mut assembled = assemble(block, meta).map_err(|problem| self.error(problem))?;
        match std::mem::replace(&mut assembled.layout, Layout::Whole) {
            Layout::Whole => {
                let whole = Segment { offset: 0, bytes: assembled.entry.size };
                self.begin(assembled, vec![whole], on)
            }
            Layout::MapFirst => {
                if assembled.stored < BLOCK as u64 {
                    return Err(self.error("a sparse file without a map").into());
                }
                self.state = State::Map(assembled, MapReader::default());
                Ok(())
            }
            Layout::Mapped(segments) | Layout::Old { segments, more: false } => self.mapped(assembled, segments, on),
            Layout::Old { segments, more: true } => {
                self.state = State::OldMap(assembled, segments);
                Ok(())
            }
        }
    }

    fn old_map<E, F>(
        &mut self,
        block: &Block,
        entry: Assembled,
        mut segments: Vec<Segment>,
        on: &mut F,
    ) -> Result<(), E>
    where
        E: From<TarError>,
        F: FnMut(Event<'_>) -> Result<(), E>,
    {
        sparse::old_pairs(&block[..504], &mut segments).ok_or_else(|| self.error("the sparse map is damaged"))?;
        if block[504] == 0 {
            return self.mapped(entry, segments, on);
        }
        self.state = State::OldMap(entry, segments);
        Ok(())
    }

    fn map<E, F>(&mut self, block: &Block, mut entry: Assembled, mut map: MapReader, on: &mut F) -> Result<(), E>
    where
        E: From<TarError>,
        F: FnMut(Event<'_>) -> Result<(), E>,
    {
        let whole = map.block(block).map_err(|problem| self.error(problem))?;
        if map.bytes > entry.stored {
            return Err(self.error("the sparse map is longer than the entry").into());
        }
        if whole {
            entry.stored -= map.bytes;
            return self.mapped(entry, map.finish(), on);
        }
        self.state = State::Map(entry, map);
        Ok(())
    }

    fn mapped<E, F>(&mut self, mut entry: Assembled, segments: Vec<Segment>, on: &mut F) -> Result<(), E>
    where
        E: From<TarError>,
        F: FnMut(Event<'_>) -> Result<(), E>,
    {
        let checked = sparse::checked(segments, entry.entry.size, entry.stored);
        let segments = checked.map_err(|problem| self.error(problem))?;
        entry.entry.sparse = Some(segments.clone());
        self.begin(entry, segments, on)
    }

    fn begin<E, F>(&mut self, assembled: Assembled, segments: Vec<Segment>, on: &mut F) -> Result<(), E>
    where
        E: From<TarError>,
        F: FnMut(Event<'_>) -> Result<(), E>,
    {
        let padding = (BLOCK as u64 - assembled.stored % BLOCK as u64) % BLOCK as u64;
        let size = assembled.entry.size;
        on(Event::Entry(assembled.entry, self.entry_start))?;
        let mut content = Content { segments: segments.into_iter(), segment_left: 0, at: 0, size, padding };
        let done = content.advance(on)?;
        self.state = if done { State::Header } else { State::Content(content) };
        Ok(())
    }
}

/// Moves bytes into a value and past its padding; gives how many.
fn take(value: &mut Vec<u8>, left: &mut u64, padding: &mut u64, bytes: &[u8]) -> usize {
    let now = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    value.extend_from_slice(&bytes[..now]);
    *left -= now as u64;
    let skipped = usize::try_from(*padding).unwrap_or(usize::MAX).min(bytes.len() - now);
    *padding -= skipped as u64;
    now + skipped
}

impl Content {
    /// Tells of holes up to the next data; `true`: the entry is complete, padding included.
    fn advance<E, F: FnMut(Event<'_>) -> Result<(), E>>(&mut self, on: &mut F) -> Result<bool, E> {
        while self.segment_left == 0 {
            let next = self.segments.next();
            let until = next.map_or(self.size, |s| s.offset);
            if until > self.at {
                on(Event::Hole(until - self.at))?;
                self.at = until;
            }
            match next {
                Some(segment) => self.segment_left = segment.bytes,
                None => {
                    on(Event::EntryEnd)?;
                    return Ok(self.padding == 0);
                }
            }
        }
        Ok(false)
    }

    /// Takes bytes of content or padding; gives how many, and whether the entry is complete.
    fn take<E, F>(&mut self, bytes: &[u8], on: &mut F) -> Result<(usize, bool), E>
    where
        F: FnMut(Event<'_>) -> Result<(), E>,
    {
        let limit = if self.segment_left > 0 { self.segment_left } else { self.padding };
        let taken = usize::try_from(limit).unwrap_or(usize::MAX).min(bytes.len());
        if self.segment_left == 0 {
            self.padding -= taken as u64;
            return Ok((taken, self.padding == 0));
        }
        on(Event::Data(&bytes[..taken]))?;
        self.segment_left -= taken as u64;
        self.at += taken as u64;
        let done = self.segment_left == 0 && self.advance(on)?;
        Ok((taken, done))
    }
}
