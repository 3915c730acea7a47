//! The shapes that the operations refer to.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// Notes a shape's schemas and gives the reference to it.
pub(super) type Shape = fn(&mut Schemas) -> Value;

/// `components.schemas`, as they are met.
#[derive(Default)]
pub(super) struct Schemas(Map<String, Value>);

impl Schemas {
    pub(super) fn one<T: ToSchema>(&mut self) -> Value {
        let mut met = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut met);
        for (name, schema) in met {
            // Nothing in a schema can fail to be JSON.
            let schema = serde_json::to_value(schema).unwrap_or_default();
            self.0.entry(name).or_insert(schema);
        }
        reference(&T::name())
    }

    pub(super) fn list<T: ToSchema>(&mut self) -> Value {
        json!({ "type": "array", "items": self.one::<T>() })
    }

    /// The schemas, each object in one piece and each text as people read it.
    pub(super) fn finish(self) -> Value {
        let all: Map<_, _> =
            self.0.iter().map(|(name, schema)| (name.clone(), self.merged(schema))).collect();
        let mut all = Value::Object(all);
        plain(&mut all);
        all
    }

    /// What is flattened into an object is told as two, each of which refuses the other's
    /// members: here they become one.
    fn merged(&self, schema: &Value) -> Value {
        let Some(parts) = schema["allOf"].as_array() else { return schema.clone() };
        let (mut properties, mut required, mut closed) = (Map::new(), Vec::new(), false);
        for part in parts {
            let part = self.resolved(part);
            if let Some(choices) = part["oneOf"].as_array() {
                properties.extend(self.any_of(choices));
                continue;
            }
            let part = &self.merged(part);
            properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
            required.extend(part["required"].as_array().cloned().unwrap_or_default());
            closed |= part["additionalProperties"] == false;
        }
        let mut whole = json!({ "type": "object", "required": required, "properties": properties });
        if let Some(description) = schema.get("description") {
            whole["description"] = description.clone();
        }
        if closed || schema["additionalProperties"] == false {
            whole["additionalProperties"] = false.into();
        }
        whole
    }
}

impl Schemas {
    /// What a reference leads to; anything else is itself.
    fn resolved<'a>(&'a self, part: &'a Value) -> &'a Value {
        let name = part["$ref"].as_str().and_then(|path| path.rsplit('/').next());
        name.and_then(|name| self.0.get(name)).unwrap_or(part)
    }

    /// The members of one of several shapes, flattened into an object: none of them has to be
    /// there.
    fn any_of(&self, choices: &[Value]) -> Map<String, Value> {
        let mut found = Map::new();
        for choice in choices {
            let choice = self.resolved(choice);
            if let Some(choices) = choice["oneOf"].as_array() {
                found.extend(self.any_of(choices));
            }
            for (name, member) in choice["properties"].as_object().into_iter().flatten() {
                let words = member["enum"].as_array().cloned().unwrap_or_default();
                if words.is_empty() {
                    found.insert(name.clone(), json!({ "type": "object" }));
                    continue;
                }
                let known =
                    found.entry(name).or_insert_with(|| json!({ "type": "string", "enum": [] }));
                if let Some(known) = known["enum"].as_array_mut() {
                    known.extend(words);
                }
            }
        }
        found
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Descriptions come from the code's own comments: their links mean nothing here.
fn plain(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "description" => *text = unlinked(text),
                    other => plain(other),
                }
            }
        }
        Value::Array(members) => members.iter_mut().for_each(plain),
        _ => {}
    }
}

/// ``[`Name`](path)`` as `` `Name` ``, on one line, `None` as JSON has it.
fn unlinked(text: &str) -> String {
    let text = text.replace('\n', " ").replace("`None`", "`null`");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find("[`") {
        let Some(end) = rest[at..].find("`]").map(|end| at + end) else { break };
        out.push_str(&rest[..at]);
        out.push_str(&rest[at + 1..=end]);
        rest = &rest[end + 2..];
        if let Some(close) = rest.strip_prefix('(').and_then(|path| path.find(')')) {
            rest = &rest[close + 2..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_words() {
        assert_eq!(unlinked("An [`App`](crate::App).\nNow."), "An `App`. Now.");
        assert_eq!(unlinked("[`A`] and [`B`](b), `None`"), "`A` and `B`, `null`");
        assert_eq!(unlinked("a[0] [`open"), "a[0] [`open");
    }
}
