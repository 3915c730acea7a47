//! A part of a tree: what is at and below one of its paths.

use std::path::{Path, PathBuf};

use model::{Failure, FailureCode};

use super::{
    Work,
    listing::{Lines, Rows, Text},
};

/// Finds what is called `wanted` in `listing`, as far as its name is text, and writes a listing of
/// it and of all that is below it; gives its path, and where that is.
pub(super) async fn of(
    listing: &Path,
    wanted: &str,
    work: &Work,
) -> Result<(PathBuf, PathBuf), Failure> {
    let mut rows = Rows::open(listing).await?;
    let mut head = rows.head().await?;
    let is_it = |path: &Path| path.to_string_lossy() == wanted;
    let mut part = head.above.iter().filter_map(Text::path).find(|path| is_it(path));
    while part.is_none() {
        let Some(row) = rows.next().await? else {
            let message = format!("the tree holds no `{wanted}`");
            return Err(Failure::new(FailureCode::Missing, message));
        };
        part = Some(row.safe_path()?).filter(|path| is_it(path));
    }
    let part = part.unwrap_or_default();
    head.above.retain(|path| path.path().is_some_and(|path| path.starts_with(&part)));
    let mut lines = Lines::create(work.file("part")).await?;
    lines.json(&head).await?;
    let mut rows = Rows::open(listing).await?;
    rows.head().await?;
    while let Some(row) = rows.next().await? {
        if row.safe_path()?.starts_with(&part) {
            lines.json(&row).await?;
        }
    }
    Ok((part, lines.finish().await?))
}
