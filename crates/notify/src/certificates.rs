//! Authorities of one's own.

use lettre::transport::smtp::client::Certificate as MailCertificate;

use crate::{Wrong, settings::Given};

const KEY: &str = "ca_certificate";

/// For the HTTP client; reading it tells what is wrong.
pub(crate) fn for_http(given: &mut Given<'_>) -> Vec<reqwest::Certificate> {
    let Some(pem) = given.text(KEY) else { return Vec::new() };
    match reqwest::Certificate::from_pem_bundle(pem.as_bytes()) {
        Ok(certificates) if !certificates.is_empty() => certificates,
        _ => {
            given.wrong(KEY, Wrong::Certificate);
            Vec::new()
        }
    }
}

/// For mail.
pub(crate) fn for_mail(given: &mut Given<'_>) -> Option<MailCertificate> {
    let pem = given.text(KEY)?;
    let found = MailCertificate::from_pem(pem.as_bytes()).ok();
    let found = found.filter(|_| pem.contains("-----BEGIN CERTIFICATE-----"));
    if found.is_none() {
        given.wrong(KEY, Wrong::Certificate);
    }
    found
}
