//! Whole apps: what is asked for in their plans.

use model::{CodePlan, DirectKind, Fact, Hook, QuiescePlan, Source};

use crate::FieldError;

/// Most commands before, and after.
const MAX_HOOKS: usize = 20;
/// Most containers that a plan names.
const MAX_CONTAINERS: usize = 50;
/// Longest times, in seconds.
const MAX_QUIESCE_SECS: u64 = 24 * 3600;
const MAX_HOOK_SECS: u64 = 3600;

/// What is wrong with a plan.
pub(super) fn check_quiesce(plan: &QuiescePlan, sources: &[Source]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut wrong = |is_wrong: bool, field: String, what: Fact| {
        if is_wrong {
            errors.push(FieldError::new(format!("quiesce.{field}"), what));
        }
    };
    let has_volume = sources.iter().any(|one| one.word() == <&str>::from(DirectKind::Volume));
    let names_nobody = plan.containers.is_empty() && !has_volume;
    wrong(
        plan.holds() && plan.mode != model::QuiesceMode::Filesystem && names_nobody,
        "containers".to_owned(),
        Fact::NameContainers {},
    );
    let is_many = plan.containers.len() > MAX_CONTAINERS;
    wrong(
        is_many,
        "containers".to_owned(),
        Fact::AtMostContainers { count: MAX_CONTAINERS as u64 },
    );
    for (at, container) in plan.containers.iter().enumerate() {
        wrong(!is_container(container), format!("containers[{at}]"), Fact::ContainerName {});
    }
    let secs = 1..=MAX_QUIESCE_SECS;
    let is_time = plan.max_secs.is_none_or(|given| secs.contains(&given));
    wrong(!is_time, "max_secs".to_owned(), Fact::SecondsToDay {});
    let has_hooks = plan.hooks().next().is_some();
    let no_mode = plan.mode == model::QuiesceMode::None && has_hooks;
    wrong(no_mode, "mode".to_owned(), Fact::HooksOrOther {});
    let no_hooks = plan.mode == model::QuiesceMode::Hooks && plan.pre.is_empty();
    wrong(no_hooks, "pre".to_owned(), Fact::HookBefore {});
    for (word, hooks) in [("pre", &plan.pre), ("post", &plan.post)] {
        let most = Fact::AtMostCommands { count: MAX_HOOKS as u64 };
        wrong(hooks.len() > MAX_HOOKS, word.to_owned(), most);
        for (at, hook) in hooks.iter().enumerate() {
            if let Some((field, what)) = problem(hook) {
                wrong(true, format!("{word}[{at}].{field}"), what);
            }
        }
    }
    errors
}

fn problem(hook: &Hook) -> Option<(&'static str, Fact)> {
    let is_program = hook.argv.first().is_some_and(|program| !program.trim().is_empty());
    if !is_program || hook.argv.iter().any(|word| word.contains('\0')) {
        return Some(("argv", Fact::ProgramAndArguments {}));
    }
    if hook.container.as_deref().is_some_and(|name| !is_container(name)) {
        return Some(("container", Fact::ContainerName {}));
    }
    let fits = hook.timeout_secs.is_none_or(|secs| (1..=MAX_HOOK_SECS).contains(&secs));
    (!fits).then_some(("timeout_secs", Fact::SecondsToHour {}))
}

/// What Docker takes as a container's name.
fn is_container(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.len() <= 255
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// What is wrong with where the code is.
pub(super) fn check_code(plan: &CodePlan) -> Option<FieldError> {
    let path = &plan.path;
    let is_plain = path.is_absolute() && path.components().all(|one| one.as_os_str() != "..");
    let is_wrong = !path.as_os_str().is_empty() && !is_plain;
    is_wrong.then(|| FieldError::new("code.path", Fact::AbsolutePathPlain {}))
}
