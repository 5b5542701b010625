//! Counts the `CREATE ROLE` statements of `pg_dumpall`'s output while it passes, in pieces of any length.

/// What a statement that makes a role begins with, at the beginning of a line.
const CREATE: &[u8] = b"CREATE ROLE ";

/// The count so far, and where in the SQL the last piece ended.
#[derive(Debug, Default)]
pub(super) struct RoleCounter {
    pub(super) count: u64,
    within: Within,
    /// How much of [`CREATE`] this line has shown so far; `None`: it is another line.
    matched: Option<usize>,
    begun: bool,
}

/// A comment, a setting or a name may hold anything, a line that looks like a statement too.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Within {
    #[default]
    Statement,
    /// `'…'`: `pg_dumpall` doubles quotes and, after `E`, backslashes.
    Literal,
    /// `"…"`
    Name,
    /// `-- …`
    Comment,
}

impl RoleCounter {
    /// Reads the next piece.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if !self.begun {
                self.begun = true;
                self.matched = Some(0);
            }
            match (self.within, byte) {
                (Within::Statement, b'\'') => self.within = Within::Literal,
                (Within::Statement, b'"') => self.within = Within::Name,
                (Within::Statement, b'-') if self.matched == Some(0) => self.within = Within::Comment,
                (Within::Literal, b'\'') | (Within::Name, b'"') | (Within::Comment, b'\n') => {
                    self.within = Within::Statement;
                }
                _ => {}
            }
            self.step(byte);
        }
    }

    fn step(&mut self, byte: u8) {
        if byte == b'\n' {
            self.matched = (self.within == Within::Statement).then_some(0);
        } else if let Some(matched) = self.matched {
            self.matched = (CREATE[matched] == byte).then_some(matched + 1);
            if self.matched == Some(CREATE.len()) {
                self.count += 1;
                self.matched = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"-- don't be fooled\nCREATE ROLE a;\nALTER ROLE a WITH LOGIN;\nCREATE ROLE \"it's\";\n\
        COMMENT ON ROLE a IS 'x\nCREATE ROLE fake;\n''\nCREATE ROLE fake;';\nCREATE ROLE \"two\nCREATE ROLE lines\";\n";

    #[test]
    fn only_statements_count_however_the_stream_is_cut() {
        for size in [1, 2, 7, TEXT.len()] {
            let mut counter = RoleCounter::default();
            TEXT.chunks(size).for_each(|piece| counter.read(piece));
            assert_eq!(counter.count, 3, "pieces of {size}");
        }
    }
}
