//! Forms: proven to come from a page of ours, then read field by field.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts as _, Request},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use engine::{EngineError, FieldError};
use model::Fact;

use super::{Web, fault::Fault, visitor::Visitor};

/// The fields of a form, in their order.
#[derive(Debug, Default, Clone)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(crate) fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// The fields of a body as browsers send it (WHATWG URL, 5.1).
    pub(crate) fn read(body: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(body).into_owned().collect())
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first value of `name`, trimmed; empty where there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.pairs().find(|(key, _)| *key == name).map_or("", |(_, value)| value.trim())
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Adds a field behind the others.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// Sets a field to this one value.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.retain(|known| known != name);
        self.push(name, value);
    }

    /// Leaves out the fields of other names.
    pub(crate) fn retain(&mut self, keeps: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| keeps(name));
    }

    /// Whether a tick box is ticked.
    pub(crate) fn ticked(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// A number; empty is none, and anything else an error on the field.
    pub(crate) fn number<T: std::str::FromStr>(
        &self,
        name: &str,
        errors: &mut Vec<FieldError>,
    ) -> Option<T> {
        let text = self.text(name);
        if text.is_empty() {
            return None;
        }
        text.parse().map_err(|_| errors.push(FieldError::new(name, Fact::WholeNumber {}))).ok()
    }
}

/// A form that carries the token of the session that the page was made for.
pub(crate) struct Sealed(pub(crate) Fields);

impl FromRequest<Web> for Sealed {
    type Rejection = Fault;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Fault> {
        let (mut parts, body) = request.into_parts();
        let Ok(visitor) = Visitor::from_request_parts(&mut parts, web).await;
        let request = Request::from_parts(parts, body);
        let bytes = Bytes::from_request(request, web)
            .await
            .map_err(|error| Fault::refused(error.status()))?;
        let fields = Fields::read(&bytes);
        if visitor.sealed(fields.text("csrf")) { Ok(Self(fields)) } else { Err(Fault::forbidden()) }
    }
}

/// On to another page, by GET.
pub(crate) fn redirect(path: &str) -> Response {
    match HeaderValue::from_str(path) {
        Ok(path) => (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// What is wrong with one field, in the reader's language.
#[derive(Debug, Clone)]
struct Slip {
    field: String,
    text: String,
}

/// Errors of a form, for its fields.
#[derive(Debug, Default, Clone)]
pub(crate) struct Errors(Vec<Slip>);

impl Visitor {
    /// What a refused operation says about the fields, if it is about them.
    pub(crate) fn refused(&self, error: EngineError) -> Result<Errors, EngineError> {
        use catalog::CatalogError as C;
        Ok(match error {
            EngineError::Invalid(errors) => self.errors(&errors),
            EngineError::Catalog(C::NameTaken { .. }) => {
                Errors::at("name", self.t("error-name-taken"))
            }
            EngineError::Catalog(C::Stale { .. }) => Errors::at("", self.t("error-stale")),
            EngineError::Conflict(told) | EngineError::Refused(told) => {
                Errors::at("", self.sentence(&told.0))
            }
            EngineError::Store(_) => Errors::at("", self.sentence(&error.sentence())),
            other => return Err(other),
        })
    }

    /// What is wrong with fields.
    pub(crate) fn errors(&self, errors: &[FieldError]) -> Errors {
        let slip = |error: &FieldError| Slip {
            field: error.field.clone(),
            text: self.sentence(&error.sentence()),
        };
        Errors(errors.iter().map(slip).collect())
    }
}

impl Errors {
    /// One, in words of the page's own.
    pub(crate) fn at(field: &str, text: String) -> Self {
        Self(vec![Slip { field: field.to_owned(), text }])
    }

    /// The same, at the field `to` what is about the field `from`.
    pub(crate) fn moved(mut self, to: &str, from: &str) -> Self {
        for one in self.0.iter_mut().filter(|one| one.field == from) {
            to.clone_into(&mut one.field);
        }
        self
    }

    /// The errors about `field` and what lies in it.
    pub(crate) fn of(&self, field: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|error| {
                error.field == field
                    || !field.is_empty()
                        && error
                            .field
                            .strip_prefix(field)
                            .is_some_and(|rest| rest.starts_with('.') || rest.starts_with('['))
            })
            .map(|error| error.text.as_str())
            .collect()
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|error| error.text.as_str())
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        !self.of(field).is_empty()
    }

    pub(crate) fn any(&self) -> bool {
        !self.0.is_empty()
    }
}
