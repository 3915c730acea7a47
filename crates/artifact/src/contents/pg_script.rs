//! Plain SQL of `pg_dump`: rows between `COPY … FROM stdin;` and `\.`, after the comment that
//! announces them.

use super::Counted;

const ANNOUNCES: &[u8] = b"-- Data for Name: ";
/// Of a line that is no row no more than this is looked at: names of 1,600 columns fit in.
const MAX_LINE: usize = 256 << 10;

/// Reads one script.
#[derive(Debug, Default)]
pub(super) struct Script {
    line: Vec<u8>,
    is_announced: bool,
    /// The table whose rows pass, and how many did.
    rows: Option<(String, u64)>,
    /// How the present row begins: it may be the end of the rows.
    row: Vec<u8>,
    counted: Counted,
}

impl Script {
    pub(super) fn push(&mut self, mut chunk: &[u8]) {
        while !chunk.is_empty() {
            let end = memchr::memchr(b'\n', chunk);
            let part = &chunk[..end.unwrap_or(chunk.len())];
            chunk = end.map_or(&[], |end| &chunk[end + 1..]);
            if self.rows.is_some() {
                let room = 3_usize.saturating_sub(self.row.len()).min(part.len());
                self.row.extend_from_slice(&part[..room]);
                if end.is_some() {
                    self.end_of_row();
                }
            } else {
                let room = MAX_LINE.saturating_sub(self.line.len()).min(part.len());
                self.line.extend_from_slice(&part[..room]);
                if end.is_some() {
                    self.end_of_line();
                }
            }
        }
    }

    fn end_of_row(&mut self) {
        let is_end = self.row == b"\\.";
        self.row.clear();
        if is_end {
            if let Some((table, rows)) = self.rows.take() {
                *self.counted.tables.entry(table).or_default() += rows;
            }
        } else if let Some((_, rows)) = &mut self.rows {
            *rows += 1;
        }
    }

    fn end_of_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.starts_with(ANNOUNCES) {
            self.is_announced = line.windows(18).any(|part| part == b"; Type: TABLE DATA");
        } else if self.is_announced
            && let Some(rest) = line.strip_prefix(b"COPY ")
            && line.ends_with(b" FROM stdin;")
        {
            self.is_announced = false;
            self.rows = Some((table(&String::from_utf8_lossy(rest)), 0));
        } else if line.starts_with(b"INSERT INTO ") && self.is_announced {
            self.is_announced = false;
            self.counted.uncounted += 1;
        }
    }

    pub(super) fn finish(self) -> Counted {
        self.counted
    }
}

/// `schema.table` at the beginning of `text`, without quotes.
fn table(text: &str) -> String {
    let (mut name, mut quoted) = (String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                name.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            ' ' if !quoted => break,
            c => name.push(c),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_whatever_the_chunks() {
        let dump = b"-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: x\n--\n\n\
            COPY public.\"a \"\"b\" (x) FROM stdin;\n1\n\\\\.\n\\.x\n\\.\n\n\
            COPY public.no (x) FROM stdin;\nnothing here is announced\n\
            -- Data for Name: u; Type: TABLE DATA; Schema: s; Owner: x\n--\n\n\
            COPY s.u (x) FROM stdin;\n\\.\n";
        for size in [1, 3, 1000] {
            let mut script = Script::default();
            dump.chunks(size).for_each(|chunk| script.push(chunk));
            let counted = script.finish();
            let expected = [("public.a \"b".to_owned(), 3), ("s.u".to_owned(), 0)];
            assert_eq!(counted.tables, expected.into(), "{size}");
        }
    }
}
