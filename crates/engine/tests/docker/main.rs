//! What needs a Docker engine: that of `DOCKER_HOST`.
//!
//! `cargo xtask docker --engine` has one up for it; a run of the whole workspace leaves it to that.

#[path = "../it/app_server.rs"]
#[allow(dead_code, reason = "shared with the tests that need no Docker")]
mod app_server;
#[path = "../it/beats.rs"]
mod beats;
mod boot;
mod commands;
mod coverage;
mod disaster;
mod drills;
#[path = "../it/git.rs"]
mod git;
mod host;
mod images;
mod killed;
mod labels;
mod moments;
mod moments_killed;
mod mysql;
mod place;
mod postgres;
#[path = "../../../orchestrator/tests/it/program.rs"]
mod program;
mod repository_volume;
#[path = "../../../repository/tests/it/restics.rs"]
mod restics;
mod restore_volume;
mod volume;
mod whole;
#[path = "../it/world.rs"]
#[allow(dead_code, reason = "shared with the tests that need no Docker")]
mod world;

use std::{future::Future, process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use host::Host;

/// The tests: each is told the host it runs on.
#[derive(Clone)]
struct Suite {
    runtime: Arc<Runtime>,
    host: Option<Arc<Host>>,
}

impl Suite {
    fn all(&self) -> Vec<Trial> {
        macro_rules! trials {
            ($($module:ident::$test:ident),+ $(,)?) => {
                vec![$(self.trial(
                    concat!(stringify!($module), "::", stringify!($test)),
                    $module::$test,
                )),+]
            };
        }
        trials![
            commands::before_and_after_without_a_shell,
            commands::labels_ask_in_vain_without_the_servers_consent,
            commands::the_end_comes_also_after_a_kill,
            commands::what_fails_is_told_and_the_end_comes_always,
            host::the_engine_answers_and_has_an_image,
            killed::a_command_in_a_container_is_ended,
            killed::a_container_that_was_stopped_is_started_again,
            killed::what_came_too_late_is_removed_and_nothing_else,
            moments::any_moment_of_postgres_15,
            moments::any_moment_of_postgres_17,
            moments_killed::a_replay_that_was_killed_leaves_nothing_and_is_done_again,
            mysql::a_database_comes_back_inside_its_container,
            postgres::a_dump_is_ended_after_a_kill,
            postgres::a_password_goes_in_unseen_and_what_stops_is_ended,
            postgres::each_version_is_dumped_by_its_own_tools,
            postgres::tools_older_than_the_server_say_what_to_install,
            postgres::what_cannot_be_run_is_told,
            coverage::what_is_found_is_protected,
            coverage::what_is_in_no_app_is_told,
            labels::apps_come_and_go_with_their_containers,
            volume::comes_back_with_owners_modes_links_and_capabilities,
            volume::is_read_directly_from_within_a_container,
            volume::leaves_out_what_is_excluded,
            volume::read_directly_it_keeps_what_docker_leaves_out,
            volume::what_is_not_surely_dockers_is_read_by_docker,
            boot::an_app_answers_on_what_came_back,
            boot::an_app_that_does_not_answer_is_no_proof,
            boot::what_a_killed_boot_began_is_removed,
            drills::mariadb_is_tried_in_its_own_image,
            drills::postgres_is_tried_in_its_own_image,
            drills::redis_is_tried_and_restored_by_its_own_image,
            drills::what_a_killed_drill_began_is_removed,
            disaster::an_app_comes_back_with_its_orchestrator,
            repository_volume::a_volume_is_a_tree_for_restic_and_comes_back,
            restore_volume::a_servers_data_are_exchanged_while_it_waits,
            restore_volume::a_volume_comes_back_beside_and_where_it_is_gone,
            restore_volume::nothing_is_exchanged_under_a_paused_container,
            restore_volume::what_did_not_come_back_is_removed,
            restore_volume::what_ends_too_early_leaves_what_was_there,
            whole::a_bad_deployment_is_undone_by_one_command,
            whole::a_killed_restore_goes_on_and_the_app_with_it,
            whole::what_was_paused_goes_on_after_a_kill,
            whole::who_serves_the_database_is_never_held,
            volume::postgres_starts_on_a_restored_volume,
            volume::what_is_no_volume_is_refused_and_not_made,
            volume::what_runs_is_paused_or_stopped_and_goes_on,
            volume::what_was_stopped_goes_on_after_a_kill,
            volume::what_cannot_be_started_again_is_told_once,
            volume::what_was_stopped_goes_on_although_the_run_fails,
        ]
    }

    /// A test by its name; they run side by side, each on names of its own.
    fn trial<T, F>(&self, name: &str, test: T) -> Trial
    where
        T: FnOnce(Arc<Host>) -> F + Send + 'static,
        F: Future<Output = ()>,
    {
        let suite = self.clone();
        Trial::test(name, move || {
            let host = suite.host.ok_or_else(|| Failed::from("no Docker engine"))?;
            suite.runtime.block_on(test(host));
            Ok(())
        })
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = Arc::new(Runtime::new().expect("a runtime"));
    if let [Ok(volume), Ok(docker)] = volume::WITHIN.map(std::env::var) {
        runtime.block_on(volume::read_within(&volume, &docker));
        return ExitCode::SUCCESS;
    }
    if arguments.list {
        let suite = Suite { runtime, host: None };
        return libtest_mimic::run(&arguments, suite.all()).exit_code();
    }
    let Some(url) = std::env::var("DOCKER_HOST").ok().filter(|url| !url.is_empty()) else {
        eprintln!(
            "DOCKER_HOST names no engine to test on: `cargo xtask docker --engine` starts one"
        );
        return ExitCode::FAILURE;
    };
    let host = Arc::new(Host::new(&url));
    let suite = Suite { runtime, host: Some(host) };
    libtest_mimic::run(&arguments, suite.all()).exit_code()
}
