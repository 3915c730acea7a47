//! Two indexes side by side.

use std::{cmp::Ordering, iter::Peekable};

use super::{ArchiveEntry, Index, IndexError, entries::split};

/// Of entries in the order of their paths, the last of each path.
struct Lasts<I: Iterator>(Peekable<I>);

impl<I: Iterator<Item = rusqlite::Result<ArchiveEntry>>> Lasts<I> {
    fn next(&mut self) -> rusqlite::Result<Option<ArchiveEntry>> {
        let Some(mut last) = self.0.next().transpose()? else { return Ok(None) };
        let is_same = |next: &rusqlite::Result<ArchiveEntry>, last: &ArchiveEntry| {
            next.as_ref().is_ok_and(|next| next.path == last.path)
        };
        while let Some(next) = self.0.next_if(|next| is_same(next, &last)) {
            last = next?;
        }
        Ok(Some(last))
    }
}

/// Tells `each` of every path that is in one of two indexes or in both, folder by folder.
pub(crate) fn compare(
    before: &Index,
    after: &Index,
    mut each: impl FnMut(Option<ArchiveEntry>, Option<ArchiveEntry>),
) -> Result<(), IndexError> {
    let (mut before, mut after) = (before.in_order()?, after.in_order()?);
    let mut a = Lasts(before.entries()?.peekable());
    let mut b = Lasts(after.entries()?.peekable());
    let (mut one, mut other) = (a.next()?, b.next()?);
    loop {
        let order = match (&one, &other) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => split(&one.path).cmp(&split(&other.path)),
        };
        let from_a = if order == Ordering::Greater { None } else { one.take() };
        let from_b = if order == Ordering::Less { None } else { other.take() };
        if from_a.is_some() {
            one = a.next()?;
        }
        if from_b.is_some() {
            other = b.next()?;
        }
        each(from_a, from_b);
    }
}
