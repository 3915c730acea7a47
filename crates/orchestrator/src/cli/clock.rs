//! The server's clock.

use serde_json::json;

use super::{
    client::{CliError, Client},
    show::Out,
};

pub(super) async fn accept(client: &Client, out: &Out) -> Result<u8, CliError> {
    client.post("clock/accept", &json!({})).await?;
    out.done("the time is right: retention goes on");
    Ok(0)
}
