//! `quiesce` and `code`: what makes an app's snapshot one restorable point.

use model::{CodePlan, Hook, QuiescePlan};
use serde_json::Value;

use super::{
    export::{number, text},
    keys::{CodeEntry, HookEntry, QuiesceEntry},
    reader::Reader,
    values::Number,
    variables::literally,
};

impl Reader<'_> {
    pub(super) fn quiesce(&mut self, base: &str, entry: Option<&QuiesceEntry>) -> QuiescePlan {
        let Some(entry) = entry else { return QuiescePlan::default() };
        let base = format!("{base}.quiesce");
        let mode = entry.mode.as_ref().map(|raw| {
            let at = format!("{base}.mode");
            let word = self.text(&at, raw);
            word.trim().parse().unwrap_or_else(|_| {
                self.wrong(&at, "one of none, hooks, pause, stop, filesystem");
                model::QuiesceMode::default()
            })
        });
        let containers = entry.containers.iter().flatten().enumerate();
        let containers = containers
            .map(|(at, raw)| self.text(&format!("{base}.containers[{at}]"), raw))
            .collect();
        QuiescePlan {
            mode: mode.unwrap_or_default(),
            containers,
            max_secs: self.number(&format!("{base}.max_secs"), entry.max_secs.as_ref()),
            pre: self.hooks(&format!("{base}.pre"), entry.pre.as_deref()),
            post: self.hooks(&format!("{base}.post"), entry.post.as_deref()),
        }
    }

    fn hooks(&mut self, base: &str, entries: Option<&[HookEntry]>) -> Vec<Hook> {
        let entries = entries.unwrap_or_default().iter().enumerate();
        entries
            .map(|(at, entry)| {
                let base = format!("{base}[{at}]");
                let argv = entry.argv.iter().enumerate();
                let argv =
                    argv.map(|(at, raw)| self.text(&format!("{base}.argv[{at}]"), raw)).collect();
                let container = entry.container.as_ref();
                let container = container.map(|raw| self.text(&format!("{base}.container"), raw));
                let timeout = entry.timeout_secs.as_ref();
                let timeout_secs = self.number(&format!("{base}.timeout_secs"), timeout);
                Hook { container, argv, timeout_secs }
            })
            .collect()
    }

    /// An empty path where there is none.
    pub(super) fn code(&mut self, base: &str, entry: Option<&CodeEntry>) -> CodePlan {
        let path = entry.map(|entry| self.text(&format!("{base}.code.path"), &entry.path));
        CodePlan { path: path.unwrap_or_default().into() }
    }
}

/// The plan as an entry; `None` where it asks for nothing.
pub(super) fn quiesce(one: &Value) -> Option<QuiesceEntry> {
    let list = |value: &Value| value.as_array().filter(|all| !all.is_empty()).cloned();
    let words = |all: Vec<Value>| all.iter().map(|word| literally(&text(word))).collect();
    let hooks = |value: &Value| -> Option<Vec<HookEntry>> {
        let hook = |one: &Value| HookEntry {
            container: one["container"].as_str().map(literally),
            argv: words(list(&one["argv"]).unwrap_or_default()),
            timeout_secs: number(&one["timeout_secs"]),
        };
        Some(list(value)?.iter().map(hook).collect())
    };
    let mode = one["mode"].as_str().filter(|mode| *mode != "none");
    let max_secs: Option<Number> = number(&one["max_secs"]);
    let containers = list(&one["containers"]).map(words);
    let says = mode.is_some() || max_secs.is_some() || containers.is_some();
    says.then(|| QuiesceEntry {
        mode: mode.map(str::to_owned),
        containers,
        max_secs,
        pre: hooks(&one["pre"]),
        post: hooks(&one["post"]),
    })
}

pub(super) fn code(one: &Value) -> Option<CodeEntry> {
    Some(CodeEntry { path: literally(one["path"].as_str()?) })
}
