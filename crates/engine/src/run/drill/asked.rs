//! Questions of one's own to what came back.

use std::collections::BTreeSet;

use model::{DrillCheck, DrillQuestion, DrillState, Fact, Failure};

use super::{Trial, check};

/// The questions to the artifact that is tried.
pub(super) fn of<'a>(trial: &Trial<'a>) -> impl Iterator<Item = &'a DrillQuestion> + use<'a> {
    let aim = trial.aim;
    let questions = aim.app.drill.questions.iter();
    questions.filter(move |question| question.artifact == aim.artifact.source)
}

/// Whether `answer` is what was asked for.
pub(super) fn judge(question: &DrillQuestion, answer: Result<String, Failure>) -> DrillCheck {
    let name = format!("question: {}", question.sql);
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) => return check(name, DrillState::Failed, failure),
    };
    let good = match &question.expect {
        Some(expected) => answer == *expected,
        None => !matches!(answer.as_str(), "" | "f" | "0"),
    };
    let state = if good { DrillState::Passed } else { DrillState::Failed };
    check(
        name,
        state,
        match question.expect.clone() {
            Some(expected) => Fact::AnswerExpected { answer, expected },
            None => Fact::Answer { answer },
        },
    )
}

/// Whether all that `told` names is among what is `there`: `kind` of a server, such as its roles.
pub(super) fn all_there(
    kind: &str,
    told: &BTreeSet<String>,
    there: &BTreeSet<String>,
) -> DrillCheck {
    let lacking: Vec<_> = told.difference(there).map(String::as_str).collect();
    if !lacking.is_empty() {
        let message =
            format!("{} of {} {kind} did not come back: {}", lacking.len(), told.len(), lacking[0]);
        return check(kind, DrillState::Failed, message);
    }
    if told.is_empty() {
        let message = format!("there are no {kind} in it but a new server's: nothing is proven");
        return check(kind, DrillState::Skipped, message);
    }
    check(kind, DrillState::Passed, format!("all {} {kind} came back", told.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_nobody_proves_nothing() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let state = |told, there| all_there("roles", &set(told), &set(there)).state;
        assert_eq!(state(&[], &["scratch"]), DrillState::Skipped);
        assert_eq!(state(&["a", "b"], &["a", "scratch"]), DrillState::Failed);
        assert_eq!(state(&["a"], &["a", "scratch"]), DrillState::Passed);
    }
}
