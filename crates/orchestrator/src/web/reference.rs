//! The API's own description, as a page.

use std::collections::BTreeMap;

use askama::Template;
use axum::response::Html;
use serde_json::Value;

use super::{
    fault::show,
    page::{Nav, Page},
    visitor::Visitor,
};

struct Endpoint {
    verb: String,
    class: String,
    path: String,
    summary: String,
    permission: String,
    parameters: Vec<(String, String)>,
    body: Option<String>,
    answers: Vec<(String, String)>,
    /// Their statuses; what they mean is the same for all routes.
    refusals: String,
}

struct Group {
    name: String,
    endpoints: Vec<Endpoint>,
}

#[derive(Template)]
#[template(path = "reference.html")]
struct ReferencePage {
    page: Page,
    groups: Vec<Group>,
    /// What the statuses of refusals mean.
    refusals: BTreeMap<String, String>,
}

pub(super) async fn page(visitor: Visitor) -> Html<String> {
    let page = visitor.page(visitor.t("api-title"), Nav::Settings);
    let document = crate::api::openapi();
    show(&ReferencePage { page, groups: groups(&document), refusals: refusals(&document) })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn groups(document: &Value) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (path, verbs) in document["paths"].as_object().into_iter().flatten() {
        for (verb, one) in verbs.as_object().into_iter().flatten() {
            let name = text(&one["tags"][0]);
            let endpoint = endpoint(document, path, verb, one);
            match groups.iter_mut().find(|group| group.name == name) {
                Some(group) => group.endpoints.push(endpoint),
                None => groups.push(Group { name, endpoints: vec![endpoint] }),
            }
        }
    }
    groups
}

fn is_refusal(status: &str) -> bool {
    status.starts_with(['4', '5'])
}

/// What is answered, by its status.
fn answers(one: &Value) -> impl Iterator<Item = (&String, String)> {
    let all = one["responses"].as_object().into_iter().flatten();
    all.map(|(status, answer)| (status, text(&answer["description"])))
}

fn refusals(document: &Value) -> BTreeMap<String, String> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths
        .flat_map(|(_, verbs)| verbs.as_object().into_iter().flatten())
        .flat_map(|(_, one)| answers(one))
        .filter(|(status, _)| is_refusal(status))
        .map(|(status, text)| (status.clone(), text))
        .collect()
}

fn endpoint(document: &Value, path: &str, verb: &str, one: &Value) -> Endpoint {
    let schema = &one["requestBody"]["content"]["application/json"]["schema"];
    Endpoint {
        verb: verb.to_uppercase(),
        class: verb.to_owned(),
        path: path.to_owned(),
        summary: text(&one["summary"]),
        permission: text(&one["x-permission"]),
        parameters: one["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|parameter| (text(&parameter["name"]), text(&parameter["description"])))
            .collect(),
        body: (!schema.is_null()).then(|| sketch(document, schema, 0)),
        answers: answers(one)
            .filter(|(status, _)| !is_refusal(status))
            .map(|(status, text)| (status.clone(), text))
            .collect(),
        refusals: answers(one)
            .map(|(status, _)| status.as_str())
            .filter(|status| is_refusal(status))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// A schema as the shape of its JSON.
fn sketch(document: &Value, schema: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth + 1);
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        // Deep shapes are named, not unfolded.
        return if depth > 2 {
            name.to_owned()
        } else {
            sketch(document, &document["components"]["schemas"][name], depth)
        };
    }
    if let Some(first) = ["oneOf", "anyOf", "allOf"]
        .iter()
        .find_map(|key| schema[*key].as_array()?.iter().find(|one| one["type"] != "null"))
    {
        return sketch(document, first, depth);
    }
    if let Some(members) = schema["properties"].as_object() {
        let lines: Vec<_> = members
            .iter()
            .map(|(name, member)| {
                format!("{indent}\"{name}\": {}", sketch(document, member, depth + 1))
            })
            .collect();
        return format!("{{\n{}\n{}}}", lines.join(",\n"), "  ".repeat(depth));
    }
    if !schema["items"].is_null() {
        return format!("[{}]", sketch(document, &schema["items"], depth));
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ");
    }
    match &schema["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => kinds.iter().map(text).collect::<Vec<_>>().join(" | "),
        _ => "…".to_owned(),
    }
}
