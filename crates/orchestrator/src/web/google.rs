//! "Connect with Google": asking, and what comes back.
//!
//! The session's cookie is not sent when another site leads here. So the address that Google
//! knows shows a page that goes on by itself to one of ours, and there the session is known.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
};
use jiff::{SignedDuration, Timestamp};
use model::DestinationId;
use secrecy::SecretString;
use serde::Deserialize;

use super::{
    Web,
    fault::{Fault, show},
    filters,
    form::redirect,
    page::{Nav, Page},
    visitor::Visitor,
};
use crate::accounts::{AuditTarget, Caller};

/// How long a person may take at Google.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
/// Most questions that wait for their answers.
const MOST: usize = 200;
/// What Google is told to come back to.
const CALLBACK: &str = "/destinations/gdrive/callback";

/// Questions that wait for their answers, by their states.
#[derive(Debug, Default)]
pub(crate) struct Questions(Mutex<HashMap<String, Question>>);

#[derive(Debug)]
struct Question {
    /// Whose it is: known to one session alone.
    session: String,
    destination: DestinationId,
    verifier: SecretString,
    back: String,
    asked_at: Timestamp,
}

impl Questions {
    fn put(&self, state: String, question: Question) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = question.asked_at;
        all.retain(|_, one| now.duration_since(one.asked_at) < PATIENCE);
        if all.len() >= MOST
            && let Some(oldest) = all.iter().min_by_key(|(_, one)| one.asked_at)
        {
            let oldest = oldest.0.clone();
            all.remove(&oldest);
        }
        all.insert(state, question);
    }

    /// The question of `state`, once, to the session that asked it, in time.
    fn take(&self, state: &str, session: &str, now: Timestamp) -> Option<Question> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(state)?.session != session {
            return None;
        }
        all.remove(state).filter(|one| now.duration_since(one.asked_at) < PATIENCE)
    }
}

/// On to Google.
pub(super) async fn ask(
    caller: Caller,
    State(web): State<Web>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let one = web.engine.catalog().destination_by_name(&name).await?;
    // A token is no browser that could come back.
    let Some(session) = caller.csrf.clone() else {
        return Err(Fault::refused(StatusCode::UNPROCESSABLE_ENTITY));
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let scheme = if caller.visitor.https { "https" } else { "http" };
    let back = format!("{scheme}://{host}{CALLBACK}");
    let asked = web.engine.google_question(&one, &back)?;
    let question = Question {
        session,
        destination: one.id,
        verifier: asked.verifier,
        back,
        asked_at: web.engine.now(),
    };
    web.google.put(asked.state, question);
    Ok(redirect(&asked.url))
}

/// What Google's answer carries.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    state: String,
    code: String,
    error: String,
}

#[derive(Template)]
#[template(path = "google_back.html")]
struct BackPage {
    page: Page,
    onward: String,
}

#[derive(Template)]
#[template(path = "google_failed.html")]
struct FailedPage {
    page: Page,
    what: String,
    detail: String,
}

/// Where Google leads to: on to where the session is known.
pub(super) async fn back(visitor: Visitor, Query(answer): Query<Answer>) -> Html<String> {
    let onward: String = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("state", &answer.state), ("code", &answer.code), ("error", &answer.error)])
        .finish();
    show(&BackPage {
        page: visitor.page(visitor.t("google-connect"), Nav::Destinations),
        onward: format!("/destinations/gdrive/finish?{onward}"),
    })
}

/// Makes the answer a token of the destination.
pub(super) async fn finish(
    visitor: Visitor,
    caller: Caller,
    State(web): State<Web>,
    Query(answer): Query<Answer>,
) -> Result<Response, Fault> {
    let failed = |what: String, detail: String| {
        let page = visitor.page(visitor.t("google-connect"), Nav::Destinations);
        let page = FailedPage { page, what, detail };
        (StatusCode::UNPROCESSABLE_ENTITY, show(&page)).into_response()
    };
    let session = caller.csrf.as_deref().unwrap_or_default();
    let Some(question) = web.google.take(&answer.state, session, web.engine.now()) else {
        return Ok(failed(visitor.t("google-stale"), String::new()));
    };
    if answer.error == "access_denied" {
        return Ok(failed(visitor.t("google-denied"), String::new()));
    }
    if !answer.error.is_empty() || answer.code.is_empty() {
        let said = answer.error.chars().filter(|c| !c.is_control()).take(100).collect();
        return Ok(failed(visitor.t("google-failed"), said));
    }
    let Question { destination, verifier, back, .. } = question;
    match web.engine.google_answered(destination, &answer.code, &verifier, &back).await {
        Ok(one) => {
            let mut done = redirect(&format!("/destinations/{}?done=connected", one.name));
            done.extensions_mut().insert(AuditTarget(one.name.to_string()));
            Ok(done)
        }
        Err(engine::EngineError::Refused(told)) => {
            Ok(failed(visitor.t("google-failed"), visitor.sentence(&told.0)))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_once_in_time_and_for_its_session() {
        let questions = Questions::default();
        let begun: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let question = |at| Question {
            session: "mine".to_owned(),
            destination: DestinationId::generate(begun, &mut rand::rng()),
            verifier: "v".into(),
            back: String::new(),
            asked_at: at,
        };
        let minutes = SignedDuration::from_mins;
        questions.put("a".to_owned(), question(begun));
        assert!(questions.take("b", "mine", begun).is_none());
        assert!(questions.take("a", "another's", begun).is_none());
        assert!(questions.take("a", "mine", begun + minutes(9)).is_some());
        assert!(questions.take("a", "mine", begun + minutes(9)).is_none(), "used twice");
        questions.put("a".to_owned(), question(begun));
        assert!(questions.take("a", "mine", begun + minutes(10)).is_none(), "too late");
        for at in 0..500 {
            questions.put(at.to_string(), question(begun + SignedDuration::from_secs(at)));
        }
        assert!(questions.0.lock().unwrap().len() <= MOST);
        assert!(questions.take("499", "mine", begun + minutes(9)).is_some());
    }
}
