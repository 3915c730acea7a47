//! Alerts: what is wrong, what was sent, channels and routes.

use std::collections::BTreeMap;

use clap::{Args, Subcommand, builder::ArgAction};
use serde_json::{Value, json};

use super::{
    client::{CliError, Client, part},
    destinations::{pair, secrets},
    quantity::Change,
    show::{self, Out, cell, items, plain, text, word},
};

#[derive(Subcommand)]
pub(crate) enum AlertCommand {
    /// Lists what is wrong.
    List {
        /// Of this app only.
        #[arg(long)]
        app: Option<String>,
        /// With what is over.
        #[arg(long)]
        all: bool,
        /// How many lines; at most 500.
        #[arg(long, default_value_t = 50)]
        limit: u64,
    },
    /// Lists the messages that were sent or wait.
    Sent {
        /// To this channel only.
        #[arg(long)]
        channel: Option<String>,
        /// In this state only.
        #[arg(long, value_parser = ["held", "queued", "sent", "failed"])]
        state: Option<String>,
        /// How many lines; at most 500.
        #[arg(long, default_value_t = 50)]
        limit: u64,
    },
    /// Where people are told.
    #[command(subcommand)]
    Channel(ChannelCommand),
    /// Which alerts go where.
    #[command(subcommand)]
    Route(RouteCommand),
}

#[derive(Subcommand)]
pub(crate) enum ChannelCommand {
    /// Adds a channel. Nothing is sent there before a route leads to it.
    Add {
        /// Its name.
        name: String,
        /// `email`, `telegram`, `webhook`, `ntfy`, `slack`, `discord`, `gotify` or `healthchecks`.
        #[arg(long)]
        kind: String,
        /// A setting; may be repeated; `alert channel kinds` lists them.
        #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
        set: Vec<(String, String)>,
        /// A secret, read from a file; may be repeated.
        #[arg(long, value_name = "KEY=PATH", value_parser = pair)]
        set_file: Vec<(String, String)>,
        /// The language of its messages: `en` or `es`.
        #[arg(long, default_value = "en")]
        language: String,
    },
    /// Lists the kinds of channel and what each takes.
    Kinds,
    /// Lists channels.
    List,
    /// Shows a channel.
    Show {
        /// The channel.
        name: String,
    },
    /// Changes what is given and leaves the rest.
    Edit {
        /// The channel.
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
        /// The language of its messages.
        #[arg(long)]
        language: Option<String>,
        /// Whether anything is sent there.
        #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
        #[arg(default_missing_value = "true", action = ArgAction::Set)]
        enabled: Option<bool>,
    },
    /// Removes a channel that no route leads to.
    Remove {
        /// The channel.
        name: String,
    },
    /// Sends a message of trial.
    Test {
        /// The channel.
        name: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum RouteCommand {
    /// Adds a route.
    Add {
        /// Its name.
        name: String,
        #[command(flatten)]
        given: RouteArgs,
    },
    /// Lists routes, in the order in which they are looked at.
    List,
    /// Shows a route.
    Show {
        /// The route.
        name: String,
    },
    /// Changes what is given and leaves the rest.
    Edit {
        /// The route.
        name: String,
        /// Its new name.
        #[arg(long, value_name = "NAME")]
        rename: Option<String>,
        #[command(flatten)]
        given: RouteArgs,
    },
    /// Removes a route; what it held goes out.
    Remove {
        /// The route.
        name: String,
    },
}

/// What a route can be told.
#[derive(Args, Default)]
pub(crate) struct RouteArgs {
    /// A channel that it leads to; may be repeated.
    #[arg(long, value_name = "CHANNEL")]
    channel: Vec<String>,
    /// An app that it is for, or `all`; may be repeated.
    #[arg(long, value_name = "APP")]
    app: Vec<String>,
    /// A kind of alert that it is for, such as `overdue`, or `all`; may be repeated.
    #[arg(long = "for", value_name = "KIND")]
    kind: Vec<String>,
    /// What matters less does not go this way.
    #[arg(long, value_parser = ["info", "warning", "error"])]
    least: Option<String>,
    /// Whether people are told when it is over.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", action = ArgAction::Set)]
    recoveries: Option<bool>,
    /// Hours between two messages of what lasts; `none` tells it once.
    #[arg(long, value_name = "HOURS")]
    remind_every: Option<Change<u32>>,
    /// Hours in which messages wait, such as `22:00-07:00`; `none` takes them away.
    #[arg(long, value_name = "FROM-TO")]
    quiet: Option<Change<Quiet>>,
    /// Whether errors break the quiet hours.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", action = ArgAction::Set)]
    urgent: Option<bool>,
    /// Whether messages are gathered.
    #[arg(long, value_parser = ["none", "daily", "weekly"])]
    digest: Option<String>,
    /// The hour at which what was gathered goes out.
    #[arg(long, value_name = "HOUR")]
    digest_hour: Option<u8>,
    /// Whose clock quiet hours and digests follow.
    #[arg(long, value_name = "TZ")]
    time_zone: Option<String>,
    /// Routes are looked at from the lowest.
    #[arg(long, value_name = "NUMBER")]
    position: Option<u32>,
    /// Whether it leads anywhere.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", action = ArgAction::Set)]
    enabled: Option<bool>,
}

/// A part of the day.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quiet {
    from: String,
    to: String,
}

impl std::str::FromStr for Quiet {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (from, to) = text.split_once('-').ok_or("write it as 22:00-07:00")?;
        Ok(Self { from: from.trim().to_owned(), to: to.trim().to_owned() })
    }
}

impl RouteArgs {
    /// Puts what was given over `body`.
    fn apply(self, body: &mut Value) {
        let several = |words: Vec<String>| -> Option<Value> {
            if words.is_empty() {
                return None;
            }
            let all = words.iter().any(|word| word == "all");
            Some(if all { json!([]) } else { words.into() })
        };
        let (from, to) = match self.quiet {
            Some(Change::To(quiet)) => (Some(quiet.from.into()), Some(quiet.to.into())),
            Some(Change::Clear) => (Some("".into()), Some("".into())),
            None => (None, None),
        };
        let given = [
            ("channels", several(self.channel)),
            ("apps", several(self.app)),
            ("kinds", several(self.kind)),
            ("least", self.least.map(Value::from)),
            ("recoveries", self.recoveries.map(Value::from)),
            ("remind_every_hours", self.remind_every.map(Value::from)),
            ("quiet_from", from),
            ("quiet_to", to),
            ("urgent_breaks_quiet", self.urgent.map(Value::from)),
            ("digest", self.digest.map(Value::from)),
            ("digest_hour", self.digest_hour.map(Value::from)),
            ("time_zone", self.time_zone.map(Value::from)),
            ("position", self.position.map(Value::from)),
            ("enabled", self.enabled.map(Value::from)),
        ];
        for (key, value) in given {
            if let Some(value) = value {
                body[key] = value;
            }
        }
    }
}

pub(super) async fn alert(
    client: &Client,
    command: AlertCommand,
    out: &Out,
) -> Result<u8, CliError> {
    match command {
        AlertCommand::List { app, all, limit } => {
            let app = app.map(|app| format!("&app={}", part(&app))).unwrap_or_default();
            let found = client.get(&format!("alerts?open={}&limit={limit}{app}", !all)).await?;
            out.answer(&found, || list(&found, out));
        }
        AlertCommand::Sent { channel, state, limit } => {
            let channel = channel.map(|name| format!("&channel={}", part(&name)));
            let state = state.map(|state| format!("&state={state}"));
            let more = channel.into_iter().chain(state).collect::<String>();
            let found = client.get(&format!("alert-messages?limit={limit}{more}")).await?;
            out.answer(&found, || sent(&found, out));
        }
        AlertCommand::Channel(command) => return channel(client, command, out).await,
        AlertCommand::Route(command) => return route(client, command, out).await,
    }
    Ok(0)
}

fn list(found: &Value, out: &Out) {
    let rows = items(found)
        .iter()
        .map(|one| {
            let about = [&one["app"], &one["destination"]];
            let about: Vec<_> =
                about.into_iter().filter(|name| !name.is_null()).map(word).collect();
            let state = if one["closed_at"].is_null() { text(&one["severity"]) } else { "over" };
            [
                plain(text(&one["kind"]).replace('_', " ")),
                plain(about.join(" at ")),
                out.state(if state == "error" { "failed" } else { state }),
                out.when(&one["opened_at"]),
                cell(&one["message"]),
            ]
        })
        .collect();
    out.table(["alert", "about", "state", "since", "what"], rows, "nothing is wrong");
}

fn sent(found: &Value, out: &Out) {
    let rows = items(found)
        .iter()
        .map(|one| {
            let tells = items(&one["alerts"]).iter().zip(items(&one["items"]));
            let tells: Vec<_> = tells
                .map(|(alert, item)| format!("{} {}", word(&alert["kind"]), word(&item["change"])))
                .collect();
            let at = if one["ended_at"].is_null() { &one["created_at"] } else { &one["ended_at"] };
            [
                cell(&one["channel"]),
                out.state(match text(&one["state"]) {
                    "sent" => "good",
                    other => other,
                }),
                out.when(at),
                plain(tells.join(", ").replace('_', " ")),
                cell(&one["problem"]),
            ]
        })
        .collect();
    out.table(["channel", "state", "when", "tells", "problem"], rows, "no message yet");
}

fn channel_path(name: &str) -> String {
    format!("alert-channels/{}", part(name))
}

async fn channel(client: &Client, command: ChannelCommand, out: &Out) -> Result<u8, CliError> {
    match command {
        ChannelCommand::Add { name, kind, set, set_file, language } => {
            let settings: BTreeMap<_, _> = set.into_iter().collect();
            let body = json!({
                "name": name, "kind": kind, "language": language, "settings": settings,
                "secrets": secrets(set_file)?,
            });
            let added = client.post("alert-channels", &body).await?;
            out.answer(&added, || {
                show::line(&format!(
                    "{name} is added; next: backup-orchestrator alert channel test {name}, and \
                     backup-orchestrator alert route add everything --channel {name}"
                ));
            });
        }
        ChannelCommand::Kinds => {
            let all = client.get("alert-channel-kinds").await?;
            out.answer(&all, || kinds(&all, out));
        }
        ChannelCommand::List => {
            let all = client.get("alert-channels").await?;
            out.answer(&all, || channels(&all, out));
        }
        ChannelCommand::Show { name } => {
            let one = client.get(&channel_path(&name)).await?;
            out.answer(&one, || shown(&one, out));
        }
        ChannelCommand::Edit { name, rename, set, set_file, forget_secret, language, enabled } => {
            let current = client.get(&channel_path(&name)).await?;
            let mut settings = current["settings"].clone();
            for (key, value) in set {
                settings[key] = value.into();
            }
            let or =
                |given: Option<Value>, key: &str| given.unwrap_or_else(|| current[key].clone());
            let body = json!({
                "version": current["version"],
                "name": or(rename.map(Value::from), "name"),
                "kind": current["kind"],
                "enabled": or(enabled.map(Value::from), "enabled"),
                "language": or(language.map(Value::from), "language"),
                "settings": settings,
                "secrets": secrets(set_file)?,
                "forget_secrets": forget_secret,
            });
            let changed = client.put(&channel_path(&name), &body).await?;
            out.answer(&changed, || show::line(&format!("{} is changed", text(&changed["name"]))));
        }
        ChannelCommand::Remove { name } => {
            client.delete(&channel_path(&name)).await?;
            out.done(&format!("{name} is removed"));
        }
        ChannelCommand::Test { name } => {
            let tried = client.post(&format!("{}/test", channel_path(&name)), &json!({})).await?;
            out.answer(&tried, || match tried["problem"].as_str() {
                Some(problem) => show::line(&format!("{name} did not take it: {problem}")),
                None => show::line(&format!("{name} took the message: see that it arrived")),
            });
            return Ok(u8::from(!tried["problem"].is_null()));
        }
    }
    Ok(0)
}

fn kinds(all: &Value, out: &Out) {
    let mut rows = Vec::new();
    for kind in items(all) {
        for field in items(&kind["fields"]) {
            let how = if field["secret"] == true { "--set-file" } else { "--set" };
            rows.push([
                cell(&kind["kind"]),
                cell(&field["key"]),
                plain(how),
                cell(&field["required"]),
                cell(&field["default"]),
                cell(&field["choices"]),
            ]);
        }
    }
    out.table(["kind", "key", "given by", "needed", "default", "one of"], rows, "none");
}

/// What came of the last try.
fn tried(one: &Value, out: &Out) -> comfy_table::Cell {
    match (&one["last_try"], one["last_try"]["problem"].as_str()) {
        _ if one["enabled"] == false => plain("– off"),
        (Value::Null, _) => plain("○ never tried"),
        (_, Some(_)) => out.state("failed"),
        _ => out.state("ok"),
    }
}

fn channels(all: &Value, out: &Out) {
    let rows = items(all)
        .iter()
        .map(|one| {
            [
                cell(&one["name"]),
                cell(&one["kind"]),
                tried(one, out),
                out.when(&one["last_try"]["at"]),
                cell(&one["last_try"]["problem"]),
            ]
        })
        .collect();
    let empty = "no channel yet: add one with `backup-orchestrator alert channel add`";
    out.table(["name", "kind", "last try", "tried", "problem"], rows, empty);
}

fn shown(one: &Value, out: &Out) {
    out.fields(vec![
        ("name", cell(&one["name"])),
        ("kind", cell(&one["kind"])),
        ("settings", cell(&one["settings"])),
        ("secrets", cell(&one["secrets"])),
        ("language", cell(&one["language"])),
        ("last try", tried(one, out)),
        ("tried", out.when(&one["last_try"]["at"])),
        ("problem", cell(&one["last_try"]["problem"])),
        ("id", cell(&one["id"])),
    ]);
}

fn route_path(name: &str) -> String {
    format!("alert-routes/{}", part(name))
}

async fn route(client: &Client, command: RouteCommand, out: &Out) -> Result<u8, CliError> {
    match command {
        RouteCommand::Add { name, given } => {
            let mut body = json!({ "name": name });
            given.apply(&mut body);
            let added = client.post("alert-routes", &body).await?;
            out.answer(&added, || show::line(&format!("{name} is added")));
        }
        RouteCommand::List => {
            let all = client.get("alert-routes").await?;
            out.answer(&all, || routes(&all, out));
        }
        RouteCommand::Show { name } => {
            let one = client.get(&route_path(&name)).await?;
            out.answer(&one, || route_shown(&one, out));
        }
        RouteCommand::Edit { name, rename, given } => {
            let mut body = client.get(&route_path(&name)).await?;
            if let Some(all) = body.as_object_mut() {
                for known in ["id", "managed_by", "created_at", "updated_at"] {
                    all.remove(known);
                }
            }
            if let Some(rename) = rename {
                body["name"] = rename.into();
            }
            given.apply(&mut body);
            let changed = client.put(&route_path(&name), &body).await?;
            out.answer(&changed, || show::line(&format!("{} is changed", text(&changed["name"]))));
        }
        RouteCommand::Remove { name } => {
            client.delete(&route_path(&name)).await?;
            out.done(&format!("{name} is removed"));
        }
    }
    Ok(0)
}

/// A list, or that nothing is left out.
fn or_all(value: &Value) -> comfy_table::Cell {
    if items(value).is_empty() { plain("all") } else { cell(value) }
}

fn quiet(one: &Value) -> comfy_table::Cell {
    match (text(&one["quiet_from"]), text(&one["quiet_to"])) {
        ("", _) => plain("–"),
        (from, to) => plain(format!("{from}-{to} {}", text(&one["time_zone"]))),
    }
}

fn routes(all: &Value, out: &Out) {
    let rows = items(all)
        .iter()
        .map(|one| {
            [
                cell(&one["name"]),
                cell(&one["channels"]),
                or_all(&one["apps"]),
                or_all(&one["kinds"]),
                cell(&one["least"]),
                quiet(one),
                cell(&one["digest"]),
                cell(&one["enabled"]),
            ]
        })
        .collect();
    let empty = "no route yet: nothing is sent; add one with `backup-orchestrator alert route add`";
    let header = ["name", "channels", "apps", "for", "least", "quiet", "digest", "in use"];
    out.table(header, rows, empty);
}

fn route_shown(one: &Value, out: &Out) {
    out.fields(vec![
        ("name", cell(&one["name"])),
        ("channels", cell(&one["channels"])),
        ("apps", or_all(&one["apps"])),
        ("for", or_all(&one["kinds"])),
        ("least", cell(&one["least"])),
        ("tells recoveries", cell(&one["recoveries"])),
        ("reminds every (hours)", cell(&one["remind_every_hours"])),
        ("quiet", quiet(one)),
        ("errors break quiet", cell(&one["urgent_breaks_quiet"])),
        ("digest", cell(&one["digest"])),
        (
            "digest at",
            plain(format!("{}:00 {}", word(&one["digest_hour"]), text(&one["time_zone"]))),
        ),
        ("position", cell(&one["position"])),
        ("in use", cell(&one["enabled"])),
        ("id", cell(&one["id"])),
    ]);
}
