//! Values as people write them: unquoted numbers, one or several, short and long forms.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use engine::{SettingValue, settings_of};
use model::DirectKind;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use strum::IntoEnumIterator as _;

/// A whole number, or a variable that holds one.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Number(pub(super) String);

/// `true` or `false`, or a variable that holds it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Flag(pub(super) String);

/// A text that may look like a number or a flag.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Text(pub(super) String);

impl JsonSchema for Text {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

impl JsonSchema for Number {
    fn schema_name() -> Cow<'static, str> {
        "Number".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"] })
    }
}

impl JsonSchema for Flag {
    fn schema_name() -> Cow<'static, str> {
        "Flag".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["boolean", "string"] })
    }
}

/// Settings of a source or destination, by the kind's own keys; a list where the kind takes one.
#[derive(Clone, Default)]
pub(crate) struct Settings(pub(super) BTreeMap<String, Vec<String>>);

impl Serialize for Settings {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, values)| (key, values.join("\n"))))
    }
}

impl JsonSchema for Settings {
    fn schema_name() -> Cow<'static, str> {
        "Settings".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = serde_json::json!({ "type": ["string", "number", "boolean"] });
        json_schema!({
            "type": "object",
            "description": "Settings by the kind's own keys.",
            "additionalProperties": { "anyOf": [one, { "type": "array", "items": one }] },
        })
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Settings;

            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("settings, each `key: value`,")
            }

            fn visit_unit<E>(self) -> Result<Settings, E> {
                Ok(Settings::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Settings, A::Error> {
                let mut settings = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    // Only what may be a list is looked at as whatever it is: else `0123` in a
                    // password would become a number.
                    let values = if may_be_a_list(&key) {
                        map.next_value::<Several>()?.0
                    } else {
                        vec![map.next_value::<String>()?]
                    };
                    settings.insert(key, values);
                }
                Ok(Settings(settings))
            }
        }
        deserializer.deserialize_map(Map)
    }
}

fn may_be_a_list(key: &str) -> bool {
    let is_it = |kind| {
        let settings: &[engine::SettingField] = settings_of(kind);
        settings.iter().any(|one| one.key == key && one.value == SettingValue::List)
    };
    key == "databases" || DirectKind::iter().any(is_it)
}

struct Several(Vec<String>);

impl<'de> Deserialize<'de> for Several {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Several;

            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("a value, or a list of values,")
            }

            fn visit_str<E>(self, text: &str) -> Result<Several, E> {
                Ok(Several(vec![text.to_owned()]))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Several, E> {
                Ok(Several(vec![value.to_string()]))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Several, E> {
                Ok(Several(vec![value.to_string()]))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Several, E> {
                Ok(Several(vec![value.to_string()]))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Several, E> {
                Ok(Several(vec![value.to_string()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Several, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = list.next_element::<String>()? {
                    all.push(one);
                }
                Ok(Several(all))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// One word, or a mapping that says more.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum ShortOr<T> {
    /// The word.
    Short(String),
    /// The mapping.
    Long(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ShortOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = ShortOr<T>;

            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("a text, or a mapping,")
            }

            fn visit_str<E>(self, text: &str) -> Result<ShortOr<T>, E> {
                Ok(ShortOr::Short(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ShortOr<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(ShortOr::Long)
            }
        }
        deserializer.deserialize_any(Either(std::marker::PhantomData))
    }
}
