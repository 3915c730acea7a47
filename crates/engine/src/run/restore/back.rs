//! What was there, put back where a restore does not come to its end, and what was made for it,
//! cleared away.

use model::{Fact, Failure, FailureCode, Sentence, Stage, StepState};

use super::Restore;
use crate::target::{self, Placing, PutBack};
use catalog::CopyUpdate;

impl Restore<'_> {
    /// Nothing is brought back any more: what was there is put back. Where that cannot be, what was
    /// taking its place goes on to do so: there is no other way to a stated condition.
    pub(super) async fn give_up(
        &mut self,
        code: FailureCode,
        copies: &mut Vec<CopyUpdate>,
    ) -> Result<(), Failure> {
        self.enter(Stage::Clean).await?;
        for at in 0..self.report.steps.len() {
            if self.report.steps[at].state != StepState::Switching
                || self.put_one_back(at).await.is_ok()
            {
                continue;
            }
            if let Err(failure) = self.switch(at, copies).await {
                self.context.keep_going()?;
                self.report.steps[at].notes.push(failure.into());
            }
        }
        let message = match code {
            FailureCode::Cancelled => "cancelled by request",
            _ => "it was cut off again and again, and is given up",
        };
        Err(Failure::new(code, message))
    }

    /// Sees to it that what was there is there, where a switch did not come to its end.
    pub(super) async fn put_back(&mut self) {
        for at in 0..self.report.steps.len() {
            if self.report.steps[at].state != StepState::Switching {
                continue;
            }
            if let Err(failure) = self.put_one_back(at).await {
                let note = format!("{}: {}", self.report.steps[at].target, failure.message);
                self.note(at, note);
            }
        }
    }

    async fn put_one_back(&mut self, at: usize) -> Result<(), Failure> {
        let artifact = self.artifact(at)?;
        let made = self.report.steps[at].made.clone().unwrap_or_default();
        let put_back = {
            let aim = self.aim(&artifact);
            let placing = Placing { context: self.context, aim: &aim, made: &made };
            target::target(&aim)?.put_back(&placing).await?
        };
        let step = &mut self.report.steps[at];
        step.state = StepState::Loaded;
        if put_back == PutBack::FromKept {
            let kept = step.kept.as_deref().unwrap_or_default();
            let note = format!(
                "{}: what was there was put back from {kept}, which stays until you remove it",
                step.target
            );
            self.from_kept.push(at);
            self.note(at, note);
        }
        Ok(())
    }

    /// Somebody has to know this.
    fn note(&mut self, at: usize, note: String) {
        self.context.journal.warn(&note);
        self.report.steps[at].notes.push(note.clone().into());
        self.to_know.push(note);
    }

    /// Removes what was made and did not get into its place, but no copy that is still of use.
    pub(super) async fn clear_away(&mut self) {
        for at in 0..self.report.steps.len() {
            let step = &self.report.steps[at];
            if !matches!(step.state, StepState::Loading | StepState::Loaded) {
                continue;
            }
            let (Some(made), Ok(artifact)) = (step.made.clone(), self.artifact(at)) else {
                continue;
            };
            let aim = self.aim(&artifact);
            let cleared = match target::target(&aim) {
                Ok(target) => target.clear(&aim, &made).await,
                Err(failure) => Err(failure),
            };
            let step = &mut self.report.steps[at];
            match cleared {
                Ok(()) => {
                    step.state = StepState::Waiting;
                    step.made = None;
                    if !self.from_kept.contains(&at) {
                        step.kept = None;
                    }
                }
                Err(failure) => {
                    let note = Sentence::from(Fact::LeftOver { what: made, why: failure.message });
                    self.context.journal.warn(&note.message);
                    self.to_know.push(note.message.clone());
                    step.notes.push(note);
                }
            }
        }
    }
}
