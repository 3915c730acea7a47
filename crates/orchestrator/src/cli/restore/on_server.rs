//! Restores that the server does: into the app, beside it, or into a folder of its machine.

use clap::Args;
use serde_json::{Value, json};

use super::super::{
    client::{CliError, Client, part},
    show::{self, LANG, Out, items, safe, text},
    wait,
};

#[derive(Args)]
#[group(id = "place", multiple = true)]
pub(crate) struct OnServer {
    /// Put it in the place of what the app has now; a snapshot of that is taken first.
    #[arg(long, conflicts_with_all = ["to", "beside", "into_folder"])]
    into_app: bool,
    /// The app as a whole: it is stopped, its code is checked out as it was, and it is started again
    /// with the images that it ran then.
    #[arg(long, requires = "into_app", conflicts_with = "only")]
    whole: bool,
    /// Bring the app as a whole back to before a deployment: its label, its commit, or the latest.
    #[arg(
        long,
        value_name = "DEPLOYMENT",
        num_args = 0..=1,
        default_missing_value = "latest",
        conflicts_with_all = ["to", "into_app", "beside", "into_folder", "only", "extract"]
    )]
    before_deploy: Option<String>,
    /// Go back to what was there before this restore.
    #[arg(
        long,
        conflicts_with_all = [
            "to", "into_app", "beside", "into_folder", "only", "extract", "before_deploy"
        ]
    )]
    undo: bool,
    /// With the app as a whole: leave its code as it is.
    #[arg(long, conflicts_with_all = ["to", "beside", "into_folder"])]
    without_code: bool,
    /// With the app as a whole: set aside changes to its code that are in no commit (`git stash`).
    #[arg(long, conflicts_with_all = ["to", "beside", "into_folder", "without_code"])]
    set_code_aside: bool,
    /// Put it next to what the app has, as a new database, volume or folder of this name.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["to", "into_folder"])]
    beside: Option<String>,
    /// Put it into this folder of the server's machine.
    #[arg(long, value_name = "PATH", conflicts_with = "to")]
    into_folder: Option<String>,
    /// The app's name, where something would be replaced.
    #[arg(long, value_name = "APP", conflicts_with = "to")]
    confirm: Option<String>,
    /// Take no snapshot of what would be replaced.
    #[arg(long, conflicts_with_all = ["to", "beside", "into_folder"])]
    no_undo: bool,
    /// These tables only, as SCHEMA.TABLE; together with --only.
    #[arg(long, value_name = "TABLE", requires = "only", conflicts_with = "to")]
    table: Vec<String>,
    /// These files and folders only; together with --only.
    #[arg(long, value_name = "PATH", requires = "only", conflicts_with = "extract")]
    pub(super) path: Vec<String>,
    /// Read from this destination.
    #[arg(long, value_name = "DESTINATION", conflicts_with = "to")]
    from: Option<String>,
    /// Only look at what it would meet.
    #[arg(long, conflicts_with = "to")]
    preflight: bool,
    /// Wait for the end, and tell it by the exit code.
    #[arg(long, conflicts_with = "to")]
    wait: bool,
}

impl OnServer {
    /// Where a server goes that is brought to a moment, and the name that was typed for it; `None`
    /// where something is said that is about snapshots alone.
    pub(in crate::cli) fn of_moment(&self) -> Option<(Value, Option<&str>)> {
        let about_code = self.whole || self.without_code || self.set_code_aside;
        let back = self.before_deploy.is_some() || self.undo || self.no_undo;
        if about_code || back || self.from.is_some() || self.is_of_one() {
            return None;
        }
        let target = if let Some(path) = &self.into_folder {
            json!({ "to": "folder", "path": path })
        } else if let Some(name) = &self.beside {
            json!({ "to": "beside", "name": name })
        } else if self.into_app {
            json!({ "to": "app" })
        } else {
            Value::Null
        };
        Some((target, self.confirm.as_deref()))
    }

    /// What was typed to confirm it.
    pub(in crate::cli) fn confirm(&self) -> Option<&str> {
        self.confirm.as_deref()
    }

    pub(in crate::cli) fn only_looks(&self) -> bool {
        self.preflight
    }

    pub(in crate::cli) fn waits(&self) -> bool {
        self.wait
    }

    /// Shows a run that began, or waits for its end.
    pub(in crate::cli) async fn finish(
        &self,
        client: &Client,
        mut run: Value,
        out: &Out,
    ) -> Result<u8, CliError> {
        if !self.wait {
            return wait::finish(client, run, false, out).await;
        }
        // One that was cut off, or that waits for its undo snapshot, goes on as another run.
        loop {
            let ended = wait::ended(client, &run, out).await?;
            match next_try(client, &ended).await? {
                Some(next) => run = next,
                None => return Ok(wait::end(&ended, out)),
            }
        }
    }

    /// Whether it asks for a part of one source.
    pub(super) fn is_of_one(&self) -> bool {
        !self.table.is_empty() || !self.path.is_empty()
    }
}

/// Whether a restore to a moment is to be gone back on: there what was kept takes its place again,
/// and no snapshot was taken.
pub(super) async fn undoes_moment(
    client: &Client,
    run: &str,
    how: &OnServer,
) -> Result<bool, CliError> {
    if !how.undo {
        return Ok(false);
    }
    let report = client.get(&format!("runs/{}/report", part(run))).await?;
    let has_kept = items(&report["steps"]).iter().any(|step| step["kept"].is_string());
    let run = client.get(&format!("runs/{}", part(run))).await?;
    Ok(has_kept && run["restore"]["moment"].is_object())
}

/// The snapshot that is meant by `given`.
pub(super) async fn meant(
    client: &Client,
    given: &str,
    how: &OnServer,
) -> Result<String, CliError> {
    if let Some(deploy) = &how.before_deploy {
        let path = format!("apps/{}/before-deploy?deploy={}", part(given), part(deploy));
        let snapshot = client.get(&path).await?;
        return Ok(text(&snapshot["id"]).to_owned());
    }
    if !how.undo {
        return Ok(given.to_owned());
    }
    let report = client.get(&format!("runs/{}/report", part(given))).await?;
    report["undo_snapshot"].as_str().map(str::to_owned).ok_or_else(|| {
        let told = "that restore took no snapshot of what was there before";
        CliError::Refused(told.to_owned())
    })
}

pub(super) async fn restore(
    client: &Client,
    snapshot: &str,
    only: &[String],
    given: &OnServer,
    out: &Out,
) -> Result<u8, CliError> {
    let request = request(only, given);
    let path = format!("snapshots/{}", part(snapshot));
    let seen = client.post(&format!("{path}/preflight"), &request).await?;
    if given.preflight {
        out.answer(&seen, || tell(&seen));
        return Ok(if is_blocked(&seen) { 5 } else { 0 });
    }
    if !out.json {
        tell(&seen);
    }
    if let Some(wanted) = seen["confirm"].as_str()
        && given.confirm.as_deref() != Some(wanted)
        && !is_blocked(&seen)
    {
        return Err(CliError::Refused(format!(
            "this replaces what is there: add --confirm {} to do it",
            safe(wanted)
        )));
    }
    let run = client.post(&format!("{path}/restore"), &request).await?;
    given.finish(client, run, out).await
}

/// The run that goes on where `run` ended.
async fn next_try(client: &Client, run: &Value) -> Result<Option<Value>, CliError> {
    if run["state"] == "succeeded" {
        return Ok(None);
    }
    let runs = client.get("runs?limit=200").await?;
    Ok(items(&runs).iter().find(|one| one["retry_of"] == run["id"]).cloned())
}

fn request(only: &[String], given: &OnServer) -> Value {
    let mut request = json!({ "confirm": given.confirm, "from": given.from });
    let to = match (&given.beside, &given.into_folder) {
        (Some(name), _) => {
            request["name"] = json!(name);
            "beside"
        }
        (None, Some(path)) => {
            request["path"] = json!(path);
            "folder"
        }
        (None, None) => "app",
    };
    request["to"] = json!(to);
    request["without_undo"] = json!(given.no_undo);
    request["whole"] = json!(given.whole || given.undo || given.before_deploy.is_some());
    request["without_code"] = json!(given.without_code);
    request["set_code_aside"] = json!(given.set_code_aside);
    let part =
        |artifact| json!({ "artifact": artifact, "tables": given.table, "paths": given.path });
    request["only"] = only.iter().map(part).collect();
    request
}

fn is_blocked(seen: &Value) -> bool {
    items(&seen["checks"]).iter().any(|check| check["level"] == "blocked")
}

/// What a restore would meet, for people.
fn tell(seen: &Value) {
    for item in items(&seen["items"]) {
        let size = LANG.size(item["size_bytes"].as_u64().unwrap_or(0));
        show::line(&format!(
            "{}: {size} to {}",
            safe(text(&item["artifact"])),
            safe(show::sentence(&item["target"]))
        ));
        if !item["replaces"].is_null() {
            show::line(&format!("  replaces {}", safe(show::sentence(&item["replaces"]))));
        }
    }
    for check in items(&seen["checks"]) {
        let mark = match text(&check["level"]) {
            "good" => "✓",
            "warning" => "!",
            _ => "✕",
        };
        show::line(&format!("{mark} {}{}", safe(show::sentence(check)), show::code(check)));
    }
    if let Some(secs) = seen["estimate_secs"].as_u64() {
        show::line(&format!("it may take about {secs} s"));
    }
}
