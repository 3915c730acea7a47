//! Docker's tar as it passes: whether it is whole, and without what is excluded.
//!
//! Docker notes what goes wrong while it writes a tar in its own log and ends the answer as if all
//! were well; what is then missing are the closing blocks.

use bytes::Bytes;
use glob::{MatchOptions, Pattern};

const BLOCK: usize = 512;
/// Longest extended header that is waited for.
const MAX_EXTENDED: u64 = 1 << 20;

const WHOLE_PATHS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// Follows a tar from header to header; holds one block, and the extended headers of one member.
pub(super) struct Members {
    excluded: Vec<Pattern>,
    block: Vec<u8>,
    /// What is left of the member's body with its padding.
    left: u64,
    keeps: bool,
    /// Extended headers whose member is not known yet, as they came.
    waiting: Vec<u8>,
    told: Told,
    /// The body of an extended header is read into this.
    extended: Option<(u8, u64, Vec<u8>)>,
    zero_blocks: u32,
    dropped: u64,
}

/// What extended headers said of the member that follows.
#[derive(Default)]
struct Told {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Members {
    pub(super) fn new(excluded: Vec<Pattern>) -> Self {
        Self {
            excluded,
            block: Vec::with_capacity(BLOCK),
            left: 0,
            keeps: true,
            waiting: Vec::new(),
            told: Told::default(),
            extended: None,
            zero_blocks: 0,
            dropped: 0,
        }
    }

    /// Whether the closing blocks came.
    pub(super) fn is_whole(&self) -> bool {
        self.zero_blocks >= 2
    }

    /// How many members were left out.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes the next bytes and gives what is kept of them.
    pub(super) fn push(&mut self, chunk: Bytes) -> Result<Bytes, String> {
        let mut kept = (!self.excluded.is_empty()).then(|| Vec::with_capacity(chunk.len()));
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            if self.left > 0 {
                let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
                let (body, after) = rest.split_at(count);
                rest = after;
                self.left -= count as u64;
                self.body(body, kept.as_mut());
                continue;
            }
            let (head, after) = rest.split_at((BLOCK - self.block.len()).min(rest.len()));
            self.block.extend_from_slice(head);
            rest = after;
            if self.block.len() == BLOCK {
                let block = std::mem::take(&mut self.block);
                self.header(&block, kept.as_mut())?;
                self.block = block;
                self.block.clear();
            }
        }
        Ok(kept.map_or(chunk, Bytes::from))
    }

    fn body(&mut self, bytes: &[u8], kept: Option<&mut Vec<u8>>) {
        if let Some((_, size, collected)) = &mut self.extended {
            let wanted = usize::try_from(*size).unwrap_or(usize::MAX) - collected.len();
            collected.extend_from_slice(&bytes[..wanted.min(bytes.len())]);
            self.waiting.extend_from_slice(bytes);
            if self.left == 0
                && let Some((kind, _, collected)) = self.extended.take()
            {
                self.told.read(kind, &collected);
            }
        } else if self.keeps
            && let Some(kept) = kept
        {
            kept.extend_from_slice(bytes);
        }
    }

    fn header(&mut self, block: &[u8], kept: Option<&mut Vec<u8>>) -> Result<(), String> {
        if self.zero_blocks >= 2 || block.iter().all(|byte| *byte == 0) {
            self.zero_blocks += 1;
            if let Some(kept) = kept {
                kept.extend_from_slice(block);
            }
            return Ok(());
        }
        self.zero_blocks = 0;
        let kind = block[156];
        let size = number(&block[124..136]).ok_or("a member's size cannot be read")?;
        if matches!(kind, b'x' | b'L' | b'K') {
            if size > MAX_EXTENDED {
                return Err(format!("an extended header of {size} bytes"));
            }
            self.waiting.extend_from_slice(block);
            self.left = padded(size);
            self.extended = Some((kind, size, Vec::new()));
            return Ok(());
        }
        let told = std::mem::take(&mut self.told);
        let waiting = std::mem::take(&mut self.waiting);
        // Links, devices and folders have no body, whatever size they tell.
        let size = if matches!(kind, b'1'..=b'6') { 0 } else { told.size.unwrap_or(size) };
        self.left = padded(size);
        let path = told.path.unwrap_or_else(|| path_in(block));
        self.keeps = kind == b'g' || !self.excludes(&path);
        if !self.keeps {
            self.dropped += 1;
            return Ok(());
        }
        if kind == b'1' {
            let target = told.link.unwrap_or_else(|| text(&block[157..257]).to_vec());
            if self.excludes(&target) {
                return Err(format!(
                    "`{}` is another name of `{}`, which is excluded: exclude both or neither",
                    String::from_utf8_lossy(&path),
                    String::from_utf8_lossy(&target)
                ));
            }
        }
        if let Some(kept) = kept {
            kept.extend_from_slice(&waiting);
            kept.extend_from_slice(block);
        }
        Ok(())
    }

    /// Whether the member, or a folder that it is in, is excluded: patterns with a `/` are about
    /// whole paths, others about a name wherever it is.
    fn excludes(&self, path: &[u8]) -> bool {
        if self.excluded.is_empty() {
            return false;
        }
        let path = String::from_utf8_lossy(path);
        let path = path.trim_start_matches("./").trim_matches('/');
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.filter(|end| *end > 0).any(|end| {
            let path = &path[..end];
            let name = path.rsplit('/').next().unwrap_or(path);
            self.excluded.iter().any(|pattern| {
                let about = if pattern.as_str().contains('/') { path } else { name };
                pattern.matches_with(about, WHOLE_PATHS)
            })
        })
    }
}

impl Told {
    fn read(&mut self, kind: u8, body: &[u8]) {
        match kind {
            b'L' => self.path = Some(text(body).to_vec()),
            b'K' => self.link = Some(text(body).to_vec()),
            _ => self.read_records(body),
        }
    }

    /// Records are `LENGTH KEY=VALUE\n`.
    fn read_records(&mut self, mut rest: &[u8]) {
        while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
            let length = str::from_utf8(&rest[..space]).ok().and_then(|text| text.parse().ok());
            let Some(length) = length.filter(|length| (space + 2..=rest.len()).contains(length))
            else {
                return;
            };
            let record = &rest[space + 1..length - 1];
            if let Some(equals) = record.iter().position(|byte| *byte == b'=') {
                let (key, value) = (&record[..equals], &record[equals + 1..]);
                match key {
                    b"path" => self.path = Some(value.to_vec()),
                    b"linkpath" => self.link = Some(value.to_vec()),
                    b"size" => self.size = str::from_utf8(value).ok().and_then(|n| n.parse().ok()),
                    _ => {}
                }
            }
            rest = &rest[length..];
        }
    }
}

fn path_in(block: &[u8]) -> Vec<u8> {
    let name = text(&block[..100]);
    let prefix = text(&block[345..500]);
    if prefix.is_empty() || &block[257..263] != b"ustar\0" {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits, or with the first bit set a binary number.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (high, low) = field.split_at(field.len() - 8);
        let fits = high[0] == 0x80 && high[1..].iter().all(|byte| *byte == 0);
        return fits.then(|| low.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)));
    }
    let digits = str::from_utf8(text(field)).ok()?.trim();
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

fn padded(size: u64) -> u64 {
    size.saturating_add(BLOCK as u64 - 1) / BLOCK as u64 * BLOCK as u64
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, process::Command};

    use super::*;

    /// A tar by GNU tar of a folder with names short and long.
    fn made(format: &str) -> (tempfile::TempDir, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let long = "n".repeat(180);
        for inside in ["cache/deep", "keep/cache", "other"] {
            fs::create_dir_all(at(inside)).unwrap();
        }
        for file in ["cache/deep/a", "keep/cache/b", "keep/c.tmp", "keep/d", &long] {
            fs::write(at(file), file.repeat(100)).unwrap();
        }
        fs::write(at(&format!("cache/{long}")), "gone").unwrap();
        symlink("keep/d", at("link")).unwrap();
        let told = Command::new("tar")
            .args(["-C", folder.path().to_str().unwrap(), "--format", format])
            .args(["--sort=name", "-cf", "-", "."])
            .output()
            .unwrap();
        assert!(told.status.success());
        (folder, told.stdout)
    }

    fn through(members: &mut Members, tar: &[u8], step: usize) -> Result<Vec<u8>, String> {
        let mut kept = Vec::new();
        for chunk in tar.chunks(step) {
            kept.extend_from_slice(&members.push(Bytes::copy_from_slice(chunk))?);
        }
        Ok(kept)
    }

    fn listed(tar: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(tar);
        let paths = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            String::from_utf8(entry.path_bytes().into_owned()).unwrap()
        });
        paths.collect()
    }

    fn excluding(words: &[&str]) -> Members {
        Members::new(words.iter().map(|word| Pattern::new(word).unwrap()).collect())
    }

    #[test]
    fn what_is_excluded_is_left_out_and_the_rest_is_whole() {
        for format in ["gnu", "pax"] {
            let (_folder, tar) = made(format);
            let before = listed(&tar);
            for step in [1, 511, 512, 4_096, tar.len()] {
                let mut members = excluding(&["cache/**", "cache", "*.tmp"]);
                let kept = through(&mut members, &tar, step).unwrap();
                assert!(members.is_whole());
                let after = listed(&kept);
                assert_eq!(members.dropped(), (before.len() - after.len()) as u64);
                let wanted: Vec<_> = before
                    .iter()
                    .filter(|name| !name.contains("cache") && !name.ends_with(".tmp"))
                    .cloned()
                    .collect();
                assert_eq!(after, wanted, "{format} by {step}");
                assert!(after.iter().any(|name| name.len() > 150));
            }
            // A pattern with a slash is about the whole path.
            let kept = through(&mut excluding(&["keep/*"]), &tar, 700).unwrap();
            let after = listed(&kept);
            assert!(
                after.contains(&"./keep/".to_owned()) && !after.contains(&"./keep/d".to_owned())
            );
            assert!(after.contains(&"./cache/deep/a".to_owned()));
        }
    }

    #[test]
    fn without_exclusions_it_passes_as_it_is_and_a_cut_is_seen() {
        let (_folder, tar) = made("pax");
        let mut members = excluding(&[]);
        assert_eq!(through(&mut members, &tar, 1_000).unwrap(), tar);
        assert!(members.is_whole());
        let end = tar.iter().rposition(|byte| *byte != 0).unwrap() / BLOCK * BLOCK + BLOCK;
        for cut in [end, end + BLOCK, end - 700, 100] {
            let mut members = excluding(&[]);
            through(&mut members, &tar[..cut], 1_000).unwrap();
            assert!(!members.is_whole(), "cut at {cut}");
        }
    }

    #[test]
    fn a_second_name_of_an_excluded_file_is_not_left_without_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.tmp"), "bytes").unwrap();
        fs::hard_link(folder.path().join("a.tmp"), folder.path().join("b")).unwrap();
        let told = Command::new("tar")
            .args(["-C", folder.path().to_str().unwrap(), "-cf", "-", "./a.tmp", "./b"])
            .output()
            .unwrap();
        let error = through(&mut excluding(&["*.tmp"]), &told.stdout, 512).unwrap_err();
        assert!(error.contains("`./b` is another name of `./a.tmp`"), "{error}");
    }
}
