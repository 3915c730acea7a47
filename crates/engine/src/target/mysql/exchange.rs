//! One database in the place of another, where none can be renamed: what is there is copied and
//! kept, then dropped, and the new one is copied to its name. How far that is stands in the new one.

use model::{Fact, Failure};

use super::{
    super::{PutBack, Switched},
    copy::{On, Step},
    refused,
};

/// Databases by their names.
pub(super) struct Exchange<'a> {
    pub(super) on: &'a On<'a>,
    /// The new one.
    pub(super) made: &'a str,
    /// The name it is to have.
    pub(super) name: String,
    /// What was there before is kept under it.
    pub(super) before: String,
}

impl Exchange<'_> {
    /// Copies what is there, if anything is; gives the copy's name.
    pub(super) async fn keep(&self) -> Result<Option<String>, Failure> {
        let Self { on, made, name, before } = self;
        if on.exists(made).await? && on.step(made).await? == Step::Loaded {
            if on.exists(name).await? {
                on.drop_if_there(before).await?;
                on.note_events(name, made).await?;
                on.copy(name, before).await?;
                on.disable_events(before).await?;
            }
            on.note(made, Step::Kept).await?;
        }
        self.kept().await
    }

    async fn kept(&self) -> Result<Option<String>, Failure> {
        Ok(self.on.exists(&self.before).await?.then(|| self.before.clone()))
    }

    /// Goes on where it was cut off.
    pub(super) async fn switch(&self) -> Result<Switched, Failure> {
        let Self { on, made, name, .. } = self;
        if !on.exists(made).await? {
            if on.exists(name).await? {
                return Ok(Switched { kept: self.kept().await?, notes: Vec::new() });
            }
            return Err(refused(Fact::DatabaseGone { database: (*made).to_owned() }));
        }
        let kept = self.keep().await?;
        if on.step(made).await? == Step::Kept {
            if kept.is_none() && on.exists(name).await? {
                return Err(refused(Fact::DatabaseMadeMeanwhile { database: name.clone() }));
            }
            on.note(made, Step::Placing).await?;
        }
        if on.step(made).await? < Step::Placed {
            on.drop_if_there(name).await?;
            on.note(made, Step::Dropped).await?;
            on.copy(made, name).await?;
            on.note(made, Step::Placed).await?;
        }
        let mut notes = Vec::new();
        if let Err(failure) = on.drop_if_there(made).await {
            let left = Fact::LeftOver { what: (*made).to_owned(), why: failure.into() };
            notes.push(left.into());
        }
        Ok(Switched { kept, notes })
    }

    /// Copies what was kept back to its name, where that is not as it was any more.
    pub(super) async fn put_back(&self) -> Result<PutBack, Failure> {
        let Self { on, made, name, before } = self;
        if !on.exists(made).await? {
            return Err(refused(Fact::DatabaseGone { database: (*made).to_owned() }));
        }
        let step = on.step(made).await?;
        if step == Step::Placed {
            return Err(refused(Fact::DatabasePlaced { database: name.clone() }));
        }
        if step < Step::Dropped && self.is_untouched(step).await? {
            return Ok(PutBack::AsItWas);
        }
        if self.kept().await?.is_none() {
            // There was none of that name.
            on.drop_if_there(name).await?;
            return Ok(PutBack::AsItWas);
        }
        on.note(made, Step::Dropped).await?;
        on.drop_if_there(name).await?;
        on.copy(before, name).await?;
        on.enable_events(name, made).await?;
        Ok(PutBack::FromKept)
    }

    /// Removes what [`Self::keep`] made, as long as it is of no use to anybody.
    pub(super) async fn clear(&self) -> Result<(), Failure> {
        let Self { on, made, before, .. } = self;
        if !on.exists(made).await? || !on.is_marked(made).await? {
            return Ok(());
        }
        let step = on.step(made).await?;
        let is_of_no_use = step < Step::Dropped && self.is_untouched(step).await?;
        if is_of_no_use && on.exists(before).await? {
            on.drop_if_there(before).await?;
        }
        Ok(())
    }

    /// Whether what is there is what was there.
    async fn is_untouched(&self, step: Step) -> Result<bool, Failure> {
        let Self { on, name, before, .. } = self;
        if step == Step::Loaded {
            return Ok(true);
        }
        match (on.exists(name).await?, on.exists(before).await?) {
            (true, true) => on.is_like(name, before).await,
            (is_there, was_there) => Ok(is_there == was_there),
        }
    }
}
