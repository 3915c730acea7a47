//! Bytes to move: the same on every machine.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
};

use anyhow::Result;

const MIB: usize = 1 << 20;
/// What is made once and then repeated: far more than a compressor looks back.
const BLOCK_BYTES: usize = 64 * MIB;
const WORDS: usize = 4096;
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";

/// `SplitMix64` (Steele, Lea and Flood, 2014).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or_default()
    }
}

/// Lines as a log or a dump has them; zstd makes about a quarter of them.
pub(super) fn text(path: &Path, size_mib: u64) -> Result<()> {
    let mut block = Vec::with_capacity(BLOCK_BYTES + 256);
    lines(&mut block, BLOCK_BYTES, 1)?;
    repeat(path, &block[..BLOCK_BYTES], size_mib)
}

/// The same without any repetition, where deduplication would find one; other text for each `seed`.
pub(super) fn fresh_text(path: &Path, size_mib: u64, seed: u64) -> Result<()> {
    let mut file = BufWriter::with_capacity(MIB, File::create(path)?);
    lines(&mut file, usize::try_from(size_mib)? * MIB, seed)?;
    file.flush()?;
    Ok(())
}

fn lines(to: &mut impl Write, bytes: usize, seed: u64) -> Result<()> {
    let mut numbers = Numbers(seed);
    let words: Vec<String> = (0..WORDS)
        .map(|_| {
            let length = 3 + numbers.below(9);
            (0..length).map(|_| char::from(LETTERS[numbers.below(LETTERS.len())])).collect()
        })
        .collect();
    let (mut line, mut number, mut written) = (Vec::new(), 0_u64, 0);
    while written < bytes {
        number += 1;
        line.clear();
        write!(line, "{number:010} INFO user={:05} ", numbers.below(20_000))?;
        for _ in 0..9 {
            // Words are used as people use them: a few often, most seldom.
            let (a, b) = (numbers.below(WORDS), numbers.below(WORDS));
            line.extend_from_slice(words[a * b / WORDS * a / WORDS].as_bytes());
            line.push(b' ');
        }
        line.push(b'\n');
        to.write_all(&line)?;
        written += line.len();
    }
    Ok(())
}

/// Bytes that no compressor makes smaller.
pub(super) fn noise(path: &Path, size_mib: u64) -> Result<()> {
    let mut numbers = Numbers(2);
    let block: Vec<u8> = (0..BLOCK_BYTES / 8).flat_map(|_| numbers.next().to_le_bytes()).collect();
    repeat(path, &block, size_mib)
}

/// The same without any repetition, where deduplication would find one.
pub(super) fn fresh_noise(path: &Path, size_mib: u64) -> Result<()> {
    let mut numbers = Numbers(3);
    let mut file = BufWriter::with_capacity(MIB, File::create(path)?);
    for _ in 0..size_mib * MIB as u64 / 8 {
        file.write_all(&numbers.next().to_le_bytes())?;
    }
    file.flush()?;
    Ok(())
}

/// Files of 500 bytes to 60 KB, two hundred to a folder, every other one of noise.
pub(super) fn small_files(folder: &Path, size_mib: u64) -> Result<()> {
    const SIZES: [usize; 6] = [500, 2_000, 5_000, 12_000, 30_000, 60_000];
    let mut numbers = Numbers(4);
    let (mut bytes, mut count) = (0, 0);
    while bytes < size_mib * MIB as u64 {
        let folder = folder.join(format!("{:05}", count / 200));
        if count % 200 == 0 {
            fs::create_dir(&folder)?;
        }
        let length = SIZES[numbers.below(SIZES.len())];
        let mut content = Vec::with_capacity(length + 16);
        while content.len() < length {
            if count % 2 == 0 {
                content.extend_from_slice(&numbers.next().to_le_bytes());
            } else {
                writeln!(content, "key-{:05}: value of {count}", numbers.below(100_000))?;
            }
        }
        content.truncate(length);
        fs::write(folder.join(count.to_string()), &content)?;
        bytes += length as u64;
        count += 1;
    }
    Ok(())
}

/// Files from a hundred bytes to 16 KiB, two hundred to a folder, no two alike.
pub(super) fn many_small(folder: &Path, count: u32) -> Result<()> {
    let text = "configuration = value of some length; another line of it";
    for n in 0..count {
        let parent = folder.join(format!("{:03}", n / 200));
        if n % 200 == 0 {
            fs::create_dir_all(&parent)?;
        }
        let lines = 1 + (n.wrapping_mul(2_654_435_761) >> 24) as usize;
        let mut content = Vec::new();
        for line in 0..lines {
            writeln!(content, "{n}:{line} {text}")?;
        }
        fs::write(parent.join(format!("{n}.conf")), content)?;
    }
    Ok(())
}

fn repeat(path: &Path, block: &[u8], size_mib: u64) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut left = size_mib * MIB as u64;
    while left > 0 {
        let step = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        file.write_all(&block[..step])?;
        left -= step as u64;
    }
    file.flush()?;
    Ok(())
}
