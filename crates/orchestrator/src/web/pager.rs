//! Long lists, a page at a time.

use std::ops::Range;

/// Where a reader is in a long list.
#[derive(Debug, Clone)]
pub(crate) struct Pager {
    page: usize,
    size: usize,
    total: usize,
    kept: String,
}

impl Pager {
    /// The page `page` (from 0; beyond the end is the last) of `total` items.
    pub(crate) fn new(page: usize, size: usize, total: usize) -> Self {
        let last = total.saturating_sub(1) / size;
        Self { page: page.min(last), size, total, kept: String::new() }
    }

    /// Keeps another part of the address on the way.
    pub(crate) fn keep(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            self.kept = format!("{}&{name}={value}", self.kept);
        }
        self
    }

    pub(crate) fn range(&self) -> Range<usize> {
        let start = self.page * self.size;
        start..(start + self.size).min(self.total)
    }

    pub(crate) fn before(&self) -> Option<String> {
        self.page.checked_sub(1).map(|page| format!("?page={page}{}", self.kept))
    }

    pub(crate) fn after(&self) -> Option<String> {
        let more = (self.page + 1) * self.size < self.total;
        more.then(|| format!("?page={}{}", self.page + 1, self.kept))
    }

    /// `51–100 / 180`.
    pub(crate) fn here(&self) -> String {
        let range = self.range();
        format!("{}–{} / {}", (range.start + 1).min(range.end), range.end, self.total)
    }

    pub(crate) fn is_needed(&self) -> bool {
        self.total > self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_the_list_once() {
        let mut seen = Vec::new();
        for page in 0..4 {
            seen.extend(Pager::new(page, 50, 180).range());
        }
        assert_eq!(seen, (0..180).collect::<Vec<_>>());
        assert_eq!(Pager::new(99, 50, 180).range(), 150..180);
        assert_eq!(Pager::new(usize::MAX, 50, 0).range(), 0..0);
        assert_eq!(Pager::new(0, 50, 50).after(), None);
        let second = Pager::new(1, 50, 180).keep("q", "a&b");
        assert_eq!(second.after().unwrap(), "?page=2&q=a%26b");
        assert_eq!(second.here(), "51–100 / 180");
    }
}
