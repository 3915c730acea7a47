//! What happens while nobody looks, and what Docker and programs answer: more of the sentences.

/// Gives the sentences of [`super::list`], and these after them, to what adds the last ones.
macro_rules! with_happenings {
    ($($sentences:tt)*) => {
        with_moments! {
            $($sentences)*

            // What happens.
            WorkerGone {} =
                "the worker of this run went away (the orchestrator was stopped or killed, or the \
                 machine was)";
            RunDone {} = "the run succeeded";
            CancelledBefore {} = "cancelled before it began";
            At { place: String, why: Told } = "{place}: {why}";
            WholeBut { why: Told } = "the snapshot is whole, but {why}";
            UnlikeBefore { app: String, size: Size } =
                "the snapshot of `{app}` is of {size}, far from what the ones before it had; \
                 nothing is expired for this app until a normal one follows or somebody accepts it";
            ExpiredAt { count: u64, app: String, destination: String } =
                "{count} snapshots of `{app}` expired at `{destination}`";
            UploadsSwept { count: u64, destination: String } =
                "{count} unfinished uploads were removed from `{destination}`";
            CameIntoApp { app: String, at: Timestamp } =
                "`{app}` of {at:.0} was restored into the app";
            CameBeside { app: String, at: Timestamp, name: String } =
                "`{app}` of {at:.0} was restored beside it, as `{name}`";
            CameIntoFolder { app: String, at: Timestamp, path: String } =
                "`{app}` of {at:.0} was restored into {path}";
            FiresMissed { count: u64, app: String } =
                "{count} of the times at which `{app}` should have run passed while nothing ran";
            ServedInFuture {} = "a schedule was served in the future";
            ClockBack { minutes: u64 } = "the clock went back by {minutes} minutes";
            ClockForward { minutes: u64 } = "the clock went forward by {minutes} minutes";
            ClockBackSince { minutes: u64 } =
                "the clock went back by {minutes} minutes since an orchestrator last ran: it was \
                 changed, or nothing ran";
            ClockForwardSince { minutes: u64 } =
                "the clock went forward by {minutes} minutes since an orchestrator last ran: it \
                 was changed, or nothing ran";
            LabelsNotFollowed { container: String, why: String } =
                "labels of container `{container}` are not followed: {why}";
            LabelsWrong { container: String, why: String } =
                "labels of container `{container}`: {why}";
            Uncovered { what: String } = "not in any app: {what}";
            UncoveredMore { what: String, more: u64 } = "not in any app: {what} and {more} more";
            NoCopiesAt { failed: u64, places: u64, why: Told } =
                "{failed} of {places} destinations have no copy: {why}";

            // Alerts.
            RunEndedBadly {} = "the run did not end well";
            OverdueSince { app: String, at: Timestamp, objective: String } =
                "the newest good snapshot of `{app}` is of {at:.0}; there should be one every \
                 {objective}";
            OverdueNever { app: String, at: Timestamp, objective: String } =
                "`{app}` has no good snapshot since it was added at {at:.0}; there should be one \
                 every {objective}";
            CopiesDamaged { count: u64, app: String, destination: String } =
                "{count} copies of `{app}` at `{destination}` are damaged or missing: copy them \
                 there again from another destination, or back the app up anew";
            RepositoryNotWhole { destination: String, count: u64 } =
                "the repository at `{destination}` is not whole ({count} problems): verify its \
                 snapshots to learn which of them are hurt";
            SlowerThanUsual { app: String, took: String, usual: String } =
                "the last backup of `{app}` took {took}, where {usual} is usual";
            FilesUnusual { app: String, files: u64, usual: u64 } =
                "the newest snapshot of `{app}` has {files} files, where {usual} are usual";
            AlertUndelivered { channel: String, at: Timestamp, why: Told } =
                "a message of {at:.0} to the channel `{channel}` was given up: {why}";

            // Retention.
            KeptAppendOnly {} =
                "the destination is append-only: nothing expires there; clear it by a rule of the \
                 storage";
            KeptLastFailed {} = "the last run failed: nothing expires until one succeeds";
            KeptAnomalous {} =
                "the newest snapshot looks unlike the ones before it: nothing expires until a \
                 normal one follows or somebody accepts it";
            KeptLast {} = "the plan would leave no snapshot at all";
            KeptClock {} =
                "the clock jumped by more than a day (or this machine was off): nothing expires \
                 for a day; check the machine's time";
            KeptRecovered {} =
                "the catalog was rebuilt from a copy or from manifests: nothing expires until \
                 somebody confirms that it is as it should be (`recovery confirm`)";

            // The catalog, and the way back to it.
            CatalogRebuilt { from: Told } =
                "the catalog was rebuilt from {from}; schedules and retention wait until somebody \
                 confirms it (`recovery confirm`)";
            CatalogRebuiltHere { from: Told } =
                "the catalog was rebuilt from {from}; retention waits until somebody confirms it \
                 (`recovery confirm`)";
            ManifestsAlone {} = "manifests alone";
            CopyAndManifests { at: Timestamp } =
                "the copy of {at} and the manifests at its destination";
            KitDue {} =
                "nobody has stored the recovery kit as it is now: print it (`recovery-kit`) and \
                 keep it away from this machine; without it the copies of the catalog cannot be \
                 opened";
            CatalogNotCopied { why: String } = "the catalog could not be copied: {why}";
            CatalogCopyGone { why: String } = "the copy of the catalog is not there: {why}";
            ManifestsRead {
                manifests: u64, destination: String, snapshots: u64, copies: u64, missing: u64,
                damaged: u64, problems: u64
            } =
                "{manifests} manifests of `{destination}` were read: {snapshots} new snapshots, \
                 {copies} new copies, {missing} missing, {damaged} damaged, {problems} problems";
            CopyAlone { at: Timestamp } = "the copy of {at}";

            // Passwords of repositories.
            RotationOld { destination: String } =
                "the change of the password of `{destination}` was cut off before it was in \
                 force: the password of before is the one in use, and the new one opens nothing; \
                 change it again";
            RotationNew { destination: String } =
                "the change of the password of `{destination}` was cut off after it was in force: \
                 the new password is the one in use, and the one of before opens nothing any more; \
                 whoever did not see the new one changes it again";
            RotationNeither { destination: String } =
                "the change of the password of `{destination}` was cut off, and another password \
                 was entered since: look at the repository's keys, and remove those that nobody \
                 needs";

            // What is declared in `backups.yml`.
            Declared { file: String, what: Told } = "{file}: {what}";
            DeclaredAdded { names: String } = "added: {names}";
            DeclaredChanged { names: String } = "changed: {names}";
            DeclaredNoMore { names: String } =
                "no longer declared (apps are disabled, their snapshots stay): {names}";
            DeclaredStays { why: String } = "what was declared before stays in force. {why}";
            DeclaredWaits { file: String, why: String } = "{file} waits: {why}";

            // What a run owes.
            AfterRun { why: Told } = "after a run: {why}";
            RestoreLeft { what: String } =
                "a restore was cut off again and again and has left {what}: look at it, and \
                 remove or start it";
            StaysOwed { what: Told, why: String, remedy: Told, minutes: u64 } =
                "{what}: {why}. {remedy}; it is tried again, at the latest every {minutes} \
                 minutes";
            StoppedStays { container: String } =
                "container {container} was stopped for a run and cannot be started";
            PausedStays { container: String } =
                "container {container} was paused for a run and cannot go on";
            HelperStays { container: String } =
                "container {container}, made to read a volume, cannot be removed";
            ScratchStays { container: String } =
                "container {container}, made for a drill, cannot be removed";
            NetworkStays { network: String } =
                "the network {network}, made for a drill, cannot be removed";
            VolumeStays { volume: String } =
                "the volume {volume}, made for a drill, cannot be removed";
            ExecStays { container: String, marker: String } =
                "a command of ours in container {container} cannot be ended ({marker})";
            PostNotRun { command: String, container: String } =
                "`{command}`, asked for by `backup.exec-post`, cannot be run in container \
                 {container}";
            HookNotRun { command: String } =
                "`{command}`, asked for by `quiesce.post`, cannot be run";
            HookNotRunIn { command: String, container: String } =
                "`{command}`, asked for by `quiesce.post`, cannot be run in container {container}";
            SnapshotStays { name: String } = "the snapshot {name} cannot be removed";
            DatabasesClosed { names: String } =
                "the databases {names} may be closed to everybody since a restore";
            FolderStays { path: String } = "the folder {path} cannot be removed";
            DoStart { command: String } = "Remove what is in its way and `{command}`, or remove it";
            DoGoOn { command: String, other: String } = "Try `{command}` or `{other}`";
            DoRemove { command: String } = "Remove it: `{command}`";
            DoLook { command: String } = "Look at `{command}`, or restart the container";
            DoStartOnly { command: String } = "Start the container (`{command}`), or remove it";
            DoUnmount { mount: String, command: String } = "Unmount {mount}, then `{command}`";
            DoOpen {} = "Open those that are there: `ALTER DATABASE … ALLOW_CONNECTIONS true`";
            DoRunByHand {} = "Run it yourself, or correct the app";
            DoRemoveByHand {} = "Remove it";

            // Archives of WAL.
            WalLost { app: String, name: String, count: u64 } =
                "{count} pieces of the WAL of `{app}` are damaged or gone, {name} first: moments \
                 that need them cannot be restored; a new base backup is taken where one is needed";
            WalOther { app: String, why: Told } = "WAL of `{app}` is refused: {why}";
            WalRemoved { app: String, why: String } =
                "WAL of `{app}` was gone from its server before it was received: moments in it \
                 cannot be restored; a new base backup is taken. {why}";
            WalHole { app: String, from: String, to: String } =
                "WAL of `{app}` from {from} to {to} was not handed over: moments in it cannot be \
                 restored; a new base backup is taken";
            WalElsewhere { app: String, why: String } =
                "the WAL of `{app}` begins anew: {why}";
            WalLate { app: String, minutes: u64, why: Told } =
                "the WAL of `{app}` is {minutes} minutes behind: {why}";
            NothingComes {} = "nothing comes from the server";
            WalShut { why: Told } = "the archive of WAL cannot be opened: {why}";
            WalStopped { why: Told } = "WAL does not come from the server: {why}";
            WalNotStored { name: String, why: Told } =
                "WAL {name} cannot be stored, and is tried again: {why}";
            SlotStays { why: Told } =
                "the slot keeps too much and cannot be let go of: {why}";
            ArchiveCommandFails { file: String } =
                "the server's `archive_command` fails for {file}: see the server's log";
            ReceiverSilent {} =
                "`backup-sidecar wal-receive` beside the server hands nothing over: see its log";
            WalBack { app: String } = "the WAL of `{app}` comes and is stored again";
            WalKept { app: String, kept: Size, most: Size } =
                "the server of `{app}` keeps {kept} of WAL that is not stored yet; at {most} its \
                 slot is let go of, so that its disk does not fill";
            SlotLetGo { app: String, kept: Size, most: Size } =
                "the slot of `{app}` was let go of, since its server kept {kept} of WAL for it, and \
                 {most} are allowed: moments that need it cannot be restored; a new base backup is \
                 taken as soon as the destination takes it";

            // Docker.
            DockerUnset {} =
                "Docker is not reachable from here: mount its socket (or a filtering proxy) and \
                 set DOCKER_HOST, for example unix:///var/run/docker.sock";
            DockerHostWrong { host: String } =
                "`DOCKER_HOST` is `{host}`: use `unix:///PATH` or `tcp://HOST:PORT`";
            DockerSaid { said: String } = "Docker: {said}";
            DockerForbids { said: String } =
                "Docker: {said}; let the proxy in front of Docker allow it";
            DockerRefused { status: String, said: String } = "Docker ({status}): {said}";
            DockerNotRunning { what: String, said: String } =
                "{what}: Docker: {said}; start the container";
            DockerNotAttached {} = "Docker did not attach to the command";
            NoShell { what: String } =
                "{what}: the container has no `sh`, without which nothing is run in it";
            ExecGoesOn { container: String } = "a command in container {container} does not end";
            LineBreak { name: String } = "{name} cannot hold a line break inside a container";
            NotInThatContainer { what: String, said: String } =
                "{what} cannot be run: {said}; use a container that has it";
            VolumeNotOurs { volume: String } = "the volume {volume} is not ours: it is left alone";
            NetworkNotOurs { network: String } =
                "the network {network} is not ours: it is left alone";
            NotStopped { container: String, why: Told } =
                "`{container}` could not be stopped: {why}";
            NotPaused { container: String, why: Told } = "`{container}` could not be paused: {why}";
            OfVolume { volume: String, why: Told } = "volume `{volume}`: {why}";
            VolumeCutOff { volume: String } =
                "Docker ended the archive of volume `{volume}` before its end, as it does when \
                 files change while they are read: set `containers` to `pause` or `stop`, or see \
                 the log of dockerd";
            ItWrote { why: Told, said: String } = "{why}; it wrote: {said}";

            // Programs.
            ProgramNoInput { program: String, path: String, why: String } =
                "{program} cannot read {path}: {why}";
            ProgramNotStarted { program: String, why: String } =
                "{program} cannot be started: {why}";
            ProgramTooMuch { program: String, size: Size } = "{program} wrote more than {size}";
            ProgramLate { program: String } =
                "{program} did not end in time: raise the app's time limit";
            ProgramEnded { program: String, code: String, said: String } =
                "{program} ended with exit code {code}: {said}";
            ProgramKilled { program: String, signal: String, said: String } =
                "{program} was killed by signal {signal}: {said}";
        }
    };
}
