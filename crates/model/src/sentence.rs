//! What restores, drills and checks say: in English, and as a code with its facts, so that pages say it in
//! the reader's language.

use std::{fmt, ops::Deref};

use serde::{Deserialize, Serialize};

use crate::{Fact, Failure};

/// One sentence. Reads and compares as its English text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Sentence {
    /// In English.
    pub message: String,
    /// Its code and facts; `None` where it is what a program or a server said, or was stored by an
    /// older version.
    #[serde(flatten)]
    pub fact: Option<Fact>,
}

/// A sentence as reports have it: older ones are text alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Text(String),
    Whole {
        #[serde(default)]
        message: String,
        /// A code that this version does not know is text alone.
        #[serde(flatten)]
        fact: Option<Fact>,
    },
}

impl From<Stored> for Sentence {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Text(message) => Self { message, fact: None },
            Stored::Whole { message, fact } => Self { message, fact },
        }
    }
}

impl From<Fact> for Sentence {
    fn from(fact: Fact) -> Self {
        Self { message: fact.to_string(), fact: Some(fact) }
    }
}

impl From<Failure> for Sentence {
    fn from(failure: Failure) -> Self {
        Self { message: failure.message, fact: failure.fact.map(|fact| *fact) }
    }
}

impl From<String> for Sentence {
    fn from(message: String) -> Self {
        Self { message, fact: None }
    }
}

impl From<&str> for Sentence {
    fn from(message: &str) -> Self {
        Self::from(message.to_owned())
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Deref for Sentence {
    type Target = str;

    fn deref(&self) -> &str {
        &self.message
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator as _;

    use super::*;
    use crate::{DrillCheck, PreflightCheck, RestoreStep};

    #[test]
    fn every_fact_is_stored_and_read_as_it_is() {
        for fact in Fact::iter() {
            let sentence = Sentence::from(fact.clone());
            let stored = serde_json::to_value(&sentence).unwrap();
            assert_eq!(stored["code"], fact.code(), "{stored}");
            assert_eq!(stored["message"], fact.to_string());
            assert_eq!(serde_json::from_value::<Sentence>(stored).unwrap(), sentence);
        }
    }

    #[test]
    fn reports_of_older_versions_are_read() {
        let check = r#"{"artifact":null,"level":"good","message":"the file is sound"}"#;
        let check: PreflightCheck = serde_json::from_str(check).unwrap();
        assert_eq!(check.sentence, Sentence::from("the file is sound"));
        let check = r#"{"name":"rows","state":"passed","message":"7 rows"}"#;
        let check: DrillCheck = serde_json::from_str(check).unwrap();
        assert_eq!(&*check.sentence, "7 rows");
        let step = r#"{"artifact":"db","target":"database db","state":"done","notes":["a note"]}"#;
        let step: RestoreStep = serde_json::from_str(step).unwrap();
        assert_eq!((&*step.target, &*step.notes[0]), ("database db", "a note"));
        let newer = r#"{"message":"a word of tomorrow","code":"of_tomorrow","facts":{"a":1}}"#;
        let newer: Sentence = serde_json::from_str(newer).unwrap();
        assert_eq!(newer, Sentence::from("a word of tomorrow"));
    }

    #[test]
    fn a_check_has_its_code_beside_its_text() {
        let check = PreflightCheck {
            artifact: None,
            level: crate::PreflightLevel::Blocked,
            sentence: Fact::NoGoodCopy {}.into(),
        };
        let stored = serde_json::to_value(&check).unwrap();
        assert_eq!(stored["code"], "no_good_copy");
        assert_eq!(stored["message"], "this snapshot has no good copy to read from");
        assert_eq!(serde_json::from_value::<PreflightCheck>(stored).unwrap(), check);
    }
}
