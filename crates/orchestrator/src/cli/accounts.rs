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
    println!("{data}: the data folder is ready");
    match made {
        Some(login) => println!("{}", login.told(&address)),
        None => println!("its first user is there"),
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
    }
    Ok(0)
}

fn users(all: &Value, out: &Out) {
    let row = |one: &Value| [cell(&one["name"]), cell(&one["role"]), out.when(&one["created_at"])];
    let rows = items(all).iter().map(row).collect();
    out.table(["name", "role", "added"], rows, "no user");
}

pub(super) async fn token(
    client: &Client,
    command: TokenCommand,
    out: &Out,
) -> Result<u8, CliError> {
    match command {
        TokenCommand::Create { name, scope, expires } => {
            let body = json!({
                "name": name, "scopes": scope, "expires_at": expires.map(expiry).transpose()?,
            });
            let made = client.post("tokens", &body).await?;
            out.answer(&made, || {
                // Alone on standard output, so that it can go into a file unseen.
                eprintln!("shown once; whoever has it is `{name}`:");
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
        [
            cell(&one["name"]),
            cell(&one["scopes"]),
            cell(&one["created_by"]),
            if one["expires_at"].is_null() {
                show::plain("never")
            } else {
                out.when(&one["expires_at"])
            },
        ]
    };
    let rows = items(all).iter().map(row).collect();
    out.table(["name", "scopes", "made by", "expires"], rows, "no token");
}

fn expiry(text: String) -> Result<Value, CliError> {
    let wrong = || CliError::Usage(format!("`{text}` is no time such as 90d or 12h"));
    let secs = model::duration::parse_secs(&text).ok_or_else(wrong)?;
    let secs = i64::try_from(secs).map_err(|_| wrong())?;
    let at = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_secs(secs));
    Ok(at.map_err(|_| wrong())?.to_string().into())
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
