//! What each route takes and answers.

use engine::{
    AppDraft, ArchiveEntry, Covered, DestinationDraft, DrillStanding, Listing, MomentPreflight,
    MomentRequest, ProtectRequest, Protected, Reindexed, Report, RepositoryKey, RepositoryState,
    RestoreRequest, RetentionPreview, RunRequest, SnapshotDiff, StorageTrend, Usual,
};
use model::{AuditEntry, Event, LogLine, Preflight, RecoveryState, RestorePoint, Run, Snapshot};
use serde_json::json;

use super::{operation::Operation, people};
use crate::{
    api::{
        apps, clock, host, moments, recover, recovery, repositories, restores,
        shapes::{
            AppEdit, AppShown, Cancelled, CardShown, DestinationEdit, DestinationMade,
            DestinationShown, Fires, OverviewShown, RunShown,
        },
        snapshots, source_kinds, wal,
    },
    backups_file::ConfigShown,
};

/// A group of operations: its name, what it is about, and they.
pub(super) type Group = (&'static str, &'static str, Vec<Operation>);

pub(super) fn groups() -> Vec<Group> {
    vec![
        ("apps", "What is protected.", of_apps()),
        ("schedules", "When apps run.", of_schedules()),
        ("destinations", "Where copies go.", of_destinations()),
        ("repositories", "Destinations in restic's format.", of_repositories()),
        ("moments", "Going back to any moment of a PostgreSQL server.", of_moments()),
        ("recovery", "Coming back after a loss.", of_recovery()),
        ("host", "The machine that the server runs on.", of_host()),
        ("runs", "Attempts at something: under way, ended, to come.", of_runs()),
        ("snapshots", "Restorable points.", of_snapshots()),
        ("events", "What happened, and who did what.", of_events()),
        ("alerts", "What is wrong, and who is told.", people::of_alerts()),
        ("accounts", "Users and API tokens.", people::of_accounts()),
        ("config", "What is declared in a file.", of_config()),
        ("session", "The caller's own login.", people::of_session()),
        ("reference", "This document.", reference()),
    ]
}

fn of_apps() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/overview", "How all apps are")
            .gives::<OverviewShown>(200, "The apps, the ones in trouble first, and how many."),
        Operation::get("/api/v1/apps", "List the apps").lists::<AppShown>(200, "All apps."),
        Operation::post("/api/v1/apps", "Register an app")
            .takes::<AppDraft>()
            .gives::<AppShown>(201, "The app as it is now.")
            .may_fail(&[409]),
        Operation::get("/api/v1/apps/{app}", "How an app is")
            .gives::<CardShown>(200, "The app, its last runs and its newest good snapshot."),
        Operation::put("/api/v1/apps/{app}", "Edit an app")
            .takes::<AppEdit>()
            .gives::<AppShown>(200, "The app as it is now.")
            .may_fail(&[409]),
        Operation::delete("/api/v1/apps/{app}", "Remove an app; its snapshots stay")
            .done("It is removed.")
            .may_fail(&[409]),
        Operation::post("/api/v1/apps/{app}/enabled", "Stop or resume an app's schedule")
            .takes::<apps::Enabled>()
            .gives::<AppShown>(200, "The app as it is now.")
            .may_fail(&[409]),
        Operation::post("/api/v1/apps/{app}/run", "Run an app now")
            .takes::<RunRequest>()
            .gives::<Run>(202, "The run; one that waits already is given again.")
            .may_fail(&[409]),
        Operation::post("/api/v1/apps/{app}/doctor", "Look for what would make a run fail")
            .gives::<Report>(200, "What was found."),
        Operation::post(
            "/api/v1/apps/{app}/drill",
            "Try whether the newest snapshot can come back",
        )
        .gives::<Run>(202, "The run that does it.")
        .may_fail(&[409]),
        Operation::get("/api/v1/drills", "How the drills of all apps stand")
            .lists::<DrillStanding>(200, "All apps, those that were never proven first."),
        Operation::put("/api/v1/apps/{app}/drill-plan", "Say what the app's drills are to do")
            .takes::<restores::PlanEdit>()
            .gives::<AppShown>(200, "The app as it is now.")
            .may_fail(&[409]),
        Operation::get("/api/v1/apps/{app}/retention", "What retention would do now")
            .lists::<RetentionPreview>(200, "A plan for each destination."),
        Operation::get("/api/v1/apps/{app}/usual", "What an app's snapshots usually are")
            .gives::<Usual>(200, "The medians of the last good ones, and how many are known."),
        Operation::get("/api/v1/apps/{app}/storage", "What an app's copies and its WAL take")
            .gives::<StorageTrend>(200, "Day by day, and what may come."),
        Operation::post("/api/v1/apps/{app}/expire", "Apply the app's retention now")
            .gives::<Run>(202, "The run that does it.")
            .may_fail(&[409]),
        Operation::post("/api/v1/connection/test", "Try what a draft of an app describes")
            .takes::<AppDraft>()
            .gives::<Report>(200, "What was found."),
        Operation::get("/api/v1/source-kinds", "What sources can be, and what each kind knows")
            .lists::<source_kinds::KindShown>(200, "The kinds of source."),
    ]
}

fn of_schedules() -> Vec<Operation> {
    vec![
        Operation::post("/api/v1/schedule/next", "When a schedule would fire next")
            .takes::<apps::Ahead>()
            .gives::<Fires>(200, "The moments."),
        Operation::get("/api/v1/clock", "The server's clock")
            .gives::<clock::Clock>(200, "The time, and whether retention waits because it jumped."),
        Operation::post("/api/v1/clock/accept", "Say that the time is right after it jumped")
            .done("Retention goes on."),
    ]
}

fn of_host() -> Vec<Operation> {
    vec![
        Operation::post("/api/v1/doctor", "Look at Docker, the clock and the room on the host")
            .gives::<Report>(200, "What was found."),
        Operation::get("/api/v1/coverage", "What the host has, and what of it is in an app")
            .lists::<Covered>(200, "Volumes, databases and containers, uncovered ones first.")
            .may_fail(&[409]),
        Operation::get("/api/v1/storage", "What copies take at all destinations together")
            .gives::<StorageTrend>(200, "Day by day, and what may come."),
        Operation::post("/api/v1/coverage/ignore", "Say why no app need read something")
            .takes::<host::Ignore>()
            .done("It is noted."),
        Operation::post("/api/v1/coverage/protect", "Make apps of what the host has")
            .takes::<ProtectRequest>()
            .lists::<Protected>(200, "One for each app, kept where all that was tried is well.")
            .may_fail(&[409]),
    ]
}

fn of_destinations() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/destinations", "List the destinations")
            .lists::<DestinationShown>(200, "All destinations."),
        Operation::post("/api/v1/destinations", "Add a destination")
            .takes::<DestinationDraft>()
            .gives::<DestinationMade>(201, "The destination as it is now.")
            .may_fail(&[409, 502]),
        Operation::get("/api/v1/destinations/{destination}", "Show a destination")
            .gives::<DestinationShown>(200, "The destination."),
        Operation::get("/api/v1/destinations/{destination}/storage", "What copies take there")
            .gives::<StorageTrend>(200, "Day by day, and what may come."),
        Operation::put("/api/v1/destinations/{destination}", "Edit a destination")
            .takes::<DestinationEdit>()
            .gives::<DestinationMade>(200, "The destination as it is now.")
            .may_fail(&[409, 502]),
        Operation::delete(
            "/api/v1/destinations/{destination}",
            "Remove a destination that no app uses; nothing there is touched",
        )
        .done("It is removed.")
        .may_fail(&[409]),
        Operation::post(
            "/api/v1/destinations/{destination}/test",
            "Write, read, list and delete a small object",
        )
        .gives::<Report>(200, "What was found."),
        Operation::post(
            "/api/v1/destinations/{destination}/verify",
            "Verify every snapshot that has a copy there",
        )
        .lists::<Run>(202, "A run for each snapshot.")
        .may_fail(&[409]),
    ]
}

fn of_repositories() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/destinations/{destination}/repository", "How a repository stands")
            .asks("now", "boolean", "Count anew, which reads every folder.")
            .gives::<RepositoryState>(200, "As it was when somebody last looked.")
            .may_fail(&[409, 502]),
        Operation::post(
            "/api/v1/destinations/{destination}/repository/check",
            "Look whether a repository is whole",
        )
        .takes::<repositories::CheckRequest>()
        .gives::<Run>(202, "The run.")
        .may_fail(&[409, 502]),
        Operation::post(
            "/api/v1/destinations/{destination}/repository/prune",
            "Free what no snapshot needs: marked now, deleted a day later",
        )
        .gives::<Run>(202, "The run.")
        .may_fail(&[409, 502]),
        Operation::post(
            "/api/v1/destinations/{destination}/repository/copy",
            "Copy what is there to a destination that lacks it",
        )
        .takes::<repositories::CopyAllRequest>()
        .lists::<Run>(202, "A run for each snapshot.")
        .may_fail(&[409, 502]),
        Operation::post(
            "/api/v1/destinations/{destination}/repository/unlock",
            "Remove locks whose owners are gone",
        )
        .takes::<repositories::UnlockRequest>()
        .gives::<repositories::Unlocked>(200, "How many.")
        .may_fail(&[409, 502]),
        Operation::get(
            "/api/v1/destinations/{destination}/repository/keys",
            "List a repository's passwords",
        )
        .lists::<RepositoryKey>(200, "What is known of each; never the password.")
        .may_fail(&[409, 502]),
        Operation::post(
            "/api/v1/destinations/{destination}/repository/keys",
            "Add a password to a repository",
        )
        .takes::<repositories::KeyRequest>()
        .gives::<repositories::KeyMade>(201, "Its id.")
        .may_fail(&[409, 502]),
        Operation::post(
            "/api/v1/destinations/{destination}/repository/rotate",
            "Put another password in the place of the one in use",
        )
        .takes::<repositories::KeyRequest>()
        .gives::<repositories::KeyMade>(200, "The id of the key in use from now on.")
        .may_fail(&[409, 502]),
        Operation::delete(
            "/api/v1/destinations/{destination}/repository/keys/{key}",
            "Remove a password that is not in use",
        )
        .done("It opens nothing any more.")
        .may_fail(&[409, 502]),
    ]
}

fn of_moments() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/apps/{app}/recovery", "Which moments can be gone back to")
            .gives::<RecoveryState>(200, "Windows, gaps, named moments, and how WAL comes.")
            .may_fail(&[409]),
        Operation::post("/api/v1/apps/{app}/recovery/base", "Take a base backup now")
            .gives::<Run>(202, "The run that does it.")
            .may_fail(&[409]),
        Operation::post("/api/v1/apps/{app}/recovery/restore-points", "Give this moment a name")
            .takes::<moments::PointDraft>()
            .gives::<RestorePoint>(201, "The moment.")
            .may_fail(&[409, 502]),
        Operation::post(
            "/api/v1/apps/{app}/recovery/preflight",
            "What going back to a moment would meet",
        )
        .takes::<MomentRequest>()
        .gives::<MomentPreflight>(200, "What it begins with, and what stands against it.")
        .may_fail(&[409]),
        Operation::post("/api/v1/apps/{app}/recovery/restore", "Go back to a moment")
            .takes::<MomentRequest>()
            .gives::<Run>(202, "The run that does it; its report tells where it landed.")
            .may_fail(&[409]),
        Operation::post(
            "/api/v1/apps/{app}/recovery/drill",
            "Try whether a moment can be gone back to",
        )
        .takes::<moments::DrillRequest>()
        .gives::<Run>(202, "The run that does it.")
        .may_fail(&[409]),
        Operation::put("/api/v1/wal/{app}/{name}", "Hand over a file of WAL")
            .takes_bytes()
            .reads(
                "X-Wal",
                json!({ "type": "string", "enum": ["received", "beginning"] }),
                "Who hands it over: `received` by a receiver beside the server, `beginning` the first \
                 part of a segment that is not whole yet, which later ones replace; left out by the \
                 server's `archive_command`.",
            )
            .reads(
                "X-Checksum-SHA256",
                json!({ "type": "string", "pattern": "^[0-9A-Fa-f]{64}$" }),
                "The SHA-256 of the file; one that is not as told is not kept.",
            )
            .gives::<wal::WalStored>(201, "It is durable at the destination.")
            .gives::<wal::WalStored>(200, "It was there already.")
            .may_fail(&[409, 411, 413, 422, 502]),
        Operation::get("/api/v1/wal/{app}/{name}", "Get a file of WAL")
            .streams(
                "application/octet-stream",
                "Its bytes; without its last chunk the answer has not proven true. Where it is \
                 proven not to be there, the refusal carries `X-Wal: absent`.",
            )
            .marks(
                404,
                "X-Wal",
                &["absent"],
                "The file is proven not to be there; without it the address or the app may be wrong.",
            )
            .may_fail(&[409, 502]),
    ]
}

fn of_recovery() -> Vec<Operation> {
    vec![
        Operation::post(
            "/api/v1/destinations/{destination}/reindex",
            "Read a destination's manifests into the catalog",
        )
        .gives::<Reindexed>(200, "What they told.")
        .may_fail(&[502]),
        Operation::get("/api/v1/recovery", "How a recovery would stand, or stands")
            .gives::<recovery::Recovery>(200, "Copies of the catalog, and what waits."),
        Operation::post("/api/v1/recovery/copy", "Copy the catalog to the destinations now")
            .gives::<recovery::Recovery>(200, "How the copies stand now."),
        Operation::post(
            "/api/v1/recovery/confirm",
            "Say that a rebuilt catalog is as it should be",
        )
        .done("Schedules and retention go on."),
        Operation::post(
            "/api/v1/recovery/look",
            "Look what a destination holds to come back to; changes nothing",
        )
        .takes::<recover::RecoverRequest>()
        .gives::<recover::RecoverFound>(200, "The newest good copy of the catalog.")
        .may_fail(&[409, 502]),
        Operation::post("/api/v1/recovery/begin", "Come back to what was looked at")
            .takes::<recover::RecoverBegin>()
            .done("It has begun; the server answers little until it is done.")
            .may_fail(&[409]),
        Operation::get("/api/v1/recovery/progress/{word}", "How far a recovery is")
            .for_anybody()
            .gives::<recover::RecoverProgress>(200, "As far as it is."),
        Operation::get("/api/v1/recovery-kit", "What it takes to come back, the key included")
            .asks("secrets", "boolean", "With the destinations' credentials and keys.")
            .gives_json("The kit."),
        Operation::post("/api/v1/recovery-kit/stored", "Note that the kit as it is now is stored")
            .done("It is noted."),
    ]
}

fn of_runs() -> Vec<Operation> {
    vec![
        Operation::post("/api/v1/run-all", "Run every enabled app now")
            .takes::<RunRequest>()
            .lists::<Run>(202, "The runs; the names of what they make carry one moment.")
            .may_fail(&[409]),
        Operation::get("/api/v1/runs", "List runs, the newest first")
            .asks("app", "string", "Of this app only: its name or id.")
            .asks("offset", "integer", "How many to pass over.")
            .asks("limit", "integer", "How many to give: 50 unless told, at most 500.")
            .lists::<Run>(200, "The runs.")
            .may_fail(&[404]),
        Operation::get("/api/v1/runs/{run}", "Show a run")
            .gives::<RunShown>(200, "The run, its stages, and how it went at each destination."),
        Operation::get("/api/v1/runs/{run}/report", "What a restore or a drill tells of itself")
            .gives::<restores::Report>(200, "The report, as far as it is."),
        Operation::get("/api/v1/runs/{run}/log", "Read a run's log")
            .asks("after", "integer", "Only lines after the one of this `seq`.")
            .asks("search", "string", "Only lines with this in their message, in any case.")
            .asks(
                "level",
                "string",
                "Only lines that matter at least so: `info`, `warning`, `error`.",
            )
            .asks("offset", "integer", "How many of those to pass over.")
            .asks("limit", "integer", "How many to give: 1,000 unless told, at most 10,000.")
            .lists::<LogLine>(200, "The lines, in order.")
            .may_fail(&[422]),
        Operation::get("/api/v1/runs/{run}/events", "Follow a run until it ends")
            .asks("after", "integer", "Only log lines after the one of this `seq`.")
            .streams(
                "text/event-stream",
                "Server-sent events with JSON as data: `log` (a `LogLine`, its `seq` as the \
                 event's id), `progress` and at last `end` (a `RunDetail`). The header \
                 `Last-Event-ID` goes on after that line.",
            ),
        Operation::post(
            "/api/v1/runs/{run}/undo",
            "Go back on a restore to a moment that was put in the place of a server",
        )
        .takes::<moments::UndoRequest>()
        .gives::<Run>(202, "The run that does it.")
        .may_fail(&[409]),
        Operation::post("/api/v1/runs/{run}/cancel", "Ask a run to stop")
            .gives::<Cancelled>(200, "What became of it."),
    ]
}

fn of_snapshots() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/snapshots", "List snapshots, the newest first")
            .lists::<Snapshot>(200, "At most 200 snapshots."),
        Operation::get("/api/v1/apps/{app}/snapshots", "List an app's snapshots")
            .lists::<Snapshot>(200, "All that have a copy left."),
        Operation::get(
            "/api/v1/apps/{app}/before-deploy",
            "Show the snapshot from before a deployment",
        )
        .asks("deploy", "string", "Its label or its commit; left out: the latest one.")
        .gives::<Snapshot>(200, "The newest that was taken before it and can be restored."),
        Operation::get("/api/v1/snapshots/{snapshot}", "Show a snapshot")
            .gives::<Snapshot>(200, "The snapshot."),
        Operation::post("/api/v1/snapshots/{snapshot}/pin", "Keep a snapshot from expiring")
            .done("It is pinned.")
            .may_fail(&[409]),
        Operation::delete("/api/v1/snapshots/{snapshot}/pin", "Let a pinned snapshot go")
            .done("It is pinned no more."),
        Operation::post(
            "/api/v1/snapshots/{snapshot}/accept",
            "Say that an anomalous snapshot is as it should be",
        )
        .done("Retention goes on."),
        Operation::post("/api/v1/snapshots/{snapshot}/verify", "Verify a snapshot's copies")
            .takes::<snapshots::Where>()
            .gives::<Run>(202, "The run that does it.")
            .may_fail(&[409]),
        Operation::post("/api/v1/snapshots/{snapshot}/copy", "Bring a copy to a destination")
            .takes::<snapshots::Target>()
            .gives::<Run>(202, "The run that does it.")
            .may_fail(&[409]),
        Operation::post("/api/v1/snapshots/{snapshot}/preflight", "What a restore would meet")
            .takes::<RestoreRequest>()
            .gives::<Preflight>(200, "What would be replaced, and what stands against it.")
            .may_fail(&[409]),
        Operation::post("/api/v1/snapshots/{snapshot}/restore", "Restore a snapshot")
            .takes::<RestoreRequest>()
            .gives::<Run>(202, "The run that does it; its report tells how far it is.")
            .may_fail(&[409]),
        Operation::post(
            "/api/v1/snapshots/{snapshot}/drill",
            "Try whether a snapshot can come back",
        )
        .gives::<Run>(202, "The run that does it.")
        .may_fail(&[409]),
        Operation::get(
            "/api/v1/snapshots/{snapshot}/artifacts/{source}",
            "Download what a source sent",
        )
        .streams(
            "application/octet-stream",
            "The bytes as the source sent them, with `X-Size` and `X-Checksum-SHA256`. Without \
             its last chunk the answer has not proven true.",
        )
        .may_fail(&[502]),
        Operation::get("/api/v1/snapshots/{snapshot}/browse", "List a folder of an archive")
            .asks("source", "string", "The source whose archive it is.")
            .asks("path", "string", "The folder: the archive's own unless told.")
            .asks("next", "string", "What the page before gave as `next`.")
            .gives::<Listing>(200, "A page of what is in it, folders first.")
            .may_fail(&[409, 422, 502]),
        Operation::get("/api/v1/snapshots/{snapshot}/search", "Search an archive by name")
            .asks("source", "string", "The source whose archive it is.")
            .asks("q", "string", "A part of a name, or a pattern with `*` and `?`.")
            .lists::<ArchiveEntry>(200, "What has such a name; at most 500.")
            .may_fail(&[409, 422, 502]),
        Operation::get("/api/v1/snapshots/{snapshot}/diff", "Compare with another snapshot")
            .asks("from", "string", "The snapshot to compare with, of the same app.")
            .asks("source", "string", "What this source gave only.")
            .asks(
                "limit",
                "integer",
                "How many differences of each source to tell: 1,000 unless told, at most 100,000.",
            )
            .gives::<SnapshotDiff>(200, "What is different since that one.")
            .may_fail(&[409, 422, 502]),
        Operation::get(
            "/api/v1/snapshots/{snapshot}/file",
            "Download a file of an archive, or a folder as a tar",
        )
        .asks("source", "string", "The source whose archive it is.")
        .asks("path", "string", "The file or the folder: all of the archive unless told.")
        .streams(
            "application/octet-stream",
            "Its bytes, with `X-Size` where it is a file. Without its last chunk the answer has \
             not proven true.",
        )
        .may_fail(&[409, 422, 502]),
    ]
}

fn of_events() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/events", "List what happened, the newest first")
            .asks("app", "string", "Of this app only: its name or id.")
            .asks("limit", "integer", "How many to give: 50 unless told, at most 500.")
            .lists::<Event>(200, "The events.")
            .may_fail(&[404]),
        Operation::get("/api/v1/audit", "List who did what, the newest first")
            .asks("who", "string", "Of this caller only, as the list names them.")
            .asks("action", "string", "Only this action (`app.remove`), or all of a group (`app`).")
            .asks(
                "from",
                "string",
                "Not before this moment or day (`2026-11-01`, in the server's zone).",
            )
            .asks("to", "string", "Before this moment, or until the end of this day.")
            .asks("offset", "integer", "How many to pass over.")
            .asks("limit", "integer", "How many to give: 50 unless told, at most 500.")
            .lists::<AuditEntry>(200, "The entries.")
            .may_fail(&[422]),
        Operation::get("/api/v1/audit.csv", "Download who did what, the newest first")
            .asks("who", "string", "Of this caller only, as the list names them.")
            .asks("action", "string", "Only this action (`app.remove`), or all of a group (`app`).")
            .asks(
                "from",
                "string",
                "Not before this moment or day (`2026-11-01`, in the server's zone).",
            )
            .asks("to", "string", "Before this moment, or until the end of this day.")
            .streams("text/csv", "Every entry that fits, as a table; no cell is a formula.")
            .may_fail(&[422]),
    ]
}

fn of_config() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/config", "How the server stands to its backups.yml")
            .gives::<ConfigShown>(200, "The file, whether it is in force, and what is wrong."),
    ]
}

fn reference() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/openapi.json", "This document")
            .gives_json("An OpenAPI 3.1 document."),
    ]
}
