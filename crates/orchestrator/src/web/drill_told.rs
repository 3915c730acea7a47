//! What the form of a drill plan says, for a comparison with what somebody else saved.

use engine::ScheduleDraft;
use model::{DrillPlan, Name};

use super::{app_told, conflict::Told, lang::Lang};

pub(super) fn told(plan: &DrillPlan, lang: Lang) -> Told {
    let mut told = Told::default();
    let schedule = plan.schedule.as_ref().map(|schedule| ScheduleDraft {
        spec: schedule.spec.to_string(),
        time_zone: schedule.time_zone.to_string(),
        jitter_secs: schedule.jitter_secs,
        catch_up: schedule.catch_up,
    });
    app_told::of_schedule(schedule.as_ref(), &mut told, lang);
    for (at, one) in (1..).zip(&plan.questions) {
        let label = |key: &str| format!("{} {at}: {}", lang.t("drill-name-question"), lang.t(key));
        told.say(label("artifact"), &one.artifact);
        told.say(label("drill-sql"), &one.sql);
        told.maybe(label("drill-expect"), one.expect.as_ref());
    }
    for (at, one) in (1..).zip(&plan.commands) {
        let label = |key: &str| format!("{} {at}: {}", lang.t("drill-name-command"), lang.t(key));
        told.say(label("artifact"), &one.artifact);
        told.say(label("drill-command"), one.argv.join(" "));
    }
    if let Some(boot) = &plan.boot {
        told.say(lang.t("drill-boot-container"), &boot.container);
        told.maybe(lang.t("drill-boot-path"), boot.path.as_ref());
        told.maybe(lang.t("drill-boot-port"), boot.port);
        told.maybe(lang.t("drill-boot-status"), boot.status);
        told.maybe(lang.t("drill-boot-timeout"), boot.timeout_secs);
        told.maybe(lang.t("drill-boot-user"), boot.user.as_ref());
        let needs: Vec<_> = boot.needs.iter().map(Name::as_str).collect();
        told.say(lang.t("drill-boot-needs"), needs.join(", "));
    }
    told
}
