//! Any moment of an app's PostgreSQL server: which can be gone back to, and going there.

mod told;

use clap::Args;
use serde_json::{Value, json};

use super::{
    client::{CliError, Client, part},
    drills,
    restore::OnServer,
    show::{self, Out, safe, text},
    wait,
};
use crate::moment;

/// A moment.
#[derive(Args)]
#[command(next_help_heading = "A moment of a PostgreSQL server")]
pub(super) struct MomentArgs {
    /// Just after the last transaction that was committed at or before this time, written with its
    /// zone: `2026-11-21T14:30:00+01:00`, `2026-11-21T14:30[Europe/Madrid]`.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["lsn", "restore_point", "latest"])]
    at: Option<String>,
    /// At this position in the WAL, such as `16/B374D848`.
    #[arg(long, value_name = "LSN", conflicts_with_all = ["restore_point", "latest"])]
    lsn: Option<model::Lsn>,
    /// At a moment that was given this name.
    #[arg(long, value_name = "NAME", conflicts_with = "latest")]
    restore_point: Option<String>,
    /// The last state that is stored.
    #[arg(long)]
    latest: bool,
    /// Follow this timeline; else the one that the newest WAL is on.
    #[arg(long, value_name = "N")]
    timeline: Option<u32>,
    /// Stop there and wait to be promoted by hand (`SELECT pg_promote()`).
    #[arg(long)]
    pause: bool,
}

impl MomentArgs {
    pub(super) fn is_given(&self) -> bool {
        self.at.is_some() || self.lsn.is_some() || self.restore_point.is_some() || self.latest
    }

    /// What is asked for, as the API takes it.
    fn order(&self) -> Result<Value, CliError> {
        let moment = if let Some(at) = &self.at {
            let at = moment::parse(at).map_err(|error| CliError::Usage(error.to_string()))?;
            json!({ "moment": "time", "at": at })
        } else if let Some(at) = self.lsn {
            json!({ "moment": "lsn", "at": at })
        } else if let Some(name) = &self.restore_point {
            json!({ "moment": "restore_point", "name": name })
        } else if self.latest {
            json!({ "moment": "latest" })
        } else {
            let advice = "say which moment: --at, --lsn, --restore-point or --latest";
            return Err(CliError::Usage(advice.to_owned()));
        };
        let mut order = moment;
        order["timeline"] = json!(self.timeline);
        order["pause"] = json!(self.pause);
        Ok(order)
    }
}

/// `recovery plan`.
#[derive(Args)]
pub(crate) struct PlanArgs {
    /// The app.
    app: String,
    #[command(flatten)]
    moment: MomentArgs,
    /// Where it would go: a folder of the server's machine.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["beside", "into_app"])]
    into_folder: Option<String>,
    /// Or a new container of this name; without a place one beside the server's is taken.
    #[arg(long, value_name = "NAME", conflicts_with = "into_app")]
    beside: Option<String>,
    /// Or the place of what the server's container has.
    #[arg(long)]
    into_app: bool,
}

impl PlanArgs {
    fn target(&self) -> Value {
        match (&self.into_folder, &self.beside) {
            (Some(path), _) => json!({ "to": "folder", "path": path }),
            (None, Some(name)) => json!({ "to": "beside", "name": name }),
            (None, None) if self.into_app => json!({ "to": "app" }),
            (None, None) => Value::Null,
        }
    }
}

fn of_app(app: &str, what: &str) -> String {
    format!("apps/{}/recovery{what}", part(app))
}

pub(super) async fn status(client: &Client, app: &str, out: &Out) -> Result<u8, CliError> {
    let state = client.get(&of_app(app, "")).await?;
    out.answer(&state, || told::state(&state, out));
    Ok(0)
}

pub(super) async fn base(
    client: &Client,
    app: &str,
    wait: bool,
    out: &Out,
) -> Result<u8, CliError> {
    let run = client.post(&of_app(app, "/base"), &json!({})).await?;
    wait::finish(client, run, wait, out).await
}

pub(super) async fn point(
    client: &Client,
    app: &str,
    name: &str,
    out: &Out,
) -> Result<u8, CliError> {
    let made = client.post(&of_app(app, "/restore-points"), &json!({ "name": name })).await?;
    out.answer(&made, || {
        let at = safe(text(&made["at"]));
        show::line(&format!("`{}` is at {at}", safe(text(&made["name"]))));
    });
    Ok(0)
}

pub(super) async fn plan(client: &Client, given: &PlanArgs, out: &Out) -> Result<u8, CliError> {
    let request = json!({
        "order": given.moment.order()?,
        "target": given.target(),
    });
    let seen = client.post(&of_app(&given.app, "/preflight"), &request).await?;
    out.answer(&seen, || told::preflight(&seen, out));
    Ok(if told::is_blocked(&seen) { 5 } else { 0 })
}

/// `restore APP` with a moment.
pub(super) async fn restore(
    client: &Client,
    app: &str,
    moment: &MomentArgs,
    to: &OnServer,
    out: &Out,
) -> Result<u8, CliError> {
    let Some((target, confirm)) = to.of_moment() else {
        let told = "a server is brought to a moment as a whole: give --beside, --into-app or \
                    --into-folder, or none of them for a new container beside its own, and of the \
                    others only --confirm, --wait and --preflight";
        return Err(CliError::Usage(told.to_owned()));
    };
    let request = json!({
        "order": moment.order()?,
        "target": target,
        "confirm": confirm,
        "overwrite": confirm.is_some(),
    });
    let seen = client.post(&of_app(app, "/preflight"), &request).await?;
    if to.only_looks() {
        out.answer(&seen, || told::preflight(&seen, out));
        return Ok(if told::is_blocked(&seen) { 5 } else { 0 });
    }
    if !out.json {
        told::preflight(&seen, out);
    }
    if let Some(wanted) = seen["confirm"].as_str()
        && confirm != Some(wanted)
        && !told::is_blocked(&seen)
    {
        return Err(CliError::Refused(format!(
            "this replaces what is there: add --confirm {} to do it",
            safe(wanted)
        )));
    }
    let run = client.post(&of_app(app, "/restore"), &request).await?;
    let id = text(&run["id"]).to_owned();
    let code = to.finish(client, run, out).await?;
    if to.waits() && !out.json {
        let report = client.get(&format!("runs/{}/report", part(&id))).await?;
        told::landing(&report["landing"], out);
        told::notes(&report["steps"]);
    }
    Ok(code)
}

/// `restore RUN --undo` of one that took the place of a server.
pub(super) async fn undo(
    client: &Client,
    run: &str,
    to: &OnServer,
    out: &Out,
) -> Result<u8, CliError> {
    let path = format!("runs/{}/undo", part(run));
    let run = client.post(&path, &json!({ "confirm": to.confirm() })).await?;
    to.finish(client, run, out).await
}

/// `drill APP` with a moment, or with a random one.
pub(super) async fn drill(
    client: &Client,
    app: &str,
    moment: &MomentArgs,
    wait: bool,
    out: &Out,
) -> Result<u8, CliError> {
    let order = moment.is_given().then(|| moment.order()).transpose()?;
    let run = client.post(&of_app(app, "/drill"), &json!({ "order": order })).await?;
    drills::finish(client, run, wait, out).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> MomentArgs {
        MomentArgs {
            at: None,
            lsn: None,
            restore_point: None,
            latest: false,
            timeline: None,
            pause: false,
        }
    }

    #[test]
    fn a_moment_is_said_as_the_api_takes_it() {
        let at = |given: &MomentArgs| {
            let order: model::MomentOrder = serde_json::from_value(given.order().unwrap()).unwrap();
            order
        };
        let time = MomentArgs { at: Some("2026-11-21T14:30+01:00".to_owned()), ..none() };
        let expected = model::Moment::Time { at: "2026-11-21T13:30:00Z".parse().unwrap() };
        assert_eq!(at(&time).moment, expected);
        let lsn = MomentArgs { lsn: Some(model::Lsn(0x10)), timeline: Some(2), ..none() };
        assert_eq!(at(&lsn).moment, model::Moment::Lsn { at: model::Lsn(0x10) });
        assert_eq!(at(&lsn).timeline, Some(2));
        let latest = MomentArgs { latest: true, pause: true, ..none() };
        assert!(at(&latest).pause && at(&latest).moment == model::Moment::Latest);
        assert!(none().order().is_err() && !none().is_given());
        let twice = MomentArgs { at: Some("2026-10-25T02:30[Europe/Madrid]".to_owned()), ..none() };
        let told = twice.order().unwrap_err().to_string();
        assert!(told.contains("02:30:00+02:00") && told.contains("02:30:00+01:00"), "{told}");
    }
}
