//! SQL scripts of `mariadb-dump` and `mysqldump`, read as their shells read them: far enough to
//! know where statements begin and end, and what is text, name or comment in them.

use super::Counted;

/// Delimiters that dumps set.
const DELIMITERS: [&[u8]; 4] = [b";", b";;", b"//", b"$$"];
/// Of a statement's beginning no more than this is looked at.
const MAX_HEAD: usize = 32;
/// Longest name of a table, in bytes.
const MAX_NAME: usize = 256;
/// The version of a comment that no server reads, and whose backslash only asks the shell to
/// be careful.
const NEVER: u32 = 999_999;

/// What a script is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A byte outside of texts, names and comments.
    Code(u8),
    /// A byte of a name in backquotes.
    Name(u8),
    /// A statement has ended.
    End,
    /// A command for the shell itself.
    Command,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Code,
    Text(u8),
    Escaped(u8),
    Name,
    LineComment,
    /// After `/*`, with whether an `M` followed.
    CommentStart(bool),
    /// The version at the beginning of what only some servers skip.
    Version(u32),
    /// Ends at a slash, where a star was before.
    Comment(bool),
    Delimiter(Vec<u8>),
}

/// Reads a script in chunks.
#[derive(Debug)]
pub struct Reader {
    state: State,
    delimiter: Vec<u8>,
    /// The last two bytes outside of texts.
    last: [u8; 2],
    /// How the present statement begins, and whether that was at the beginning of a line.
    head: Vec<u8>,
    is_at_line: bool,
    is_line_new: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            state: State::Code,
            delimiter: b";".to_vec(),
            last: [0; 2],
            head: Vec::new(),
            is_at_line: true,
            is_line_new: true,
        }
    }
}

impl Reader {
    /// Takes the next bytes and tells what they are.
    pub fn push(&mut self, mut chunk: &[u8], mut see: impl FnMut(Seen)) {
        while let Some(&byte) = chunk.first() {
            // Most of a dump is in texts.
            let skipped = match self.state {
                State::Text(quote) => memchr::memchr2(quote, b'\\', chunk),
                State::LineComment => memchr::memchr(b'\n', chunk),
                _ => Some(0),
            };
            match skipped {
                None => return,
                Some(0) => {}
                Some(count) => {
                    chunk = &chunk[count..];
                    continue;
                }
            }
            self.step(byte, &mut see);
            self.is_line_new = byte == b'\n';
            chunk = &chunk[1..];
        }
    }

    #[expect(clippy::match_same_arms, reason = "each state's arms stand together, in their order")]
    fn step(&mut self, byte: u8, see: &mut impl FnMut(Seen)) {
        let next = match std::mem::replace(&mut self.state, State::Code) {
            State::Code => self.code(byte, see),
            State::Text(quote) if byte == b'\\' => State::Escaped(quote),
            State::Text(quote) if byte == quote => State::Code,
            State::Text(quote) | State::Escaped(quote) => State::Text(quote),
            State::Name if byte == b'`' => State::Code,
            State::Name => {
                see(Seen::Name(byte));
                State::Name
            }
            State::LineComment if byte == b'\n' => State::Code,
            State::LineComment => State::LineComment,
            State::CommentStart(_) if byte == b'!' => State::Version(0),
            State::CommentStart(false) if byte == b'M' => State::CommentStart(true),
            State::CommentStart(_) => State::Comment(byte == b'*'),
            State::Version(version) if byte.is_ascii_digit() && version < 10_000_000 => {
                State::Version(version * 10 + u32::from(byte - b'0'))
            }
            State::Version(NEVER) => State::Comment(byte == b'*'),
            State::Version(_) => self.code(byte, see),
            State::Comment(true) if byte == b'/' => State::Code,
            State::Comment(_) => State::Comment(byte == b'*'),
            State::Delimiter(set) if byte == b'\n' => {
                if DELIMITERS.contains(&set.trim_ascii()) {
                    self.delimiter = set.trim_ascii().to_vec();
                } else {
                    see(Seen::Command);
                }
                self.end(see);
                State::Code
            }
            State::Delimiter(mut set) => {
                if set.len() < MAX_HEAD {
                    set.push(byte);
                }
                State::Delimiter(set)
            }
        };
        self.state = next;
    }

    fn end(&mut self, see: &mut impl FnMut(Seen)) {
        self.head.clear();
        self.last = [0; 2];
        see(Seen::End);
    }

    fn code(&mut self, byte: u8, see: &mut impl FnMut(Seen)) -> State {
        let [before, last] = self.last;
        self.last = [last, byte];
        match byte {
            b'\'' | b'"' => return State::Text(byte),
            b'`' => return State::Name,
            b'#' => return State::LineComment,
            b'*' if last == b'/' => {
                self.last = [0; 2];
                self.head.pop();
                return State::CommentStart(false);
            }
            b'/' if last == b'*' => {
                // The end of what some servers skip; it begins nothing.
                self.last = [0; 2];
                see(Seen::Code(b' '));
                return State::Code;
            }
            b'\\' => see(Seen::Command),
            _ if byte.is_ascii_whitespace() && (before, last) == (b'-', b'-') => {
                let kept = self.head.len().saturating_sub(2);
                self.head.truncate(kept);
                return if byte == b'\n' { State::Code } else { State::LineComment };
            }
            _ => {}
        }
        let is_end = match self.delimiter[..] {
            [one] => byte == one,
            [one, two] => (last, byte) == (one, two),
            _ => false,
        };
        if is_end {
            self.end(see);
            return State::Code;
        }
        see(Seen::Code(byte));
        if self.head.is_empty() {
            if byte.is_ascii_whitespace() {
                return State::Code;
            }
            self.is_at_line = self.is_line_new;
        }
        if self.head.len() < MAX_HEAD {
            self.head.push(byte);
            let word = self.head.strip_suffix(b" ").or_else(|| self.head.strip_suffix(b"\t"));
            if word.is_some_and(|word| word.eq_ignore_ascii_case(b"delimiter")) {
                if !self.is_at_line {
                    see(Seen::Command);
                }
                return State::Delimiter(Vec::new());
            }
        }
        State::Code
    }
}

/// Counts the rows of a script: tuples of its INSERTs.
#[derive(Debug, Default)]
pub(super) struct Script {
    reader: Reader,
    statement: Statement,
    counted: Counted,
}

#[derive(Debug, Default)]
struct Statement {
    words: Vec<u8>,
    name: Vec<u8>,
    /// Whether a name is the first of the statement.
    is_name_over: bool,
    has_values: bool,
    depth: u32,
    rows: u64,
}

impl Script {
    pub(super) fn push(&mut self, chunk: &[u8]) {
        let Self { reader, statement, counted } = self;
        reader.push(chunk, |seen| match seen {
            Seen::Code(byte) => statement.code(byte),
            Seen::Name(byte) => {
                if !statement.is_name_over && statement.name.len() < MAX_NAME {
                    statement.name.push(byte);
                }
            }
            Seen::End => std::mem::take(statement).count(counted),
            Seen::Command => {}
        });
    }

    pub(super) fn finish(self) -> Counted {
        self.counted
    }
}

impl Statement {
    fn code(&mut self, byte: u8) {
        self.is_name_over |= !self.name.is_empty();
        match byte {
            b'(' if self.has_values => {
                self.rows += u64::from(self.depth == 0);
                self.depth += 1;
            }
            b')' if self.has_values => self.depth = self.depth.saturating_sub(1),
            _ if self.has_values => {}
            _ => {
                if self.words.len() == MAX_HEAD {
                    // What is between stands for itself: the end is looked at.
                    self.words.drain(16..17);
                }
                // What began a comment is no word.
                let is_nothing = byte.is_ascii_whitespace() || matches!(byte, b'/' | b'-' | b'*');
                if !(self.words.is_empty() && is_nothing) {
                    self.words.push(byte.to_ascii_uppercase());
                }
                self.has_values =
                    self.words.starts_with(b"INSERT ") && self.words.ends_with(b" VALUES");
            }
        }
    }

    fn count(self, counted: &mut Counted) {
        let Ok(name) = String::from_utf8(self.name) else { return };
        if self.has_values {
            *counted.tables.entry(name).or_default() += self.rows;
        } else if self.words.starts_with(b"CREATE TABLE ") {
            // One that nothing is inserted into is empty.
            counted.tables.entry(name).or_default();
        } else if self.words.starts_with(b"DROP ") {
            // What stood in for a view.
            counted.tables.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "/*!999999\\- enable the sandbox mode */ \n-- it's (a) dump; -- of it\n\
        DROP TABLE IF EXISTS `t`;\n/*!40101 SET x = 1 */;\nCREATE TABLE `t` (\n `a` int\n);\n\
        LOCK TABLES `t` WRITE;\nINSERT INTO `t` VALUES\n(1,'a),(\\'; INSERT'),\n(2,\"'\");\n\
        INSERT INTO `t` (`a`, `b`) VALUES (3,NULL),(f((4)),''''),(-5,'');\nUNLOCK TABLES;\n\
        CREATE TABLE `it's #empty` (a int);\n\
        DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`r`@`h`*/ /*!50003 TRIGGER `g` \
        BEGIN INSERT INTO `u` VALUES (1); -- it's\n INSERT INTO `u` VALUES (2); END */;;\n\
        DELIMITER ;\nINSERT  INTO `no` SELECT 1;\n-- Dump completed\n";

    #[test]
    fn rows_are_counted_whatever_the_chunks() {
        for size in [1, 2, 7, 100_000] {
            let mut script = Script::default();
            DUMP.as_bytes().chunks(size).for_each(|chunk| script.push(chunk));
            let expected = [("t".to_owned(), 5), ("it's #empty".to_owned(), 0)];
            assert_eq!(script.finish().tables, expected.into(), "{size}");
        }
    }

    #[test]
    fn commands_of_the_shell_are_seen() {
        let commands = |text: &str| {
            let (mut reader, mut count) = (Reader::default(), 0);
            reader.push(text.as_bytes(), |seen| count += u32::from(seen == Seen::Command));
            count
        };
        assert_eq!(commands(DUMP), 0);
        for bad in [
            "SELECT 1 \\! id\n",
            "\\! id\n",
            "SELECT 'a''b\\'' \\g\n",
            "DELIMITER \\!\nx",
            "/* x */ DELIMITER ;;\n",
            "/*!50003 \\! id */",
            "SELECT 1 -- x\n\\! id",
            "SELECT 5--3 \\! id",
        ] {
            assert!(commands(bad) > 0, "{bad}");
        }
    }
}
