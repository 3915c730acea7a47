#![no_main]

#[path = "../reads/repository.rs"]
#[expect(dead_code, reason = "each target takes one reader")]
mod reads;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| reads::key_file(bytes));
