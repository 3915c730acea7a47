//! Channels and routes of alerts that are declared elsewhere.
//!
//! A route that is named no more is disabled, so that nobody is told by what nobody declares; a
//! channel stays as it is, as a destination does. Both belong to people again.

use std::collections::BTreeMap;

use model::{AlertChannel, AlertRoute, App, ChannelKind, Fact, ManagedBy};

use super::{
    channels::ChannelDraft,
    managed::{
        DeclareError, Declared, Entry, Reconciled, Released, Step, clash, is_called, may_have,
    },
    routes::{RouteDraft, described_among},
};
use crate::{Engine, EngineError, FieldError, vault::Purpose};

/// What becomes of them.
pub(super) struct AlertPlan {
    channels: Vec<Step<AlertChannel>>,
    routes: Vec<Step<AlertRoute>>,
    gone_channels: Vec<AlertChannel>,
    gone_routes: Vec<AlertRoute>,
}

impl AlertPlan {
    pub(super) fn tell(&self, told: &mut Reconciled) {
        for step in &self.channels {
            step.tell(&step.thing().name, told);
        }
        for step in &self.routes {
            step.tell(&step.thing().name, told);
        }
        let routes = self.gone_routes.iter().map(|one| &one.name);
        let gone = routes.chain(self.gone_channels.iter().map(|one| &one.name));
        told.released.extend(gone.map(ToString::to_string));
    }
}

impl Engine {
    /// `apps` are those that are there and those that are declared.
    pub(super) async fn plan_alerts(
        &self,
        by: ManagedBy,
        declared: &Declared,
        apps: &[App],
        released: &mut Released,
        wrong: &mut Vec<(Entry, FieldError)>,
    ) -> Result<AlertPlan, DeclareError> {
        let catalog = &self.0.catalog;
        let mut known = catalog.alert_channels().await?;
        let routes = catalog.alert_routes().await?;
        let mut channels = Vec::new();
        for (index, draft) in declared.channels.iter().enumerate() {
            let current = known.iter().find(|one| is_called(&one.name, &draft.name));
            let taken = current.is_some_and(|one| {
                !may_have(by, one.managed_by, &one.id.to_string(), one.version, released)
            });
            let twice = channels.iter().any(|s: &Step<_>| is_called(&channel(s).name, &draft.name));
            let step = match clash("channel", &draft.name, taken, twice) {
                Some(clash) => Err(EngineError::Invalid(vec![clash])),
                None => self.declared_channel(by, draft, current),
            };
            take(Entry::Channel(index), step, &mut channels, wrong)?;
        }
        let ours = |one: &&AlertChannel| {
            one.managed_by == Some(by) && !channels.iter().any(|s| channel(s).id == one.id)
        };
        let gone_channels: Vec<_> = known.iter().filter(ours).cloned().collect();
        for step in &channels {
            known.retain(|one| one.id != channel(step).id);
            known.push(channel(step).clone());
        }
        // What is wrong with what it names is told there.
        let named_above = |error: &FieldError| {
            let names = declared.channels.iter().map(|one| &one.name);
            let mut names = names.chain(declared.apps.iter().map(|one| &one.name));
            let is_missing =
                error.field.starts_with("channels[") || error.field.starts_with("apps[");
            is_missing && names.any(|name| error.message().contains(&format!("`{}`", name.trim())))
        };
        let mut steps = Vec::new();
        for (index, draft) in declared.routes.iter().enumerate() {
            let current = routes.iter().find(|one| is_called(&one.name, &draft.name));
            let taken = current.is_some_and(|one| {
                !may_have(by, one.managed_by, &one.id.to_string(), one.version, released)
            });
            let twice = steps.iter().any(|s: &Step<_>| is_called(&route(s).name, &draft.name));
            let step = match clash("route", &draft.name, taken, twice) {
                Some(clash) => Err(EngineError::Invalid(vec![clash])),
                None => self.declared_route(by, draft, current, apps, &known),
            };
            let step = step.map_err(|error| match error {
                EngineError::Invalid(mut errors) => {
                    errors.retain(|error| !named_above(error));
                    EngineError::Invalid(errors)
                }
                other => other,
            });
            take(Entry::Route(index), step, &mut steps, wrong)?;
        }
        let ours = |one: &AlertRoute| {
            one.managed_by == Some(by) && !steps.iter().any(|s| route(s).id == one.id)
        };
        let gone_routes = routes.into_iter().filter(ours).collect();
        for id in channels.iter().map(|s| channel(s).id.to_string()) {
            released.remove(&id);
        }
        for id in steps.iter().map(|s| route(s).id.to_string()) {
            released.remove(&id);
        }
        Ok(AlertPlan { channels, routes: steps, gone_channels, gone_routes })
    }

    pub(super) async fn bring_about_alerts(
        &self,
        plan: &AlertPlan,
        released: &mut Released,
    ) -> Result<(), DeclareError> {
        let (catalog, now) = (&self.0.catalog, self.now());
        for step in &plan.channels {
            match step {
                Step::Add(one) => catalog.insert_alert_channel(one).await?,
                Step::Change(one) => {
                    catalog.update_alert_channel(one, now).await?;
                    // What waits there may have waited for just this.
                    catalog.hurry_deliveries(one.id, now).await?;
                }
                Step::Keep(_) => {}
            }
        }
        for step in &plan.routes {
            match step {
                Step::Add(one) => catalog.insert_alert_route(one).await?,
                Step::Change(one) => _ = catalog.update_alert_route(one, now).await?,
                Step::Keep(_) => {}
            }
        }
        for one in &plan.gone_routes {
            let one = AlertRoute { enabled: false, managed_by: None, ..one.clone() };
            let left = catalog.update_alert_route(&one, now).await?;
            released.insert(left.id.to_string(), left.version);
        }
        for one in &plan.gone_channels {
            let one = AlertChannel { managed_by: None, ..one.clone() };
            let left = catalog.update_alert_channel(&one, now).await?;
            released.insert(left.id.to_string(), left.version);
        }
        Ok(())
    }

    fn declared_channel(
        &self,
        by: ManagedBy,
        draft: &ChannelDraft,
        current: Option<&AlertChannel>,
    ) -> Result<Step<AlertChannel>, EngineError> {
        let kind = draft.kind.trim().parse::<ChannelKind>();
        let kind = kind.map_err(|error| EngineError::invalid("kind", error))?;
        let before = match current {
            None => self.blank_channel(kind)?,
            Some(current) if current.kind != kind => {
                let (name, kind) = (current.name.to_string(), current.kind.to_string());
                return Err(EngineError::invalid("kind", Fact::KindOfDeclared { name, kind }));
            }
            // A secret that is left out is no secret of it any more.
            Some(current) => AlertChannel { secrets: BTreeMap::new(), ..current.clone() },
        };
        let mut next = self.described_channel(before, draft.clone())?;
        next.managed_by = Some(by);
        let Some(current) = current else { return Ok(Step::Add(next)) };
        self.keep_sealed(Purpose::ChannelSecret, &current.secrets, &mut next.secrets);
        Ok(if next == *current { Step::Keep(next) } else { Step::Change(next) })
    }

    fn declared_route(
        &self,
        by: ManagedBy,
        draft: &RouteDraft,
        current: Option<&AlertRoute>,
        apps: &[App],
        channels: &[AlertChannel],
    ) -> Result<Step<AlertRoute>, EngineError> {
        let before = match current {
            None => self.blank_route()?,
            Some(current) => current.clone(),
        };
        let mut next = described_among(before, draft, apps, channels)?;
        next.managed_by = Some(by);
        let Some(current) = current else { return Ok(Step::Add(next)) };
        Ok(if next == *current { Step::Keep(next) } else { Step::Change(next) })
    }
}

fn channel(step: &Step<AlertChannel>) -> &AlertChannel {
    step.thing()
}

fn route(step: &Step<AlertRoute>) -> &AlertRoute {
    step.thing()
}

fn take<T>(
    entry: Entry,
    step: Result<Step<T>, EngineError>,
    steps: &mut Vec<Step<T>>,
    wrong: &mut Vec<(Entry, FieldError)>,
) -> Result<(), DeclareError> {
    match step {
        Ok(step) => steps.push(step),
        Err(EngineError::Invalid(errors)) => {
            wrong.extend(errors.into_iter().map(|error| (entry, error)));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
