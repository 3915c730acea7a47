//! Bodies on the wire. Unknown members are ignored, an unknown version is refused.

use serde::{Deserialize, Serialize};

/// The only version so far.
pub const VERSION: &str = "v1";

/// `GET /backup/capabilities`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// [`VERSION`].
    pub version: String,
    /// Kinds of export, for example `db`.
    #[serde(default)]
    pub types: Vec<String>,
    /// Expected duration, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub est_seconds: Option<u64>,
    /// Expected size, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub est_size: Option<u64>,
    /// Formats that an export may have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub formats: Vec<String>,
    /// Whether `/backup/import` is served.
    #[serde(default)]
    pub restore: bool,
    /// Whether exports may be answered with 202 and a job.
    #[serde(default, rename = "async")]
    pub is_async: bool,
    /// Whether exports may carry their checksum in trailers.
    #[serde(default)]
    pub streaming: bool,
    /// Name of the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Name of the strategy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// Exports that may go on at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
}

/// `POST /backup/export`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportRequest {
    /// One of [`Capabilities::types`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// Passed to commands as `SIDE_CAR_DRIVE_FOLDER_ID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drive_folder_id: Option<String>,
    /// The same id joins the export that is under way, or gives its result again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// How the artifact should come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefer: Option<Prefer>,
}

/// How an artifact should come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prefer {
    /// While it is made, checksum in trailers.
    Stream,
    /// After it is made, checksum in headers.
    Spool,
    /// As a job.
    Async,
}

/// `202` of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobAccepted {
    /// Name of the job.
    pub job_id: String,
    /// Where its state is: an absolute path, or a URL of the same origin.
    pub status_url: String,
    /// Where its artifact will be; likewise.
    pub download: String,
}

/// `GET status_url`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Name of the job.
    #[serde(default)]
    pub job_id: String,
    /// Where it stands.
    pub state: JobState,
    /// Share done, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// Bytes made so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// `202` of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportAccepted {
    /// Name of the job.
    pub job_id: String,
    /// Where its state is: an absolute path, or a URL of the same origin.
    pub status_url: String,
}

/// `200` of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImportReport {
    /// What came of it, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where what was there before is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// Things to know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waiting.
    Queued,
    /// Under way.
    Running,
    /// Its artifact can be downloaded.
    Succeeded,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// An error body (RFC 9457).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// What kind of problem, in few words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
