//! One operation of the document, as the tables write it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::schemas::{Schemas, Shape};
use crate::accounts::permissions;

/// A route as the document tells it.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    summary: &'static str,
    /// Name, kind and description of what may come after the `?`.
    query: Vec<(&'static str, &'static str, &'static str)>,
    /// Name, description and schema of headers that a request may have.
    headers: Vec<(&'static str, &'static str, Value)>,
    /// Status, name, description and words of a header that an answer may have.
    told: Vec<(u16, &'static str, &'static str, &'static [&'static str])>,
    body: Option<Shape>,
    /// Its body is not JSON.
    takes_bytes: bool,
    replies: Vec<Reply>,
    refusals: Vec<u16>,
    is_open: bool,
}

struct Reply {
    status: u16,
    description: &'static str,
    content: Option<(&'static str, Shape)>,
}

impl Operation {
    fn new(method: &'static str, path: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            path,
            summary,
            query: Vec::new(),
            headers: Vec::new(),
            told: Vec::new(),
            body: None,
            takes_bytes: false,
            replies: Vec::new(),
            refusals: Vec::new(),
            is_open: false,
        }
    }

    pub(super) fn get(path: &'static str, summary: &'static str) -> Self {
        Self::new("GET", path, summary)
    }

    pub(super) fn post(path: &'static str, summary: &'static str) -> Self {
        Self::new("POST", path, summary)
    }

    pub(super) fn put(path: &'static str, summary: &'static str) -> Self {
        Self::new("PUT", path, summary)
    }

    pub(super) fn delete(path: &'static str, summary: &'static str) -> Self {
        Self::new("DELETE", path, summary)
    }

    /// Takes a parameter after the `?`.
    pub(super) fn asks(
        mut self,
        name: &'static str,
        kind: &'static str,
        description: &'static str,
    ) -> Self {
        self.query.push((name, kind, description));
        self
    }

    /// Takes a header; `schema` is that of its value.
    pub(super) fn reads(
        mut self,
        header: &'static str,
        schema: Value,
        description: &'static str,
    ) -> Self {
        self.headers.push((header, description, schema));
        self
    }

    /// Answers `status` with a header that is one of `words`, or without it.
    pub(super) fn marks(
        mut self,
        status: u16,
        header: &'static str,
        words: &'static [&'static str],
        description: &'static str,
    ) -> Self {
        self.told.push((status, header, description, words));
        self
    }

    /// Needs no login.
    pub(super) fn for_anybody(mut self) -> Self {
        self.is_open = true;
        self
    }

    /// Takes a body.
    pub(super) fn takes<T: ToSchema>(mut self) -> Self {
        self.body = Some(Schemas::one::<T>);
        self
    }

    /// Takes a file as its body.
    pub(super) fn takes_bytes(mut self) -> Self {
        self.takes_bytes = true;
        self
    }

    /// Answers with a `T`.
    pub(super) fn gives<T: ToSchema>(self, status: u16, description: &'static str) -> Self {
        self.answers(status, description, Some(("application/json", Schemas::one::<T>)))
    }

    /// Answers with a list of `T`.
    pub(super) fn lists<T: ToSchema>(self, status: u16, description: &'static str) -> Self {
        self.answers(status, description, Some(("application/json", Schemas::list::<T>)))
    }

    /// Answers without a body.
    pub(super) fn done(self, description: &'static str) -> Self {
        self.answers(204, description, None)
    }

    /// Answers with something that is not JSON.
    pub(super) fn streams(self, media: &'static str, description: &'static str) -> Self {
        self.answers(200, description, Some((media, |_| json!({ "type": "string" }))))
    }

    /// Answers with any JSON.
    pub(super) fn gives_json(self, description: &'static str) -> Self {
        let shape: Shape = |_| json!({ "type": "object" });
        self.answers(200, description, Some(("application/json", shape)))
    }

    fn answers(
        mut self,
        status: u16,
        description: &'static str,
        content: Option<(&'static str, Shape)>,
    ) -> Self {
        self.replies.push(Reply { status, description, content });
        self
    }

    /// May be refused for reasons that its shape does not tell.
    pub(super) fn may_fail(mut self, statuses: &[u16]) -> Self {
        self.refusals.extend(statuses);
        self
    }

    /// The names in the path's braces.
    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    pub(super) fn document(&self, tag: &str, schemas: &mut Schemas) -> Value {
        let permission = self
            .method
            .parse()
            .ok()
            .and_then(|method| permissions::find(&method, self.path))
            .map(|route| route.permission);
        let id: Vec<_> = self
            .path
            .trim_start_matches("/api/v1/")
            .split('/')
            .map(|part| part.trim_matches(['{', '}']).replace('.', "_"))
            .collect();
        let mut one = json!({
            "operationId": format!("{}_{}", self.method.to_ascii_lowercase(), id.join("_")),
            "tags": [tag],
            "summary": self.summary,
            "responses": self.responses(permission.is_some(), schemas),
        });
        if let Some(permission) = permission {
            one["x-permission"] = permission.to_string().into();
        }
        let parameters = self.parameters();
        if !parameters.is_empty() {
            one["parameters"] = parameters.into();
        }
        if let Some(shape) = self.body {
            let content = json!({ "application/json": { "schema": shape(schemas) } });
            one["requestBody"] = json!({ "required": true, "content": content });
        }
        if self.takes_bytes {
            let schema = json!({ "type": "string", "format": "binary" });
            let content = json!({ "application/octet-stream": { "schema": schema } });
            one["requestBody"] = json!({ "required": true, "content": content });
        }
        if self.is_open {
            one["security"] = json!([]);
        }
        one
    }

    fn parameters(&self) -> Vec<Value> {
        let in_path = self.names().map(|name| {
            json!({
                "name": name,
                "in": "path",
                "required": true,
                "description": meaning(name),
                "schema": { "type": "string" },
            })
        });
        let asked = self.query.iter().map(|(name, kind, description)| {
            let mut schema = json!({ "type": kind });
            if *kind == "integer" && *name != "after" {
                schema["minimum"] = 0.into();
            }
            json!({ "name": name, "in": "query", "description": description, "schema": schema })
        });
        let read = self.headers.iter().map(|(name, description, schema)| {
            json!({ "name": name, "in": "header", "description": description, "schema": schema })
        });
        in_path.chain(asked).chain(read).collect()
    }

    fn responses(&self, guarded: bool, schemas: &mut Schemas) -> Map<String, Value> {
        let mut all = BTreeMap::new();
        for Reply { status, description, content } in &self.replies {
            let mut answer = json!({ "description": description });
            if let Some((media, shape)) = content {
                answer["content"] = json!({ *media: { "schema": shape(schemas) } });
            }
            all.insert(*status, answer);
        }
        let mut refusals = self.refusals.clone();
        refusals.push(503);
        if guarded {
            refusals.extend([401, 403]);
        }
        if self.names().next().is_some() {
            refusals.extend([400, 404]);
        }
        if !self.query.is_empty() {
            refusals.push(400);
        }
        if self.body.is_some() {
            refusals.extend([400, 413, 415, 422]);
        }
        for status in refusals {
            let schema = Schemas::one::<crate::api::Problem>(schemas);
            let answer = json!({
                "description": refusal(status),
                "content": { "application/problem+json": { "schema": schema } },
            });
            all.insert(status, answer);
        }
        for (status, name, description, words) in &self.told {
            let schema = json!({ "type": "string", "enum": words });
            let header = json!({ "description": description, "schema": schema });
            if let Some(answer) = all.get_mut(status) {
                answer["headers"][name] = header;
            }
        }
        all.into_iter().map(|(status, answer)| (status.to_string(), answer)).collect()
    }
}

fn meaning(parameter: &str) -> &'static str {
    match parameter {
        "app" => "Name or id of the app.",
        "destination" => "Name or id of the destination.",
        "run" => "Id of the run.",
        "snapshot" => "Id of the snapshot.",
        "source" => "Name of the source within the app.",
        "user" => "Name or id of the user.",
        "token" => "Name or id of the token.",
        "session" => "Id of the login.",
        "name" => "Name of the file, as PostgreSQL calls it.",
        "word" => "What was told when it was looked for.",
        "channel" => "Name or id of the channel.",
        "route" => "Name or id of the route.",
        "key" => "Id of the key, or how it begins.",
        _ => "",
    }
}

fn refusal(status: u16) -> &'static str {
    match status {
        400 => "The request cannot be read.",
        401 => "Nobody is logged in, or the token is not known.",
        403 => "The caller may not do this.",
        404 => "There is no such thing.",
        409 => "It clashes with what is there: a name taken, an old version, something in use.",
        411 => "`Content-Length` is not told.",
        413 => "The body is larger than 1 MiB, a file of WAL larger than 1 GiB.",
        415 => "The body is not said to be JSON.",
        422 => "What was sent cannot be accepted; `errors` tells which field and why.",
        429 => "Too many failed logins; `Retry-After` tells when to come back.",
        502 => "The destination failed, or what it holds is damaged.",
        503 => "The catalog cannot be reached; `Retry-After` tells when to come back.",
        _ => "It failed.",
    }
}
