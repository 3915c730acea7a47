//! Who is logged in where.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    client::{CliError, Client, part},
    show::{Out, cell, items},
};

#[derive(Subcommand)]
pub(crate) enum SessionCommand {
    /// Lists who is logged in where.
    List {
        /// Of this user only.
        #[arg(long)]
        user: Option<String>,
    },
    /// Ends a login, or all of a user.
    End(Which),
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Which {
    /// The login, as the list prints it.
    id: Option<String>,
    /// All of this user.
    #[arg(long)]
    user: Option<String>,
}

pub(super) async fn session(
    client: &Client,
    command: SessionCommand,
    out: &Out,
) -> Result<u8, CliError> {
    match command {
        SessionCommand::List { user } => {
            let only = user.map_or(String::new(), |user| format!("?user={}", part(&user)));
            let all = client.get(&format!("sessions{only}")).await?;
            out.answer(&all, || table(&all, out));
        }
        SessionCommand::End(Which { user: Some(user), .. }) => {
            client.delete(&format!("users/{}/sessions", part(&user))).await?;
            out.done(&format!("all logins of {user} are ended"));
        }
        SessionCommand::End(Which { id, .. }) => {
            let id = id.unwrap_or_default();
            client.delete(&format!("sessions/{}", part(&id))).await?;
            out.done(&format!("the login {id} is ended"));
        }
    }
    Ok(0)
}

fn table(all: &Value, out: &Out) {
    let row = |one: &Value| {
        let [id, user, browser, from] = ["id", "user", "browser", "from"].map(|key| &one[key]);
        let [since, seen] = ["created_at", "seen_at"].map(|key| out.when(&one[key]));
        [cell(id), cell(user), cell(browser), cell(from), since, seen]
    };
    let rows = items(all).iter().map(row).collect();
    out.table(["id", "user", "browser", "from", "since", "last seen"], rows, "nobody is logged in");
}
