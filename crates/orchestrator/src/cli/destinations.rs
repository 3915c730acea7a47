//! Destinations.

use std::{collections::BTreeMap, path::Path};

use clap::{Subcommand, builder::ArgAction};
use serde_json::{Value, json};

use super::{
    client::{CliError, Client, part},
    doctor,
    quantity::Change,
    read_secret,
    repositories::tell_password,
    show::{self, Out, cell, items, plain, text},
};

#[derive(Subcommand)]
pub(crate) enum DestinationCommand {
    /// Adds a destination.
    Add {
        /// Its name.
        name: String,
        /// `local`, `s3`, `rclone`, `sftp`, `webdav`, `b2`, `azblob`, `gcs`, `gdrive`, `tree` or
        /// `rest`.
        #[arg(long)]
        kind: String,
        /// `repository`: deduplicated and encrypted in restic's format, and readable by it.
        #[arg(long, value_parser = ["objects", "repository"])]
        layout: Option<String>,
        /// A setting; may be repeated.
        #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
        set: Vec<(String, String)>,
        /// A secret, read from a file; may be repeated.
        #[arg(long, value_name = "KEY=PATH", value_parser = pair)]
        set_file: Vec<(String, String)>,
        /// Its credentials cannot delete.
        #[arg(long)]
        append_only: bool,
        /// Re-read every copy there at least this often.
        #[arg(long, value_name = "DAYS")]
        verify_every_days: Option<u32>,
    },
    /// Lists destinations.
    List,
    /// Shows a destination.
    Show {
        /// The destination.
        name: String,
    },
    /// Changes what is given and leaves the rest.
    Edit {
        /// The destination.
        name: String,
        /// Its new name.
        #[arg(long, value_name = "NAME")]
        rename: Option<String>,
        /// A setting; `KEY=` takes it away; may be repeated.
        #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
        set: Vec<(String, String)>,
        /// A secret, read from a file; may be repeated.
        #[arg(long, value_name = "KEY=PATH", value_parser = pair)]
        set_file: Vec<(String, String)>,
        /// A stored secret to forget; may be repeated.
        #[arg(long, value_name = "KEY")]
        forget_secret: Vec<String>,
        /// Whether its credentials cannot delete.
        #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
        #[arg(default_missing_value = "true", action = ArgAction::Set)]
        append_only: Option<bool>,
        /// Re-read every copy there at least this often; `none` is only when asked.
        #[arg(long, value_name = "DAYS")]
        verify_every_days: Option<Change<u32>>,
    },
    /// Removes a destination; nothing there is touched.
    Remove {
        /// The destination.
        name: String,
    },
    /// Writes, reads back, lists and deletes a small object there.
    Test {
        /// The destination.
        name: String,
    },
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(super) fn secrets(files: Vec<(String, String)>) -> Result<BTreeMap<String, String>, CliError> {
    files.into_iter().map(|(key, path)| Ok((key, read_secret(Path::new(&path))?))).collect()
}

/// Shows an identity that was made, once; programs find it in the answer.
fn tell_identity(answer: &Value, name: &str) {
    let Some(identity) = answer["generated_identity"].as_str() else { return };
    show::line(identity);
    show::aside(&format!(
        "Store this identity away from this machine now: it is not shown again, and without it \
         (or the catalog) nothing at `{name}` can be decrypted."
    ));
}

pub(super) async fn destination(
    client: &Client,
    command: DestinationCommand,
    out: &Out,
) -> Result<u8, CliError> {
    match command {
        DestinationCommand::Add {
            name,
            kind,
            layout,
            set,
            set_file,
            append_only,
            verify_every_days,
        } => {
            let layout = layout.map(|layout| ("layout".to_owned(), layout));
            let settings: BTreeMap<_, _> = set.into_iter().chain(layout).collect();
            let body = json!({
                "name": name, "kind": kind, "settings": settings, "secrets": secrets(set_file)?,
                "append_only": append_only,
                "verify_every_days": verify_every_days,
            });
            let added = client.post("destinations", &body).await?;
            out.answer(&added, || {
                show::line(&format!(
                    "{name} is added; next: backup-orchestrator destination test {name}"
                ));
                tell_identity(&added, &name);
                tell_password(&added, &name);
            });
        }
        DestinationCommand::List => {
            let all = client.get("destinations").await?;
            out.answer(&all, || list(&all, out));
        }
        DestinationCommand::Show { name } => {
            let one = client.get(&path(&name)).await?;
            out.answer(&one, || print(&one, out));
        }
        DestinationCommand::Edit {
            name,
            rename,
            set,
            set_file,
            forget_secret,
            append_only,
            verify_every_days,
        } => {
            let current = client.get(&path(&name)).await?;
            let mut settings = current["settings"].clone();
            for (key, value) in set {
                settings[key] = value.into();
            }
            let body = json!({
                "version": current["version"],
                "name": rename.map_or_else(|| current["name"].clone(), Value::from),
                "kind": current["kind"],
                "settings": settings,
                "secrets": secrets(set_file)?,
                "forget_secrets": forget_secret,
                "append_only": append_only.map_or_else(|| current["append_only"].clone(), Value::from),
                "verify_every_days": verify_every_days
                    .map_or_else(|| current["verify_every_days"].clone(), Value::from),
            });
            let changed = client.put(&path(&name), &body).await?;
            out.answer(&changed, || {
                show::line(&format!("{} is changed", text(&changed["name"])));
                tell_identity(&changed, text(&changed["name"]));
            });
        }
        DestinationCommand::Remove { name } => {
            client.delete(&path(&name)).await?;
            out.done(&format!("{name} is removed; nothing there was touched"));
        }
        DestinationCommand::Test { name } => return doctor::destination(client, &name, out).await,
    }
    Ok(0)
}

fn path(name: &str) -> String {
    format!("destinations/{}", part(name))
}

/// What the last test found.
fn checked(one: &Value, out: &Out) -> comfy_table::Cell {
    match (&one["last_check"]["at"], one["last_check"]["problem"].as_str()) {
        (_, Some(_)) => out.state("failed"),
        (Value::Null, _) => plain("○ never tested"),
        _ => out.state("ok"),
    }
}

fn list(all: &Value, out: &Out) {
    let rows = items(all)
        .iter()
        .map(|one| {
            [
                cell(&one["name"]),
                cell(&one["kind"]),
                cell(&one["settings"]),
                checked(one, out),
                out.when(&one["last_check"]["at"]),
            ]
        })
        .collect();
    let empty = "no destination yet: add one with `backup-orchestrator destination add`";
    out.table(["name", "kind", "settings", "test", "tested"], rows, empty);
}

fn print(one: &Value, out: &Out) {
    let mut fields = vec![
        ("name", cell(&one["name"])),
        ("kind", cell(&one["kind"])),
        ("settings", cell(&one["settings"])),
        ("secrets", cell(&one["secrets"])),
        ("append only", cell(&one["append_only"])),
        ("re-read every (days)", cell(&one["verify_every_days"])),
        ("test", checked(one, out)),
        ("tested", out.when(&one["last_check"]["at"])),
    ];
    if let Some(problem) = one["last_check"]["problem"].as_str() {
        fields.push(("problem", plain(problem)));
    }
    fields.push(("id", cell(&one["id"])));
    out.fields(fields);
}
