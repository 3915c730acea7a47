//! Passwords in files.

use std::path::Path;

use secrecy::SecretString;

use crate::export::ExportError;

/// Longest password file, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// The file's content, without the line end that editors add.
pub(super) async fn read(file: &Path) -> Result<SecretString, ExportError> {
    use tokio::io::AsyncReadExt as _;
    let told =
        |error| ExportError::Failed(format!("the password file {}: {error}", file.display()));
    let mut text = String::new();
    let open = tokio::fs::File::open(file).await.map_err(told)?;
    open.take(MAX_FILE).read_to_string(&mut text).await.map_err(told)?;
    Ok(text.trim_end_matches(['\r', '\n']).into())
}
