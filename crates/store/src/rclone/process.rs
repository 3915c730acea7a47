//! rclone as a child process.

use std::process::{ExitStatus, Stdio};

use secrecy::ExposeSecret as _;
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, ChildStderr, Command},
    task::JoinHandle,
};

use crate::{RcloneConfig, StoreError, StoreErrorKind};

/// How much of what rclone says is kept, in bytes.
const MAX_STDERR: u64 = 16 << 10;

/// Variables of ours that rclone may see. Others can change what it does (`RCLONE_*`), or break
/// it (`AWS_CA_BUNDLE`), or are secrets of ours.
const PASSED_ON: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "TMPDIR",
    "TZ",
    "LANG",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// What a child says, gathered while it works so that it never waits for a reader.
#[derive(Default)]
pub(super) struct Stderr(Option<JoinHandle<String>>);

impl Stderr {
    pub(super) fn gather(mut from: ChildStderr) -> Self {
        Self(Some(tokio::spawn(async move {
            let mut kept = Vec::new();
            let _ = (&mut from).take(MAX_STDERR).read_to_end(&mut kept).await;
            let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
            String::from_utf8_lossy(&kept).into_owned()
        })))
    }

    async fn text(self) -> String {
        match self.0 {
            Some(gathering) => gathering.await.unwrap_or_default(),
            None => String::new(),
        }
    }
}

pub(super) fn command(config: &RcloneConfig, arguments: &[&str]) -> Command {
    let mut command = Command::new(&config.program);
    command.args(arguments.iter().take(1));
    if let Some(file) = &config.config_file {
        command.arg("--config").arg(file);
    }
    if let Some(id) = &config.root_folder_id {
        command.arg(format!("--drive-root-folder-id={id}"));
    }
    command
        .args(["--retries=3", "--low-level-retries=5", "--contimeout=10s", "--timeout=60s"])
        .args(["--ask-password=false", "--use-json-log=false"])
        .args(arguments.iter().skip(1))
        .env_clear()
        .envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .envs(config.env.iter().map(|(name, value)| (name, value.expose_secret())))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Kills a child and whatever it has started.
pub(super) fn kill(child: &mut Child) {
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
        let group = nix::unistd::Pid::from_raw(id);
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
    }
    let _ = child.start_kill();
}

/// Waits for a child to end and takes only exit code 0 for success.
pub(super) async fn succeed(
    what: &str,
    child: &mut Child,
    stderr: Stderr,
) -> Result<(), StoreError> {
    let status = child.wait().await.map_err(|error| StoreError::io("", what, &error))?;
    let text = stderr.text().await;
    if status.success() { Ok(()) } else { Err(failed(what, status, &text)) }
}

/// What an exit code and rclone's words mean (rclone.org/docs, "Exit code").
pub(super) fn failed(what: &str, status: ExitStatus, stderr: &str) -> StoreError {
    let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let said: String = last.chars().filter(|c| !c.is_control()).take(300).collect();
    let kind = kind_of(status.code(), stderr);
    StoreError::new(kind, format!("{what}: rclone ended with {status}: {said}"))
}

/// Words of services and file systems, in the order in which they are looked for: Google says
/// `quota exceeded` of requests, too.
const WORDS: &[(StoreErrorKind, &[&str])] = &[
    (
        StoreErrorKind::Throttled,
        &[
            "ratelimitexceeded",
            "rate limit exceeded",
            "dailylimitexceeded",
            "too many requests",
            "too_many_requests",
            "error 429",
            "slowdown",
        ],
    ),
    (
        StoreErrorKind::Full,
        &[
            "no space left",
            "quotaexceeded",
            "quota exceeded",
            "quota has been exceeded",
            "over quota",
            "quotalimitreached",
            "filelimitexceeded",
            "insufficient storage",
            "insufficientstorage",
            "insufficient_space",
            "insufficient_storage",
            "storage_cap_exceeded",
            "storage_limit_exceeded",
            "storage full",
            "storagefull",
            "disk full",
        ],
    ),
    (
        StoreErrorKind::PermissionDenied,
        &[
            "permission denied",
            "accessdenied",
            "forbidden",
            "unauthorized",
            "401 unauthorized",
            "error 401",
            "unable to authenticate",
            "invalid_grant",
        ],
    ),
];

fn kind_of(code: Option<i32>, stderr: &str) -> StoreErrorKind {
    use StoreErrorKind as K;
    if let Some(3 | 4) = code {
        return K::NotFound;
    }
    let lower = stderr.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if let Some((kind, _)) = WORDS.iter().find(|(_, words)| says(words)) {
        return *kind;
    }
    match code {
        Some(1) if says(&["didn't find section in config", "config file"]) => K::Config,
        _ if says(&["directory not found", "object not found", "or doesn't exist"]) => K::NotFound,
        _ if says(&["i/o timeout", "deadline exceeded", "timed out"]) => K::Timeout,
        _ => K::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rclone_says_is_told_apart() {
        use StoreErrorKind as K;
        let told = [
            (K::Full, "Failed to copy: write /mnt/x: no space left on device"),
            (K::Full, "write /mnt/x: disk quota exceeded"),
            (
                K::Full,
                "googleapi: Error 403: The user's Drive storage quota has been exceeded., \
                 storageQuotaExceeded",
            ),
            (K::Full, "googleapi: Error 403: ..., teamDriveFileLimitExceeded"),
            (K::Full, "Failed to copy: Insufficient Storage: 507 Insufficient Storage"),
            (K::Full, "path/insufficient_space/..."),
            (K::Full, "Cannot upload files, storage cap exceeded. (403 storage_cap_exceeded)"),
            (
                K::Throttled,
                "googleapi: Error 403: Quota exceeded for quota metric 'Queries' and limit \
                 'Queries per minute' of service 'drive.googleapis.com', rateLimitExceeded",
            ),
            (K::Throttled, "googleapi: Error 403: User Rate Limit Exceeded, userRateLimitExceeded"),
            (K::Throttled, "HTTP error 429 (429 Too Many Requests) returned body"),
            (K::PermissionDenied, "couldn't list files: 401 Unauthorized"),
            (K::PermissionDenied, "googleapi: Error 401: Invalid Credentials, authError"),
            (K::PermissionDenied, "ssh: handshake failed: ssh: unable to authenticate"),
            (K::PermissionDenied, "oauth2: cannot fetch token: 400 {\"error\": \"invalid_grant\"}"),
            (K::Unavailable, "dial tcp 127.0.0.1:40123: connect: connection refused"),
            (K::Unavailable, "wrote 34016 bytes: unexpected EOF"),
            (K::Timeout, "dial tcp 192.0.2.1:22: i/o timeout"),
            (K::Config, "Failed to create file system: didn't find section in config file"),
        ];
        for (kind, text) in told {
            let text = format!("2026/11/21 08:00:00 ERROR : x: {text}\n");
            assert_eq!(kind_of(Some(1), &text), kind, "{text}");
        }
        assert_eq!(kind_of(Some(3), "directory not found"), K::NotFound);
        assert_eq!(kind_of(None, "killed"), K::Unavailable);
    }
}
