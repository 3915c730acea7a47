//! The text in which Prometheus reads metrics (exposition format 0.0.4).

use std::fmt::Write as _;

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// A sum and how many were added up.
    Summary,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Summary => "summary",
        }
    }
}

/// A page of metrics, family by family.
#[derive(Default)]
pub(super) struct Text(String);

/// The samples of one name.
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Text {
    /// Begins a family. Each is told on every page, also where nothing is known of it.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let (text, word) = (&mut self.0, kind.word());
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {word}");
        Family { text, name }
    }

    /// A family of one number without labels.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str, value: impl Into<Option<f64>>) {
        let mut family = self.family(name, Kind::Gauge, help);
        if let Some(value) = value.into() {
            family.sample(&[], value);
        }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

impl Family<'_> {
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.suffixed("", labels, value);
    }

    /// A sample whose name goes on with `suffix`.
    pub(super) fn suffixed(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (at, (label, value)) in labels.iter().enumerate() {
            let begin = if at == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{begin}{label}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_written_as_prometheus_reads_it() {
        let mut text = Text::default();
        let mut family = text.family("a_total", Kind::Counter, "Line\nand \\.");
        family.sample(&[("app", "x\"y\\z\n"), ("kind", "backup")], 3.0);
        family.sample(&[], 9_007_199_254_740_992.0);
        text.gauge("b_seconds", "B.", 0.25);
        text.gauge("c", "Unknown.", None);
        let mut lateness = text.family("d_seconds", Kind::Summary, "D.");
        lateness.suffixed("_sum", &[], 1.5);
        lateness.suffixed("_count", &[], 2.0);
        let expected = r#"# HELP a_total Line\nand \\.
# TYPE a_total counter
a_total{app="x\"y\\z\n",kind="backup"} 3
a_total 9007199254740992
# HELP b_seconds B.
# TYPE b_seconds gauge
b_seconds 0.25
# HELP c Unknown.
# TYPE c gauge
# HELP d_seconds D.
# TYPE d_seconds summary
d_seconds_sum 1.5
d_seconds_count 2
"#;
        assert_eq!(text.finish(), expected);
    }
}
