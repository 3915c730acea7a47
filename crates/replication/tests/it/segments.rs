//! Putting segments together, without a network.

use bytes::Bytes;
use proptest::prelude::*;
use replication::{Assembler, Body, Lsn, SegmentSize, Timeline};
use ring::digest::{SHA256, digest};

fn joined(mut body: Body) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(bytes) = futures::executor::block_on(body.next()).unwrap() {
        all.extend_from_slice(&bytes);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// However WAL is cut on its way: segments of the same bytes, and each prefix is one.
    #[test]
    fn cuts_make_no_difference(cuts in proptest::collection::vec(1usize..400_000, 4..20)) {
        let size = SegmentSize::new(1 << 20).unwrap();
        let start = Lsn(5 << 20);
        let wal: Vec<u8> = (0u32..3 << 18).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let mut assembler = Assembler::new(Timeline::new(1).unwrap(), size, start.plus(77));
        let mut got = Vec::new();
        let mut at = 0;
        for cut in cuts.iter().cycle() {
            if at == wal.len() {
                break;
            }
            let mut piece = Bytes::copy_from_slice(&wal[at..(at + cut).min(wal.len())]);
            while !piece.is_empty() {
                let before = piece.len();
                let whole = assembler.feed(start.plus(at as u64), &mut piece).unwrap();
                at += before - piece.len();
                match whole {
                    Some(filled) => {
                        prop_assert!(filled.whole && filled.body.len() == 1 << 20);
                        let bytes = joined(filled.body);
                        prop_assert!(digest(&SHA256, &bytes).as_ref() == filled.sha256);
                        got.extend(bytes);
                    }
                    None => {
                        let prefix = assembler.prefix().unwrap();
                        prop_assert_eq!(prefix.end, start.plus(at as u64));
                        let bytes = joined(prefix.body);
                        prop_assert!(bytes == wal[got.len()..at]);
                        prop_assert!(digest(&SHA256, &bytes).as_ref() == prefix.sha256);
                    }
                }
            }
        }
        prop_assert!(got == wal);
        prop_assert!(assembler.prefix().is_none());
    }
}

#[test]
fn a_hole_is_refused() {
    let size = SegmentSize::default();
    let mut assembler = Assembler::new(Timeline::new(1).unwrap(), size, Lsn(0));
    let mut piece = Bytes::from_static(b"abc");
    assert!(assembler.feed(Lsn(8), &mut piece).is_err());
}
