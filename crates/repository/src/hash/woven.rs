//! SHA-256 of up to four messages by the processor's SHA instructions, woven into one another.
//!
//! Each of those instructions waits for the one before it of the same message, twice as long as
//! the processor takes to begin the next; other messages fill that time.
//!
//! Source: FIPS 180-4, and Intel's "SHA Extensions".

use std::array;

use multiversion::{multiversion, target::match_target};
use sha2::block_api::compress256;

use super::Digest;

/// Messages that are woven.
pub(super) const WIDTH: usize = 4;

type State = [u32; 8];
type Block = [u8; 64];

/// What a message begins with (FIPS 180-4, 5.3.3).
const BEGIN: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// A message under way: its whole blocks, then those of its padded end.
struct Lane<'a> {
    number: usize,
    state: State,
    body: &'a [Block],
    end: [Block; 2],
    /// Blocks of `end` that are still to come.
    left: usize,
}

impl<'a> Lane<'a> {
    fn new(number: usize, message: &'a [u8]) -> Self {
        let (body, rest) = message.as_chunks::<64>();
        let left = if rest.len() < 56 { 1 } else { 2 };
        let mut end = [[0; 64]; 2];
        let bytes = end.as_flattened_mut();
        bytes[..rest.len()].copy_from_slice(rest);
        bytes[rest.len()] = 0x80;
        let bits = 8 * message.len() as u64;
        bytes[left * 64 - 8..left * 64].copy_from_slice(&bits.to_be_bytes());
        if left == 1 {
            // What is still to come lies at the end.
            end.swap(0, 1);
        }
        Self { number, state: BEGIN, body, end, left }
    }

    fn next(&self) -> &[Block] {
        if self.body.is_empty() { &self.end[2 - self.left..] } else { self.body }
    }

    fn advance(&mut self, blocks: usize) {
        if self.body.is_empty() {
            self.left -= blocks;
        } else {
            self.body = &self.body[blocks..];
        }
    }

    fn is_done(&self) -> bool {
        self.body.is_empty() && self.left == 0
    }

    fn digest(&self) -> Digest {
        let mut digest = [0; 32];
        for (to, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(self.state) {
            *to = word.to_be_bytes();
        }
        digest
    }
}

/// The digest of each message. A message that ends makes room for the next, the longest first.
pub(super) fn digests(messages: &[&[u8]]) -> Vec<Digest> {
    let mut order: Vec<usize> = (0..messages.len()).collect();
    order.sort_unstable_by_key(|&at| std::cmp::Reverse(messages[at].len()));
    let mut waiting = order.into_iter().map(|at| Lane::new(at, messages[at]));
    let mut digests = vec![[0; 32]; messages.len()];
    let mut lanes: Vec<Lane<'_>> = waiting.by_ref().take(WIDTH).collect();
    while !lanes.is_empty() {
        let blocks = lanes.iter().map(|lane| lane.next().len()).min().unwrap_or_default();
        match &mut lanes[..] {
            [a, b, c, d] => together([a, b, c, d], blocks, four),
            [a, b, c] => together([a, b, c], blocks, three),
            [a, b] => together([a, b], blocks, two),
            others => {
                for lane in others {
                    let mut state = lane.state;
                    compress256(&mut state, &lane.next()[..blocks]);
                    lane.state = state;
                    lane.advance(blocks);
                }
            }
        }
        let mut at = 0;
        while let Some(lane) = lanes.get_mut(at) {
            if !lane.is_done() {
                at += 1;
                continue;
            }
            digests[lane.number] = lane.digest();
            match waiting.next() {
                Some(next) => *lane = next,
                None => drop(lanes.swap_remove(at)),
            }
        }
    }
    digests
}

fn together<const N: usize>(
    lanes: [&mut Lane<'_>; N],
    blocks: usize,
    compress: impl Fn(&mut [State; N], [&[Block]; N]),
) {
    let mut states = array::from_fn(|n| lanes[n].state);
    compress(&mut states, array::from_fn(|n| &lanes[n].next()[..blocks]));
    for (lane, state) in lanes.into_iter().zip(states) {
        lane.state = state;
        lane.advance(blocks);
    }
}

/// A function for `$n` messages, in two versions of which the processor chooses. Without AVX: there
/// is no form of the SHA instructions that leaves the upper half of a register alone as AVX does,
/// and Intel's processors take a hundred times as long where both are mixed while it is in use.
macro_rules! woven {
    ($name:ident, $n:literal) => {
        #[multiversion(targets("x86_64+sha+sse2+ssse3+sse4.1"))]
        fn $name(states: &mut [State; $n], blocks: [&[Block]; $n]) {
            match_target! {
                "x86_64+sha+sse2+ssse3+sse4.1" => x86::compress(states, blocks),
                _ => {
                    for (state, blocks) in states.iter_mut().zip(blocks) {
                        compress256(state, blocks);
                    }
                }
            }
        }
    };
}

woven!(two, 2);
woven!(three, 3);
woven!(four, 4);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x,
        _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
        _mm_shuffle_epi8, _mm_shuffle_epi32,
    };

    use super::{Block, State};

    /// The words that the rounds add (FIPS 180-4, 4.2.2).
    const ROUNDS: [[u32; 4]; 16] = [
        [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
        [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
        [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
        [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
        [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
        [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
        [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
        [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
        [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
        [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
        [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
        [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
        [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
        [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
        [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
        [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
    ];

    /// `N` messages go on by as many blocks; each has the same number of them.
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    pub(super) fn compress<const N: usize>(states: &mut [State; N], blocks: [&[Block]; N]) {
        // The instructions want the words A, B, E, F in one register and C, D, G, H in another.
        let (mut abef, mut cdgh) = ([_mm_setzero_si128(); N], [_mm_setzero_si128(); N]);
        for n in 0..N {
            let state = states[n];
            abef[n] = words([state[5], state[4], state[1], state[0]]);
            cdgh[n] = words([state[7], state[6], state[3], state[2]]);
        }
        let many = blocks[0].len();
        for at in 0..many {
            let (abef_before, cdgh_before) = (abef, cdgh);
            let mut w: [[__m128i; 4]; N] = std::array::from_fn(|n| load(blocks[n], at));
            // Written out, so that the words stay in registers.
            macro_rules! rounds {
                ($($round:literal)*) => { $(
                    let constants = words(ROUNDS[$round]);
                    for n in 0..N {
                        let now = w[n][$round % 4];
                        let added = _mm_add_epi32(now, constants);
                        cdgh[n] = _mm_sha256rnds2_epu32(cdgh[n], abef[n], added);
                        let upper = _mm_shuffle_epi32::<0b1110>(added);
                        abef[n] = _mm_sha256rnds2_epu32(abef[n], cdgh[n], upper);
                        if $round < 12 {
                            let last = w[n][($round + 3) % 4];
                            let sum = _mm_add_epi32(
                                _mm_sha256msg1_epu32(now, w[n][($round + 1) % 4]),
                                _mm_alignr_epi8::<4>(last, w[n][($round + 2) % 4]),
                            );
                            w[n][$round % 4] = _mm_sha256msg2_epu32(sum, last);
                        }
                    }
                )* };
            }
            rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
            for n in 0..N {
                abef[n] = _mm_add_epi32(abef[n], abef_before[n]);
                cdgh[n] = _mm_add_epi32(cdgh[n], cdgh_before[n]);
            }
        }
        for n in 0..N {
            let (abef, cdgh) = (abef[n], cdgh[n]);
            states[n] = [
                word::<3>(abef),
                word::<2>(abef),
                word::<3>(cdgh),
                word::<2>(cdgh),
                word::<1>(abef),
                word::<0>(abef),
                word::<1>(cdgh),
                word::<0>(cdgh),
            ];
        }
    }

    /// The words of the block `at`, whose bytes are the other way round, four to a register.
    #[inline]
    #[target_feature(enable = "sse2,ssse3")]
    fn load(blocks: &[Block], at: usize) -> [__m128i; 4] {
        let turned = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        let mut words = [_mm_setzero_si128(); 4];
        for (four, bytes) in words.iter_mut().zip(blocks[at].as_chunks::<16>().0) {
            let eight = bytes.as_chunks::<8>().0;
            let (low, high) = (i64::from_le_bytes(eight[0]), i64::from_le_bytes(eight[1]));
            *four = _mm_shuffle_epi8(_mm_set_epi64x(high, low), turned);
        }
        words
    }

    /// A register of four words, the lowest first.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn words(words: [u32; 4]) -> __m128i {
        let [a, b, c, d] = words;
        _mm_set_epi32(d.cast_signed(), c.cast_signed(), b.cast_signed(), a.cast_signed())
    }

    /// A word of a register.
    #[inline]
    #[target_feature(enable = "sse2,sse4.1")]
    fn word<const AT: i32>(register: __m128i) -> u32 {
        _mm_extract_epi32::<AT>(register).cast_unsigned()
    }
}
