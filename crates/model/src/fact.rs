//! Everything that runs, restores and drills, and what happens besides, have to say.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Sentence;

/// A number of bytes in a sentence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

/// A sentence within another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Told(pub Box<Sentence>);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Into<Sentence>> From<T> for Told {
    fn from(sentence: T) -> Self {
        Self(Box::new(sentence.into()))
    }
}

/// A thing that a sentence names, for whoever writes it in another language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactValue {
    /// A name, a path, or what a program said.
    Text(String),
    /// How many.
    Count(u64),
    /// How many bytes.
    Size(u64),
    /// When.
    Time(Timestamp),
    /// Another sentence.
    Told(Sentence),
}

impl From<&String> for FactValue {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<&u64> for FactValue {
    fn from(count: &u64) -> Self {
        Self::Count(*count)
    }
}

impl From<&Size> for FactValue {
    fn from(bytes: &Size) -> Self {
        Self::Size(bytes.0)
    }
}

impl From<&Told> for FactValue {
    fn from(told: &Told) -> Self {
        Self::Told((*told.0).clone())
    }
}

impl From<&Timestamp> for FactValue {
    fn from(at: &Timestamp) -> Self {
        Self::Time(*at)
    }
}

macro_rules! facts {
    ($($name:ident { $($field:ident: $of:ty),* } = $text:literal;)*) => {
        /// A sentence without its language: a stable code, and what it names.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EnumIter, IntoStaticStr)]
        #[serde(tag = "code", content = "facts", rename_all = "snake_case")]
        #[strum(serialize_all = "snake_case")]
        #[allow(clippy::doc_markdown, reason = "sentences are for people")]
        pub enum Fact {
            $(
                #[doc = $text]
                $name {
                    $(
                        #[doc = concat!("`", stringify!($field), "` of the sentence.")]
                        $field: $of,
                    )*
                },
            )*
        }

        impl fmt::Display for Fact {
            #[allow(unused_variables, reason = "not every text names everything")]
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name { $($field),* } => write!(f, $text),)*
                }
            }
        }

        impl Fact {
            /// Its code, which stays the same in every version.
            pub fn code(&self) -> &'static str {
                self.into()
            }

            /// What it names.
            pub fn values(&self) -> Vec<(&'static str, FactValue)> {
                match self {
                    $(Self::$name { $($field),* } => vec![
                        $((stringify!($field), FactValue::from($field)),)*
                    ],)*
                }
            }
        }
    };
}

#[macro_use]
mod refusals;
#[macro_use]
mod settings;
#[macro_use]
mod fields;
#[macro_use]
mod troubles;
#[macro_use]
mod checks;
#[macro_use]
mod moments;
#[macro_use]
mod happenings;
mod list;
pub use list::Fact;

/// Its codes, and that there are facts: what each code has is told by the code itself, and all of
/// them spelled out would be most of the API's description.
#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Fact {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use strum::IntoEnumIterator as _;
        use utoipa::openapi::schema::{ObjectBuilder, Type};
        let codes = Self::iter().map(|fact| fact.code());
        let code = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes));
        ObjectBuilder::new()
            .description(Some("A sentence without its language."))
            .property("code", code.description(Some("Which; it never changes its meaning.")))
            .property("facts", ObjectBuilder::new().description(Some("What it names.")))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Fact {}

impl Fact {
    /// What a parser, a program, a server or the system said, in its own words.
    pub fn said(text: impl ToString) -> Self {
        Self::Said { said: text.to_string() }
    }

    /// One sentence after another.
    pub fn also(first: impl Into<Sentence>, then: impl Into<Sentence>) -> Self {
        Self::Also { first: first.into().into(), then: then.into().into() }
    }
}

#[cfg(test)]
mod tests;
