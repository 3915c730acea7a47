//! Labels on containers: what each asks for, out of a short list of what may be asked for.
//!
//! Who may label a container need not be who owns the machine: labels choose among the volumes
//! that their own container has, a schedule, a known destination, how long to keep and when to
//! drill; and, where the server's settings allow it, commands to be run in that container. Commands
//! of drills run on the orchestrator's own machine: no label asks for them. Any other `backup.…`
//! label refuses the container as a whole.

use std::collections::{BTreeMap, BTreeSet};

use model::{DrillPlan, retention::RetentionPolicy};

use crate::{AppDraft, BindingDraft, ScheduleDraft, SourceDraft};

const PREFIX: &str = "backup.";
const EXEC_PRE: &str = "exec-pre";
const EXEC_POST: &str = "exec-post";

/// Commands that a container wants to be run in it: program and arguments; empty is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Commands {
    /// Before its volumes are read.
    pub(crate) pre: Vec<String>,
    /// After that, however it went.
    pub(crate) post: Vec<String>,
}

/// Why commands are not run.
pub(crate) const NO_EXEC: &str = "`backup.exec-pre` and `backup.exec-post` are allowed only where \
                                  the orchestrator is started with BACKUP_DOCKER_LABEL_EXEC=1";

impl Commands {
    pub(crate) fn is_empty(&self) -> bool {
        self.pre.is_empty() && self.post.is_empty()
    }
}

/// A container as far as labels are about it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Labelled {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// The named volumes that it mounts.
    pub(crate) volumes: BTreeSet<String>,
}

impl Labelled {
    /// Whether it asks for anything.
    pub(crate) fn is_enabled(&self) -> bool {
        self.labels.get("backup.enable").is_some_and(|value| value.trim() == "true")
    }

    /// The commands it asks for, as words: no shell reads them.
    pub(crate) fn commands(&self) -> Result<Commands, String> {
        let words = |word: &str| {
            let key = format!("{PREFIX}{word}");
            let Some(text) = self.labels.get(&key) else { return Ok(Vec::new()) };
            let split = shlex::split(text).unwrap_or_default();
            if split.first().is_none_or(String::is_empty) || text.contains('\0') {
                return Err(format!("`{key}`: a program and its arguments, quotes in pairs"));
            }
            Ok(split)
        };
        Ok(Commands { pre: words(EXEC_PRE)?, post: words(EXEC_POST)? })
    }

    /// The app it asks for; `destinations` are those that there are, and commands are asked for
    /// in vain where `may_exec` is not.
    pub(crate) fn draft(
        &self,
        destinations: &[String],
        may_exec: bool,
    ) -> Result<AppDraft, String> {
        if !self.commands()?.is_empty() && !may_exec {
            return Err(NO_EXEC.to_owned());
        }
        let mut asked = Asked::default();
        for (key, value) in &self.labels {
            if let Some(word) = key.strip_prefix(PREFIX) {
                asked.take(word, value.trim()).map_err(|why| format!("`{key}`: {why}"))?;
            }
        }
        let drill = asked.drill_plan()?;
        let destination = match (asked.destination, destinations) {
            (Some(named), _) => named,
            (None, [only]) => only.clone(),
            (None, _) => {
                return Err("`backup.destination` is needed where there is not one only".into());
            }
        };
        let volumes = asked.volumes.unwrap_or_else(|| self.volumes.iter().cloned().collect());
        if volumes.is_empty() {
            return Err("it mounts no named volume".to_owned());
        }
        if let Some(foreign) = volumes.iter().find(|volume| !self.volumes.contains(*volume)) {
            return Err(format!("`backup.volumes`: `{foreign}` is no named volume of its own"));
        }
        Ok(AppDraft {
            name: self.name.clone(),
            sources: volumes.iter().map(|volume| source(volume, asked.containers)).collect(),
            destinations: vec![BindingDraft {
                destination,
                folder: self.name.clone(),
                ..BindingDraft::default()
            }],
            schedule: (!asked.schedule.spec.is_empty()).then_some(asked.schedule),
            retention: asked.retention,
            drill,
            ..AppDraft::default()
        })
    }
}

fn source(volume: &str, containers: &str) -> SourceDraft {
    SourceDraft {
        name: volume.to_owned(),
        kind: "volume".to_owned(),
        settings: [("volume", volume), ("containers", containers)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        ..SourceDraft::default()
    }
}

struct Asked {
    schedule: ScheduleDraft,
    drill: Option<String>,
    drill_zone: Option<String>,
    volumes: Option<Vec<String>>,
    containers: &'static str,
    destination: Option<String>,
    retention: RetentionPolicy,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            schedule: ScheduleDraft::default(),
            drill: None,
            drill_zone: None,
            volumes: None,
            containers: "none",
            destination: None,
            retention: RetentionPolicy::default(),
        }
    }
}

impl Asked {
    /// When its drills are; by the clock of its other schedule where they have none of their own.
    fn drill_plan(&self) -> Result<Option<DrillPlan>, String> {
        let Some(spec) = self.drill.clone() else {
            return match &self.drill_zone {
                Some(_) => Err("`backup.drill-time-zone` goes with `backup.drill-schedule`".into()),
                None => Ok(None),
            };
        };
        let time_zone = self.drill_zone.as_ref().unwrap_or(&self.schedule.time_zone).clone();
        let schedule = ScheduleDraft { spec, time_zone, ..ScheduleDraft::default() }.parse();
        let schedule = schedule.map_err(|wrong| {
            format!("`backup.drill-{}`: {}", label(&wrong.field), wrong.message())
        })?;
        Ok(Some(DrillPlan { schedule: Some(schedule), ..DrillPlan::default() }))
    }

    fn take(&mut self, word: &str, value: &str) -> Result<(), String> {
        let count = || value.parse::<u32>().map_err(|_| format!("`{value}` is not a number"));
        match word {
            "enable" | EXEC_PRE | EXEC_POST => {}
            "schedule" => value.clone_into(&mut self.schedule.spec),
            "time-zone" => value.clone_into(&mut self.schedule.time_zone),
            "drill-schedule" => self.drill = Some(value.to_owned()),
            "drill-time-zone" => self.drill_zone = Some(value.to_owned()),
            "destination" => self.destination = Some(value.to_owned()),
            "volumes" => {
                let volumes = value.split(',').map(str::trim).filter(|volume| !volume.is_empty());
                self.volumes = Some(volumes.map(str::to_owned).collect());
            }
            "stop" => {
                self.containers = match value {
                    "true" => "stop",
                    "pause" => "pause",
                    "false" => "none",
                    _ => return Err("`true`, `pause` or `false`".to_owned()),
                }
            }
            "keep-last" => self.retention.keep_last = Some(count()?),
            "keep-hourly" => self.retention.keep_hourly = Some(count()?),
            "keep-daily" => self.retention.keep_daily = Some(count()?),
            "keep-weekly" => self.retention.keep_weekly = Some(count()?),
            "keep-monthly" => self.retention.keep_monthly = Some(count()?),
            "keep-yearly" => self.retention.keep_yearly = Some(count()?),
            "keep-pre-deploy" => self.retention.keep_pre_deploy = Some(count()?),
            _ => return Err("labels cannot ask for that".to_owned()),
        }
        Ok(())
    }
}

/// `schedule.time_zone` as a label says it.
fn label(field: &str) -> &'static str {
    if field.ends_with("time_zone") { "time-zone" } else { "schedule" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(labels: &[(&str, &str)]) -> Labelled {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Labelled {
            name: "shop-db-1".to_owned(),
            labels: labels.iter().map(own).collect(),
            volumes: ["shop_data", "shop_files"].map(str::to_owned).into(),
        }
    }

    fn draft(labels: &[(&str, &str)]) -> Result<AppDraft, String> {
        container(labels).draft(&["disk".to_owned()], false)
    }

    #[test]
    fn a_container_asks_for_its_volumes() {
        let asked = draft(&[
            ("backup.enable", "true"),
            ("backup.schedule", "0 3 * * *"),
            ("backup.stop", "pause"),
            ("backup.keep-daily", "7"),
            ("com.docker.compose.project", "shop"),
        ])
        .unwrap();
        assert_eq!(asked.name, "shop-db-1");
        assert_eq!(asked.sources.len(), 2);
        assert_eq!(asked.sources[0].settings["volume"], "shop_data");
        assert_eq!(asked.sources[0].settings["containers"], "pause");
        assert_eq!(asked.destinations[0].destination, "disk");
        assert_eq!(asked.schedule.unwrap().spec, "0 3 * * *");
        assert_eq!(asked.retention.keep_daily, Some(7));
        let asked = draft(&[("backup.volumes", "shop_files")]).unwrap();
        assert_eq!(asked.sources.len(), 1);
        assert!(asked.schedule.is_none());
    }

    #[test]
    fn it_may_say_when_it_is_drilled() {
        let drills = |labels: &[(&str, &str)]| draft(labels).map(|asked| asked.drill);
        let zone = ("backup.time-zone", "Europe/Madrid");
        let plan = drills(&[("backup.drill-schedule", "weekly"), zone]).unwrap().unwrap();
        assert!(plan.questions.is_empty() && plan.commands.is_empty());
        assert_eq!(plan.schedule.unwrap().time_zone.as_str(), "Europe/Madrid");
        let own = ("backup.drill-time-zone", "America/Bogota");
        let plan = drills(&[("backup.drill-schedule", "0 4 * * 0"), zone, own]).unwrap().unwrap();
        assert_eq!(plan.schedule.unwrap().time_zone.as_str(), "America/Bogota");
        assert!(drills(&[zone]).unwrap().is_none());
        for (wrong, told) in [
            (("backup.drill-schedule", "now and then"), "backup.drill-schedule"),
            (own, "goes with"),
            (("backup.drill-command", "files:id"), "cannot ask"),
        ] {
            let refused = drills(&[wrong]).unwrap_err();
            assert!(refused.contains(told), "{refused}");
        }
        let zone = ("backup.drill-time-zone", "Nowhere/Here");
        let refused = drills(&[("backup.drill-schedule", "weekly"), zone]).unwrap_err();
        assert!(refused.contains("`backup.drill-time-zone`"), "{refused}");
    }

    #[test]
    fn anything_else_is_refused() {
        for (key, value) in [
            ("backup.mount", "/:/host"),
            ("backup.privileged", "true"),
            ("backup.image", "evil"),
            ("backup.path", "/etc"),
            ("backup.exec-pre", "sh -c id"),
            ("backup.volumes", "shop_data,somebody_elses"),
            ("backup.volumes", "/etc"),
            ("backup.volumes", ""),
            ("backup.stop", "kill"),
            ("backup.keep-daily", "-1"),
            ("backup.Enable", "true"),
        ] {
            let told = draft(&[("backup.enable", "true"), (key, value)]);
            assert!(told.is_err(), "{key}={value}: {told:?}");
        }
        // Which of several is not guessed.
        assert!(container(&[]).draft(&["a".to_owned(), "b".to_owned()], true).is_err());
    }

    #[test]
    fn commands_are_words_and_need_the_servers_consent() {
        let asking = |text: &str| container(&[("backup.exec-pre", text)]);
        let asked = asking(r#"psql -c "SELECT 'a  b'; $(id)" --file=/x"#);
        assert!(asked.draft(&["disk".to_owned()], false).unwrap_err().contains("LABEL_EXEC=1"));
        assert!(asked.draft(&["disk".to_owned()], true).is_ok());
        let commands = asked.commands().unwrap();
        assert_eq!(commands.pre, ["psql", "-c", "SELECT 'a  b'; $(id)", "--file=/x"]);
        assert_eq!(commands.post, [""; 0]);
        for wrong in ["", " ", "'' x", "a 'b", "a\0b"] {
            assert!(asking(wrong).commands().is_err(), "{wrong:?}");
        }
        // Nothing else comes along with it.
        let mount = container(&[("backup.exec-pre", "true"), ("backup.mount", "/:/host")]);
        assert!(mount.draft(&["disk".to_owned()], true).is_err());
    }

    #[test]
    fn it_is_opt_in() {
        assert!(container(&[("backup.enable", "true")]).is_enabled());
        assert!(!container(&[("backup.enable", "false")]).is_enabled());
        assert!(!container(&[("backup.schedule", "daily")]).is_enabled());
    }
}
