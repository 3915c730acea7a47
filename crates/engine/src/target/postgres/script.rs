//! Plain SQL on its way to psql. Commands of psql's own (`\!`, `\copy`, `\o |…`) would be run on
//! the machine that restores, so a dump that has any is refused (CVE-2025-8714).

use bytes::{Bytes, BytesMut};
use model::{Fact, Failure};

use super::refused;

/// Longest `COPY … FROM stdin`: 1,600 columns with names of 63 bytes, quoted, fit in.
const MAX_COPY: usize = 256 << 10;
/// Longest line of psql's own that is looked at.
const MAX_COMMAND: usize = 256;

/// Reads SQL as psql does, far enough to know what is a command of psql's own.
pub(super) struct Script {
    state: State,
    /// The statement so far, without what is quoted; only of those that may be a COPY.
    statement: Vec<u8>,
    /// A line that is not known yet to be harmless.
    held: Vec<u8>,
    /// The last two bytes.
    last: [u8; 2],
    lines: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Sql,
    /// `'…'`; with escapes where it began with an E.
    Text {
        escapes: bool,
    },
    /// After a backslash inside such a text.
    Escaped,
    /// `"…"`.
    Name,
    /// After a `$`: a tag, or nothing of the kind.
    Tag(Vec<u8>),
    /// `$tag$…$tag$`, and how much of its end is there already.
    Dollar {
        end: Vec<u8>,
        seen: usize,
    },
    LineComment,
    /// They nest; the byte before, where it may begin or end one.
    Comment {
        depth: u32,
        before: u8,
    },
    /// A line that begins with a backslash.
    Command,
    /// Between a COPY and its rows.
    BeforeRows,
    /// Rows of `COPY … FROM stdin`.
    Rows,
    /// A row that begins as the end of the rows does: with a backslash, and a dot.
    RowsEnd {
        dot: bool,
    },
}

impl Script {
    pub(super) fn new() -> Self {
        let (state, last) = (State::Sql, [b'\n'; 2]);
        Self { state, statement: Vec::new(), held: Vec::new(), last, lines: 1 }
    }

    /// What may be given to psql of `chunk`, which follows what was passed before; errs at a
    /// command of psql's own. The two that `pg_dump` itself writes (`\restrict`, `\unrestrict`)
    /// become comments of the same length.
    pub(super) fn pass(&mut self, chunk: &Bytes) -> Result<Bytes, Failure> {
        let mut out: Option<BytesMut> = None;
        if !self.held.is_empty() {
            out = Some(BytesMut::with_capacity(chunk.len() + MAX_COMMAND));
        }
        let mut at = 0;
        while at < chunk.len() {
            let rest = &chunk[at..];
            let step = self.stretch(rest);
            if step > 0 {
                self.lines += memchr::memchr_iter(b'\n', &rest[..step]).count() as u64;
                self.remember(&rest[..step]);
                if let Some(out) = &mut out {
                    out.extend_from_slice(&rest[..step]);
                }
                at += step;
                continue;
            }
            let byte = rest[0];
            at += 1;
            let begins_line = self.last[1] == b'\n';
            if self.state == State::Sql && byte == b'\\' {
                if !begins_line {
                    return Err(self.refused());
                }
                out.get_or_insert_with(|| BytesMut::from(&chunk[..at - 1]));
                self.state = State::Command;
            }
            if self.state == State::Command {
                self.command(byte, out.get_or_insert_default())?;
            } else {
                self.step(byte)?;
                if let Some(out) = &mut out {
                    out.extend_from_slice(&[byte]);
                }
            }
            if byte == b'\n' {
                self.lines += 1;
            }
            self.remember(&[byte]);
        }
        Ok(out.map_or_else(|| chunk.clone(), BytesMut::freeze))
    }

    /// Errs where the script ended inside a line that was held back.
    pub(super) fn end(&self) -> Result<(), Failure> {
        if self.held.is_empty() { Ok(()) } else { Err(self.refused()) }
    }

    /// How many of the next bytes cannot change the state: most of a dump is rows and texts.
    fn stretch(&self, rest: &[u8]) -> usize {
        let to = |found: Option<usize>| found.unwrap_or(rest.len());
        match &self.state {
            State::Rows if self.last[1] != b'\n' => {
                memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1)
            }
            State::Text { escapes: true } => to(memchr::memchr2(b'\'', b'\\', rest)),
            State::Text { escapes: false } => to(memchr::memchr(b'\'', rest)),
            State::Dollar { seen: 0, .. } => to(memchr::memchr(b'$', rest)),
            State::LineComment => to(memchr::memchr(b'\n', rest)),
            _ => 0,
        }
    }

    fn remember(&mut self, bytes: &[u8]) {
        match bytes {
            [] => {}
            [one] => self.last = [self.last[1], *one],
            [.., a, b] => self.last = [*a, *b],
        }
    }

    /// A byte of a line that begins with a backslash.
    fn command(&mut self, byte: u8, out: &mut BytesMut) -> Result<(), Failure> {
        self.held.push(byte);
        if self.held.len() > MAX_COMMAND {
            return Err(self.refused());
        }
        if byte != b'\n' {
            return Ok(());
        }
        let key = self
            .held
            .strip_prefix(b"\\restrict ")
            .or_else(|| self.held.strip_prefix(b"\\unrestrict "));
        let is_own = key.is_some_and(|key| {
            key.len() > 1 && key[..key.len() - 1].iter().all(u8::is_ascii_alphanumeric)
        });
        if !is_own {
            return Err(self.refused());
        }
        out.extend_from_slice(b"--");
        out.resize(out.len() + self.held.len() - 3, b' ');
        out.extend_from_slice(b"\n");
        self.held.clear();
        self.state = State::Sql;
        Ok(())
    }

    fn step(&mut self, byte: u8) -> Result<(), Failure> {
        let last = self.last[1];
        let next = match &mut self.state {
            State::Sql => self.sql(byte)?,
            State::Text { .. } if byte == b'\'' => State::Sql,
            State::Text { .. } => State::Escaped,
            State::Escaped => State::Text { escapes: true },
            State::Name if byte == b'"' => State::Sql,
            State::Name => State::Name,
            State::Tag(tag) => {
                let is_first = tag.is_empty();
                if byte == b'$' {
                    let end = [b"$", &tag[..], b"$"].concat();
                    State::Dollar { end, seen: 0 }
                } else if is_word(byte) && !(is_first && byte.is_ascii_digit()) {
                    tag.push(byte);
                    return Ok(());
                } else {
                    self.state = State::Sql;
                    self.sql(byte)?
                }
            }
            State::Dollar { end, seen } => {
                if byte == end[*seen] {
                    *seen += 1;
                } else {
                    *seen = usize::from(byte == b'$');
                }
                if *seen < end.len() {
                    return Ok(());
                }
                State::Sql
            }
            State::LineComment if byte == b'\n' => State::Sql,
            State::LineComment => State::LineComment,
            State::Comment { depth, before } => {
                match (*before, byte) {
                    (b'*', b'/') => (*depth, *before) = (*depth - 1, 0),
                    (b'/', b'*') => (*depth, *before) = (*depth + 1, 0),
                    _ => *before = byte,
                }
                if *depth > 0 {
                    return Ok(());
                }
                State::Sql
            }
            State::BeforeRows if byte == b'\n' => State::Rows,
            State::BeforeRows if byte == b'\r' => State::BeforeRows,
            State::BeforeRows => return Err(self.refused()),
            // Only asked at the beginning of a line, and where that is a backslash.
            State::Rows if byte == b'\\' && last == b'\n' => State::RowsEnd { dot: false },
            State::RowsEnd { dot: false } if byte == b'.' => State::RowsEnd { dot: true },
            State::RowsEnd { dot: true } if byte == b'\r' => State::RowsEnd { dot: true },
            State::RowsEnd { dot: true } if byte == b'\n' => State::Sql,
            State::Rows | State::RowsEnd { .. } => State::Rows,
            State::Command => State::Command,
        };
        self.state = next;
        Ok(())
    }

    /// A byte outside of everything.
    fn sql(&mut self, byte: u8) -> Result<State, Failure> {
        let [before, last] = self.last;
        let next = match byte {
            b'\\' => return Err(self.refused()),
            b'\'' => State::Text { escapes: matches!(last, b'e' | b'E') && !is_word(before) },
            b'"' => State::Name,
            b'$' if !is_word(last) => State::Tag(Vec::new()),
            b'-' if last == b'-' => return Ok(self.comment(State::LineComment)),
            b'*' if last == b'/' => {
                return Ok(self.comment(State::Comment { depth: 1, before: 0 }));
            }
            b';' => {
                let text = self.statement.to_ascii_lowercase();
                let words = String::from_utf8_lossy(&text).replace(char::is_whitespace, " ");
                let copies =
                    words.trim_start().starts_with("copy ") && words.contains(" from stdin");
                self.statement.clear();
                return Ok(if copies { State::BeforeRows } else { State::Sql });
            }
            _ => State::Sql,
        };
        let may_be_copy = self.statement.len() < 8
            || self
                .statement
                .trim_ascii_start()
                .get(..4)
                .is_none_or(|word| word.eq_ignore_ascii_case(b"copy"));
        if may_be_copy && !(self.statement.is_empty() && byte.is_ascii_whitespace()) {
            if self.statement.len() >= MAX_COPY {
                return Err(self.refused());
            }
            self.statement.push(byte);
        }
        Ok(next)
    }

    /// What began a comment is no part of the statement.
    fn comment(&mut self, state: State) -> State {
        self.statement.pop();
        state
    }

    fn refused(&self) -> Failure {
        refused(Fact::CommandInDump { line: self.lines })
    }
}

/// What names are made of, beyond their quotes.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes through, whatever the chunks.
    fn passed(text: &str) -> Result<String, Failure> {
        let mut all = Vec::new();
        for size in [1, 2, 7, 4096] {
            let mut script = Script::new();
            let mut out = Vec::new();
            let result = text.as_bytes().chunks(size).try_for_each(|chunk| {
                out.extend(script.pass(&Bytes::copy_from_slice(chunk))?);
                Ok(())
            });
            all.push(result.and_then(|()| script.end()).map(|()| String::from_utf8(out).unwrap()));
        }
        let first = all.remove(0);
        for other in all {
            assert_eq!(first, other, "chunks made a difference");
        }
        first
    }

    #[test]
    fn what_a_dump_has_comes_through() {
        for text in [
            "SELECT 'a\\b''\\'; CREATE TABLE \"x\\y\" (a text);\n",
            "SELECT E'it\\'s \\\\'; -- a \\ comment\nSELECT 1;\n",
            "DO $x$ begin raise notice '\\! $$'; end $x$;\n",
            "SELECT $$ \\! $$, $1, a$b$c FROM t;\n",
            "/* \\! /* \\! */ \\! */ SELECT 1;\n",
            "COPY public.t (a, b) FROM stdin;\n1\t\\N\n\\\\! id\t2\n\\.\n\nSELECT 1;\n",
            "--\n-- Data for t\n--\n\n/* x */COPY t (a) FROM stdin;\n1\\n\n\\.\nSELECT 1;\n",
            "copy t from stdin;\n\\.\nSELECT 1;\n",
        ] {
            assert_eq!(passed(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn its_own_restrictions_become_comments_of_the_same_length() {
        let text = "--\n-- dump\n\\restrict aB3\nSELECT 1;\n\\unrestrict aB3\n\n";
        let out = passed(text).unwrap();
        assert_eq!(out, "--\n-- dump\n--           \nSELECT 1;\n--             \n\n");
        assert_eq!(out.len(), text.len());
    }

    #[test]
    fn commands_of_psql_are_refused_wherever_they_stand() {
        for text in [
            "\\! id\n",
            "SELECT 1 \\! id\n",
            "SELECT 1; \\o |sh\n",
            "SELECT 'a' \\g |sh\n",
            "SELECT 'a\\'; \\! id\n",
            "/* x */ \\! id\n",
            "COPY t FROM stdin;\n1\n\\.\n\\! id\n",
            "COPY t FROM stdin; \\! id\n",
            "SELECT a$b \\! $b;\n",
            "\\restrict x; \\! id\n",
            "\\copy t from program 'id'\n",
            "\\restrict",
            "DO $$x$$; \\! id\n",
        ] {
            assert!(passed(text).is_err(), "{text:?}");
        }
    }
}
