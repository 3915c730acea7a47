//! Questions of one's own to what came back.

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
