//! A destination on a mount whose server does not answer (F29).

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use engine::{AppDraft, BindingDraft, RunRequest};
use model::{FailureCode, RunState};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    daemon::installed,
    world::{TOKEN, World, quick},
};

/// A file system in user space at `at`, whose server stands still. Dropped, it is gone.
struct Hung {
    server: Child,
    at: PathBuf,
}

impl Hung {
    fn mount(rclone: &Path, behind: &Path, at: &Path) -> Self {
        std::fs::create_dir_all(behind).unwrap();
        std::fs::create_dir_all(at).unwrap();
        let mut command = Command::new(rclone);
        command.args(["mount", "--allow-non-empty"]).args([behind, at]).stdin(Stdio::null());
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let hung = Self { server, at: at.to_owned() };
        let begun = Instant::now();
        while !hung.is_mounted() {
            assert!(begun.elapsed() < Duration::from_secs(20), "rclone mounts nothing");
            std::thread::sleep(Duration::from_millis(20));
        }
        kill(hung.id(), Signal::SIGSTOP).unwrap();
        hung
    }

    fn id(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.server.id()).unwrap())
    }

    fn is_mounted(&self) -> bool {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        mounts.lines().any(|line| line.split(' ').nth(1) == self.at.to_str())
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        // Without its server the kernel answers for it, and whoever waits goes on.
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
    }
}

/// Why there can be no such mount; CI allows no reason.
fn what_is_missing() -> Option<&'static str> {
    let why = if !nix::unistd::geteuid().is_root() {
        Some("only root can mount")
    } else if !Path::new("/dev/fuse").exists() {
        Some("there is no /dev/fuse")
    } else if installed("fusermount").is_none() {
        Some("fusermount is not installed")
    } else {
        None
    };
    if let Some(why) = why {
        assert!(std::env::var_os("CI").is_none(), "{why}");
        println!("left out: {why}");
    }
    why
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_mount_ends_in_time_and_holds_up_nobody_else() {
    let Some(rclone) = installed("rclone") else { return };
    if what_is_missing().is_some() {
        return;
    }
    let mut config = quick("one");
    // The source waits for the destination that hangs.
    config.source_timeout = Duration::from_secs(30);
    let world = World::with(&["disk", "near"], config).await;
    let neighbour = AppDraft {
        name: "neighbour".to_owned(),
        url: world.server.url(),
        token: Some(TOKEN.into()),
        destinations: vec![BindingDraft {
            destination: "near".to_owned(),
            folder: "apps/neighbour".to_owned(),
            template: Some("{app}_{YYYYMMDD_HHMMSS}_{run}".to_owned()),
            ..BindingDraft::default()
        }],
        ..AppDraft::default()
    };
    let neighbour = world.engine.register_app(neighbour).await.unwrap();
    let (behind, at) = (world.folder.path().join("behind"), world.folder.path().join("disk"));
    // First one that hangs before it was ever used, then one that worked before.
    for round in ["unknown", "known"] {
        let hung = Hung::mount(&rclone, &behind, &at);
        let begun = Instant::now();
        let run = world.engine.run_now(&world.app, &RunRequest::default()).await.unwrap();
        let other = world.engine.run_now(&neighbour, &RunRequest::default()).await.unwrap();
        let other = world.ended(&other).await;
        assert_eq!(other.state, RunState::Succeeded, "{round}: {:?}", other.failure);
        let waited = begun.elapsed();
        assert!(waited < Duration::from_secs(5), "{round}: the neighbour waited {waited:?}");
        let ended = world.ended(&run).await;
        assert_eq!(ended.state, RunState::PartiallyFailed, "{round}: {:?}", ended.failure);
        let failure = ended.failure.unwrap();
        assert_eq!(failure.code, FailureCode::DestinationUnavailable, "{round}: {failure:?}");
        for word in ["disk: ", "did not answer in time"] {
            assert!(failure.message.contains(word), "{round}: {failure:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "{round}: {:?}", begun.elapsed());
        drop(hung);
        // The copy that is to heal this waits for a minute; the next run does not wait for it.
        let after = world.back_up().await;
        assert_eq!(after.state, RunState::Succeeded, "{round}: {:?}", after.failure);
    }
}
