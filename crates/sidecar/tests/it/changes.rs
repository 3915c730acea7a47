//! Files that grow, shrink and vanish while they are archived.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Cursor, Read as _, Write as _},
};

use contract::ExportRequest;
use tokio_util::sync::CancellationToken;

use crate::{
    archives::files,
    sidecar::{Sidecar, TOKEN},
};

/// Far more than the buffers between a file and a client that does not read, in bytes.
const LARGE: usize = 48 << 20;

/// Size of what is told apart, in bytes.
const BLOCK: usize = 4096;

/// Blocks that tell where they are.
fn numbered() -> Vec<u8> {
    let block = |n: usize| format!("{n:>16}").repeat(BLOCK / 16).into_bytes();
    (0..LARGE / BLOCK).map(block).collect::<Vec<_>>().concat()
}

/// Content by base name.
fn contents(format: &str, bytes: Vec<u8>) -> BTreeMap<String, Vec<u8>> {
    let base = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let mut found = BTreeMap::new();
    if format == "zip" {
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        for n in 0..archive.len() {
            let mut entry = archive.by_index(n).unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            found.insert(base(&entry.name().unwrap()), content);
        }
        return found;
    }
    let mut archive = tar::Archive::new(Cursor::new(bytes));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = base(entry.path().unwrap().to_str().unwrap());
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        found.insert(name, content);
    }
    found
}

#[tokio::test]
async fn the_archive_stays_valid_and_the_changes_are_told() {
    let whole = numbered();
    for (format, change) in [("tar", "grow"), ("tar", "shrink"), ("zip", "grow"), ("zip", "shrink")]
    {
        let sidecar = Sidecar::start(&files(format, "store", &["tree"]), &[]).await;
        let at = |name: &str| sidecar.path().join("tree").join(name);
        std::fs::create_dir(sidecar.path().join("tree")).unwrap();
        std::fs::write(at("a-large"), &whole).unwrap();
        std::fs::write(at("b-vanishes"), "gone").unwrap();
        std::fs::create_dir(at("c-vanishes")).unwrap();
        std::fs::write(at("d-stays"), "stays").unwrap();

        let client = sidecar.client(TOKEN);
        let request = ExportRequest::default();
        let mut stream = client.open(&request, CancellationToken::new()).await.unwrap();
        let mut bytes = stream.chunk().await.unwrap().unwrap().to_vec();
        // The large file is being read: what follows it has not been looked at.
        let large = File::options().append(true).open(at("a-large")).unwrap();
        match change {
            "grow" => (&large).write_all(b"more").unwrap(),
            _ => large.set_len(1 << 20).unwrap(),
        }
        std::fs::remove_file(at("b-vanishes")).unwrap();
        std::fs::remove_dir(at("c-vanishes")).unwrap();
        while let Some(chunk) = stream.chunk().await.unwrap() {
            bytes.extend_from_slice(&chunk);
        }
        assert!(stream.outcome().unwrap().verified_by_source);

        let found = contents(format, bytes);
        assert_eq!(found["d-stays"], b"stays");
        assert!(!found.keys().any(|name| name.contains("vanishes")), "{format} {change}");
        let large = &found["a-large"];
        assert_eq!(large.len(), whole.len());
        let mut blocks = large.chunks(BLOCK).zip(whole.chunks(BLOCK));
        let same = BLOCK * blocks.by_ref().take_while(|(found, was)| found == was).count();
        let log = sidecar.stop();
        if change == "grow" {
            assert_eq!(same, LARGE);
            assert!(log.contains("a-large") && log.contains("it grew"), "{log}");
        } else {
            assert!(((1 << 20)..LARGE).contains(&same), "{same}");
            // What was read before is whole to the byte, what is lost is zeros.
            assert!(large[same + BLOCK..].chunks(BLOCK).all(|block| block == [0; BLOCK]));
            assert!(log.contains("a-large") && log.contains("it shrank"), "{log}");
        }
        assert!(log.contains("b-vanishes") && log.contains("c-vanishes"), "{log}");
    }
}
