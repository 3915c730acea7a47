//! Where in the file a key is, so that what is judged later can still name its line.

use std::{collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

/// The file's mappings, with the line of each value.
#[derive(Default)]
pub(crate) struct Lines {
    inside: HashMap<String, Spanned<Lines>>,
}

impl Lines {
    /// Empty for a file that is no YAML: the parser tells its line by itself.
    pub(crate) fn of(text: &str) -> Self {
        serde_saphyr::from_str(text).unwrap_or_default()
    }

    /// Line of `a.b.c`, or of the nearest key above it that is there.
    pub(crate) fn find(&self, key: &str) -> Option<u64> {
        let (mut here, mut line) = (self, None);
        for part in key.split('.') {
            let Some(next) = here.inside.get(part) else { break };
            line = Some(next.referenced.line()).filter(|line| *line > 0).or(line);
            here = &next.value;
        }
        line
    }
}

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Lines;

            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("anything")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lines, A::Error> {
                let mut inside = HashMap::new();
                while let Some((key, value)) = map.next_entry()? {
                    inside.insert(key, value);
                }
                Ok(Lines { inside })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Lines, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Lines::default())
            }

            fn visit_bool<E>(self, _: bool) -> Result<Lines, E> {
                Ok(Lines::default())
            }

            fn visit_i64<E>(self, _: i64) -> Result<Lines, E> {
                Ok(Lines::default())
            }

            fn visit_u64<E>(self, _: u64) -> Result<Lines, E> {
                Ok(Lines::default())
            }

            fn visit_f64<E>(self, _: f64) -> Result<Lines, E> {
                Ok(Lines::default())
            }

            fn visit_str<E>(self, _: &str) -> Result<Lines, E> {
                Ok(Lines::default())
            }

            fn visit_unit<E>(self) -> Result<Lines, E> {
                Ok(Lines::default())
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found() {
        let text = "a:\n  b: 1\n  c:\n    d: [x, 2]\n    e: |\n      text\nf: ~\n";
        let lines = Lines::of(text);
        assert_eq!(lines.find("a.b"), Some(2));
        assert_eq!(lines.find("a.c.d"), Some(4));
        assert_eq!(lines.find("a.c.nothing"), lines.find("a.c"));
        assert_eq!(lines.find("f"), Some(7));
        assert_eq!(lines.find("nothing"), None);
    }
}
