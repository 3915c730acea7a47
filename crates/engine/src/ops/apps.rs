//! Registering, editing and removing apps.

use model::{
    App, AppId, Binding, CodePlan, Destination, DestinationKind, DirectKind, DrillPlan, Fact,
    Limits, Name, QuiescePlan, Source,
    layout::Template,
    retention::RetentionPolicy,
    schedule::{MAX_JITTER_SECS, Schedule, ScheduleSpec, TimeZoneName},
};
use secrecy::SecretString;
use serde::Deserialize;

use super::{
    drill::check_plan, managed::refuse_if_managed, recovery_plan::RecoveryDraft,
    sources::SourceDraft, validate, whole,
};
use crate::{Engine, EngineError, FieldError, Report};

/// Longest time a source may be given, in seconds: a week.
const MAX_TIMEOUT_SECS: u64 = 7 * 24 * 3600;

/// An app as somebody describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AppDraft {
    /// Unique name.
    pub name: String,
    /// Where its data comes from; several make one snapshot. In place of one server of the
    /// contract, `url` and `token` below will do.
    #[cfg_attr(feature = "openapi", schema(default = json!([])))]
    pub sources: Vec<SourceDraft>,
    /// Base address of the app or its sidecar.
    pub url: String,
    /// Bearer token. When editing, left out or empty keeps the stored one.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, write_only, default = json!(null)))]
    pub token: Option<SecretString>,
    /// Which of the app's export types to ask for.
    pub export_type: Option<String>,
    /// Passed to the app's commands as `SIDE_CAR_DRIVE_FOLDER_ID`.
    pub drive_folder_id: Option<String>,
    /// Accept an export that carries neither size nor checksum.
    pub accept_unverified: bool,
    /// Accept an export of no bytes.
    pub allow_empty: bool,
    /// Where copies go; at least one.
    #[cfg_attr(feature = "openapi", schema(default = json!([])))]
    pub destinations: Vec<BindingDraft>,
    /// When it runs; left out: by hand only.
    #[cfg_attr(feature = "openapi", schema(default = json!(null)))]
    pub schedule: Option<ScheduleDraft>,
    /// Which snapshots are kept.
    pub retention: RetentionPolicy,
    /// Bounds of a run.
    pub limits: Limits,
    /// `none`, `gzip`, `zstd`, the last two with a level (`zstd:9`), or `auto`, which chooses by
    /// the stream's first bytes. Left out: `auto`, or when editing what was there.
    pub compression: Option<String>,
    /// What its drills do. Left out: nothing but when asked, or when editing what was there.
    #[cfg_attr(feature = "openapi", schema(default = json!(null)))]
    pub drill: Option<DrillPlan>,
    /// How it is brought to stand still while its sources are read. Left out: not at all, or when
    /// editing what was there.
    #[cfg_attr(feature = "openapi", schema(default = json!(null)))]
    pub quiesce: Option<QuiescePlan>,
    /// Where its code is, as a git work tree of the orchestrator's machine. Left out: nowhere, or
    /// when editing what was there; an empty path takes it away.
    #[cfg_attr(feature = "openapi", schema(default = json!(null)))]
    pub code: Option<CodePlan>,
    /// Its continuous archive of WAL. Left out: none, or when editing what was there.
    #[cfg_attr(feature = "openapi", schema(default = json!(null)))]
    pub recovery: Option<RecoveryDraft>,
    /// Whether its schedule runs.
    pub enabled: bool,
}

impl Default for AppDraft {
    fn default() -> Self {
        Self {
            name: String::new(),
            sources: Vec::new(),
            url: String::new(),
            token: None,
            export_type: None,
            drive_folder_id: None,
            accept_unverified: false,
            allow_empty: false,
            destinations: Vec::new(),
            schedule: None,
            retention: RetentionPolicy::default(),
            limits: Limits::default(),
            compression: None,
            drill: None,
            quiesce: None,
            code: None,
            recovery: None,
            enabled: true,
        }
    }
}

/// A destination of an app, as somebody describes it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BindingDraft {
    /// The destination's name or id.
    pub destination: String,
    /// Folder inside it.
    pub folder: String,
    /// Overrides the app's retention policy here.
    pub retention: Option<RetentionPolicy>,
    /// Name template.
    pub template: Option<String>,
    /// Whether the log of each run is put there as well.
    pub logs: bool,
}

/// A schedule as somebody writes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScheduleDraft {
    /// `daily`, `weekly`, `@every 4h` or five cron fields.
    pub spec: String,
    /// IANA time zone; empty is UTC.
    pub time_zone: String,
    /// Upper bound of the random delay, in seconds.
    pub jitter_secs: u32,
    /// Run once after downtime if fires were missed.
    pub catch_up: bool,
}

impl Default for ScheduleDraft {
    fn default() -> Self {
        Self { spec: String::new(), time_zone: String::new(), jitter_secs: 0, catch_up: true }
    }
}

impl ScheduleDraft {
    /// The schedule it describes, or what is wrong with it.
    pub fn parse(&self) -> Result<Schedule, FieldError> {
        let zone = self.time_zone.trim();
        let time_zone = if zone.is_empty() { "UTC" } else { zone }
            .parse::<TimeZoneName>()
            .map_err(|error| FieldError::new("schedule.time_zone", error))?;
        let spec = self
            .spec
            .trim()
            .parse::<ScheduleSpec>()
            .map_err(|error| FieldError::new("schedule.spec", error))?;
        if self.jitter_secs > MAX_JITTER_SECS {
            return Err(FieldError::new("schedule.jitter_secs", Fact::AtMostDay {}));
        }
        Ok(Schedule {
            jitter_secs: self.jitter_secs,
            catch_up: self.catch_up,
            ..Schedule::new(spec, time_zone)
        })
    }
}

impl Engine {
    /// Registers an app.
    pub async fn register_app(&self, draft: AppDraft) -> Result<App, EngineError> {
        let app = self.new_app(draft).await?;
        self.0.catalog.insert_app(&app).await?;
        self.0.schedule_bell.notify_one();
        Ok(app)
    }

    /// The app that `draft` describes, not yet registered; for tests of a connection.
    pub async fn new_app(&self, draft: AppDraft) -> Result<App, EngineError> {
        let now = self.now();
        let parsed = self.parse(draft, None).await?;
        Ok(App {
            id: self.new_id(AppId::generate),
            created_at: now,
            updated_at: now,
            version: 1,
            ..parsed
        })
    }

    /// Tries the connection that `draft` describes, before the rest of it is right; where the
    /// app is `current`ly registered, its stored token stands in for one left out.
    pub async fn try_app(
        &self,
        draft: &AppDraft,
        current: Option<&App>,
    ) -> Result<Report, EngineError> {
        let mut errors = Vec::new();
        let name: Name = match draft.name.trim().parse() {
            Ok(name) => name,
            Err(_) => "app".parse().map_err(|error| EngineError::invalid("name", error))?,
        };
        let sources = self.parse_sources(draft, Some(&name), current, &mut errors);
        if sources.is_empty() || !errors.is_empty() {
            return Err(EngineError::Invalid(errors));
        }
        let now = self.now();
        Ok(self
            .doctor_app(&App {
                id: current.map_or_else(|| self.new_id(AppId::generate), |app| app.id),
                sources,
                name,
                enabled: true,
                destinations: Vec::new(),
                schedule: None,
                retention: RetentionPolicy::default(),
                limits: draft.limits.clone(),
                compression: None,
                drill: model::DrillPlan::default(),
                quiesce: model::QuiescePlan::default(),
                code: None,
                recovery: None,
                managed_by: None,
                created_at: now,
                updated_at: now,
                version: 0,
            })
            .await)
    }

    /// Changes an app that was read at `version`. A changed token is a rotation: the old one is
    /// still tried once where the new one is refused.
    pub async fn edit_app(
        &self,
        id: AppId,
        version: i64,
        draft: AppDraft,
    ) -> Result<App, EngineError> {
        let current = self.0.catalog.app(id).await?;
        refuse_if_managed(&current.name, current.managed_by)?;
        let parsed = self.parse(draft, Some(&current)).await?;
        let app = App {
            id,
            created_at: current.created_at,
            updated_at: current.updated_at,
            version,
            ..parsed
        };
        let saved = self.0.catalog.update_app(&app, self.now()).await?;
        self.0.schedule_bell.notify_one();
        Ok(saved)
    }

    /// Stops or resumes an app's schedule.
    pub async fn set_app_enabled(&self, app: &App, enabled: bool) -> Result<App, EngineError> {
        refuse_if_managed(&app.name, app.managed_by)?;
        let changed = App { enabled, ..app.clone() };
        let saved = self.0.catalog.update_app(&changed, self.now()).await?;
        self.0.schedule_bell.notify_one();
        Ok(saved)
    }

    /// Removes an app; refused while a run of it is under way. Runs that wait are cancelled. Its
    /// snapshots stay where they are and can still be restored.
    pub async fn remove_app(&self, id: AppId) -> Result<(), EngineError> {
        let app = self.0.catalog.app(id).await?;
        refuse_if_managed(&app.name, app.managed_by)?;
        self.0.catalog.remove_app(id, self.now()).await?;
        self.0.schedule_bell.notify_one();
        for run in self.0.catalog.active_runs().await? {
            if run.app_id == Some(id) {
                self.cancel(run.id).await?;
            }
        }
        Ok(())
    }

    async fn parse(&self, draft: AppDraft, current: Option<&App>) -> Result<App, EngineError> {
        let known = self.0.catalog.all_destinations().await?;
        self.parse_among(draft, current, &known)
    }

    /// The app that `draft` describes where `known` are the destinations.
    pub(super) fn parse_among(
        &self,
        draft: AppDraft,
        current: Option<&App>,
        known: &[Destination],
    ) -> Result<App, EngineError> {
        let mut errors = Vec::new();
        let name = validate::name("name", &draft.name, &mut errors);
        let sources = self.parse_sources(&draft, name.as_ref(), current, &mut errors);
        let schedule = draft
            .schedule
            .as_ref()
            .filter(|s| !s.spec.trim().is_empty())
            .and_then(|s| s.parse().map_err(|error| errors.push(error)).ok());
        if let Err(error) = draft.retention.check() {
            errors.push(FieldError::new("retention", error));
        }
        check_limits(&draft.limits, &mut errors);
        let compression = compression(&draft, current, &mut errors);
        if let Some(plan) = &draft.drill {
            errors.extend(check_plan(plan, "drill."));
        }
        if let Some(plan) = &draft.quiesce {
            errors.extend(whole::check_quiesce(plan, &sources));
        }
        errors.extend(draft.code.iter().filter_map(whole::check_code));
        let destinations = parse_bindings(&draft.destinations, known, &mut errors);
        check_trees(&sources, &destinations, known, &mut errors);
        let recovery = draft.recovery_plan(current, &sources, &destinations, known, &mut errors);
        match name {
            Some(name) if errors.is_empty() => Ok(App {
                id: current.map_or_else(|| self.new_id(AppId::generate), |app| app.id),
                sources,
                name,
                enabled: draft.enabled,
                destinations,
                schedule,
                retention: draft.retention,
                limits: draft.limits,
                compression,
                drill: draft
                    .drill
                    .or_else(|| current.map(|app| app.drill.clone()))
                    .unwrap_or_default(),
                quiesce: draft
                    .quiesce
                    .or_else(|| current.map(|app| app.quiesce.clone()))
                    .unwrap_or_default(),
                code: match draft.code {
                    Some(code) => Some(code).filter(|code| !code.path.as_os_str().is_empty()),
                    None => current.and_then(|app| app.code.clone()),
                },
                recovery,
                managed_by: current.and_then(|app| app.managed_by),
                created_at: self.now(),
                updated_at: self.now(),
                version: 1,
            }),
            _ => Err(EngineError::Invalid(errors)),
        }
    }
}

fn parse_bindings(
    drafts: &[BindingDraft],
    known: &[Destination],
    errors: &mut Vec<FieldError>,
) -> Vec<Binding> {
    if drafts.is_empty() {
        errors.push(FieldError::new("destinations", Fact::ChooseDestination {}));
    }
    let mut bindings: Vec<Binding> = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.iter().enumerate() {
        let field = |name: &str| format!("destinations[{index}].{name}");
        let wanted = draft.destination.trim();
        let found = known.iter().find(|one| {
            one.name.as_str().eq_ignore_ascii_case(wanted) || one.id.to_string() == wanted
        });
        let Some(found) = found else {
            let unknown = Fact::NoSuchDestination { name: wanted.to_owned() };
            errors.push(FieldError::new(field("destination"), unknown));
            continue;
        };
        let folder = validate::folder(&field("folder"), &draft.folder, errors);
        if bindings.iter().any(|one| one.destination_id == found.id) {
            errors.push(FieldError::new(field("destination"), Fact::ChosenTwice {}));
        }
        if let Some(Err(error)) = draft.retention.as_ref().map(RetentionPolicy::check) {
            errors.push(FieldError::new(field("retention"), error));
        }
        let template = draft.template.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let template = template.and_then(|text| {
            text.parse::<Template>()
                .map_err(|error| errors.push(FieldError::new(field("template"), error)))
                .ok()
        });
        if template.as_ref().is_some_and(Template::splits_sources) {
            errors.push(FieldError::new(field("template"), Fact::SourceInFolder {}));
        }
        let is_ours = |one: &Template| crate::recovery::names::is_ours(&one.to_string());
        if folder.is_empty() && template.as_ref().is_some_and(is_ours) {
            errors.push(FieldError::new(field("template"), Fact::FolderOfCopies {}));
        }
        bindings.push(Binding {
            destination_id: found.id,
            folder,
            retention: draft.retention.clone(),
            template,
            logs: draft.logs,
        });
    }
    bindings
}

/// A tree and an archive of the same files are not the same artifact.
fn check_trees(
    sources: &[Source],
    bindings: &[Binding],
    known: &[Destination],
    errors: &mut Vec<FieldError>,
) {
    let is_files = |source: &Source| source.word() == <&str>::from(DirectKind::Files);
    let is_tree = |binding: &Binding| {
        let is_it = |one: &&Destination| one.id == binding.destination_id;
        known.iter().find(is_it).is_some_and(|one| one.kind == DestinationKind::Tree)
    };
    if bindings.len() > 1 && bindings.iter().any(is_tree) && sources.iter().any(is_files) {
        errors.push(FieldError::new("destinations", Fact::OnlyTree {}));
    }
}

fn compression(
    draft: &AppDraft,
    current: Option<&App>,
    errors: &mut Vec<FieldError>,
) -> Option<String> {
    match draft.compression.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
        None => current.and_then(|app| app.compression.clone()),
        Some("auto") => None,
        Some(text) => match text.parse::<artifact::Compression>() {
            Ok(compression) => Some(compression.to_string()),
            Err(_) => {
                let text: String = text.chars().take(32).collect();
                let unknown = Fact::NoCompression { text: text.escape_debug().to_string() };
                errors.push(FieldError::new("compression", unknown));
                None
            }
        },
    }
}

fn check_limits(limits: &Limits, errors: &mut Vec<FieldError>) {
    if limits.timeout_secs.is_some_and(|secs| !(10..=MAX_TIMEOUT_SECS).contains(&secs)) {
        errors.push(FieldError::new("limits.timeout_secs", Fact::TenSecondsToWeek {}));
    }
    if limits.max_size_bytes == Some(0) {
        errors.push(FieldError::new("limits.max_size_bytes", Fact::MoreThanNone {}));
    }
    if limits.retries.is_some_and(|retries| retries > 10) {
        errors.push(FieldError::new("limits.retries", Fact::AtMostOf { count: 10 }));
    }
    if limits.objective_secs.is_some_and(|secs| !(60..=366 * 24 * 3600).contains(&secs)) {
        errors.push(FieldError::new("limits.objective_secs", Fact::MinuteToYear {}));
    }
    if limits.restore_objective_secs.is_some_and(|secs| !(1..=366 * 24 * 3600).contains(&secs)) {
        errors.push(FieldError::new("limits.restore_objective_secs", Fact::SecondToYear {}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: Option<&str>) -> (Option<String>, usize) {
        let draft = AppDraft { compression: text.map(str::to_owned), ..AppDraft::default() };
        let mut errors = Vec::new();
        (compression(&draft, None, &mut errors), errors.len())
    }

    #[test]
    fn a_compression_is_kept_in_its_own_words_and_a_wrong_one_is_told() {
        assert_eq!(asked(None), (None, 0));
        assert_eq!(asked(Some(" auto ")), (None, 0));
        assert_eq!(asked(Some("none")), (Some("none".to_owned()), 0));
        assert_eq!(asked(Some("zstd:9")), (Some("zstd:9".to_owned()), 0));
        assert_eq!(asked(Some("zstd:99")), (None, 1));
        assert_eq!(asked(Some("rar")), (None, 1));
    }
}
