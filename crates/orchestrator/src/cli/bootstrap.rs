//! `bootstrap`: needs no server; it makes what a server then serves.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use engine::{fields_of, recovery::address};
use secrecy::SecretString;

use super::{client::CliError, destinations::pair, read_secret, show::Out};
use crate::{
    recover::{BootstrapError, Request, bootstrap as perform},
    settings::{Environment, Settings},
};

/// Variables of other programs that name what ours call differently.
const AWS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "access_key_id"),
    ("AWS_SECRET_ACCESS_KEY", "secret_access_key"),
    ("AWS_SESSION_TOKEN", "session_token"),
];

#[derive(Args)]
pub(crate) struct BootstrapArgs {
    /// The destination, as the recovery kit prints it: `file:///folder`,
    /// `s3://bucket/prefix?endpoint=…`, `sftp://user@host/folder?host_key=…`,
    /// `rclone:REMOTE:FOLDER`, `webdavs://host/folder`, `azblob://account/container`, `b2://…`,
    /// `gcs://…`, `gdrive:///folder`, `rest+https://host/folder`.
    #[arg(value_name = "DESTINATION-URL")]
    address: String,
    /// File with the recovery key.
    #[arg(long, value_name = "FILE", required_unless_present = "manifests_only")]
    key_file: Option<PathBuf>,
    /// Read the snapshots' manifests alone: apps come back disabled and without their secrets.
    #[arg(long, conflicts_with = "key_file")]
    manifests_only: bool,
    /// A setting of the destination; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// A secret of the destination, read from a file; may be repeated. Also from the environment,
    /// as `BACKUP_DESTINATION_KEY`.
    #[arg(long, value_name = "KEY=PATH", value_parser = pair)]
    set_file: Vec<(String, String)>,
    /// What the destination is called where the catalog does not know it.
    #[arg(long, value_name = "NAME", default_value = "recovered")]
    name: String,
    /// The destination of the restored catalog that has this address now.
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    /// Also where a catalog is there already; it is kept aside.
    #[arg(long)]
    force: bool,
}

fn request(given: BootstrapArgs, environment: &Environment) -> Result<Request, CliError> {
    let usage = |error: engine::EngineError| CliError::Usage(error.to_string());
    let (kind, mut settings) = address::parse(&given.address).map_err(usage)?;
    for (key, value) in given.set {
        if address::is_secret(&key) {
            return Err(CliError::Usage(format!(
                "--set {key}: everybody on this machine would see it; put it into a file and give \
                 --set-file {key}=FILE"
            )));
        }
        settings.insert(key, value);
    }
    let fields = fields_of(kind);
    let mut secrets: BTreeMap<String, SecretString> = BTreeMap::new();
    let named = fields
        .secrets
        .iter()
        .map(|key| (format!("BACKUP_DESTINATION_{}", key.to_uppercase()), (*key).to_owned()));
    let aws = AWS.iter().map(|(name, key)| ((*name).to_owned(), (*key).to_owned()));
    for (name, key) in aws.chain(named) {
        let known = fields.secrets.contains(&key.as_str());
        if let Some(text) = environment.get(&name).filter(|text| known && !text.is_empty()) {
            secrets.insert(key, text.clone().into());
        }
    }
    for (key, path) in given.set_file {
        secrets.insert(key, read_secret(path.as_ref())?.into());
    }
    let identity = given.key_file.map(|file| read_secret(&file)).transpose()?;
    Ok(Request {
        kind,
        settings,
        secrets,
        identity: identity.map(Into::into),
        name: given.name,
        known_as: given.destination,
        force: given.force,
    })
}

pub(super) async fn bootstrap(
    given: BootstrapArgs,
    environment: &Environment,
    out: &Out,
) -> Result<u8, CliError> {
    let settings =
        Settings::read(environment).map_err(|error| CliError::Usage(error.to_string()))?;
    let request = request(given, environment)?;
    let done = perform(&settings, request, &|_| {}).await.map_err(|error| match error {
        BootstrapError::Refused(why) => CliError::Refused(why),
        BootstrapError::Wrong(why) => CliError::Usage(why.message),
        other => CliError::Failed(other.to_string()),
    })?;
    let value = serde_json::to_value(&done).map_err(CliError::failed)?;
    out.answer(&value, || {
        let line = super::show::line;
        for problem in &done.passed_over {
            line(&format!("passed over: {problem}"));
        }
        match done.copy_of {
            Some(at) => line(&format!("restored the catalog of {at}: {} rows", done.rows)),
            None => line("there was no copy of the catalog: read the manifests alone"),
        }
        super::recovery::tell_reindexed(&value["reindexed"], &done.destination);
        for path in &done.kept_aside {
            line(&format!("kept aside: {}", path.display()));
        }
        line("Schedules and retention wait for a person. Next:");
        line("  backup-orchestrator serve");
        line("  backup-orchestrator overview            # is everything there?");
        line("  backup-orchestrator recovery confirm    # the old server is gone for good");
    });
    Ok(if done.reindexed.problem_count == 0 { 0 } else { 3 })
}
