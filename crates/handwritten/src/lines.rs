//! Where in the file a key is, so that what is judged later still names its line.

use std::{collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

/// The file's mappings and lists, with the line of each value.
#[derive(Default)]
pub struct Lines {
    /// By key, or by the place in a list.
    inside: HashMap<String, Spanned<Lines>>,
}

impl Lines {
    /// Empty for a file that is no YAML: the parser tells its line by itself.
    pub fn of(text: &str) -> Self {
        serde_saphyr::from_str(text).unwrap_or_default()
    }

    /// Line of `a.b[2].c`, or of the nearest thing above it that is there.
    pub fn find(&self, key: &str) -> Option<u64> {
        self.walk(key).0
    }

    /// Whether all of `a.b[2].c` is there.
    pub fn has(&self, key: &str) -> bool {
        self.walk(key).1
    }

    fn walk(&self, key: &str) -> (Option<u64>, bool) {
        let (mut here, mut line) = (self, None);
        let parts = key.split(['.', '[']).map(|part| part.trim_end_matches(']'));
        for part in parts {
            let Some(next) = here.inside.get(part) else { return (line, false) };
            line = Some(next.referenced.line()).filter(|line| *line > 0).or(line);
            here = &next.value;
        }
        (line, true)
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
                let mut inside = HashMap::new();
                while let Some(value) = list.next_element()? {
                    inside.insert(inside.len().to_string(), value);
                }
                Ok(Lines { inside })
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
    fn lines_of_keys_and_of_items() {
        let text = "a:\n  - name: x\n    b:\n      c: 1\n  - name: y\n    d: [1, 2]\ne: ~\n";
        let lines = Lines::of(text);
        assert_eq!(lines.find("a[0].name"), Some(2));
        assert_eq!(lines.find("a[0].b.c"), Some(4));
        assert_eq!(lines.find("a[0].b.nothing"), lines.find("a[0].b"));
        assert_eq!(lines.find("a[1].d[1]"), Some(6));
        assert_eq!(lines.find("e"), Some(7));
        assert!(lines.has("a[1].d") && !lines.has("a[1].b"));
        assert_eq!(lines.find("z"), None);
    }
}
