//! Who did what.

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::{
    client::{CliError, Client},
    show::{self, Out, cell, items},
};

#[derive(Args)]
pub(crate) struct AuditArgs {
    /// Of this user only, or of `token NAME`, or of `this machine`.
    #[arg(long)]
    who: Option<String>,
    /// Only this action (`app.remove`), or all of a group (`app`).
    #[arg(long)]
    action: Option<String>,
    /// Not before this day (2026-11-30, in the server's zone) or moment.
    #[arg(long)]
    from: Option<String>,
    /// Until the end of this day, or before this moment.
    #[arg(long)]
    to: Option<String>,
    /// How many lines; at most 500.
    #[arg(long, default_value_t = 50)]
    limit: u64,
    /// How many lines to leave out, from the newest.
    #[arg(long, default_value_t = 0)]
    offset: u64,
    /// Print all that fits as CSV for spreadsheets.
    #[arg(long, conflicts_with_all = ["limit", "offset"])]
    csv: bool,
}

impl AuditArgs {
    fn filter(&self) -> String {
        let mut filter = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in
            [("who", &self.who), ("action", &self.action), ("from", &self.from), ("to", &self.to)]
        {
            if let Some(value) = value {
                filter.append_pair(name, value);
            }
        }
        filter.finish()
    }
}

pub(super) async fn audit(client: &Client, given: AuditArgs, out: &Out) -> Result<u8, CliError> {
    let filter = given.filter();
    if given.csv {
        return csv(client, &filter).await;
    }
    let path = format!("audit?limit={}&offset={}&{filter}", given.limit, given.offset);
    let entries = client.get(path.trim_end_matches('&')).await?;
    let row = |one: &Value| {
        let [who, from, action, target] = ["who", "from", "action", "target"].map(|key| &one[key]);
        [out.when(&one["at"]), cell(who), cell(from), cell(action), cell(target)]
    };
    out.answer(&entries, || {
        let rows = items(&entries).iter().map(row).collect();
        out.table(["when", "who", "from", "what", "on"], rows, "nothing here");
    });
    Ok(0)
}

async fn csv(client: &Client, filter: &str) -> Result<u8, CliError> {
    let mut response = client.send(Method::GET, &format!("audit.csv?{filter}"), None).await?;
    let cut = |error: reqwest::Error| {
        CliError::Failed(format!("the table was cut: {}; ask again", error.without_url()))
    };
    while let Some(part) = response.chunk().await.map_err(cut)? {
        show::raw(&part);
    }
    Ok(0)
}
