//! What restores and drills say, in the reader's language.

use std::{borrow::Cow, collections::HashMap};

use fluent_templates::fluent_bundle::FluentValue;
use jiff::{Timestamp, tz::TimeZone};
use model::{Fact, FactValue, Failure, Sentence};

use super::{lang::Lang, visitor::Visitor};

impl Visitor {
    /// A sentence of ours in words; what a program or a server said stays as it is.
    pub(super) fn sentence(&self, sentence: &Sentence) -> String {
        self.lang.sentence(sentence, &self.zone)
    }

    /// Why something failed.
    pub(super) fn failure(&self, failure: &Failure) -> String {
        match &failure.fact {
            Some(fact) => self.lang.fact(fact, &self.zone),
            None => failure.message.clone(),
        }
    }

    /// What somebody, or a restore, has called a snapshot.
    pub(super) fn label(&self, label: &str) -> String {
        let undone = label.strip_prefix("before restoring ").and_then(|at| at.parse().ok());
        match undone {
            Some(at) => self.lang.with("label-before-restoring", "when", self.when(at).absolute),
            None => label.to_owned(),
        }
    }

    /// What a check of a drill is called: a word of ours, and what somebody asked after it.
    pub(super) fn check_name(&self, name: &str) -> String {
        let (word, rest) = name.split_once(": ").unwrap_or((name, ""));
        let Some(told) = self.lang.find(&format!("drill-name-{word}")) else {
            return name.to_owned();
        };
        if rest.is_empty() { told } else { format!("{told}: {rest}") }
    }
}

impl Lang {
    /// A sentence of ours in words, its moments on the clock of `zone`.
    pub(super) fn sentence(self, sentence: &Sentence, zone: &TimeZone) -> String {
        match &sentence.fact {
            Some(fact) => self.fact(fact, zone),
            None => sentence.message.clone(),
        }
    }

    /// A moment with its date, time and zone.
    pub(super) fn moment(self, at: Timestamp, zone: &TimeZone) -> String {
        self.when(at, at, zone).absolute
    }

    fn fact(self, fact: &Fact, zone: &TimeZone) -> String {
        let values = fact.values().into_iter().map(|(name, value)| {
            let value: FluentValue<'static> = match value {
                FactValue::Text(text) => text.into(),
                FactValue::Count(count) => FluentValue::from(count),
                FactValue::Size(bytes) => self.size(bytes).into(),
                FactValue::Time(at) => self.moment(at, zone).into(),
                FactValue::Told(sentence) => {
                    let mut text = self.sentence(&sentence, zone);
                    // What a program said need not end as sentences do.
                    if matches!(name, "first" | "then") && !text.ends_with(['.', '?', '!']) {
                        text.push('.');
                    }
                    text.into()
                }
            };
            (Cow::from(name), value)
        });
        let values: HashMap<_, _> = values.collect();
        self.filled(&format!("fact-{}", fact.code()), &values)
    }
}
