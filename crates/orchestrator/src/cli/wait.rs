//! Waiting for a run: its log and a progress bar, and its end as an exit code.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::{
    client::{CliError, Client, part},
    show::{self, Out, items, mark, safe, text},
};

pub(super) const PAUSE: Duration = Duration::from_millis(250);

/// Lines of a run's log after number `seen` that `filter` asks for, however many.
pub(super) async fn log_after(
    client: &Client,
    id: &str,
    mut seen: i64,
    filter: &str,
) -> Result<Vec<Value>, CliError> {
    let mut all = Vec::new();
    loop {
        let lines = client.get_again(&format!("runs/{id}/log?after={seen}&{filter}")).await?;
        let lines = items(&lines);
        let Some(last) = lines.last().and_then(|line| line["seq"].as_i64()) else { return Ok(all) };
        if last <= seen {
            return Ok(all);
        }
        seen = last;
        all.extend_from_slice(lines);
    }
}

/// A line of a log for people.
pub(super) fn told(line: &Value, out: &Out) -> String {
    let level = text(&line["level"]);
    format!("{} {level:5} {}", out.clock(&line["at"]), safe(text(&line["message"])))
}

/// A bar of bytes on standard error; draws nothing where that is no terminal.
pub(super) fn bar(expected: Option<u64>) -> ProgressBar {
    let known = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    let (bar, style) = match expected {
        Some(expected) => (ProgressBar::new(expected), ProgressStyle::with_template(known)),
        None => {
            let style = ProgressStyle::with_template("{spinner} {msg} {bytes} {bytes_per_sec}");
            (ProgressBar::new_spinner(), style)
        }
    };
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Shows a run at once, or waits for its end and tells it by the exit code.
pub(super) async fn finish(
    client: &Client,
    run: Value,
    wait: bool,
    out: &Out,
) -> Result<u8, CliError> {
    if !wait {
        out.answer(&run, || {
            let id = text(&run["id"]);
            show::line(&format!("run {id} is {}", text(&run["state"])));
            show::line(&format!("follow it with: backup-orchestrator logs {id} --follow"));
        });
        return Ok(0);
    }
    Ok(end(&ended(client, &run, out).await?, out))
}

/// Tells how a run ended; gives the exit code for that.
pub(super) fn end(run: &Value, out: &Out) -> u8 {
    let state = text(&run["state"]);
    out.answer(run, || {
        let what = match run["snapshot_id"].as_str() {
            Some(snapshot) => format!(", snapshot {snapshot}"),
            None => String::new(),
        };
        let read = show::LANG.size(run["bytes_read"].as_u64().unwrap_or(0));
        let (symbol, _) = mark(state);
        show::line(&format!("{symbol} {}: {read}{what}", state.replace('_', " ")));
    });
    if let Some(message) = run["failure"]["message"].as_str() {
        show::aside(&safe(message));
    }
    code(state)
}

/// The exit code that tells how a run ended.
pub(super) fn code(state: &str) -> u8 {
    match state {
        "succeeded" => 0,
        "partially_failed" => 3,
        _ => 1,
    }
}

/// Shows runs at once, or waits for their ends; the exit code tells whether all, some or none did
/// well.
pub(super) async fn finish_all(
    client: &Client,
    runs: &[Value],
    wait: bool,
    out: &Out,
) -> Result<u8, CliError> {
    let mut ends = Vec::new();
    for run in runs {
        ends.push(if wait { ended(client, run, out).await? } else { run.clone() });
    }
    let names = client.names("apps").await.unwrap_or_default();
    out.answer(&serde_json::json!({ "runs": ends }), || {
        for run in &ends {
            let (id, state) = (text(&run["id"]), text(&run["state"]));
            let app = names.get(text(&run["app_id"])).map_or("an app", String::as_str);
            let why = run["failure"]["message"].as_str().map(|why| format!(": {why}"));
            let why = safe(&why.unwrap_or_default());
            show::line(&format!("run {id} of {app} is {}{why}", state.replace('_', " ")));
        }
        if ends.is_empty() {
            show::line("no app is enabled");
        }
    });
    if !wait {
        return Ok(0);
    }
    let codes: Vec<_> = ends.iter().map(|run| code(text(&run["state"]))).collect();
    let all_are = |code: u8| codes.iter().all(|one| *one == code);
    Ok(if all_are(0) {
        0
    } else if all_are(1) {
        1
    } else {
        3
    })
}

/// Waits for a run's end.
pub(super) async fn ended(client: &Client, run: &Value, out: &Out) -> Result<Value, CliError> {
    let id = text(&run["id"]).to_owned();
    let path = format!("runs/{}", part(&id));
    out.goes_on(Some(format!(
        "run {id} goes on; stop it with `backup-orchestrator cancel {id}`, follow it with \
         `backup-orchestrator logs {id} --follow`"
    )));
    let mut seen = 0;
    let mut bar = bar(run["bytes_expected"].as_u64());
    loop {
        let shown = client.get_again(&path).await?;
        let run = &shown["run"];
        if !out.json {
            for line in log_after(client, &part(&id), seen, "").await? {
                seen = line["seq"].as_i64().unwrap_or(seen);
                bar.suspend(|| show::line(&told(&line, out)));
            }
        }
        if bar.length() != run["bytes_expected"].as_u64() {
            bar.finish_and_clear();
            bar = self::bar(run["bytes_expected"].as_u64());
        }
        bar.set_message(text(&run["stage"]).to_owned());
        bar.set_position(run["bytes_read"].as_u64().unwrap_or(0));
        if !run["finished_at"].is_null() {
            bar.finish_and_clear();
            out.goes_on(None);
            return Ok(run.clone());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
