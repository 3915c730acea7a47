use std::{io::Write as _, process::Command};

use artifact::{
    Compression, FormatChecker, FormatError, FormatReport, Hints, Recipe, format::Kind,
};

use crate::{sample, seal};

fn check_in(step: usize, hints: &Hints<'_>, bytes: &[u8]) -> Result<FormatReport, FormatError> {
    let mut checker = FormatChecker::new(hints);
    for piece in bytes.chunks(step) {
        checker.push(piece)?;
    }
    checker.finish()
}

/// The same in small pieces and at once.
fn check(hints: &Hints<'_>, bytes: &[u8]) -> Result<FormatReport, FormatError> {
    let whole = check_in(usize::MAX, hints, bytes);
    assert_eq!(check_in(7, hints, bytes), whole);
    whole
}

fn declared(format: &str) -> Hints<'_> {
    Hints { format: Some(format), ..Hints::default() }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    seal(Recipe::new(Compression::Gzip { level: 6 }), plain, 1 << 16).1
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    seal(Recipe::new(Compression::default()), plain, 1 << 16).1
}

fn tar(len: usize) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), sample(len)).unwrap();
    let tar = Command::new("tar").arg("-C").arg(dir.path()).args(["-cf", "-", "file"]).output();
    tar.unwrap().stdout
}

fn dump() -> Vec<u8> {
    let mut dump = b"--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE t (id int);\n".to_vec();
    dump.extend(b"INSERT INTO t VALUES (1);\n".repeat(20_000));
    dump.extend_from_slice(b"--\n-- PostgreSQL database dump complete\n--\n\n");
    dump
}

#[test]
fn whole_artifacts_pass() {
    let custom = [b"PGDMP\x01\x0f\x00", &sample(9000)[..]].concat();
    for (format, bytes, kind) in [
        ("pg_dump_Fc", custom.clone(), Kind::PgCustom),
        ("pg_dump_fc", custom, Kind::PgCustom),
        ("gzip", gzip(&sample(90_000)), Kind::Gzip),
        ("sql.gz", gzip(&dump()), Kind::Gzip),
        ("tar.gz", gzip(&tar(90_000)), Kind::Gzip),
        ("zstd", zstd(&sample(900_000)), Kind::Zstd),
        ("tar", tar(90_000), Kind::Tar),
        ("pg_dump_plain", dump(), Kind::Sql),
        ("sql", b"select 1;".to_vec(), Kind::Sql),
        ("rdb", [b"REDIS0011", &sample(900)[..], &[0xff], &[7; 8]].concat(), Kind::Rdb),
    ] {
        let report = check(&declared(format), &bytes).unwrap_or_else(|e| panic!("{format}: {e}"));
        assert_eq!(report.kind, Some(kind), "{format}");
        assert!(!report.is_empty && report.warnings.is_empty(), "{format}: {report:?}");
    }
}

#[test]
fn artifacts_without_their_tail_fail() {
    for (format, bytes) in [
        ("gzip", gzip(&sample(90_000))),
        ("tar.gz", gzip(&tar(90_000))),
        ("zstd", zstd(&sample(900_000))),
        ("tar", tar(90_000)),
        ("pg_dump_plain", dump()),
    ] {
        // 60 bytes of a dump are its closing line; a tar is padded to 10,240.
        for missing in [if format == "tar" { 9_000 } else { 60 }, bytes.len() / 2] {
            let error = check(&declared(format), &bytes[..bytes.len() - missing]).unwrap_err();
            assert!(matches!(error, FormatError::Truncated { .. }), "{format}: {error}");
            assert!(error.is_retryable());
        }
        if !format.starts_with("pg") {
            let error = check(&declared(format), &bytes[..bytes.len() - 1]).unwrap_err();
            assert!(matches!(error, FormatError::Truncated { .. }), "{format}: {error}");
        }
    }
}

/// A tar of a folder with about everything, the last member full of zeros; in `format`.
fn full_tar(format: &str, more: &[&str]) -> Option<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("folder")).unwrap();
    std::fs::write(at("a"), sample(3_000)).unwrap();
    std::fs::hard_link(at("a"), at("b")).unwrap();
    std::os::unix::fs::symlink("a", at("c")).unwrap();
    std::fs::write(at("empty"), "").unwrap();
    if format != "v7" && format != "ustar" {
        std::fs::write(at(&"long".repeat(50)), sample(700)).unwrap();
        std::fs::write(at("m-über"), "x").unwrap();
        // More holes than the first header of a sparse member has room for.
        let sparse = std::fs::File::create(at("holes")).unwrap();
        for n in 0..40 {
            std::os::unix::fs::FileExt::write_at(&sparse, b"data", n << 20).unwrap();
        }
    }
    std::fs::write(at("zeros"), vec![0; 50_000]).unwrap();
    let output = Command::new("tar")
        .arg("-C")
        .arg(dir.path())
        .args(["--sort=name", &format!("--format={format}")])
        .args(more)
        .args(["-cf", "-", "."])
        .output()
        .unwrap();
    // Not every tar knows every format.
    output.status.success().then_some(output.stdout)
}

#[test]
fn a_tar_cut_anywhere_fails_also_among_zeros() {
    let mut seen = 0;
    for format in ["gnu", "posix", "ustar", "v7"] {
        let Some(tar) = full_tar(format, &[]) else { continue };
        seen += 1;
        if let Some(sparse) = full_tar(format, &["-S"]) {
            check(&declared("tar"), &sparse).unwrap_or_else(|e| panic!("{format}: {e}"));
        }
        check(&declared("tar"), &tar).unwrap_or_else(|e| panic!("{format}: {e}"));
        // The last member's header is the last block that is not zeros.
        let zeros = tar.iter().rev().take_while(|byte| **byte == 0).count();
        let end = (tar.len() - zeros).next_multiple_of(512) + 50_000_usize.next_multiple_of(512);
        assert!(end < tar.len() && zeros > 50_000, "{format}: {zeros}");
        for cut in (512..=end).step_by(512) {
            let error = check_in(usize::MAX, &declared("tar"), &tar[..cut]).unwrap_err();
            assert!(matches!(error, FormatError::Truncated { .. }), "{format} {cut}: {error}");
        }
        let cut = gzip(&tar[..end - 2_048]);
        assert!(check(&declared("tar.gz"), &cut).is_err(), "{format}");
    }
    assert!(seen >= 2, "GNU tar is missing");
}

#[test]
fn what_was_cut_before_it_was_compressed_fails() {
    // `pg_dump | gzip` whose dump died: gzip's own end is there.
    let dump = dump();
    let tar = tar(90_000);
    for (format, inside) in [("sql.gz", &dump[..]), ("tar.gz", &tar[..])] {
        let cut = gzip(&inside[..inside.len() - 20_000]);
        let error = check(&declared(format), &cut).unwrap_err();
        assert!(matches!(error, FormatError::Truncated { .. }), "{format}: {error}");
    }
}

#[test]
fn a_wrapping_of_nothing_is_empty() {
    for (format, bytes) in [
        ("pg_dump_Fc", Vec::new()),
        ("gzip", gzip(b"")),
        ("sql.gz", gzip(b"")),
        ("zstd", zstd(b"")),
        ("tar", vec![0; 10_240]),
        ("tar.gz", gzip(&[0; 10_240])),
        ("sql", b" \n".to_vec()),
    ] {
        assert!(check(&declared(format), &bytes).unwrap().is_empty, "{format}");
    }
    // Without a claim as well.
    assert!(check(&Hints::default(), b"").unwrap().is_empty);
}

#[test]
fn false_piped_into_real_tools_is_empty() {
    for (tool, format) in [("gzip", "gzip"), ("zstd", "zstd")] {
        let output = match Command::new("sh").args(["-c", &format!("false | {tool} -c")]).output() {
            Ok(output) if output.status.success() => output.stdout,
            _ if std::env::var_os("CI").is_some() => panic!("{tool} is missing"),
            _ => return eprintln!("skipped: {tool} is missing"),
        };
        assert!(check(&declared(format), &output).unwrap().is_empty, "{tool}");
    }
}

#[test]
fn error_pages_are_refused() {
    let html: &[u8] = b"\n<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>";
    let json: &[u8] = br#"{"title":"Internal Server Error","status":500,"detail":"boom"}"#;
    for hints in [
        Hints::default(),
        declared("pg_dump_Fc"),
        declared("sql"),
        declared("anything"),
        Hints { file_name: Some("shop.dump"), ..Hints::default() },
        Hints { file_name: Some("shop.tar.gz"), ..Hints::default() },
        Hints { content_type: Some("text/html; charset=utf-8"), ..Hints::default() },
    ] {
        for page in [html, json] {
            let error = check(&hints, page).unwrap_err();
            assert!(matches!(error, FormatError::Page(_)), "{hints:?}: {error}");
        }
    }
    // Asked for, they pass.
    assert!(check(&declared("html"), html).is_ok());
    assert!(check(&Hints { file_name: Some("all.json"), ..Hints::default() }, json).is_ok());
    // A collection exported as JSON is no error page.
    assert!(check(&Hints::default(), br#"[{"_id":1,"name":"a"}]"#).is_ok());
}

#[test]
fn a_declared_format_must_fit_and_a_name_is_a_weaker_claim() {
    let custom = b"PGDMP\x01\x0f\x00 and the rest";
    let error = check(&declared("gzip"), custom).unwrap_err();
    assert!(matches!(error, FormatError::NotAsDeclared { .. }) && !error.is_retryable(), "{error}");
    let named = Hints { file_name: Some("shop.sql.gz"), ..Hints::default() };
    let report = check(&named, custom).unwrap();
    assert_eq!((report.kind, report.warnings.len()), (Some(Kind::PgCustom), 1));
    assert!(check(&named, b"neither this nor that").is_err());
    // Unknown words claim nothing.
    assert!(check(&declared("our-own-format"), b"neither this nor that").is_ok());
}

#[test]
fn gzip_may_have_members_and_padding_but_nothing_else() {
    let members = [gzip(b"one"), gzip(b"two")].concat();
    assert!(check(&declared("gzip"), &members).is_ok());
    assert!(check(&declared("gzip"), &[&members[..], &[0; 300]].concat()).is_ok());
    assert!(check(&declared("gzip"), &[&members[..], b"garbage"].concat()).is_err());
    assert!(check(&declared("gzip"), &[&members[..], &[0], b"x"].concat()).is_err());
    let mut flipped = gzip(&sample(5000));
    flipped[2500] ^= 1;
    assert!(check(&declared("gzip"), &flipped).is_err());
}

#[test]
fn zstd_may_have_frames_of_every_shape_but_nothing_else() {
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let frames = [&skippable[..], &zstd(&vec![0; 900_000]), &zstd(b"two"), &skippable].concat();
    assert!(!check(&declared("zst"), &frames).unwrap().is_empty);
    assert!(check(&declared("zst"), &skippable).is_err());
    assert!(check(&declared("zst"), &[&frames[..], b"garbage"].concat()).is_err());
    // Sizes in the header, as the library writes them for bytes that it has at once.
    let sized = zstd::bulk::compress(&sample(70_000), 3).unwrap();
    assert!(check(&declared("zst"), &sized).is_ok());
    assert!(check(&declared("zst"), &sized[..sized.len() - 1]).is_err());
}

#[test]
fn zip_needs_its_directory() {
    let empty = [&b"PK\x05\x06"[..], &[0; 18]].concat();
    assert!(check(&declared("zip"), &empty).is_ok());
    let mut archive = [b"PK\x03\x04", &sample(100_000)[..], &empty].concat();
    assert!(check(&declared("zip"), &archive).is_ok());
    archive.pop();
    assert!(check(&declared("zip"), &archive).is_err());
}

#[test]
fn sqlite_needs_all_its_pages() {
    let mut file = vec![0; 3 * 4096];
    file[..16].copy_from_slice(b"SQLite format 3\0");
    file[16..18].copy_from_slice(&4096_u16.to_be_bytes());
    file[28..32].copy_from_slice(&3_u32.to_be_bytes());
    assert!(check(&declared("sqlite"), &file).is_ok());
    assert!(check(&declared("sqlite"), &file[..8192]).is_err());
}

#[test]
fn stock_gzip_of_a_stream_passes() {
    let mut child = Command::new("gzip")
        .arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(&sample(3 << 20)).unwrap());
    let output = child.wait_with_output().unwrap().stdout;
    writer.join().unwrap();
    assert!(check_in(1 << 16, &declared("gzip"), &output).is_ok());
}

#[test]
fn a_dump_made_without_compression_is_worth_compressing() {
    use artifact::format::is_compressed;
    // What PostgreSQL 15 and 17 write: `-Z0`, and what they do by themselves.
    let plain: [&[u8]; 2] =
        [b"PGDMP\x01\x0e\0\x04\x08\x01\0\0\0\0\0rest", b"PGDMP\x01\x10\0\x04\x08\x01\0rest"];
    let packed: [&[u8]; 3] = [
        b"PGDMP\x01\x0e\0\x04\x08\x01\x01\x01\0\0\0rest",
        b"PGDMP\x01\x10\0\x04\x08\x01\x01rest",
        b"PGDMP",
    ];
    assert!(plain.iter().all(|head| !is_compressed(head)));
    assert!(packed.iter().all(|head| is_compressed(head)));
}
