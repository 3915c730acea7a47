//! A walk from header to header of a tar, so that one cut inside a member is told from a whole
//! one also where the member's bytes look like the archive's closing zeros.
//!
//! Tars differ. Where the walk meets something it does not know it loses its way and then says
//! nothing: a sound archive is never refused because of it.

use super::kind::{TAR_BLOCK, is_tar_header};

/// Extended headers up to here are read for sizes; a longer one is unusual.
const MAX_EXTENDED_BYTES: u64 = 256 << 10;

#[derive(Debug)]
enum At {
    /// A header, or the first closing block.
    Header,
    /// This much of a member's bytes and padding.
    Member(u64),
    /// An extended header: what is left of it with its padding, and its own size.
    Extended(u64, usize),
    /// Further headers of a sparse member, then this much of its bytes.
    Sparse(u64),
    /// Behind the first closing block.
    Closed,
    /// Nowhere known.
    Lost,
}

/// Follows a tar as it passes. Holds one block, and a short extended header at times.
#[derive(Debug)]
pub(super) struct TarWalk {
    at: At,
    block: Vec<u8>,
    extended: Vec<u8>,
    /// What an extended header says of the next member's size.
    next_size: Option<u64>,
}

impl TarWalk {
    pub(super) fn new() -> Self {
        Self { at: At::Header, block: Vec::new(), extended: Vec::new(), next_size: None }
    }

    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match &mut self.at {
                At::Closed | At::Lost => return,
                At::Member(left) => {
                    let step = (*left).min(bytes.len() as u64);
                    *left -= step;
                    if *left == 0 {
                        self.at = At::Header;
                    }
                    bytes = &bytes[usize::try_from(step).unwrap_or(bytes.len())..];
                }
                At::Extended(left, size_bytes) => {
                    let step = usize::try_from(*left).unwrap_or(bytes.len()).min(bytes.len());
                    self.extended.extend_from_slice(&bytes[..step]);
                    *left -= step as u64;
                    bytes = &bytes[step..];
                    if *left == 0 {
                        self.extended.truncate(*size_bytes);
                        self.next_size = size_record(&self.extended).or(self.next_size);
                        self.extended.clear();
                        self.at = At::Header;
                    }
                }
                At::Header | At::Sparse(_) => {
                    let step = (TAR_BLOCK - self.block.len()).min(bytes.len());
                    self.block.extend_from_slice(&bytes[..step]);
                    bytes = &bytes[step..];
                    if self.block.len() == TAR_BLOCK {
                        self.take_block();
                        self.block.clear();
                    }
                }
            }
        }
    }

    /// Whether the end is certainly missing: inside a member, or before the closing zeros.
    pub(super) fn is_cut(&self) -> bool {
        !matches!(self.at, At::Closed | At::Lost)
    }

    fn take_block(&mut self) {
        if let At::Sparse(stored) = self.at {
            if self.block[504] == 0 {
                self.at = member(stored);
            }
            return;
        }
        if self.block.iter().all(|byte| *byte == 0) {
            self.at = At::Closed;
            return;
        }
        let (true, Some(told)) = (is_tar_header(&self.block), number(&self.block[124..136])) else {
            self.at = At::Lost;
            return;
        };
        self.at = match self.block[156] {
            b'x' if told <= MAX_EXTENDED_BYTES => {
                At::Extended(padded(told), usize::try_from(told).unwrap_or_default())
            }
            // Long names of the next member; or what holds for all, whose sizes are not followed.
            b'L' | b'K' | b'g' => member(told),
            b'0' | 0 | b'7' | b'D' => member(self.next_size.take().unwrap_or(told)),
            b'S' => {
                let stored = self.next_size.take().unwrap_or(told);
                if self.block[482] == 0 { member(stored) } else { At::Sparse(stored) }
            }
            // Links, devices, folders, a volume's label: nothing follows, whatever the size says.
            b'1'..=b'6' | b'V' => {
                self.next_size = None;
                At::Header
            }
            _ => At::Lost,
        };
    }
}

fn padded(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(TAR_BLOCK as u64).saturating_mul(TAR_BLOCK as u64)
}

fn member(size_bytes: u64) -> At {
    if size_bytes == 0 { At::Header } else { At::Member(padded(size_bytes)) }
}

/// A number of a header: octal text, or binary where that is too short for it.
fn number(field: &[u8]) -> Option<u64> {
    if let [0x80, rest @ ..] = field {
        let (high, low) = rest.split_at(rest.len() - 8);
        return high
            .iter()
            .all(|byte| *byte == 0)
            .then(|| low.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

/// The last `size` among records of the form `LENGTH KEY=VALUE\n`.
fn size_record(mut records: &[u8]) -> Option<u64> {
    let mut size = None;
    while let Some(space) = records.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
        let record = records.get(space + 1..length)?;
        if let Some(value) = record.strip_prefix(b"size=") {
            size = std::str::from_utf8(value.trim_ascii_end()).ok()?.parse().ok();
        }
        records = &records[length..];
    }
    size
}
