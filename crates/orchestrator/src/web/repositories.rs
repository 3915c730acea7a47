//! What the page of a destination tells of its repository, and what is asked there.

use axum::{
    extract::{Path, State},
    response::{IntoResponse as _, Response},
};
use engine::{RepositoryCheck, is_repository};
use model::Destination;

use super::{
    Web,
    destinations::{Once, page_of},
    fault::Fault,
    form::{Sealed, redirect},
    format::When,
    lang::Lang,
    visitor::Visitor,
};

/// How a repository stands.
pub(super) struct RepositoryPanel {
    /// Names and figures; empty where nobody counted yet.
    pub(super) figures: Vec<(String, String)>,
    pub(super) counted: Option<When>,
    pub(super) checked: Option<When>,
    pub(super) every_byte: bool,
    pub(super) problems: Vec<String>,
    pub(super) advice: Vec<String>,
    pub(super) freed: Option<When>,
    /// Until when nobody can delete what the newest snapshot needs.
    pub(super) locked: Option<When>,
}

impl RepositoryPanel {
    /// `None` where the destination is no repository.
    pub(super) async fn of(
        web: &Web,
        visitor: &Visitor,
        one: &Destination,
    ) -> Result<Option<Self>, Fault> {
        if !is_repository(one) {
            return Ok(None);
        }
        let lang = visitor.lang;
        let state = web.engine.repository_state(one).await?;
        let ratio = |times: f64| format!("{times:.2} ×");
        let figures = state.statistics.map_or_else(Vec::new, |counted| {
            [
                (lang.t("repository-raw"), lang.size(counted.raw_bytes)),
                (lang.t("repository-unique"), lang.size(counted.unique_bytes)),
                (lang.t("repository-stored"), lang.size(counted.stored_bytes)),
                (lang.t("repository-unused"), lang.size(counted.unused_bytes)),
                (lang.t("repository-deduplication"), ratio(counted.deduplication)),
                (lang.t("repository-compression"), ratio(counted.compression)),
            ]
            .into()
        });
        let checked = state.checked;
        Ok(Some(Self {
            figures,
            counted: state.statistics.map(|counted| visitor.when(counted.at)),
            checked: checked.as_ref().map(|check| visitor.when(check.at)),
            every_byte: checked.as_ref().is_some_and(|check| check.read_data),
            problems: checked.as_ref().map(|check| check.problems.clone()).unwrap_or_default(),
            advice: checked.as_ref().map(|check| advice(lang, check)).unwrap_or_default(),
            freed: state.freed.map(|freed| visitor.when(freed.at)),
            locked: state.locked.and_then(|l| l.newest_until).map(|until| visitor.when(until)),
        }))
    }
}

/// What to do, in the visitor's language.
fn advice(lang: Lang, check: &RepositoryCheck) -> Vec<String> {
    let step = |(text, code): (&str, Option<&str>)| {
        let told = code.and_then(|code| lang.find(&format!("repair-{code}")));
        told.unwrap_or_else(|| text.to_owned())
    };
    check.advice_codes().map(step).collect()
}

pub(super) async fn count(
    State(web): State<Web>,
    Path(name): Path<String>,
    _: Sealed,
) -> Result<Response, Fault> {
    let one = web.engine.catalog().destination_by_name(&name).await?;
    web.engine.count_repository(&one).await?;
    Ok(redirect(&format!("/destinations/{}#repository", one.name)))
}

pub(super) async fn check(
    State(web): State<Web>,
    Path(name): Path<String>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let one = web.engine.catalog().destination_by_name(&name).await?;
    let run = web.engine.check_repository(&one, fields.ticked("read_data")).await?;
    Ok(redirect(&format!("/runs/{}", run.id)))
}

pub(super) async fn free(
    State(web): State<Web>,
    Path(name): Path<String>,
    _: Sealed,
) -> Result<Response, Fault> {
    let one = web.engine.catalog().destination_by_name(&name).await?;
    let run = web.engine.free_repository(&one).await?;
    Ok(redirect(&format!("/runs/{}", run.id)))
}

/// The page shows the new password, this once.
pub(super) async fn rotate(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
    _: Sealed,
) -> Result<Response, Fault> {
    let one = web.engine.catalog().destination_by_name(&name).await?;
    let (_, password) = web.engine.rotate_repository_key(&one, None).await?;
    let one = web.engine.catalog().destination(one.id).await?;
    let once = Once { identity: None, password };
    Ok(page_of(&web, &visitor, &one, None, None, once).await?.into_response())
}
