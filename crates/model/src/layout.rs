//! How objects are named.
//!
//! A template is text with fields in braces: `{app}`, `{source}`, `{run}`, `{kind}`, and the time
//! parts `{YYYYMMDD_HHMMSS}`, `{YYYYMMDD_HHMM}`, `{YYYYMMDD}`, `{YYYY}`, `{MM}`, `{DD}`,
//! `{HHMM}`, `{HHMMSS}` in the app's time zone. A name's extension is added to what it gives.

#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use jiff::Zoned;
use serde::{Deserialize, Serialize};

use crate::{Fact, Name, RunId, SnapshotKind};

/// What manifests are called, after the base name they share with their objects.
pub const MANIFEST_SUFFIX: &str = ".manifest.json";

/// What folders are called that hold a tree of files; their listings begin with the same name.
pub const TREE_SUFFIX: &str = ".tree";

const DEFAULT: &str = "{app}_{YYYYMMDD_HHMM}";
const TIMES: &[(&str, &str)] = &[
    ("YYYYMMDD_HHMMSS", "%Y%m%d_%H%M%S"),
    ("YYYYMMDD_HHMM", "%Y%m%d_%H%M"),
    ("YYYYMMDD", "%Y%m%d"),
    ("YYYY", "%Y"),
    ("MM", "%m"),
    ("DD", "%d"),
    ("HHMMSS", "%H%M%S"),
    ("HHMM", "%H%M"),
];
/// Fields that tell one run from the next.
const TELLING: &[&str] = &["run", "YYYYMMDD_HHMMSS", "YYYYMMDD_HHMM", "YYYYMMDD", "HHMMSS", "HHMM"];

/// A name template; the default gives `NAME_YYYYmmdd_HHMM`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Template(String);

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A field that is none.
    #[error("`{{{}}}` is no field: use app, source, run, kind, or a time such as YYYYMMDD_HHMM", .0.escape_debug())]
    Field(String),
    /// A brace without its other one.
    #[error("a brace is left open")]
    Brace,
    /// Every run would have the same name.
    #[error("put a time or `{{run}}` into it: every run needs a name of its own")]
    Constant,
    /// Not a relative path of plain names.
    #[error("a name is relative, of letters, digits and ` ._-+=@`, without `..` or empty parts")]
    Path,
}

impl From<TemplateError> for Fact {
    fn from(error: TemplateError) -> Self {
        match error {
            TemplateError::Field(name) => {
                Self::NoTemplateField { name: name.escape_debug().to_string() }
            }
            TemplateError::Brace => Self::BraceOpen {},
            TemplateError::Constant => Self::NameConstant {},
            TemplateError::Path => Self::TemplatePath {},
        }
    }
}

/// What the fields of a template stand for.
#[derive(Debug, Clone)]
pub struct NameFields {
    /// The app.
    pub app: Name,
    /// When the snapshot was taken, in the app's time zone.
    pub taken_at: Zoned,
    /// The run.
    pub run_id: RunId,
    /// The kind of snapshot.
    pub kind: SnapshotKind,
}

/// The names of one snapshot at one destination.
#[derive(Debug, Clone)]
pub struct Names {
    template: Template,
    fields: NameFields,
}

impl Template {
    /// The names it gives.
    pub fn names(self, fields: NameFields) -> Names {
        Names { template: self, fields }
    }

    /// Whether sources of one snapshot would get folders of their own, away from its manifest.
    pub fn splits_sources(&self) -> bool {
        self.0.rsplit_once('/').is_some_and(|(folder, _)| folder.contains("{source}"))
    }

    fn render(
        &self,
        field: &mut impl FnMut(&str) -> Option<String>,
    ) -> Result<String, TemplateError> {
        let mut out = String::new();
        let mut rest = self.0.as_str();
        while let Some(open) = rest.find(['{', '}']) {
            out.push_str(&rest[..open]);
            let inner = rest[open..].strip_prefix('{').ok_or(TemplateError::Brace)?;
            let (name, after) = inner.split_once('}').ok_or(TemplateError::Brace)?;
            let value = field(name);
            out.push_str(
                &value.ok_or_else(|| TemplateError::Field(name.chars().take(32).collect()))?,
            );
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

impl Default for Template {
    fn default() -> Self {
        Self(DEFAULT.to_owned())
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let template = Self(text.trim().to_owned());
        let mut tells = false;
        let sample = template.render(&mut |name| {
            tells |= TELLING.contains(&name);
            let known = matches!(name, "app" | "source" | "run" | "kind")
                || TIMES.iter().any(|(time, _)| *time == name);
            known.then(|| "x".to_owned())
        })?;
        let plain = |c: char| c.is_ascii_alphanumeric() || " ._-+=@/".contains(c);
        let safe = sample.len() <= 200
            && sample.chars().all(plain)
            && sample.split('/').all(|part| {
                !part.is_empty()
                    && !part.starts_with(['.', '-', ' '])
                    && !part.ends_with(' ')
                    && !part.contains("..")
            });
        match (tells, safe) {
            (_, false) => Err(TemplateError::Path),
            (false, _) => Err(TemplateError::Constant),
            _ => Ok(template),
        }
    }
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.0
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Names {
    /// Name of the object of a source. `source` is its name where the app has several.
    /// `compression` is what our own compression adds (`.zst`). From the second `attempt` on the
    /// name has a number.
    pub fn object(
        &self,
        source: Option<&str>,
        file_name: &str,
        format: Option<&str>,
        compression: &str,
        attempt: u32,
    ) -> String {
        let extension = extension(file_name, format);
        format!("{}{}{extension}{compression}", self.base(source), number(attempt))
    }

    /// Name of the folder of a source's tree, and what its listing's name begins with.
    pub fn tree(&self, source: Option<&str>, attempt: u32) -> String {
        format!("{}{}{TREE_SUFFIX}", self.base(source), number(attempt))
    }

    /// Name of the manifest.
    pub fn manifest(&self, attempt: u32) -> String {
        format!("{}{}{MANIFEST_SUFFIX}", self.base(None), number(attempt))
    }

    fn base(&self, source: Option<&str>) -> String {
        let fields = &self.fields;
        let mut told_source = false;
        let rendered = self.template.render(&mut |name| {
            Some(match name {
                "app" => fields.app.to_string(),
                "run" => fields.run_id.to_string(),
                "kind" => fields.kind.to_string(),
                "source" => {
                    told_source = true;
                    source.unwrap_or(fields.app.as_str()).to_owned()
                }
                time => {
                    let format = TIMES.iter().find(|(known, _)| *known == time)?.1;
                    fields.taken_at.strftime(format).to_string()
                }
            })
        });
        // A template was checked when it was read.
        let base = rendered.unwrap_or_else(|_| format!("{}_{}", fields.app, fields.run_id));
        match source {
            Some(source) if !told_source => format!("{base}_{source}"),
            _ => base,
        }
    }
}

fn number(attempt: u32) -> String {
    if attempt > 1 { format!("_{attempt}") } else { String::new() }
}

/// The extension of what a source sends, with its dot: what its format is known by, or what its
/// file name ends with.
fn extension(file_name: &str, format: Option<&str>) -> String {
    match format {
        Some("pg_dump_Fc") => return ".dump".to_owned(),
        Some("pg_dump_Ft") => return ".tar".to_owned(),
        Some("pg_dump_Fp") => return ".sql".to_owned(),
        _ => {}
    }
    let is_part = |part: &str| {
        (1..=8).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric())
    };
    let mut parts = file_name.rsplit('.');
    let (Some(last), Some(before)) = (parts.next(), parts.next()) else { return ".bin".to_owned() };
    if !is_part(last) {
        return ".bin".to_owned();
    }
    let has_more = parts.next().is_some();
    let wraps = matches!(last, "gz" | "bz2" | "xz" | "zst" | "age" | "gpg");
    if wraps && has_more && is_part(before) {
        format!(".{before}.{last}")
    } else {
        format!(".{last}")
    }
}
