//! What needs a Docker engine: the one that answers, or one of our own that leaves nothing behind.
//!
//! `cargo test -p engine --test docker`; a run of the whole workspace leaves it to `cargo xtask
//! docker`, which has an engine up.

#[path = "../it/app_server.rs"]
#[allow(dead_code, reason = "shared with the tests that need no Docker")]
mod app_server;
mod dockerd;
mod host;
mod images;
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
        vec![self.trial("harness::the_engine_answers_and_has_an_image", async |host| {
            host.the_engine_answers_and_has_an_image().await;
        })]
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
    if arguments.list {
        let suite = Suite { runtime, host: None };
        return libtest_mimic::run(&arguments, suite.all()).exit_code();
    }
    if let Some(why) = dockerd::what_is_missing() {
        // Under CI a missing engine is a failure.
        assert!(std::env::var_os("CI").is_none(), "the Docker tests cannot run: {why}");
        println!("left out: {why}");
        return ExitCode::SUCCESS;
    }
    let found = dockerd::find_or_start();
    let host = Arc::new(Host::new(found.url()));
    let suite = Suite { runtime, host: Some(host) };
    let told = libtest_mimic::run(&arguments, suite.all());
    drop(suite);
    drop(found);
    told.exit_code()
}
