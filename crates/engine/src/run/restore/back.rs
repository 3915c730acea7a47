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
        Err(match code {
            FailureCode::Cancelled => Failure::new(code, Fact::CancelledAsAsked {}),
            _ => Failure::new(code, Fact::GivenUp {}),
        })
    }

    /// Sees to it that what was there is there, where a switch did not come to its end.
    pub(super) async fn put_back(&mut self) {
        for at in 0..self.report.steps.len() {
            if self.report.steps[at].state != StepState::Switching {
                continue;
            }
            if let Err(failure) = self.put_one_back(at).await {
                let what = self.report.steps[at].target.clone().into();
                self.note(at, Fact::NotPutBack { what, why: failure.into() });
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
            let kept = step.kept.clone().unwrap_or_default();
            let what = step.target.clone().into();
            self.from_kept.push(at);
            self.note(at, Fact::PutBackFrom { what, kept });
        }
        Ok(())
    }

    /// Somebody has to know this.
    fn note(&mut self, at: usize, fact: Fact) {
        let note = Sentence::from(fact);
        self.context.journal.warn(&note.message);
        self.report.steps[at].notes.push(note.clone());
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
                    self.note(at, Fact::LeftOver { what: made, why: failure.into() });
                }
            }
        }
    }
}
