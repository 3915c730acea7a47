//! Destinations that are repositories.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    client::{CliError, Client, part},
    read_secret,
    show::{self, Out, cell, items, plain, safe, size, text},
    wait,
};

#[derive(Subcommand)]
pub(crate) enum RepositoryCommand {
    /// Shows what a repository keeps, how much room it takes, and its last check.
    Stats {
        /// The destination.
        name: String,
        /// Count anew, which reads every folder.
        #[arg(long)]
        now: bool,
    },
    /// Looks whether a repository is whole.
    Check {
        /// The destination.
        name: String,
        /// Read every byte, and not the structure alone.
        #[arg(long)]
        read_data: bool,
        /// Wait for the end, and tell it by the exit code.
        #[arg(long)]
        wait: bool,
    },
    /// Frees what no snapshot needs: marked now, deleted by the first one a day later.
    Prune {
        /// The destination.
        name: String,
        /// Wait for the end, and tell it by the exit code.
        #[arg(long)]
        wait: bool,
    },
    /// Copies every snapshot there to a destination that lacks it.
    Copy {
        /// The destination.
        name: String,
        /// The other one, of any kind.
        #[arg(long)]
        to: String,
    },
    /// Removes locks whose owners are gone.
    Unlock {
        /// The destination.
        name: String,
        /// All locks: then nobody may be at work, restic included.
        #[arg(long)]
        all: bool,
    },
    /// Its passwords.
    #[command(subcommand)]
    Keys(KeyCommand),
}

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Lists them.
    List {
        /// The destination.
        name: String,
    },
    /// Adds one; without a file one is made and shown once.
    Add {
        /// The destination.
        name: String,
        /// A file with the password.
        #[arg(long, value_name = "PATH")]
        password_file: Option<PathBuf>,
    },
    /// Puts another in the place of the one in use; without a file one is made and shown once.
    Rotate {
        /// The destination.
        name: String,
        /// A file with the password.
        #[arg(long, value_name = "PATH")]
        password_file: Option<PathBuf>,
    },
    /// Removes one that is not in use.
    Remove {
        /// The destination.
        name: String,
        /// Its id, or how it begins.
        id: String,
    },
}

fn path(name: &str, rest: &str) -> String {
    format!("destinations/{}/repository{rest}", part(name))
}

pub(super) async fn repository(
    client: &Client,
    command: RepositoryCommand,
    out: &Out,
) -> Result<u8, CliError> {
    match command {
        RepositoryCommand::Stats { name, now } => {
            let state = client.get(&path(&name, if now { "?now=true" } else { "" })).await?;
            out.answer(&state, || tell(&state, out));
        }
        RepositoryCommand::Check { name, read_data, wait } => {
            let body = json!({ "read_data": read_data });
            let run = client.post(&path(&name, "/check"), &body).await?;
            return wait::finish(client, run, wait, out).await;
        }
        RepositoryCommand::Prune { name, wait } => {
            let run = client.post(&path(&name, "/prune"), &json!({})).await?;
            return wait::finish(client, run, wait, out).await;
        }
        RepositoryCommand::Copy { name, to } => {
            let runs = client.post(&path(&name, "/copy"), &json!({ "to": to })).await?;
            out.answer(&runs, || {
                show::line(&format!("{} snapshots are on their way to {to}", items(&runs).len()));
            });
        }
        RepositoryCommand::Unlock { name, all } => {
            let done = client.post(&path(&name, "/unlock"), &json!({ "all": all })).await?;
            out.answer(&done, || {
                show::line(&format!("{} locks were removed", show::word(&done["removed"])));
            });
        }
        RepositoryCommand::Keys(command) => keys(client, command, out).await?,
    }
    Ok(0)
}

async fn keys(client: &Client, command: KeyCommand, out: &Out) -> Result<(), CliError> {
    match command {
        KeyCommand::List { name } => {
            let keys = client.get(&path(&name, "/keys")).await?;
            out.answer(&keys, || {
                let rows = items(&keys)
                    .iter()
                    .map(|key| {
                        let id: String = text(&key["id"]).chars().take(8).collect();
                        [
                            plain(id),
                            out.when(&key["created_at"]),
                            cell(&key["hostname"]),
                            cell(&key["username"]),
                            cell(&key["current"]),
                        ]
                    })
                    .collect();
                out.table(["id", "made", "host", "by", "in use"], rows, "no key");
            });
        }
        KeyCommand::Add { name, password_file } => {
            let password = password_file.map(|file| read_secret(&file)).transpose()?;
            let made = client.post(&path(&name, "/keys"), &json!({ "password": password })).await?;
            out.answer(&made, || {
                show::line(&format!("key {} is added", text(&made["id"])));
                tell_password(&made, &name);
            });
        }
        KeyCommand::Rotate { name, password_file } => {
            let password = password_file.map(|file| read_secret(&file)).transpose()?;
            let body = json!({ "password": password });
            let made = client.post(&path(&name, "/rotate"), &body).await?;
            out.answer(&made, || {
                show::line(&format!("key {} is the one in use", text(&made["id"])));
                tell_password(&made, &name);
            });
        }
        KeyCommand::Remove { name, id } => {
            client.delete(&path(&name, &format!("/keys/{}", part(&id)))).await?;
            out.done("the key is removed");
        }
    }
    Ok(())
}

/// Shows a password that was made, once; programs find it in the answer.
pub(super) fn tell_password(answer: &Value, name: &str) {
    let Some(password) = answer["generated_password"].as_str() else { return };
    show::line(password);
    show::aside(&format!(
        "Store this password away from this machine now: it is not shown again, and without it \
         (or the catalog) nothing in the repository `{name}` can be read."
    ));
}

fn tell(state: &Value, out: &Out) {
    let counted = &state["statistics"];
    let ratio = |key: &str| {
        plain(counted[key].as_f64().map_or("–".to_owned(), |ratio| format!("{ratio:.2} ×")))
    };
    let mut fields = if counted.is_null() {
        vec![("counted", plain("never: use --now"))]
    } else {
        vec![
            ("restic snapshots", cell(&counted["snapshots"])),
            ("restored", size(&counted["raw_bytes"])),
            ("different", size(&counted["unique_bytes"])),
            ("stored", size(&counted["stored_bytes"])),
            ("not needed", size(&counted["unused_bytes"])),
            ("deduplication", ratio("deduplication")),
            ("compression", ratio("compression")),
            ("counted", out.when(&counted["at"])),
        ]
    };
    let checked = &state["checked"];
    if checked.is_null() {
        fields.push(("checked", plain("never")));
    } else {
        fields.push(("checked", out.when(&checked["at"])));
        fields.push(("every byte read", cell(&checked["read_data"])));
        fields.push(("problems", cell(&checked["problem_count"])));
    }
    let freed = &state["freed"];
    if !freed.is_null() {
        fields.push(("freed", out.when(&freed["at"])));
        fields.push(("deleted then", size(&freed["deleted_bytes"])));
        fields.push(("marked then", size(&freed["marked_bytes"])));
    }
    let locked = &state["locked"];
    if !locked.is_null() {
        fields.push(("newest locked until", out.when(&locked["newest_until"])));
        fields.push(("locks looked at", out.when(&locked["at"])));
    }
    out.fields(fields);
    for line in items(&checked["problems"]).iter().chain(items(&checked["advice"])) {
        show::line(&format!("  {}", safe(text(line))));
    }
}
