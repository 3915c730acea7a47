//! Every command of the user guide is one that the program knows.

use crate::{
    guide_pages::{LANGUAGES, pages},
    server::Place,
};

const PROGRAM: &str = "backup-orchestrator";
/// Words at which the shell goes on to something else.
const ENDS: [&str; 7] = ["|", "||", "&&", "&", "<", ">", ";"];

/// What the program is given by each command in the blocks of `text`.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let (mut fenced, mut line) = (false, String::new());
    for next in text.lines() {
        if next.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            if let Some(begun) = next.strip_suffix('\\') {
                line.push_str(begun);
                continue;
            }
            line.push_str(next);
            all.extend(command(&line));
            line.clear();
        }
    }
    all
}

/// The program's arguments, where `line` runs it.
fn command(line: &str) -> Option<Vec<String>> {
    let words = shlex::split(line)?;
    let at = words.iter().position(|word| word == PROGRAM)?;
    let mut rest = words[at + 1..].iter();
    if words.iter().any(|word| word == "docker") {
        // The container has the program's name.
        rest.next().filter(|word| *word == PROGRAM)?;
    }
    let own = rest.take_while(|word| !ENDS.contains(&word.as_str()));
    Some(own.filter(|word| *word != "…").cloned().collect())
}

#[test]
fn its_commands_are_known() {
    let place = Place::new(&[]);
    let mut seen = 0;
    for language in LANGUAGES {
        for (page, text) in pages(language) {
            for words in commands(&text) {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                // Asked for help, it reads what is there and misses nothing.
                let told = place.run(&[&words[..], &["--help"]].concat());
                let said = String::from_utf8_lossy(&told.stderr);
                assert!(told.status.success(), "{page} in {language}: {words:?}: {said}");
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "only {seen} commands");
}
