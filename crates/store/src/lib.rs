//! Objects at a destination, behind one small trait.
