//! What copies take at destinations, and will take.

use clap::Args;

use super::{
    client::{CliError, Client, part},
    show::{LANG, Out, items, plain, size},
};

#[derive(Args)]
pub(crate) struct StorageArgs {
    /// Only what this destination holds.
    destination: Option<String>,
    /// Only what is of this app, its archive of WAL as well.
    #[arg(long, conflicts_with = "destination")]
    app: Option<String>,
}

pub(super) async fn storage(
    client: &Client,
    given: StorageArgs,
    out: &Out,
) -> Result<u8, CliError> {
    let path = match (given.destination, given.app) {
        (Some(name), _) => format!("destinations/{}/storage", part(&name)),
        (None, Some(app)) => format!("apps/{}/storage", part(&app)),
        (None, None) => "storage".to_owned(),
    };
    let trend = client.get(&path).await?;
    out.answer(&trend, || {
        let forecast = &trend["forecast"];
        let by_day = forecast["bytes_per_day"].as_i64().unwrap_or(0);
        let sign = if by_day < 0 { "-" } else { "+" };
        let mut fields = vec![("now", size(&trend["bytes"]))];
        if forecast.is_null() {
            let days = items(&trend["days"]).len();
            fields.push(("to come", plain(format!("told from 7 days on: {days} so far"))));
        } else {
            let by_day = LANG.size(by_day.unsigned_abs());
            fields.push(("each day", plain(format!("{sign}{by_day}"))));
            fields.push(("in 30 days", size(&forecast["in_30_days"])));
        }
        if !trend["free_bytes"].is_null() {
            fields.push(("free", size(&trend["free_bytes"])));
        }
        if let Some(days) = forecast["full_in_days"].as_u64() {
            fields.push(("full in", plain(format!("{days} days"))));
        }
        out.fields(fields);
    });
    Ok(0)
}
