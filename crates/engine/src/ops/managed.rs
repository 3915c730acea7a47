//! What is declared elsewhere (a file, labels) is brought about here, and kept as declared.
//!
//! All of it is judged before anything is written. What a declaration no longer names is let go:
//! the app is disabled and belongs to people again, its snapshots stay, and nothing is deleted.

use std::collections::BTreeMap;

use model::{App, Destination, Fact, ManagedBy, Name, SealedSecret, Source, SourceKind};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::{
    apps::AppDraft, channels::ChannelDraft, destinations::DestinationDraft,
    managed_alerts::AlertPlan, routes::RouteDraft,
};
use crate::{
    Engine, EngineError, FieldError, repositories::is_repository, run::failure, vault::Purpose,
};

/// What is to be there.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// Destinations.
    pub destinations: Vec<DestinationDraft>,
    /// Apps; their destinations are any that are there, or of the same declaration.
    pub apps: Vec<AppDraft>,
    /// Channels of alerts.
    pub channels: Vec<ChannelDraft>,
    /// Routes of alerts; their apps and channels are any that are there, or of the same declaration.
    pub routes: Vec<RouteDraft>,
}

/// An entry of a declaration, by its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A destination.
    Destination(usize),
    /// An app.
    App(usize),
    /// A channel of alerts.
    Channel(usize),
    /// A route of alerts.
    Route(usize),
}

/// Why a declaration is not brought about.
#[derive(Debug, thiserror::Error)]
pub enum DeclareError {
    /// What is wrong with it, entry by entry. Nothing was changed.
    #[error("{}", .0.iter().map(|(_, e)| e.message()).collect::<Vec<_>>().join("; "))]
    Wrong(Vec<(Entry, FieldError)>),
    /// It could not be written; what was written stays, and doing it again does the rest.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl DeclareError {
    /// Whether trying again without a change can help.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Wrong(_) => false,
            Self::Engine(EngineError::Conflict(_)) => true,
            Self::Engine(error) => error.is_retryable(),
        }
    }
}

impl From<catalog::CatalogError> for DeclareError {
    fn from(error: catalog::CatalogError) -> Self {
        Self::Engine(error.into())
    }
}

/// What a declaration changed, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reconciled {
    /// Added.
    pub added: Vec<String>,
    /// Changed.
    pub changed: Vec<String>,
    /// As they were.
    pub unchanged: Vec<String>,
    /// Named no more: apps are disabled and keep their snapshots, routes of alerts are disabled,
    /// destinations and channels stay as they are.
    pub released: Vec<String>,
}

impl Reconciled {
    /// Whether anything is another than before.
    pub fn is_change(&self) -> bool {
        !(self.added.is_empty() && self.changed.is_empty() && self.released.is_empty())
    }
}

/// What is let go, by id, at which version: while nobody has edited it since, the declaration may
/// have it back.
pub(super) type Released = BTreeMap<String, i64>;

pub(super) enum Step<T> {
    Add(T),
    Change(T),
    Keep(T),
}

impl<T> Step<T> {
    pub(super) fn thing(&self) -> &T {
        match self {
            Self::Add(thing) | Self::Change(thing) | Self::Keep(thing) => thing,
        }
    }

    /// Tells what becomes of what is called `name`.
    pub(super) fn tell(&self, name: &Name, told: &mut Reconciled) {
        let names = match self {
            Self::Add(_) => &mut told.added,
            Self::Change(_) => &mut told.changed,
            Self::Keep(_) => &mut told.unchanged,
        };
        names.push(name.to_string());
    }
}

struct Plan {
    destinations: Vec<Step<Destination>>,
    apps: Vec<Step<App>>,
    gone_apps: Vec<App>,
    gone_destinations: Vec<Destination>,
    alerts: Option<AlertPlan>,
    released: Released,
}

impl Plan {
    fn told(&self) -> Reconciled {
        let mut told = Reconciled::default();
        for step in &self.destinations {
            step.tell(&step.thing().name, &mut told);
        }
        for step in &self.apps {
            step.tell(&step.thing().name, &mut told);
        }
        let apps = self.gone_apps.iter().map(|app| &app.name);
        let gone = apps.chain(self.gone_destinations.iter().map(|one| &one.name));
        told.released = gone.map(ToString::to_string).collect();
        if let Some(alerts) = &self.alerts {
            alerts.tell(&mut told);
        }
        told
    }
}

impl Engine {
    /// What [`Self::reconcile`] would do; changes nothing.
    pub async fn try_declared(
        &self,
        by: ManagedBy,
        declared: &Declared,
    ) -> Result<Reconciled, DeclareError> {
        Ok(self.plan_declared(by, declared).await?.told())
    }

    /// Brings about what `by` declares, and lets go what it named before and does not any more.
    pub async fn reconcile(
        &self,
        by: ManagedBy,
        declared: &Declared,
    ) -> Result<Reconciled, DeclareError> {
        let mut plan = self.plan_declared(by, declared).await?;
        let told = plan.told();
        if !told.is_change() {
            return Ok(told);
        }
        let (catalog, now) = (&self.0.catalog, self.now());
        self.open_all(&plan).await?;
        for step in &plan.destinations {
            match step {
                Step::Add(one) => catalog.insert_destination(one).await?,
                Step::Change(one) => _ = catalog.update_destination(one, now).await?,
                Step::Keep(_) => {}
            }
        }
        for step in &plan.apps {
            match step {
                Step::Add(app) => catalog.insert_app(app).await?,
                Step::Change(app) => _ = catalog.update_app(app, now).await?,
                Step::Keep(_) => {}
            }
        }
        if let Some(alerts) = plan.alerts.take() {
            self.bring_about_alerts(&alerts, &mut plan.released).await?;
        }
        for app in &plan.gone_apps {
            let app = App { enabled: false, managed_by: None, ..app.clone() };
            let left = catalog.update_app(&app, now).await?;
            plan.released.insert(left.id.to_string(), left.version);
        }
        for one in &plan.gone_destinations {
            let one = Destination { managed_by: None, ..one.clone() };
            let left = catalog.update_destination(&one, now).await?;
            plan.released.insert(left.id.to_string(), left.version);
        }
        let released = serde_json::to_string(&plan.released).unwrap_or_default();
        catalog.set_setting(&setting(by), &released).await?;
        self.0.schedule_bell.notify_one();
        Ok(told)
    }

    /// Proves that what is new can be opened and that no run works where settings change, before
    /// anything is written.
    async fn open_all(&self, plan: &Plan) -> Result<(), DeclareError> {
        let mut wrong = Vec::new();
        for (index, step) in plan.destinations.iter().enumerate() {
            let one = match step {
                Step::Keep(_) => continue,
                Step::Add(one) => one,
                Step::Change(one) => {
                    let before = self.0.catalog.destination(one.id).await?;
                    if before.settings != one.settings {
                        self.refuse_while_used(one, Fact::MayBeChanged {}).await?;
                    }
                    one
                }
            };
            let opened = match step {
                Step::Add(one) if is_repository(one) => self.0.make_repository(one).await,
                _ => self.0.open_store(one).await.map(drop),
            };
            match opened {
                Ok(()) => {}
                // Out of reach now is no fault of the declaration: runs and doctor tell of it.
                Err(error) if error.is_retryable() => {}
                Err(EngineError::Invalid(errors)) => {
                    wrong.extend(errors.into_iter().map(|e| (Entry::Destination(index), e)));
                }
                Err(error) => {
                    wrong.push((
                        Entry::Destination(index),
                        FieldError::new("settings", failure::fact_of(&error)),
                    ));
                }
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(DeclareError::Wrong(wrong)) }
    }

    async fn plan_declared(
        &self,
        by: ManagedBy,
        declared: &Declared,
    ) -> Result<Plan, DeclareError> {
        let catalog = &self.0.catalog;
        let apps = catalog.all_apps().await?;
        let known = catalog.all_destinations().await?;
        let released = catalog.setting(&setting(by)).await?.unwrap_or_default();
        let mut plan = Plan {
            destinations: Vec::new(),
            apps: Vec::new(),
            gone_apps: Vec::new(),
            gone_destinations: Vec::new(),
            alerts: None,
            released: serde_json::from_str(&released).unwrap_or_default(),
        };
        let mut wrong = Vec::new();

        for (index, draft) in declared.destinations.iter().enumerate() {
            let named = |one: &&Destination| is_called(&one.name, &draft.name);
            let current = known.iter().find(named);
            let entry = Entry::Destination(index);
            let taken = current.filter(|one| {
                !may_have(by, one.managed_by, &one.id.to_string(), one.version, &plan.released)
            });
            let twice = plan.destinations.iter().any(|s| is_called(&s.thing().name, &draft.name));
            if let Some(clash) = clash("destination", &draft.name, taken.is_some(), twice) {
                wrong.push((entry, clash));
                continue;
            }
            match self.declared_destination(by, draft, current) {
                Ok(step) => plan.destinations.push(step),
                Err(EngineError::Invalid(errors)) => {
                    wrong.extend(errors.into_iter().map(|error| (entry, error)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        // Those that are wrong are still there to be named by apps: one fault is told once.
        let mut all = known.clone();
        for step in &plan.destinations {
            all.retain(|one| one.id != step.thing().id);
            all.push(step.thing().clone());
        }
        for (index, draft) in declared.apps.iter().enumerate() {
            let current = apps.iter().find(|app| is_called(&app.name, &draft.name));
            let entry = Entry::App(index);
            let taken = current.filter(|app| {
                !may_have(by, app.managed_by, &app.id.to_string(), app.version, &plan.released)
            });
            let twice = plan.apps.iter().any(|step| is_called(&step.thing().name, &draft.name));
            if let Some(clash) = clash("app", &draft.name, taken.is_some(), twice) {
                wrong.push((entry, clash));
                continue;
            }
            match self.declared_app(by, draft, current, &all) {
                Ok(step) => plan.apps.push(step),
                Err(EngineError::Invalid(errors)) => {
                    let named_above = |field: &str, message: &str| {
                        field.ends_with(".destination")
                            && declared
                                .destinations
                                .iter()
                                .any(|one| message.contains(&format!("`{}`", one.name.trim())))
                    };
                    let errors = errors.into_iter().filter(|e| !named_above(&e.field, e.message()));
                    wrong.extend(errors.map(|error| (entry, error)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let mut named = apps.clone();
        for step in &plan.apps {
            named.retain(|app| app.id != step.thing().id);
            named.push(step.thing().clone());
        }
        let alerts = self.plan_alerts(by, declared, &named, &mut plan.released, &mut wrong).await?;
        if !wrong.is_empty() {
            return Err(DeclareError::Wrong(wrong));
        }
        plan.alerts = Some(alerts);
        let kept: Vec<_> = plan.apps.iter().map(|step| step.thing().id).collect();
        let ours = |app: &App| app.managed_by == Some(by) && !kept.contains(&app.id);
        plan.gone_apps = apps.into_iter().filter(ours).collect();
        let kept: Vec<_> = plan.destinations.iter().map(|step| step.thing().id).collect();
        let ours = |one: &Destination| one.managed_by == Some(by) && !kept.contains(&one.id);
        plan.gone_destinations = known.into_iter().filter(ours).collect();
        for id in plan.apps.iter().map(|step| step.thing().id.to_string()) {
            plan.released.remove(&id);
        }
        for id in plan.destinations.iter().map(|step| step.thing().id.to_string()) {
            plan.released.remove(&id);
        }
        Ok(plan)
    }

    fn declared_destination(
        &self,
        by: ManagedBy,
        draft: &DestinationDraft,
        current: Option<&Destination>,
    ) -> Result<Step<Destination>, EngineError> {
        let blank = self.blank_destination(&draft.kind)?;
        let before = match current {
            None => blank,
            Some(current) if current.kind != blank.kind => {
                let (name, kind) = (current.name.to_string(), current.kind.to_string());
                return Err(EngineError::invalid("kind", Fact::KindOfDeclared { name, kind }));
            }
            // A secret that is left out is no secret of it any more.
            Some(current) => Destination { secrets: BTreeMap::new(), ..current.clone() },
        };
        let mut next = self.described(before, draft.clone())?;
        next.managed_by = Some(by);
        let Some(current) = current else { return Ok(Step::Add(next)) };
        self.keep_sealed(Purpose::DestinationSecret, &current.secrets, &mut next.secrets);
        Ok(if next == *current { Step::Keep(next) } else { Step::Change(next) })
    }

    fn declared_app(
        &self,
        by: ManagedBy,
        draft: &AppDraft,
        current: Option<&App>,
        known: &[Destination],
    ) -> Result<Step<App>, EngineError> {
        let next = App { managed_by: Some(by), ..self.parse_among(draft.clone(), None, known)? };
        let Some(current) = current else { return Ok(Step::Add(next)) };
        let mut next = App {
            id: current.id,
            created_at: current.created_at,
            updated_at: current.updated_at,
            version: current.version,
            ..next
        };
        for source in &mut next.sources {
            if let Some(before) = current.sources.iter().find(|one| one.name == source.name) {
                self.keep_source_sealed(before, source);
            }
        }
        Ok(if next == *current { Step::Keep(next) } else { Step::Change(next) })
    }

    fn keep_source_sealed(&self, before: &Source, now: &mut Source) {
        match (&before.kind, &mut now.kind) {
            (SourceKind::Direct(before), SourceKind::Direct(now)) => {
                self.keep_sealed(Purpose::SourceSecret, &before.secrets, &mut now.secrets);
            }
            (SourceKind::Contract(before), SourceKind::Contract(now)) => {
                if self.is_same(Purpose::AppToken, &before.token, &now.token) {
                    now.token = before.token.clone();
                    now.previous_token.clone_from(&before.previous_token);
                } else {
                    now.previous_token = Some(before.token.clone());
                }
            }
            _ => {}
        }
    }

    /// A secret that says the same is the same, however it was sealed.
    pub(super) fn keep_sealed(
        &self,
        purpose: Purpose,
        before: &BTreeMap<String, SealedSecret>,
        now: &mut BTreeMap<String, SealedSecret>,
    ) {
        for (key, sealed) in now {
            if let Some(before) = before.get(key)
                && self.is_same(purpose, before, sealed)
            {
                *sealed = before.clone();
            }
        }
    }

    fn is_same(&self, purpose: Purpose, one: &SealedSecret, other: &SealedSecret) -> bool {
        let open = |sealed| self.0.vault.open(purpose, sealed).ok();
        match (open(one), open(other)) {
            (Some(one), Some(other)) => one.expose_secret() == other.expose_secret(),
            _ => false,
        }
    }
}

pub(super) fn is_called(name: &Name, wanted: &str) -> bool {
    name.as_str().eq_ignore_ascii_case(wanted.trim())
}

fn setting(by: ManagedBy) -> String {
    format!("released_by_{by}")
}

/// Whether a declaration may change something that is there: it is its own, or was until it left
/// it out, and nobody has edited it since.
pub(super) fn may_have(
    by: ManagedBy,
    managed_by: Option<ManagedBy>,
    id: &str,
    version: i64,
    released: &Released,
) -> bool {
    match managed_by {
        Some(other) => other == by,
        None => released.get(id) == Some(&version),
    }
}

pub(super) fn clash(what: &str, name: &str, taken: bool, twice: bool) -> Option<FieldError> {
    let name = name.trim().to_owned();
    let wrong = if twice {
        Fact::DeclaredTwice { name }
    } else if taken {
        Fact::DeclaredElsewhere { what: what.to_owned(), name }
    } else {
        return None;
    };
    Some(FieldError::new("name", wrong))
}

/// Refuses to change by hand what is declared elsewhere.
pub(super) fn refuse_if_managed(
    name: &Name,
    managed_by: Option<ManagedBy>,
) -> Result<(), EngineError> {
    let name = name.to_string();
    Err(EngineError::conflict(match managed_by {
        None => return Ok(()),
        Some(ManagedBy::File) => Fact::DeclaredInFile { name },
        Some(ManagedBy::Labels) => Fact::DeclaredByLabels { name },
    }))
}
