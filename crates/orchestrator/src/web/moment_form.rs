//! The form that asks for a moment and where to put it, and what is made of it.

use engine::{FieldError, MomentRequest};
use jiff::{Timestamp, tz::TimeZone};
use model::{Fact, Lsn, Moment, MomentOrder, RecoveryState, RestoreTarget};

use super::{form::Fields, restore::word, visitor::Visitor};
use crate::moment::{self, MomentError};

/// What was chosen, as the form shows it.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// `time`, `lsn`, `restore_point` or `latest`.
    pub(super) moment: String,
    pub(super) date: String,
    pub(super) time: String,
    /// A zone's name or an offset.
    pub(super) zone: String,
    pub(super) lsn: String,
    pub(super) point: String,
    pub(super) timeline: String,
    pub(super) pause: bool,
    /// `beside`, `app` or `folder`.
    pub(super) to: String,
    /// What a container beside is called; empty is a name that says the moment.
    pub(super) name: String,
    /// A folder of the server's machine.
    pub(super) path: String,
}

impl Asked {
    /// The last moment there is, or the one that `at` says; beside the container that the server is
    /// in, else into the new folder `path`.
    pub(super) fn blank(
        path: String,
        has_container: bool,
        at: Option<Timestamp>,
        state: &RecoveryState,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Self {
        let last = state.windows.iter().map(|one| one.end_at).max();
        let local = at.or(last).unwrap_or(now).to_zoned(zone.clone());
        Self {
            moment: "time".to_owned(),
            date: local.strftime("%Y-%m-%d").to_string(),
            time: local.strftime("%H:%M:%S").to_string(),
            zone: zone.iana_name().unwrap_or("UTC").to_owned(),
            to: if has_container { "beside" } else { "folder" }.to_owned(),
            path,
            ..Self::default()
        }
    }

    pub(super) fn of(fields: &Fields) -> Self {
        let text = |name: &str| fields.text(name).to_owned();
        Self {
            moment: text("moment"),
            date: text("date"),
            time: text("time"),
            zone: text("zone"),
            lsn: text("lsn"),
            point: text("point"),
            timeline: text("timeline"),
            pause: fields.ticked("pause"),
            to: text("to"),
            name: text("name"),
            path: text("path"),
        }
    }

    /// The fields again, for the next page to carry.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("moment", self.moment.clone()),
            ("date", self.date.clone()),
            ("time", self.time.clone()),
            ("zone", self.zone.clone()),
            ("lsn", self.lsn.clone()),
            ("point", self.point.clone()),
            ("timeline", self.timeline.clone()),
            ("to", self.to.clone()),
            ("name", self.name.clone()),
            ("path", self.path.clone()),
        ];
        if self.pause {
            fields.push(("pause", "on".to_owned()));
        }
        fields.retain(|(_, value)| !value.is_empty());
        fields
    }

    /// The time as it is written with its zone.
    fn written(&self) -> String {
        let is_offset = self.zone.starts_with(['+', '-', 'Z', 'z']);
        let zone = if is_offset { self.zone.clone() } else { format!("[{}]", self.zone) };
        format!("{}T{}{zone}", self.date, self.time)
    }

    fn moment(&self) -> Result<Moment, FieldError> {
        Ok(match self.moment.as_str() {
            "lsn" => {
                let at: Lsn = self.lsn.parse().map_err(|error| FieldError::new("lsn", error))?;
                Moment::Lsn { at }
            }
            "restore_point" => Moment::RestorePoint { name: self.point.clone() },
            "latest" => Moment::Latest,
            _ => {
                let at = moment::parse(&self.written());
                Moment::Time { at: at.map_err(|error| FieldError::new("at", error))? }
            }
        })
    }

    /// Where it is to go; left open, the engine chooses.
    fn target(&self) -> Result<Option<RestoreTarget>, FieldError> {
        match self.to.as_str() {
            "app" => Ok(Some(RestoreTarget::App)),
            "beside" if self.name.is_empty() => Ok(None),
            "beside" => match self.name.parse() {
                Ok(name) => Ok(Some(RestoreTarget::Beside { name })),
                Err(error) => Err(FieldError::new("name", error)),
            },
            _ if self.path.starts_with('/') => {
                Ok(Some(RestoreTarget::Folder { path: self.path.clone().into() }))
            }
            _ => Err(FieldError::new(
                "path",
                Fact::AbsolutePathLike { path: "/restored/shop".to_owned() },
            )),
        }
    }

    /// What the engine is asked for.
    pub(super) fn request(&self) -> Result<MomentRequest, Vec<FieldError>> {
        let mut errors = Vec::new();
        let moment = self.moment().map_err(|error| errors.push(error)).ok();
        let timeline = match self.timeline.as_str() {
            "" => None,
            text => {
                let wrong = |_| errors.push(FieldError::new("timeline", Fact::WholeNumber {}));
                text.parse().map_err(wrong).ok()
            }
        };
        let target = self.target().map_err(|error| errors.push(error)).ok();
        match (moment, target) {
            (Some(moment), Some(target)) if errors.is_empty() => Ok(MomentRequest {
                order: MomentOrder { moment, timeline, pause: self.pause },
                target,
                confirm: None,
                overwrite: false,
            }),
            _ => Err(errors),
        }
    }
}

/// The form has fields of their own for the time and its zone.
impl From<MomentError> for Fact {
    fn from(error: MomentError) -> Self {
        match error {
            MomentError::Unreadable(_) => Self::MomentUnread {},
            MomentError::Twice { first, second, .. } => Self::MomentTwice { first, second },
            MomentError::Never { before, .. } => Self::MomentNever { at: before },
        }
    }
}

/// A moment in words.
pub(super) fn words(order: &MomentOrder, visitor: &Visitor) -> String {
    match &order.moment {
        Moment::Time { at } => {
            let local = at.to_zoned(visitor.zone.clone());
            let clock = local.strftime("%H:%M:%S %Z").to_string();
            format!("{}, {clock}", visitor.lang.date(local.date()))
        }
        Moment::Lsn { at } => at.to_string(),
        Moment::RestorePoint { name } => name.clone(),
        Moment::Latest => visitor.t("moment-latest"),
    }
}

/// The same by command line.
pub(super) fn command(app: &str, request: &MomentRequest) -> String {
    let mut words = format!("backup-orchestrator restore {app}");
    match &request.order.moment {
        Moment::Time { at } => words.extend([" --at ", &at.to_string()]),
        Moment::Lsn { at } => words.extend([" --lsn ", &at.to_string()]),
        Moment::RestorePoint { name } => words.extend([" --restore-point ", &word(name)]),
        Moment::Latest => words += " --latest",
    }
    if let Some(timeline) = request.order.timeline {
        words.extend([" --timeline ", &timeline.to_string()]);
    }
    if request.order.pause {
        words += " --pause";
    }
    match &request.target {
        Some(RestoreTarget::Folder { path }) => {
            words.extend([" --into-folder ", &word(&path.display().to_string())]);
        }
        Some(RestoreTarget::Beside { name }) => words.extend([" --beside ", name.as_str()]),
        Some(RestoreTarget::App) => words.extend([" --into-app --confirm ", app]),
        None => {}
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Asked {
        Asked {
            moment: "time".to_owned(),
            date: "2026-11-21".to_owned(),
            time: "14:30".to_owned(),
            zone: "Europe/Madrid".to_owned(),
            path: "/restored/shop-old".to_owned(),
            ..Asked::default()
        }
    }

    #[test]
    fn a_form_is_a_request_and_a_command() {
        let request = asked().request().unwrap();
        let at = "2026-11-21T13:30:00Z".parse().unwrap();
        assert_eq!(request.order.moment, Moment::Time { at });
        assert_eq!(
            command("shop", &request),
            "backup-orchestrator restore shop --at 2026-11-21T13:30:00Z \
             --into-folder /restored/shop-old"
        );
        let offset = Asked { zone: "+01:00".to_owned(), ..asked() };
        assert_eq!(offset.request().unwrap().order.moment, Moment::Time { at });
        let lsn = Asked { moment: "lsn".to_owned(), lsn: "0/A".to_owned(), ..asked() };
        let lsn = Asked { timeline: "2".to_owned(), pause: true, ..lsn };
        let told = command("shop", &lsn.request().unwrap());
        assert!(told.contains("--lsn 0/A --timeline 2 --pause --into-folder"), "{told}");
    }

    #[test]
    fn a_container_is_beside_or_in_place() {
        let to = |to: &str, name: &str| {
            let asked = Asked { to: to.to_owned(), name: name.to_owned(), ..asked() };
            asked.request().map(|request| (command("shop", &request), request.target))
        };
        let (words, target) = to("beside", "").unwrap();
        assert!(target.is_none() && words.ends_with("13:30:00Z"), "{words}");
        let (words, _) = to("beside", "copied").unwrap();
        assert!(words.ends_with(" --beside copied"), "{words}");
        let (words, target) = to("app", "").unwrap();
        assert!(words.ends_with(" --into-app --confirm shop"), "{words}");
        assert_eq!(target, Some(RestoreTarget::App));
        assert_eq!(to("beside", "a b").unwrap_err()[0].field, "name");
    }

    #[test]
    fn what_is_wrong_is_told_at_its_field() {
        let fold = Asked { date: "2026-10-25".to_owned(), time: "02:30".to_owned(), ..asked() };
        let errors = fold.request().unwrap_err();
        assert_eq!(errors[0].field, "at");
        assert!(errors[0].message().contains("+02:00") && errors[0].message().contains("+01:00"));
        let wrong = Asked { path: "here".to_owned(), timeline: "x".to_owned(), ..asked() };
        let fields: Vec<_> =
            wrong.request().unwrap_err().into_iter().map(|error| error.field).collect();
        assert_eq!(fields, ["timeline", "path"]);
    }

    #[test]
    fn the_next_page_carries_what_was_chosen() {
        let pairs = asked().fields().into_iter().map(|(name, value)| (name.to_owned(), value));
        let again = Asked::of(&Fields::new(pairs.collect()));
        assert_eq!(again.request().unwrap().order, asked().request().unwrap().order);
    }
}
