//! Speed of cutting and hashing on this processor, in MB/s of one core.

use std::time::Instant;

use repository::{
    chunk::{Chunking, Polynomial},
    hash::Hashing,
};

const BYTES: usize = 256 << 20;

fn main() {
    let mut seed = 1_u64;
    let data: Vec<u8> = (0..BYTES / 8)
        .flat_map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed ^ seed >> 33).to_le_bytes()
        })
        .collect();
    let polynomial = Polynomial::new(0x003D_A335_8B4D_C173).expect("irreducible");
    let mut chunks: Vec<&[u8]> = Vec::new();
    report("cut by content", || {
        chunks.clear();
        let mut cutter = Chunking::content(polynomial).cutter();
        let mut rest = &data[..];
        while let Some(length) = cutter.cut(rest) {
            let (chunk, behind) = rest.split_at(length);
            chunks.push(chunk);
            rest = behind;
        }
        chunks.push(rest);
    });
    for kind in [Hashing::Single, Hashing::Woven, Hashing::Lanes] {
        for batch in [1, 4, 8, 16, 32, 64] {
            report(&format!("{kind:?}, {batch} blobs at once"), || {
                for batch in chunks.chunks(batch) {
                    std::hint::black_box(kind.digests(batch));
                }
            });
        }
    }
    println!(
        "chosen here: {:?}; lanes by {}",
        Hashing::of_this_processor(),
        tape_sha256::backend()
    );
}

fn report(what: &str, mut work: impl FnMut()) {
    let mut best = f64::MAX;
    for _ in 0..3 {
        let begun = Instant::now();
        work();
        best = best.min(begun.elapsed().as_secs_f64());
    }
    println!("{what:28} {:6.0} MB/s", BYTES as f64 / 1e6 / best);
}
