//! The API's own description, as a page.

use std::collections::BTreeMap;

use askama::Template;
use axum::response::Html;
use serde_json::Value;

use super::{
    fault::show,
    lang::Lang,
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
    let reader = Reader { document: crate::api::openapi(), lang: visitor.lang };
    show(&ReferencePage { page, groups: reader.groups(), refusals: reader.refusals() })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Longest key of a sentence, so that its line can be read.
const KEY: usize = 60;

/// The key of a sentence of the document: its own words, so that no translation outlives a change
/// of what it translates.
fn key(sentence: &str) -> String {
    let words = sentence.split(|sign: char| !sign.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let mut key = words.join("-").to_ascii_lowercase();
    key.truncate(KEY);
    format!("api-says-{}", key.trim_end_matches('-'))
}

/// The document, read in a language.
struct Reader {
    document: Value,
    lang: Lang,
}

impl Reader {
    /// A sentence of the document.
    fn told(&self, sentence: &Value) -> String {
        let sentence = text(sentence);
        self.lang.find(&key(&sentence)).unwrap_or(sentence)
    }

    fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<(String, Group)> = Vec::new();
        for (path, verbs) in self.document["paths"].as_object().into_iter().flatten() {
            for (verb, one) in verbs.as_object().into_iter().flatten() {
                let tag = text(&one["tags"][0]);
                let endpoint = self.endpoint(path, verb, one);
                match groups.iter_mut().find(|(known, _)| *known == tag) {
                    Some((_, group)) => group.endpoints.push(endpoint),
                    None => {
                        let name = self.lang.t(&format!("api-group-{tag}"));
                        groups.push((tag, Group { name, endpoints: vec![endpoint] }));
                    }
                }
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }

    /// What is answered, by its status.
    fn answers<'a>(&'a self, one: &'a Value) -> impl Iterator<Item = (&'a String, String)> {
        let all = one["responses"].as_object().into_iter().flatten();
        all.map(|(status, answer)| (status, self.told(&answer["description"])))
    }

    fn refusals(&self) -> BTreeMap<String, String> {
        let paths = self.document["paths"].as_object().into_iter().flatten();
        paths
            .flat_map(|(_, verbs)| verbs.as_object().into_iter().flatten())
            .flat_map(|(_, one)| self.answers(one))
            .filter(|(status, _)| is_refusal(status))
            .map(|(status, text)| (status.clone(), text))
            .collect()
    }

    fn endpoint(&self, path: &str, verb: &str, one: &Value) -> Endpoint {
        let schema = &one["requestBody"]["content"]["application/json"]["schema"];
        Endpoint {
            verb: verb.to_uppercase(),
            class: verb.to_owned(),
            path: path.to_owned(),
            summary: self.told(&one["summary"]),
            permission: text(&one["x-permission"]),
            parameters: one["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|parameter| (text(&parameter["name"]), self.told(&parameter["description"])))
                .collect(),
            body: (!schema.is_null()).then(|| sketch(&self.document, schema, 0)),
            answers: self
                .answers(one)
                .filter(|(status, _)| !is_refusal(status))
                .map(|(status, text)| (status.clone(), text))
                .collect(),
            refusals: self
                .answers(one)
                .map(|(status, _)| status.as_str())
                .filter(|status| is_refusal(status))
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
}

fn is_refusal(status: &str) -> bool {
    status.starts_with(['4', '5'])
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every sentence of the document that the page shows.
    fn sentences(document: &Value) -> Vec<String> {
        let paths = document["paths"].as_object().into_iter().flatten();
        let all = paths.flat_map(|(_, verbs)| verbs.as_object().into_iter().flatten());
        all.flat_map(|(_, one)| {
            let parameters = one["parameters"].as_array().into_iter().flatten();
            let answers = one["responses"].as_object().into_iter().flatten().map(|(_, one)| one);
            let described = parameters.chain(answers).map(|one| text(&one["description"]));
            described.chain([text(&one["summary"])]).collect::<Vec<_>>()
        })
        .filter(|sentence| !sentence.is_empty())
        .collect()
    }

    #[test]
    fn every_sentence_of_the_reference_is_there_in_spanish() {
        let document = crate::api::openapi();
        let all = sentences(&document);
        assert!(all.len() > 500, "the sentences are not found in the document");
        for sentence in &all {
            let key = key(sentence);
            // Two of them that begin alike would have one key.
            assert_eq!(Lang::En.find(&key).as_ref(), Some(sentence), "{key}");
            assert_ne!(Lang::Es.find(&key).as_ref(), Some(sentence), "{key} is English");
        }
        let keys: Vec<_> = all.iter().map(|sentence| key(sentence)).collect();
        for lang in ["en", "es"] {
            let file = format!("{}/locales/{lang}/api.ftl", env!("CARGO_MANIFEST_DIR"));
            let file = std::fs::read_to_string(file).unwrap();
            let there = file.lines().filter_map(|line| line.split_once(" =")).map(|(key, _)| key);
            let idle: Vec<_> = there
                .filter(|key| key.starts_with("api-says-"))
                .filter(|key| !keys.iter().any(|known| known == key))
                .collect();
            assert_eq!(idle, [""; 0], "{lang}: no route says it any more");
        }
    }

    #[test]
    fn every_group_of_the_reference_has_its_name() {
        let document = crate::api::openapi();
        for lang in [Lang::En, Lang::Es] {
            for (_, verbs) in document["paths"].as_object().into_iter().flatten() {
                for (_, one) in verbs.as_object().into_iter().flatten() {
                    let key = format!("api-group-{}", text(&one["tags"][0]));
                    assert!(lang.find(&key).is_some(), "{key}");
                }
            }
        }
    }
}
