//! Apps.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    app_settings::{AppSettings, bindings, draft_of, server},
    client::{CliError, Client, part},
    read_secret,
    show::{self, Out, cell, items, plain, text},
    sources::{self, GivenSource},
};
use crate::settings::Environment;

#[derive(Subcommand)]
pub(crate) enum AppCommand {
    /// Registers an app.
    ///
    /// Its data comes from an app or sidecar that serves the backup contract (`--url` and
    /// `--token-file`), or from sources of any kind:
    ///
    ///   --source kind=postgres,host=db,user=app,database=shop,password-file=db.pw
    ///   --source media:kind=volume,volume=shop_media
    #[command(verbatim_doc_comment)]
    #[expect(clippy::doc_markdown, reason = "the help shows the words as they are typed")]
    Add {
        /// Its name.
        name: String,
        /// Address of the app or its sidecar.
        #[arg(long, required_unless_present = "source", conflicts_with = "source")]
        #[arg(requires = "token_file")]
        url: Option<String>,
        /// File with the token that the app expects.
        #[arg(long, value_name = "FILE", requires = "url")]
        token_file: Option<PathBuf>,
        /// A source: its kind, settings by key, and secrets by `KEY-file=PATH` or
        /// `KEY-env=VARIABLE`. A value with commas stands in double quotes. Without a name it is
        /// called as the app. May be repeated; several make one snapshot.
        #[arg(long, value_name = "[NAME:]KEY=VALUE,…")]
        source: Vec<GivenSource>,
        /// Where copies go; may be repeated.
        #[arg(long, required = true, value_name = "NAME[:FOLDER]")]
        destination: Vec<String>,
        #[command(flatten)]
        settings: Box<AppSettings>,
    },
    /// Lists apps.
    List,
    /// Shows an app.
    Show {
        /// The app.
        name: String,
    },
    /// Changes what is given and leaves the rest.
    Edit {
        /// The app.
        name: String,
        /// Its new name.
        #[arg(long, value_name = "NAME")]
        rename: Option<String>,
        /// Address of the app or its sidecar.
        #[arg(long)]
        url: Option<String>,
        /// File with a new token; the one before is still tried where the app refuses the new.
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// Changes what is given of the source NAME and leaves the rest; `KEY=` takes a setting
        /// out. A NAME that the app does not have is a new source, and needs its `kind`. May be
        /// repeated.
        #[arg(long, value_name = "NAME:KEY=VALUE,…")]
        source: Vec<GivenSource>,
        /// Takes a source away; its data stays in the snapshots there are. May be repeated.
        #[arg(long, value_name = "NAME")]
        remove_source: Vec<String>,
        /// Where copies go, in place of all destinations so far; may be repeated.
        #[arg(long, value_name = "NAME[:FOLDER]")]
        destination: Vec<String>,
        #[command(flatten)]
        settings: Box<AppSettings>,
    },
    /// Resumes an app's schedule.
    Enable {
        /// The app.
        name: String,
    },
    /// Stops an app's schedule.
    Disable {
        /// The app.
        name: String,
    },
    /// Removes an app; its snapshots stay.
    Remove {
        /// The app.
        name: String,
    },
}

pub(super) async fn app(
    client: &Client,
    command: AppCommand,
    environment: &Environment,
    out: &Out,
) -> Result<u8, CliError> {
    match command {
        AppCommand::Add { name, url, token_file, source, destination, settings } => {
            let mut described = Vec::new();
            for one in &source {
                described.push(one.draft(environment)?);
            }
            if let (Some(url), Some(file)) = (url, token_file) {
                described.push(json!({
                    "kind": "contract",
                    "settings": { "url": url },
                    "secrets": { "token": read_secret(&file)? },
                }));
            }
            let mut draft = json!({
                "name": name,
                "sources": described,
                "destinations": bindings(&destination, &[]),
                "retention": {},
                "limits": {},
            });
            settings.apply(&mut draft)?;
            let added = client.post("apps", &draft).await?;
            out.answer(&added, || {
                show::line(&format!(
                    "{name} is registered; next: backup-orchestrator doctor app {name}"
                ));
            });
        }
        AppCommand::List => list(client, out).await?,
        AppCommand::Show { name } => {
            let card = client.get(&format!("apps/{}", part(&name))).await?;
            if out.json {
                show::one(&card);
            } else {
                print(client, &card, out).await?;
            }
        }
        AppCommand::Edit {
            name,
            rename,
            url,
            token_file,
            source,
            remove_source,
            destination,
            settings,
        } => {
            let path = format!("apps/{}", part(&name));
            let shown = client.get(&path).await?;
            let mut draft = draft_of(&shown["app"]);
            settings.begin(&shown["app"], &mut draft);
            if !destination.is_empty() {
                let mut known = items(&draft["destinations"]).to_vec();
                let names = client.names("destinations").await?;
                for one in &mut known {
                    one["name"] = names.get(text(&one["destination"])).cloned().into();
                }
                draft["destinations"] = bindings(&destination, &known).into();
            }
            if let Some(name) = rename {
                draft["name"] = name.into();
            }
            if let Some(url) = url {
                server(&mut draft)?["settings"]["url"] = url.into();
            }
            if let Some(file) = token_file {
                server(&mut draft)?["secrets"] = json!({ "token": read_secret(&file)? });
            }
            sources::apply(&mut draft, &source, &remove_source, environment)?;
            settings.apply(&mut draft)?;
            let changed = client.put(&path, &draft).await?;
            out.answer(&changed, || show::line(&format!("{} is changed", text(&changed["name"]))));
        }
        AppCommand::Enable { name } => enable(client, &name, true, out).await?,
        AppCommand::Disable { name } => enable(client, &name, false, out).await?,
        AppCommand::Remove { name } => {
            client.delete(&format!("apps/{}", part(&name))).await?;
            out.done(&format!("{name} is removed; its snapshots stay where they are"));
        }
    }
    Ok(0)
}

async fn enable(client: &Client, name: &str, enabled: bool, out: &Out) -> Result<(), CliError> {
    let body = json!({ "enabled": enabled });
    let app = client.post(&format!("apps/{}/enabled", part(name)), &body).await?;
    let what = if enabled { "is enabled" } else { "is disabled: its schedule rests" };
    out.answer(&app, || show::line(&format!("{name} {what}")));
    Ok(())
}

async fn list(client: &Client, out: &Out) -> Result<(), CliError> {
    let apps = client.get("apps").await?;
    if out.json {
        show::one(&apps);
        return Ok(());
    }
    let names = client.names("destinations").await?;
    let rows = items(&apps)
        .iter()
        .map(|app| {
            [
                cell(&app["name"]),
                plain(if app["enabled"] == true { "enabled" } else { "– disabled" }),
                plain(schedule(app)),
                plain(places(app, &names)),
                cell(&app["retention"]),
            ]
        })
        .collect();
    let empty = "no app yet: add one with `backup-orchestrator app add`";
    out.table(["name", "state", "schedule", "destinations", "keeps"], rows, empty);
    Ok(())
}

fn schedule(app: &Value) -> String {
    match app["schedule"]["spec"].as_str() {
        Some(spec) => format!("{spec} ({})", text(&app["schedule"]["time_zone"])),
        None => "by hand".to_owned(),
    }
}

fn places(app: &Value, names: &std::collections::HashMap<String, String>) -> String {
    let place = |one: &Value| {
        let id = text(&one["destination_id"]);
        let name = names.get(id).map_or(id, String::as_str);
        match text(&one["folder"]) {
            "" => name.to_owned(),
            folder => format!("{name}:{folder}"),
        }
    };
    items(&app["destinations"]).iter().map(place).collect::<Vec<_>>().join(", ")
}

async fn print(client: &Client, card: &Value, out: &Out) -> Result<(), CliError> {
    let app = &card["app"];
    let names = client.names("destinations").await?;
    let mut fields = vec![
        ("name", cell(&app["name"])),
        ("state", out.state(text(&card["health"]))),
        ("schedule", plain(schedule(app))),
        ("next run", out.when(&card["next_fire"])),
        ("last run", out.when(&card["last_run"]["finished_at"])),
        ("newest good", out.when(&card["last_good"]["taken_at"])),
        ("stored", show::size(&card["stored_bytes"])),
        ("destinations", plain(places(app, &names))),
        ("keeps", cell(&app["retention"])),
        ("compression", plain(app["compression"].as_str().unwrap_or("auto"))),
        ("id", cell(&app["id"])),
    ];
    for source in items(&app["sources"]) {
        fields.push(("source", plain(sources::told(source))));
    }
    for (name, value) in [
        ("timeout (s)", &app["limits"]["timeout_secs"]),
        ("max size (B)", &app["limits"]["max_size_bytes"]),
        ("retries", &app["limits"]["retries"]),
    ] {
        if !value.is_null() {
            fields.push((name, cell(value)));
        }
    }
    if let Some(plan) = app["recovery"].as_object() {
        let told = |key: &str| show::word(&plan[key]);
        fields.push((
            "any moment",
            plain(format!(
                "of `{}`, {} days back, a base every {} h, WAL by {}",
                told("source"),
                told("window_days"),
                told("base_every_hours"),
                told("way")
            )),
        ));
    }
    out.fields(fields);
    Ok(())
}
