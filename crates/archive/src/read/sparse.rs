//! Files with holes, in the four ways that GNU tar has written them.

use std::{io::Read, ops::Range};

use tar::{EntryType, GnuExtSparseHeader, Header};

use super::{BLOCK, Members, TarError, fields::number, pax, pax::Records};

/// Stretches of data that one file may have.
const MAX_PARTS: usize = 1 << 20;

type Parts = Vec<Range<u64>>;

impl<R: Read> Members<R> {
    /// The length of a file with holes and where its data is; `None` for any other.
    pub(super) fn holes(
        &mut self,
        begins: u64,
        header: &Header,
        records: &Records,
    ) -> Result<Option<(u64, Parts)>, TarError> {
        let wrong = TarError::Malformed { at: begins, what: "its holes are not where they can be" };
        let found = if header.entry_type() == EntryType::GNUSparse {
            self.old(header)?
        } else if records.get("GNU.sparse.major") == Some(b"1") {
            let size = records.get("GNU.sparse.realsize").and_then(pax::whole);
            self.in_data()?.zip(size).map(|(parts, size)| (size, parts))
        } else if let Some(size) = records.get("GNU.sparse.size") {
            let parts = match records.get("GNU.sparse.map") {
                Some(map) => pairs(map.split(|byte| *byte == b',').map(pax::whole)),
                None => pairs(
                    records
                        .all(&["GNU.sparse.offset", "GNU.sparse.numbytes"])
                        .map(|(_, value)| pax::whole(value)),
                ),
            };
            pax::whole(size).zip(parts)
        } else {
            return Ok(None);
        };
        let Some((size, parts)) = found else { return Err(wrong) };
        let mut end = 0;
        let mut sum = 0_u64;
        for part in &parts {
            let is_next = part.start >= end && part.end >= part.start && part.end <= size;
            let Some(all) = sum.checked_add(part.end.saturating_sub(part.start)) else {
                return Err(wrong);
            };
            if !is_next {
                return Err(wrong);
            }
            (end, sum) = (part.end, all);
        }
        if sum == self.left { Ok(Some((size, parts))) } else { Err(wrong) }
    }

    /// In the header, and in as many blocks after it as it takes.
    fn old(&mut self, header: &Header) -> Result<Option<(u64, Parts)>, TarError> {
        let Some(gnu) = header.as_gnu() else { return Ok(None) };
        let mut numbers: Vec<_> =
            gnu.sparse.iter().filter(|slot| !slot.is_empty()).map(slot).collect();
        let mut goes_on = gnu.is_extended();
        while goes_on {
            let mut more = GnuExtSparseHeader::new();
            self.fill(more.as_mut_bytes())?;
            numbers.extend(more.sparse().iter().filter(|slot| !slot.is_empty()).map(slot));
            goes_on = more.is_extended();
            if numbers.len() > MAX_PARTS {
                return Ok(None);
            }
        }
        let parts = pairs(numbers.into_iter().flatten());
        Ok(number(&gnu.realsize).zip(parts))
    }

    /// Before the data: lines of numbers, filled up to a block.
    fn in_data(&mut self) -> Result<Option<Parts>, TarError> {
        let mut lines = Vec::new();
        let mut line = Vec::new();
        let mut expected = 1;
        loop {
            if self.left < BLOCK as u64 {
                return Ok(None);
            }
            let mut block = [0; BLOCK];
            self.fill(&mut block)?;
            self.left -= BLOCK as u64;
            for byte in block {
                if byte != b'\n' {
                    line.push(byte);
                    if line.len() > 20 {
                        return Ok(None);
                    }
                    continue;
                }
                let Some(value) = pax::whole(&std::mem::take(&mut line)) else { return Ok(None) };
                if expected == 1 {
                    let count = usize::try_from(value).unwrap_or(usize::MAX);
                    if count > MAX_PARTS {
                        return Ok(None);
                    }
                    expected = 1 + 2 * count;
                    if count == 0 {
                        return Ok(Some(Vec::new()));
                    }
                } else {
                    lines.push(Some(value));
                }
                if lines.len() + 1 == expected {
                    return Ok(pairs(lines.into_iter()));
                }
            }
        }
    }
}

fn slot(slot: &tar::GnuSparseHeader) -> [Option<u64>; 2] {
    [number(&slot.offset), number(&slot.numbytes)]
}

/// Offset and length, offset and length.
fn pairs(mut numbers: impl Iterator<Item = Option<u64>>) -> Option<Parts> {
    let mut parts = Vec::new();
    while let Some(start) = numbers.next() {
        let (start, length) = (start?, numbers.next()??);
        parts.push(start..start.checked_add(length)?);
        if parts.len() > MAX_PARTS {
            return None;
        }
    }
    Some(parts)
}
