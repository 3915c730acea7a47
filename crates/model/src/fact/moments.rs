//! What is told of PostgreSQL servers at a moment: more of the sentences.

/// Gives the sentences of [`super::list`] and [`super::happenings`], and these after them, to what
/// adds the last ones.
macro_rules! with_moments {
    ($($sentences:tt)*) => {
        with_checks! {
            $($sentences)*

            // A server at a moment.
            NoBase {} = "there is no base backup yet whose WAL is stored: take one first";
            NoTimeline { timeline: u64 } = "nothing is stored of timeline {timeline}";
            NoRestorePoint { name: String } = "there is no restore point `{name}`";
            MomentFuture { at: Timestamp } = "{at} is in the future: restore the latest state instead";
            MomentTooEarly { at: Timestamp, first: Timestamp } =
                "{at} is before the first moment that can be restored, {first}";
            MomentInGap { at: Timestamp, before: Timestamp, after: Timestamp } =
                "the WAL of {at} is missing: the nearest moments that can be restored are {before} and \
                 {after}";
            MomentNotStored { at: Timestamp, before: Timestamp } =
                "the WAL of {at} is not stored: the nearest moment that can be restored is {before}";
            PositionTooEarly { position: String, first: String } =
                "{position} is before the first position that can be restored, {first}";
            PositionInGap { position: String, before: String, after: String } =
                "the WAL at {position} is missing: the nearest positions that can be restored are \
                 {before} and {after}";
            PositionNotStored { position: String, before: String } =
                "the WAL at {position} is not stored: the nearest position that can be restored is \
                 {before}";
            BaseNeedsMoment {} = "a base backup is restored to a moment: choose one";
            NoContainerToCopy {} =
                "the source's server is in no container of this Docker: restore it into a folder";
            NoDataDirectory { container: String } =
                "`{container}` does not say where its data directory is (PGDATA): restore into a folder";
            ContainerBeside { container: String, original: String } =
                "container `{container}` beside `{original}`, on a new volume of its name";
            ContainerIsThere { container: String } =
                "container `{container}` is there already: give another name";
            ServerIn { container: String } = "the server in container `{container}`";
            OtherMajor { container: String, has: u64, needs: u64 } =
                "`{container}` is PostgreSQL {has} now, and no other than {needs} understands these \
                 files: restore into a folder";
            ReplayedInside { image: String } =
                "containers of {image} replay it, on no network";
            DataNotInVolume { container: String } =
                "the data of `{container}` are in no volume: restore beside it, or into a folder";
            VolumeNotExchanged { volume: String, why: Told } =
                "the folder of volume `{volume}` cannot be exchanged ({why}): restore beside, or into a \
                 folder";
            PauseOnlyBeside {} =
                "a server that waits at its moment can be written to by nobody: restore it beside";
            NothingKept {} = "that restore has kept nothing that could be gone back to";
            NotAnswering { container: String, why: String } =
                "the server in `{container}` does not answer: {why}";
            ServerPlaced { container: String } = "`{container}` runs on it and answers";
            CopyRuns { container: String, image: String, command: String } =
                "container `{container}` runs and answers, of the image {image}: `{command}`";
            CopyInNetworks { container: String, networks: String } =
                "it is in the networks {networks} by the name `{container}` alone, and publishes no port";
            CopyWaits { container: String } =
                "`{container}` waits at its moment and can be read; it becomes a server of its own by \
                 `SELECT pg_promote()`";
            SubscriptionsHeld {} =
                "its subscriptions take nothing from their publishers: `max_logical_replication_workers` \
                 is 0 in its postgresql.auto.conf";
            MomentFromBase { at: Timestamp, wal: Size } =
                "it begins with the base backup of {at}, on which {wal} of WAL are replayed";
            MomentToEnd { position: String } =
                "no transaction was committed after that moment: all WAL is replayed, up to {position}";
            ReplayedHere { major: u64 } =
                "PostgreSQL {major} of this machine replays it, reachable by nobody";
            NoServerToReplay { major: u64 } =
                "there is no PostgreSQL {major} on this machine to replay WAL: install it (apt-get \
                 install postgresql-{major})";
            OtherCluster {} = "what came back is another cluster than its record says";
            WalNotGood { name: String, why: Told } = "WAL {name} cannot be used: {why}";
            TablespaceInWal { path: String, position: String } =
                "the WAL makes a tablespace in `{path}` ({position}), and replay would write into that \
                 folder, which may be another server's: choose a moment before it, or one after the next \
                 base backup; or, where no server uses it, make the folder, empty, for who runs PostgreSQL";
            ReplayEnded { said: String } = "PostgreSQL did not come to the moment: {said}";
            ReplayShort { at: String, end: String } =
                "replay ended at {at}, but there is WAL up to {end}: something in it cannot be read";
            NotPromoted {} = "the restored server did not become one of its own in half an hour";
            Landed { position: String, at: Timestamp } =
                "replay ended at {position}; the last transaction in it was committed at {at}";
            LandedBeforeAny { position: String } =
                "replay ended at {position}, before any transaction after the base backup";
            LandedLate { at: Timestamp, wanted: Timestamp } =
                "a transaction of {at} came back, which is after {wanted}";
            MomentReady { command: String } = "a server of its own; it starts by `{command}`";
            MomentWaits { command: String } =
                "it waits at its moment and can be read: it starts by `{command}`, and becomes a server \
                 of its own by `pg_ctl promote`";
            ArchiveModeOff {} =
                "it archives none of its own WAL: `archive_mode` is off in its postgresql.auto.conf";
            TablespacesMoved { count: u64 } =
                "{count} tablespaces lie within the data directory now, in `pg_tblspc_files`";
            ConfigElsewhere { file: String } =
                "the server had its {file} elsewhere: an empty one was put in its place";
            HeartbeatsTo { count: u64, at: Timestamp } =
                "{count} heartbeats came back, the last of {at} and none after the moment";
            HeartbeatAfter { at: Timestamp, moment: Timestamp } =
                "a heartbeat of {at} came back, which is after {moment}";
            HeartbeatMissing { at: Timestamp, moment: Timestamp } =
                "the last heartbeat that came back is of {at}, too long before {moment}";
            HeartbeatsNone {} = "there were no heartbeats yet at that moment";
        }
    };
}
