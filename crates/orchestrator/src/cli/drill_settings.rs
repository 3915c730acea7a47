//! The flags that say what an app's drills do.

use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};

use super::quantity::Change;

/// What drills do beside what they always do; `none` takes away what was set.
#[derive(Args)]
#[command(next_help_heading = "Drills")]
#[expect(clippy::struct_field_names, reason = "they are the names of flags among others")]
pub(super) struct DrillSettings {
    /// `daily`, `weekly`, `@every 30d` or five cron fields; `none` drills when asked only.
    #[arg(long = "drill-schedule", value_name = "CRON")]
    drill_schedule: Option<Change<String>>,
    /// Whose clock that schedule follows.
    #[arg(long = "drill-time-zone", value_name = "TZ", requires = "drill_schedule")]
    drill_time_zone: Option<String>,
    /// A query of one row and one column to a database that came back, and what it has to answer;
    /// without that anything but nothing, false or 0. In place of all questions so far; may be
    /// repeated.
    #[arg(long = "drill-question", value_name = "ARTIFACT[=ANSWER]:SQL")]
    drill_question: Vec<Change<Question>>,
    /// A program that looks at what came back, where `{}` is the path of the file or folder; the
    /// server runs it, quotes keep words together. In place of all commands so far; may be repeated.
    #[arg(long = "drill-command", value_name = "ARTIFACT:COMMAND")]
    drill_command: Vec<Change<Command>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Question(Value);

impl FromStr for Question {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (artifact, sql) = text.split_once(':').ok_or("write ARTIFACT:SQL")?;
        let (artifact, expect) = match artifact.split_once('=') {
            Some((artifact, answer)) => (artifact, Some(answer)),
            None => (artifact, None),
        };
        Ok(Self(json!({ "artifact": artifact, "sql": sql.trim(), "expect": expect })))
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Command(Value);

impl FromStr for Command {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (artifact, command) = text.split_once(':').ok_or("write ARTIFACT:COMMAND")?;
        let argv = shlex::split(command).ok_or("a quote is not closed")?;
        Ok(Self(json!({ "artifact": artifact, "argv": argv })))
    }
}

/// What is given, without the word that says that there is to be none.
fn all<T>(given: Vec<Change<T>>, value: impl Fn(T) -> Value) -> Value {
    let values = given.into_iter().filter_map(|one| match one {
        Change::Clear => None,
        Change::To(one) => Some(value(one)),
    });
    values.collect()
}

impl DrillSettings {
    pub(super) fn is_given(&self) -> bool {
        self.drill_schedule.is_some()
            || !self.drill_question.is_empty()
            || !self.drill_command.is_empty()
    }

    /// Changes the plan in `draft` where something was given, and leaves the rest.
    pub(super) fn apply(self, draft: &mut Value) {
        if !self.is_given() {
            return;
        }
        if !draft["drill"].is_object() {
            draft["drill"] = json!({});
        }
        let plan = &mut draft["drill"];
        match self.drill_schedule {
            None => {}
            Some(Change::Clear) => plan["schedule"] = Value::Null,
            Some(Change::To(spec)) => {
                if !plan["schedule"].is_object() {
                    plan["schedule"] = json!({});
                }
                plan["schedule"]["spec"] = spec.into();
                if let Some(zone) = self.drill_time_zone {
                    plan["schedule"]["time_zone"] = zone.into();
                }
            }
        }
        if !self.drill_question.is_empty() {
            plan["questions"] = all(self.drill_question, |one| one.0);
        }
        if !self.drill_command.is_empty() {
            plan["commands"] = all(self.drill_command, |one| one.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_stays() {
        let mut draft = json!({ "drill": {
            "schedule": { "spec": "daily", "jitter_secs": 5 },
            "questions": [{ "artifact": "db", "sql": "SELECT 1", "expect": null }],
        } });
        let given = DrillSettings {
            drill_schedule: Some("weekly".parse().unwrap()),
            drill_time_zone: Some("Europe/Madrid".to_owned()),
            drill_question: Vec::new(),
            drill_command: vec!["files:check '{}/a b' -x".parse().unwrap()],
        };
        assert!(given.is_given());
        given.apply(&mut draft);
        let plan = &draft["drill"];
        let schedule = json!({ "spec": "weekly", "jitter_secs": 5, "time_zone": "Europe/Madrid" });
        assert_eq!(plan["schedule"], schedule);
        assert_eq!(plan["questions"][0]["sql"], "SELECT 1");
        assert_eq!(plan["commands"][0]["argv"], json!(["check", "{}/a b", "-x"]));

        let none = DrillSettings {
            drill_schedule: Some(Change::Clear),
            drill_time_zone: None,
            drill_question: vec!["none".parse().unwrap()],
            drill_command: Vec::new(),
        };
        none.apply(&mut draft);
        assert_eq!(draft["drill"]["schedule"], Value::Null);
        assert_eq!(draft["drill"]["questions"], json!([]));
    }

    #[test]
    fn a_question_may_say_its_answer() {
        let question = "db=42: SELECT a::text FROM t".parse::<Question>().unwrap();
        let expected = json!({ "artifact": "db", "sql": "SELECT a::text FROM t", "expect": "42" });
        assert_eq!(question.0, expected);
        assert!("SELECT 1".parse::<Question>().is_err());
        assert!("files:check 'x".parse::<Command>().is_err());
    }
}
