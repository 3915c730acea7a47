//! `drill`: what an app's drills are to do.

use model::{DrillBoot, DrillCommand, DrillPlan, DrillQuestion, Name, schedule::Schedule};

use super::{
    keys::{DrillBootEntry, DrillCommandEntry, DrillEntry, DrillQuestionEntry, ScheduleEntry},
    reader::{OwnTime, Reader},
    values::ShortOr,
};

impl Reader<'_> {
    /// The plan of the app at `base`; a check without an artifact is for the one called `name`.
    pub(super) fn drill(
        &mut self,
        base: &str,
        name: &str,
        entry: Option<&DrillEntry>,
    ) -> Option<DrillPlan> {
        let (entry, base) = (entry?, format!("{base}.drill"));
        let schedule = entry.schedule.as_ref().and_then(|own| self.drill_schedule(&base, own));
        let questions = entry.questions.iter().flatten().enumerate();
        let questions = questions
            .filter_map(|(at, one)| self.question(&format!("{base}.questions[{at}]"), name, one))
            .collect();
        let commands = entry.commands.iter().flatten().enumerate();
        let commands = commands
            .filter_map(|(at, one)| self.command(&format!("{base}.commands[{at}]"), name, one))
            .collect();
        let boot = entry.boot.as_ref().map(|one| self.boot(&format!("{base}.boot"), one));
        Some(DrillPlan { schedule, questions, commands, boot })
    }

    fn boot(&mut self, base: &str, entry: &DrillBootEntry) -> DrillBoot {
        let at = |key: &str| format!("{base}.{key}");
        let container = self.text(&at("container"), &entry.container);
        let needs = entry.needs.iter().flatten().enumerate();
        let needs = needs
            .filter_map(|(n, raw)| {
                let at = format!("{base}.needs[{n}]");
                let text = self.text(&at, raw);
                text.trim().parse().map_err(|error| self.wrong(&at, error)).ok()
            })
            .collect();
        DrillBoot {
            container,
            needs,
            path: entry.path.as_ref().map(|raw| self.text(&at("path"), raw)),
            port: self.number(&at("port"), entry.port.as_ref()),
            status: self.number(&at("status"), entry.status.as_ref()),
            timeout_secs: self.number(&at("timeout_secs"), entry.timeout_secs.as_ref()),
            user: entry.user.as_ref().map(|raw| self.text(&at("user"), raw)),
        }
    }

    fn drill_schedule(&mut self, base: &str, own: &ShortOr<ScheduleEntry>) -> Option<Schedule> {
        let time = OwnTime { schedule: Some(own), time_zone: None };
        // What is wrong with it was told.
        self.schedule(base, &time, false)?.parse().ok()
    }

    fn question(
        &mut self,
        base: &str,
        name: &str,
        entry: &DrillQuestionEntry,
    ) -> Option<DrillQuestion> {
        let sql = self.text(&format!("{base}.sql"), &entry.sql);
        let expect = entry.expect.as_ref();
        let expect = expect.map(|expect| self.text(&format!("{base}.expect"), &expect.0));
        Some(DrillQuestion {
            artifact: self.tried(base, name, entry.artifact.as_deref())?,
            sql,
            expect,
        })
    }

    fn command(
        &mut self,
        base: &str,
        name: &str,
        entry: &DrillCommandEntry,
    ) -> Option<DrillCommand> {
        let argv = entry.argv.iter().enumerate();
        let argv = argv.map(|(at, raw)| self.text(&format!("{base}.argv[{at}]"), raw)).collect();
        Some(DrillCommand { artifact: self.tried(base, name, entry.artifact.as_deref())?, argv })
    }

    fn tried(&mut self, base: &str, name: &str, artifact: Option<&str>) -> Option<Name> {
        let at = format!("{base}.artifact");
        let text = artifact.map_or_else(|| name.to_owned(), |raw| self.text(&at, raw));
        text.trim().parse().map_err(|error| self.wrong(&at, error)).ok()
    }
}
