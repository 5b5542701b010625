//! The map of a sparse file (GNU tar manual, "Storing Sparse Files"): written as format 1.0, read in all four forms.

use super::{BLOCK, MAX_SEGMENTS, Segment, block, pax};

/// The map as it precedes the data: the count, then offset and length of each segment, a line each, padded to a block.
/// The last segment is empty and ends the file where its last hole does.
pub(super) fn encode_map(segments: &[Segment], size: u64) -> Vec<u8> {
    let end = Segment { offset: size, bytes: 0 };
    let ends_with_data = segments.last().is_some_and(|s| s.offset + s.bytes == size);
    let closing = if ends_with_data { None } else { Some(&end) };
    let mut map = Vec::new();
    let mut line = |number: u64| {
        pax::put_number(&mut map, number);
        map.push(b'\n');
    };
    line((segments.len() + closing.iter().len()) as u64);
    for segment in segments.iter().chain(closing) {
        line(segment.offset);
        line(segment.bytes);
    }
    map.resize(map.len().next_multiple_of(BLOCK), 0);
    map
}

/// A map that is being read from blocks of format 1.0.
#[derive(Debug, Default)]
pub(super) struct MapReader {
    number: Option<u64>,
    digits: usize,
    pending: Option<u64>,
    left: Option<u64>,
    segments: Vec<Segment>,
    /// Bytes of the map so far, for they count to the entry's stored size.
    pub(super) bytes: u64,
}

impl MapReader {
    /// Takes one block; `Ok(true)` when the map is whole.
    pub(super) fn block(&mut self, block: &[u8; BLOCK]) -> Result<bool, &'static str> {
        self.bytes += BLOCK as u64;
        for byte in block {
            match byte {
                b'0'..=b'9' if self.digits < 20 => {
                    let number =
                        self.number.unwrap_or(0).checked_mul(10).and_then(|n| n.checked_add(u64::from(byte - b'0')));
                    self.number = Some(number.ok_or("a number of the sparse map is too large")?);
                    self.digits += 1;
                }
                b'\n' => {
                    let number = self.number.take().ok_or("the sparse map has an empty line")?;
                    self.digits = 0;
                    if self.line(number)? {
                        return Ok(true);
                    }
                }
                _ => return Err("the sparse map holds something else than numbers"),
            }
        }
        Ok(false)
    }

    fn line(&mut self, number: u64) -> Result<bool, &'static str> {
        let Some(left) = &mut self.left else {
            if number > MAX_SEGMENTS as u64 + 1 {
                return Err("the sparse map has too many segments");
            }
            self.left = Some(number);
            return Ok(number == 0);
        };
        match self.pending.take() {
            None => self.pending = Some(number),
            Some(offset) => {
                self.segments.push(Segment { offset, bytes: number });
                *left -= 1;
            }
        }
        Ok(*left == 0 && self.pending.is_none())
    }

    /// The segments.
    pub(super) fn finish(self) -> Vec<Segment> {
        self.segments
    }
}

/// Checks what a map says and drops its empty segments. `stored`: the bytes of data that follow.
pub(super) fn checked(mut segments: Vec<Segment>, size: u64, stored: u64) -> Result<Vec<Segment>, &'static str> {
    let mut end = 0;
    let mut sum = 0u64;
    for segment in &segments {
        if segment.offset < end {
            return Err("the segments of the sparse map overlap");
        }
        end = segment.offset.checked_add(segment.bytes).ok_or("a segment of the sparse map is too large")?;
        sum = sum.saturating_add(segment.bytes);
    }
    if end > size {
        return Err("the sparse map goes beyond the file's end");
    }
    if sum != stored {
        return Err("the sparse map does not add up to the stored data");
    }
    segments.retain(|s| s.bytes > 0);
    Ok(segments)
}

/// The pairs of offset and length in a header of GNU's old format; `None`: no numbers. The list ends at an empty pair.
pub(super) fn old_pairs(field: &[u8], segments: &mut Vec<Segment>) -> Option<()> {
    for pair in field.chunks_exact(24) {
        if pair[0] == 0 && pair[12] == 0 {
            break;
        }
        let offset = u64::try_from(block::number(&pair[..12])?).ok()?;
        let bytes = u64::try_from(block::number(&pair[12..])?).ok()?;
        segments.push(Segment { offset, bytes });
    }
    (segments.len() <= MAX_SEGMENTS).then_some(())
}

/// `GNU.sparse.map` of format 0.1: `offset,length,offset,length`.
pub(super) fn comma_map(text: &[u8]) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut numbers = text.split(|b| *b == b',').map(pax::decimal);
    while let Some(offset) = numbers.next() {
        segments.push(Segment { offset: offset?, bytes: numbers.next()?? });
        if segments.len() > MAX_SEGMENTS {
            return None;
        }
    }
    Some(segments)
}
