//! Polynomials over the field of two elements, as bits of a number.

use std::{fmt, str::FromStr};

/// Highest degree that leaves room for the next byte.
const MAX_DEGREE: u32 = 53;
/// A cut is decided by this many low bits; fewer would not be there.
const MIN_DEGREE: u32 = 21;

/// An irreducible polynomial that decides where streams are cut. It is the repository's own, so
/// that sizes of chunks tell outsiders nothing about the content.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Polynomial(u64);

/// What was given is no polynomial that can cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an irreducible polynomial of degree 21 to 53, in hexadecimal")]
pub struct InvalidPolynomial;

impl Polynomial {
    /// Takes a polynomial that somebody else chose.
    pub fn new(bits: u64) -> Result<Self, InvalidPolynomial> {
        let usable = bits != 0 && (MIN_DEGREE..=MAX_DEGREE).contains(&degree(bits));
        if usable && irreducible(bits) { Ok(Self(bits)) } else { Err(InvalidPolynomial) }
    }

    /// Chooses one of degree 53 from random numbers. About one of 26 tries succeeds.
    pub fn random(mut number: impl FnMut() -> u64) -> Self {
        loop {
            let bits = number() & ((1 << MAX_DEGREE) - 1) | (1 << MAX_DEGREE) | 1;
            if irreducible(bits) {
                return Self(bits);
            }
        }
    }

    /// Its coefficients.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Its degree.
    pub fn degree(self) -> u32 {
        degree(self.0)
    }
}

impl FromStr for Polynomial {
    type Err = InvalidPolynomial;

    fn from_str(hex: &str) -> Result<Self, InvalidPolynomial> {
        u64::from_str_radix(hex, 16).map_err(|_| InvalidPolynomial).and_then(Self::new)
    }
}

impl fmt::Display for Polynomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// Part of what protects sizes of chunks: not for logs.
impl fmt::Debug for Polynomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Polynomial(..)")
    }
}

/// Degree of a polynomial that is not zero.
fn degree(bits: u64) -> u32 {
    bits.ilog2()
}

/// `a` modulo `modulus`.
pub(super) fn rest(mut a: u64, modulus: u64) -> u64 {
    let top = degree(modulus);
    while a != 0 && degree(a) >= top {
        a ^= modulus << (degree(a) - top);
    }
    a
}

/// `a * b` modulo `modulus`; `a` is below it already.
fn product(mut a: u64, mut b: u64, modulus: u64) -> u64 {
    let mut sum = 0;
    while b != 0 {
        if b & 1 == 1 {
            sum ^= a;
        }
        a = rest(a << 1, modulus);
        b >>= 1;
    }
    sum
}

fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, rest(a, b));
    }
    a
}

/// Ben-Or's test: no common divisor with `x^(2^i) - x` up to half the degree.
fn irreducible(bits: u64) -> bool {
    let mut power = 0b10;
    for _ in 0..degree(bits) / 2 {
        power = product(power, power, bits);
        if common_divisor(bits, power ^ 0b10) != 1 {
            return false;
        }
    }
    true
}
