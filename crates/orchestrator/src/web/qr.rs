//! A text as a picture that cameras read (QR code, ISO/IEC 18004).

use std::fmt::Write as _;

use qrcode::{Color, QrCode};

/// The quiet zone around it, in modules.
const MARGIN: usize = 4;

/// A picture for an SVG of `size` by `size` modules.
pub(super) struct Qr {
    pub(super) size: usize,
    /// The dark modules, as the data of a path.
    pub(super) path: String,
}

impl Qr {
    /// `None` where the text is too long for one.
    pub(super) fn of(text: &str) -> Option<Self> {
        let code = QrCode::new(text).ok()?;
        let (width, colours) = (code.width(), code.to_colors());
        let mut path = String::new();
        for (y, row) in colours.chunks(width).enumerate() {
            let mut x = 0;
            while x < width {
                let run = row[x..].iter().take_while(|one| **one == Color::Dark).count();
                if run > 0 {
                    let (left, top) = (x + MARGIN, y + MARGIN);
                    // Writing into a string does not fail.
                    let _ = write!(path, "M{left} {top}h{run}v1h-{run}z");
                }
                x += run.max(1);
            }
        }
        Some(Self { size: width + 2 * MARGIN, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dark_module_is_drawn_once() {
        let text = "otpauth://totp/Backup%20Orchestrator:ana?secret=GEZDGNBVGY3TQOJQ";
        let qr = Qr::of(text).unwrap();
        let code = QrCode::new(text).unwrap();
        assert_eq!(qr.size, code.width() + 8);
        let mut drawn = 0;
        for run in qr.path.split('M').skip(1) {
            let (at, rest) = run.split_once('h').unwrap();
            let (x, y) = at.split_once(' ').unwrap();
            let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
            let length: usize = rest.split_once('v').unwrap().0.parse().unwrap();
            for x in x..x + length {
                assert_eq!(code[(x - MARGIN, y - MARGIN)], Color::Dark);
            }
            drawn += length;
        }
        let dark = code.to_colors().into_iter().filter(|one| *one == Color::Dark).count();
        assert_eq!(drawn, dark);
        assert!(Qr::of(&"x".repeat(5_000)).is_none());
    }
}
