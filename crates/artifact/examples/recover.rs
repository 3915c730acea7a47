//! Restores a snapshot from a folder, needing nothing of the orchestrator but this crate.
//!
//! ```text
//! cargo run --example recover -- FOLDER/shop_20261121_0300.manifest.json TARGET [KEY-FILE]
//! ```

use std::{
    error::Error,
    fs::{self, File},
    io::{BufReader, Read as _, Write as _},
    path::Path,
};

use artifact::{Identities, Manifest, Opener, manifest::ManifestArtifact};
use bytes::Bytes;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(manifest_path), Some(target)) = (arguments.next(), arguments.next()) else {
        return Err("usage: recover MANIFEST TARGET-FOLDER [KEY-FILE]".into());
    };
    let (manifest_path, target) = (Path::new(&manifest_path), Path::new(&target));
    let mut identities = Identities::default();
    if let Some(key_file) = arguments.next() {
        identities.add(&fs::read_to_string(key_file)?.into())?;
    }
    let manifest = Manifest::from_bytes(&fs::read(manifest_path)?)?;
    let folder = manifest_path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(target)?;
    for artifact in &manifest.artifacts {
        recover(artifact, folder, target, &identities)?;
        println!("{}: {} bytes, verified", artifact.file_name, artifact.plain.size_bytes);
    }
    Ok(())
}

/// Writes beside the final name, which appears only when every byte is proven.
fn recover(
    artifact: &ManifestArtifact,
    folder: &Path,
    target: &Path,
    identities: &Identities,
) -> Result<(), Box<dyn Error>> {
    let partial_path = target.join(format!("{}.partial", artifact.file_name));
    let mut partial = File::create_new(&partial_path)?;
    let mut failure = None;
    let mut write = |bytes: Bytes| {
        if failure.is_none() {
            failure = partial.write_all(&bytes).err();
        }
    };
    let parts = artifact.objects.iter().map(|object| object.stored);
    let mut opener = Opener::new(artifact.compression, artifact.plain, parts)?
        .encrypted(artifact.encryption, identities);
    let mut buffer = vec![0; 128 << 10];
    for object in &artifact.objects {
        let mut file = BufReader::new(File::open(folder.join(&object.key))?);
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            opener.push(Bytes::copy_from_slice(&buffer[..read]), &mut write)?;
        }
    }
    opener.finish(&mut write)?;
    if let Some(error) = failure {
        return Err(error.into());
    }
    partial.sync_all()?;
    let final_path = target.join(&artifact.file_name);
    if final_path.exists() {
        return Err(format!("{} exists already", final_path.display()).into());
    }
    fs::rename(&partial_path, final_path)?;
    Ok(())
}
