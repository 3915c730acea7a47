//! Users, tokens, and a data folder made ready without a server.

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    client::{CliError, Client, part},
    read_secret,
    show::{self, Out, cell, items},
};
use crate::{serve, settings::Settings};

#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Adds a user.
    Add {
        /// Their name.
        name: String,
        /// `viewer`, `operator` or `admin`.
        #[arg(long)]
        role: String,
        /// File with the password; without it, it is asked for.
        #[arg(long)]
        password_file: Option<PathBuf>,
    },
    /// Lists users.
    List,
    /// Changes what a user may do.
    Role {
        /// The user.
        name: String,
        /// `viewer`, `operator` or `admin`.
        role: String,
    },
    /// Sets a user's password; their logins end.
    Password {
        /// The user.
        name: String,
        /// File with the password; without it, it is asked for.
        #[arg(long)]
        password_file: Option<PathBuf>,
    },
    /// Removes a user; their logins end.
    Remove {
        /// The user.
        name: String,
    },
    /// Ends the second factor of a user who has lost it; their logins end.
    TotpReset {
        /// The user.
        name: String,
    },
    /// Unlinks a user from their login at the other service; their logins end.
    Unlink {
        /// The user.
        name: String,
    },
    /// Shows what logins must fulfil, or changes it.
    Rules {
        /// Whether administrators must have a second factor.
        #[arg(long, value_name = "BOOL")]
        admins_need_second_factor: Option<bool>,
        /// Whether only administrators log in by password, everybody else through the other
        /// service.
        #[arg(long, value_name = "BOOL")]
        only_admins_by_password: Option<bool>,
    },
}

#[derive(Subcommand)]
pub(crate) enum TokenCommand {
    /// Makes a token and prints it, once.
    Create {
        /// Its name.
        name: String,
        /// `read`, `run`, `restore`, `admin`, `append`; several with commas.
        #[arg(long, required = true, value_delimiter = ',')]
        scope: Vec<String>,
        /// An app it is for, and nothing else; several with commas. Without it, it is for
        /// everything.
        #[arg(long = "app", value_name = "APP", value_delimiter = ',')]
        apps: Vec<String>,
        /// For how long it is good, for example `90d`; without it, until it is revoked.
        #[arg(long)]
        expires: Option<String>,
    },
    /// Lists tokens, without their secrets.
    List,
    /// Ends a token.
    Revoke {
        /// The token.
        name: String,
    },
}

/// Makes the data folder, its keys and the first user.
pub(super) async fn init(settings: &Settings, json: bool) -> anyhow::Result<()> {
    let opened = serve::open(settings).await?;
    let address = format!("http://localhost:{}", settings.port);
    let made = opened.accounts.add_first_user(&settings.first_user, &address).await?;
    let data = settings.data_dir.display();
    if json {
        let file = made.as_ref().map(|login| login.file.display().to_string());
        show::one(&json!({ "data_dir": data.to_string(), "first_login_file": file }));
        return Ok(());
    }
    show::line(&format!("{data}: the data folder is ready"));
    match made {
        Some(login) => show::line(&login.told(&address)),
        None => show::line("its first user is there"),
    }
    Ok(())
}

pub(super) async fn user(client: &Client, command: UserCommand, out: &Out) -> Result<u8, CliError> {
    match command {
        UserCommand::Add { name, role, password_file } => {
            let password = password(password_file.as_deref(), &name)?;
            let body = json!({ "name": name, "role": role, "password": password });
            let added = client.post("users", &body).await?;
            out.answer(&added, || show::line(&format!("{name} may log in, as {role}")));
        }
        UserCommand::List => {
            let all = client.get("users").await?;
            out.answer(&all, || users(&all, out));
        }
        UserCommand::Role { name, role } => {
            let body = json!({ "role": role });
            let changed = client.put(&format!("users/{}", part(&name)), &body).await?;
            out.answer(&changed, || show::line(&format!("{name} is {role} now")));
        }
        UserCommand::Password { name, password_file } => {
            let body = json!({ "password": password(password_file.as_deref(), &name)? });
            let changed = client.put(&format!("users/{}", part(&name)), &body).await?;
            let told = format!("the password of {name} is changed, their logins ended");
            out.answer(&changed, || show::line(&told));
        }
        UserCommand::Remove { name } => {
            client.delete(&format!("users/{}", part(&name))).await?;
            out.done(&format!("{name} is removed, their logins ended"));
        }
        UserCommand::TotpReset { name } => {
            client.delete(&format!("users/{}/second-factor", part(&name))).await?;
            out.done(&format!("{name} has no second factor any more, their logins ended"));
        }
        UserCommand::Unlink { name } => {
            client.delete(&format!("users/{}/identity", part(&name))).await?;
            out.done(&format!("{name} is unlinked, their logins ended"));
        }
        UserCommand::Rules { admins_need_second_factor, only_admins_by_password } => {
            let now = if admins_need_second_factor.or(only_admins_by_password).is_none() {
                client.get("login-rules").await?
            } else {
                let body = json!({
                    "admins_need_second_factor": admins_need_second_factor,
                    "only_admins_by_password": only_admins_by_password,
                });
                client.put("login-rules", &body).await?
            };
            out.answer(&now, || rules(&now, out));
        }
    }
    Ok(0)
}

fn rules(now: &Value, out: &Out) {
    out.fields(vec![
        ("admins need a second factor", cell(&now["admins_need_second_factor"])),
        ("only admins log in by password", cell(&now["only_admins_by_password"])),
    ]);
}

fn users(all: &Value, out: &Out) {
    let row = |one: &Value| {
        let [name, role, factor, linked] =
            ["name", "role", "second_factor", "linked"].map(|key| cell(&one[key]));
        [name, role, factor, linked, out.when(&one["created_at"])]
    };
    let rows = items(all).iter().map(row).collect();
    out.table(["name", "role", "second factor", "linked", "added"], rows, "no user");
}

pub(super) async fn token(
    client: &Client,
    command: TokenCommand,
    out: &Out,
) -> Result<u8, CliError> {
    match command {
        TokenCommand::Create { name, scope, apps, expires } => {
            let body =
                json!({ "name": name, "scopes": scope, "apps": apps, "expires_in": expires });
            let made = client.post("tokens", &body).await?;
            out.answer(&made, || {
                // Alone on standard output, so that it can go into a file unseen.
                show::aside(&format!("shown once; whoever has it is `{name}`:"));
                show::line(show::text(&made["secret"]));
            });
        }
        TokenCommand::List => {
            let all = client.get("tokens").await?;
            out.answer(&all, || tokens(&all, out));
        }
        TokenCommand::Revoke { name } => {
            client.delete(&format!("tokens/{}", part(&name))).await?;
            out.done(&format!("{name} is revoked"));
        }
    }
    Ok(0)
}

fn tokens(all: &Value, out: &Out) {
    let row = |one: &Value| {
        let when = |key: &str| match &one[key] {
            Value::Null => show::plain("never"),
            at => out.when(at),
        };
        let apps = match items(&one["apps"]) {
            [] => show::plain("all"),
            _ => cell(&one["apps"]),
        };
        let [name, scopes, by] = ["name", "scopes", "created_by"].map(|key| cell(&one[key]));
        [name, scopes, apps, by, when("expires_at"), when("last_used_at")]
    };
    let rows = items(all).iter().map(row).collect();
    out.table(["name", "scopes", "apps", "made by", "expires", "last used"], rows, "no token");
}

/// Typed without being seen, or from a file; never an argument.
fn password(file: Option<&Path>, user: &str) -> Result<String, CliError> {
    if let Some(file) = file {
        return read_secret(file);
    }
    if !std::io::stdin().is_terminal() {
        let advice = "no terminal to type the password at: give --password-file";
        return Err(CliError::Usage(advice.to_owned()));
    }
    let ask = |prompt: String| {
        rpassword::prompt_password(prompt).map_err(|error| CliError::Failed(error.to_string()))
    };
    let first = ask(format!("password for {user}: "))?;
    if ask("again: ".to_owned())? != first {
        return Err(CliError::Usage("these two are not the same".to_owned()));
    }
    Ok(first)
}
