//! Whether the shell understands the commands, and whether their programs are there.

use std::process::Stdio;

use crate::{
    command::Shell,
    config::{Config, Finding, Level},
};

pub(super) async fn judge(config: &Config, findings: &mut Vec<Finding>) {
    let strategy = &config.strategy.config;
    let all = [
        ("strategy.config.pre", &strategy.pre),
        ("strategy.config.command", &strategy.command),
        ("strategy.config.commands", &strategy.commands),
        ("strategy.config.post", &strategy.post),
        ("restore.pre", &config.restore.pre),
        ("restore.command", &config.restore.command),
        ("restore.post", &config.restore.post),
    ];
    let shell = Shell::find();
    let mut has_pipeline = false;
    for (key, commands) in all {
        for text in commands.all() {
            has_pipeline |= text.contains('|');
            if let Err(why) = syntax(&shell, text).await {
                findings.push(Finding::error(key, why));
                continue;
            }
            for (at, word) in programs(text).iter().enumerate() {
                if is_known(&shell, word).await {
                    continue;
                }
                // Behind the first word there may be functions and much else.
                let level = if at == 0 { Level::Error } else { Level::Warning };
                findings.push(Finding::new(level, key, format!("`{word}` is not installed")));
            }
        }
    }
    if has_pipeline && !shell.has_pipefail {
        findings.push(Finding::new(
            Level::Warning,
            "strategy.config",
            "bash is not installed, so commands are given to sh, where a pipeline succeeds with \
             its last command: install bash, or write to \"$SIDE_CAR_TEMP_DUMP\" without a pipeline",
        ));
    }
}

async fn syntax(shell: &Shell, text: &str) -> Result<(), String> {
    let mut command = tokio::process::Command::new(shell.program());
    command.args(["-n", "-c", text]).stdin(Stdio::null());
    match command.output().await {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => {
            let said = String::from_utf8_lossy(&done.stderr);
            Err(format!("the shell does not understand it: {}", said.trim()))
        }
        Err(error) => Err(format!("{} cannot be started: {error}", shell.program().display())),
    }
}

/// Programs, builtins and keywords.
async fn is_known(shell: &Shell, word: &str) -> bool {
    let mut command = tokio::process::Command::new(shell.program());
    command
        .args(["-c", "command -v -- \"$1\"", "sh", word])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

/// The plain words that commands begin with, as far as they can be told without being a shell.
fn programs(text: &str) -> Vec<String> {
    // What a here-document, a substitution or a function holds is not read.
    let is_deep = ["<<", "$(", "`", "()", "case "].iter().any(|sign| text.contains(sign));
    let mut found = Vec::new();
    for part in parts(text) {
        let mut words = part.split_whitespace().skip_while(|word| is_assignment(word));
        if let Some(word) = words.next().filter(|word| is_plain(word)) {
            found.push(word.to_owned());
        }
        if is_deep {
            break;
        }
    }
    found
}

/// The text between `|`, `&`, `;` and line ends outside quotes.
fn parts(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut quote) = (Vec::new(), String::new(), None);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('\''), '\\') => part.push(c),
            (_, '\\') => {
                // An escaped line end joins two lines.
                match chars.next() {
                    Some('\n') | None => part.push(' '),
                    Some(next) => part.extend([c, next]),
                }
            }
            (Some(open), _) => {
                quote = (c != open).then_some(open);
                part.push(c);
            }
            (None, '\'' | '"') => {
                quote = Some(c);
                part.push(c);
            }
            // `2>&1` and `>|` are redirections.
            (None, '&' | '|') if part.ends_with('>') => part.push(c),
            (None, '#') if part.trim().is_empty() => {
                while chars.next_if(|next| *next != '\n').is_some() {}
            }
            (None, '|' | '&' | ';' | '\n') => parts.push(std::mem::take(&mut part)),
            (None, _) => part.push(c),
        }
    }
    parts.push(part);
    parts
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

fn is_plain(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || "/._".contains(c))
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._+-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_that_commands_begin_with() {
        for (text, expected) in [
            ("pg_dump --dbname=\"${DATABASE_URL}\" --format=custom\n", "pg_dump"),
            ("PGOPTIONS='-c x=1' pg_dump a | gzip -c > \"b|c\" 2>&1", "pg_dump gzip"),
            ("# first\nmongodump \\\n  --archive && echo done; true", "mongodump echo true"),
            ("f() { x; }; f", ""),
            ("echo $(nothing | else)", "echo"),
            ("\"$TOOL\" x", ""),
        ] {
            assert_eq!(programs(text).join(" "), expected, "{text}");
        }
    }
}
