//! Users, tokens, the audit log, and a data folder made ready without a server.

use std::{io::IsTerminal as _, path::Path};

use serde_json::{Value, json};

use super::{
    arguments::{TokenCommand, UserCommand},
    client::{CliError, Client},
    read_secret, show,
};
use crate::{serve, settings::Settings};

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

pub(super) async fn user(
    client: &Client,
    command: UserCommand,
    json: bool,
) -> Result<u8, CliError> {
    match command {
        UserCommand::Add { name, role, password_file } => {
            let password = password(password_file.as_deref(), &name)?;
            let body = json!({ "name": name, "role": role, "password": password });
            show::one(&client.post("users", &body).await?);
        }
        UserCommand::List => show::list(&client.get("users").await?, json, show::USER),
        UserCommand::Role { name, role } => {
            show::one(&client.put(&format!("users/{name}"), &json!({ "role": role })).await?);
        }
        UserCommand::Password { name, password_file } => {
            let body = json!({ "password": password(password_file.as_deref(), &name)? });
            show::one(&client.put(&format!("users/{name}"), &body).await?);
        }
        UserCommand::Remove { name } => client.delete(&format!("users/{name}")).await?,
    }
    Ok(0)
}

pub(super) async fn token(
    client: &Client,
    command: TokenCommand,
    json: bool,
) -> Result<u8, CliError> {
    match command {
        TokenCommand::Create { name, scope, expires } => {
            let body = json!({
                "name": name, "scopes": scope, "expires_at": expires.map(expiry).transpose()?,
            });
            let made = client.post("tokens", &body).await?;
            if json {
                show::one(&made);
            } else {
                // Alone on standard output, so that it can go into a file unseen.
                eprintln!("shown once; whoever has it is `{name}`:");
                println!("{}", show::text(&made["secret"]));
            }
        }
        TokenCommand::List => show::list(&client.get("tokens").await?, json, show::TOKEN),
        TokenCommand::Revoke { name } => client.delete(&format!("tokens/{name}")).await?,
    }
    Ok(0)
}

pub(super) async fn audit(client: &Client, limit: u64, json: bool) -> Result<u8, CliError> {
    let entries = client.get(&format!("audit?limit={limit}")).await?;
    show::list(&entries, json, show::AUDIT);
    Ok(0)
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
