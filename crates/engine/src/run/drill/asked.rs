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
            Some(_) if good => Fact::AnswerAsExpected { answer },
            Some(expected) => Fact::AnswerExpected { answer, expected },
            None => Fact::Answer { answer },
        },
    )
}

/// Who may enter a server.
#[derive(Debug, Clone, Copy)]
pub(super) enum Who {
    /// Roles of PostgreSQL.
    Roles,
    /// Users of MariaDB and MySQL.
    Users,
}

/// Whether all that `told` names is among what is `there`.
pub(super) fn all_there(who: Who, told: &BTreeSet<String>, there: &BTreeSet<String>) -> DrillCheck {
    let lacking: Vec<_> = told.difference(there).collect();
    let (count, missing) = (told.len() as u64, lacking.len() as u64);
    let kind = match who {
        Who::Roles => "roles",
        Who::Users => "users",
    };
    if let Some(first) = lacking.first().map(|first| (*first).clone()) {
        let fact = match who {
            Who::Roles => Fact::RolesLacking { lacking: missing, count, first },
            Who::Users => Fact::UsersLacking { lacking: missing, count, first },
        };
        return check(kind, DrillState::Failed, fact);
    }
    if count == 0 {
        let fact = match who {
            Who::Roles => Fact::RolesNone {},
            Who::Users => Fact::UsersNone {},
        };
        return check(kind, DrillState::Skipped, fact);
    }
    let fact = match who {
        Who::Roles => Fact::RolesBack { count },
        Who::Users => Fact::UsersBack { count },
    };
    check(kind, DrillState::Passed, fact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_nobody_proves_nothing() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let state = |told, there| all_there(Who::Roles, &set(told), &set(there)).state;
        assert_eq!(state(&[], &["scratch"]), DrillState::Skipped);
        assert_eq!(state(&["a", "b"], &["a", "scratch"]), DrillState::Failed);
        assert_eq!(state(&["a"], &["a", "scratch"]), DrillState::Passed);
    }
}
