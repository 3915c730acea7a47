//! The sentences themselves.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{EnumIter, IntoStaticStr};

use super::{FactValue, Size, Told};

with_happenings! {
    // One within another.
    Also { first: Told, then: Told } = "{first}; {then}";
    Of { what: String, why: Told } = "`{what}`: {why}";

    // Where something goes, and what is there.
    FolderAt { path: String } = "folder {path}";
    FileAt { path: String } = "file {path}";
    PathsAt { paths: String } = "{paths}";
    VolumeAt { volume: String } = "volume {volume}";
    DatabaseAt { database: String, server: String } = "database {database} at {server}";
    RolesAt { server: String } = "roles at {server}";
    UsersAt { server: String } = "users at {server}";
    ServerAt { server: String } = "{server}";
    KeptBeside { what: String } = "{what} (kept beside it)";
    FileKeptBeside { path: String, size: Size } =
        "{path} ({size}; a copy of it is kept beside it)";
    VolumeKeptBeside { volume: String, path: String } = "volume {volume} (kept beside {path})";
    DatabaseCopied { database: String, size: Size } =
        "database {database} ({size}; a copy of it is kept under another name)";
    DatabaseRenamed { database: String, size: Size, connections: u64 } =
        "database {database} ({size}, {connections} connections; it is kept under another name)";

    // Copies.
    NoSuchArtifact { artifact: String } = "the snapshot has no artifact `{artifact}`";
    CopyReread { destination: String, at: Timestamp } =
        "there is a copy at `{destination}`, last re-read {at:.0}";
    CopyNotReread { destination: String } =
        "there is a copy at `{destination}`, not re-read since it was stored";
    CopyLocked { destination: String, why: Told } =
        "the copy at `{destination}` cannot be opened: {why}";
    NoGoodCopy {} = "this snapshot has no good copy to read from";

    // Parts.
    TablesAreOfDatabases {} = "tables are chosen for databases";
    PathsAreOfArchives {} = "it is no archive: no paths can be chosen of it";
    DatabaseHasTables {} = "a database has tables, not paths";
    TablesBeside {} = "tables are restored beside the database, to be copied from there";
    VolumeWhole {} = "a volume comes back whole: choose paths of it for a restore into a folder";
    NoArchiveOfFiles { artifact: String } =
        "`{artifact}` is no archive of files: restore it into a folder";
    NoTarOfVolume { artifact: String } = "`{artifact}` is no tar of a volume";
    NoPathInArchive { path: String } = "`{path}` is no path in an archive";
    NotInArchive { artifact: String, paths: String } = "`{artifact}` does not hold {paths}";

    // Whether it can go there.
    SourceGone { app: String, artifact: String } =
        "`{app}` has no source of its own for `{artifact}` any more: restore it into a folder, or \
         add the source again";
    NoRootAllowed { path: String } =
        "{path} is not allowed for restores: none is: name one in BACKUP_RESTORE_ROOTS, or \
         download the artifact";
    OutsideRoots { path: String, roots: String } =
        "{path} is not allowed for restores: only folders below {roots} are \
         (BACKUP_RESTORE_ROOTS)";
    IsThere { what: String } = "{what} is there already: choose another name";
    MoveAway { path: String } = "{path} is there already: move it away";
    IsGone { what: String } = "{what} is not there any more";
    DatabaseIsThere { database: String } =
        "the database {database} is there already: choose another name";
    VolumeIsThere { volume: String } =
        "volume `{volume}` is there already: give another name";
    NotFile { path: String } = "{path} is no regular file";
    NotWritable { path: String, why: String } = "{path} cannot be written: {why}";
    NotNameOfFolder { name: String } = "`{name}` is no name of a folder";
    NotNameOfVolume { name: String } = "`{name}` is no name of a volume";
    WhichDatabase {} = "the source does not say which database it is";
    Room { needed: Size, free: Size, path: String } =
        "{needed} are to be written, {free} are free where {path} is";
    WouldReplace { what: String } = "{what} would be replaced, which was not allowed";
    MayNotCreate { user: String } =
        "the user {user} may not make databases: ALTER ROLE \"{user}\" CREATEDB";
    NotOwner { database: String, owner: String } =
        "the database {database} belongs to {owner}: only its owner or a superuser may rename it";
    AutoRemoved { container: String } =
        "`{container}` was started with `--rm`, and stopping removes it: stop it, or restore the \
         volume beside";
    OfSwarm { container: String } =
        "`{container}` belongs to a Swarm service, which replaces what is stopped: stop it, or \
         restore the volume beside";

    // To be known.
    Unpacked {} = "it is an archive: its files are unpacked there";
    LiesAsIs {} = "it is one file, and lies there as it is";
    DatabaseMade { database: String } = "the database {database} is not there and will be made";
    FileMade { path: String } = "{path} is not there and will be made";
    VolumeMade { volume: String } = "volume `{volume}` is made";
    ServerIs { server: String, version: String } = "{server} is {version}";
    OnlyMissingRoles {} = "only roles that are missing are made; tablespaces are left as they are";
    OnlyMissingUsers {} = "only users that are missing are made, with their grants";
    RightsMissing { rights: String } =
        "the user has not everywhere the rights {rights}: a restore needs them for the database \
         and for new ones beside it";
    NoSandbox {} =
        "this client knows no sandbox mode: dumps are read through our filter alone";
    StopWriters { database: String } =
        "stop what writes to {database}: what is written while it is replaced is lost; the server \
         needs room for two more copies of it";
    LastStepLost {} = "what is written to it during the last step is in neither file";
    VolumeOnlyIfEmpty { volume: String, why: Told } =
        "volume `{volume}` is filled only if it is empty, because its folder cannot be exchanged \
         ({why}): else restore it beside, and point your compose file at the new volume";
    VolumeHoldsFiles { volume: String, why: Told } =
        "volume `{volume}` holds files, and its folder cannot be exchanged here ({why}): restore \
         it beside, and point your compose file at the new volume";
    HolesTooLong { file: String, gib: u64 } =
        "{file} has holes, which Docker cannot be given, and written out they and those before take \
         more than {gib} GiB: restore into a folder";
    StoppedMeanwhile { containers: String } =
        "stopped meanwhile, and started again: {containers}";

    // The app as a whole.
    WholeOnlyInto {} = "an app comes back as a whole only into its own place, with all of its parts";
    WholeStops { containers: String } =
        "the app is stopped while its parts are put in their places: {containers}";
    CodeWillBe { path: String, commit: String, before: String } =
        "the code at {path} is put from {before} to {commit}";
    CodeAsItIs { path: String, commit: String } = "the code at {path} is {commit} already";
    CodeNotNoted {} =
        "the snapshot does not say what the app's code was: the code stays as it is";
    CodeDirty { path: String } =
        "files of the code at {path} differ from its commit: commit them, or have them set aside";
    CodeSetAside { path: String } =
        "changes to the code at {path} are set aside: `git stash list` shows them there";
    CommitGone { path: String, commit: String } =
        "the commit {commit} is not in {path}: fetch it there, or leave the code as it is";
    CodePut { path: String, commit: String, before: String } =
        "the code at {path} was {before} and is {commit} now; files that git does not know stay as \
         they are";
    CodeElsewhere { path: String, wanted: String } =
        "the code was at {path} then, and the app's is at {wanted} now";
    ContainerGone { container: String } =
        "there is no container `{container}` any more: make it, then start it";
    ImageGone { container: String, image: String } =
        "the image that `{container}` ran then, {image}, is not on this machine any more: it starts \
         with the one that it has";
    ImageWillBe { container: String, image: String } =
        "`{container}` is made anew with the image that it ran then, {image}; the one that is there \
         is kept, stopped";
    ContainerRemade { container: String, kept: String } =
        "`{container}` was made anew with the image that it ran then; the one before is kept, \
         stopped, as `{kept}`";
    ContainersStarted { containers: String } = "started: {containers}";
    Healthy { containers: String } = "running, and healthy where they say so: {containers}";
    NotHealthy { container: String, why: String } =
        "`{container}` does not do well since it was started: {why}";
    StaysStopped { containers: String, first: Told } =
        "{first}; the app was left stopped, for its parts may not agree: {containers}";
    GoBackBy { run: String, first: Told } =
        "{first}; `backup-orchestrator restore {run} --undo` goes back to what was there before";

    // What came of it.
    RolesMade { count: u64 } =
        "{count} roles were made; those that are there stay as they are";
    UsersMade { count: u64 } =
        "{count} users were made; those that are there stay as they are";
    EventsDisabled {} = "its events are disabled, so that nothing is done twice";
    StartAgain {} =
        "what was there is damaged, so the file itself was exchanged: start the app again";
    Came { files: u64, folders: u64, links: u64, size: Size } =
        "{files} files, {folders} folders and {links} links with {size}";
    MoreDiffer { count: u64 } = "{count} more are not as they were";
    DoesNotGoOn { container: String, why: Told } = "`{container}` does not go on: {why}";
    LeftOver { what: String, why: Told } = "{what} is left over: {why}";
    OtherRows { table: String, rows: u64 } =
        "the table {table} came back with other rows than the {rows} it was stored with";
    AppNotGiven { url: String, why: Told } =
        "the app at {url} did not get the whole of it, and so has nothing to replace: {why}";
    UndoNotTaken { why: Told } =
        "the undo snapshot could not be taken ({why}): nothing was changed; where there is nothing \
         left to save, restore without one";

    // Files and folders of this machine.
    NotMade { what: String, why: String } = "{what} cannot be made: {why}";
    NotRemoved { what: String, why: String } = "{what} cannot be removed: {why}";
    NotMovedAside { what: String, why: String } = "{what} cannot be moved aside: {why}";
    NotPlaced { what: String, why: String } = "{what} cannot take its place: {why}";
    NotPlacedBeside { what: String, why: String, before: String } =
        "{what} cannot take its place: {why}; what was there before is {before}";
    NotExchanged { what: String, why: String } = "{what} cannot be exchanged: {why}";
    NotDurable { what: String, why: String } = "{what} cannot be made durable: {why}";
    NotRead { what: String, why: String } = "{what} cannot be read: {why}";
    NotOwned { what: String, why: String } = "{what} cannot be given to its owner: {why}";
    NotOfMode { what: String, why: String } = "{what} cannot be given its mode: {why}";

    // Apps that take artifacts back themselves.
    AppAt { url: String } = "the app at {url}";
    AppHas { url: String, artifact: String } = "what the app at {url} has of `{artifact}`";
    AppTakesBack { url: String } = "the app at {url} takes artifacts back";
    AppTakesNothing { url: String } =
        "the app at {url} takes nothing back: where its sidecar may do that, set \
         SIDECAR_RESTORE=true there (in an app of its own, serve POST /backup/import); or restore \
         into a folder and bring it in by hand";
    AppNotBeside {} =
        "an app takes an artifact back in the place of what it has, not beside it: restore into a \
         folder, or into the app";
    AppTakesWhole {} =
        "an app takes the whole artifact back: restore parts of it into a folder, and bring them \
         in from there";
    AppOfOtherFormat { format: String, formats: String } =
        "the artifact is {format}, and the app now exports {formats}: it may refuse it";
    AppReplaces {} =
        "the app itself replaces what it has: whether it keeps a copy of that is told afterwards";
    AppMayHaveReplaced { url: String, made: String } =
        "the app at {url} replaces by itself what it has: look there whether it did; it knows this \
         as {made}";

    // Databases: what they take, and what they need.
    OtherProduct { from: String, to: String } =
        "the dump is of {from}, the server is {to}: statements that only one of them knows make \
         the restore fail, before anything that is there is changed";
    OlderServer { from: String, to: String } =
        "the dump is of {from}, the server is the older {to}: what that does not know makes the \
         restore fail, before anything that is there is changed";
    Understands { from: String, to: String } = "the dump is of {from}, which {to} understands";
    RoomForAnother { database: String, there: Size, dump: Size } =
        "the server needs room for a second {database}: about as much as the {there} of what is \
         there, which is kept, or the {dump} of the dump; how much it has left cannot be asked";
    RoomForNew { dump: Size } =
        "the server needs room for it: at least about the {dump} of the dump, and more for \
         indexes; how much it has left cannot be asked";
    NotInContainer { container: String } =
        "a dump of the format `directory` is loaded from this machine, not in container \
         {container}: give the source a host, or restore it into a folder";
    LoadedWhole {} = "all of the dump is loaded, and other tables are dropped again";
    PlainIsWhole {} =
        "this dump is plain SQL: it is loaded whole, and other tables are dropped again";
    ViewsLeftOut {} = "views and references to other tables are left out";
    ViewsMissing {} =
        "views are left out, and what its tables refer to in others may be missing";
    TriggersLeftOut {} = "views, and what triggers need of other tables, are left out";
    NoTable { table: String } = "the snapshot has no table `{table}`";
    TablesFound { found: u64, asked: u64 } =
        "the snapshot has {found} of the {asked} tables: name them as they are, without their \
         database";
    TablesKept { found: String, asked: u64 } =
        "of the {asked} tables {found} are there, or can stay without the others: name those that \
         the snapshot has, as SCHEMA.TABLE, and for a part of a table the table itself";
    PsqlTooOld {} =
        "plain SQL needs a psql of August 2025 or later (13.22, 14.19, 15.14, 16.10, 17.6, 18), \
         which a dump cannot make run commands on its machine: update the client programs \
         (postgresql-client), or restore the dump into a folder and look at it first";
    CommandInDump { line: u64 } =
        "line {line} of this dump has a command of psql itself, which a dump has not: somebody may \
         have changed it; nothing of it was run on this machine; look at the file before restoring \
         it by hand";
    NotOfOneDatabase { what: String } =
        "this dump has {what}, which a dump of one database has not: somebody may have changed it; \
         look at the file before restoring it by hand";
    NotReadWhole { artifact: String } = "the tool stopped reading `{artifact}` before its end";
    OtherPages { path: String } =
        "{path} has pages of another size: stop the app, so that the file is not in use";
    DatabaseGone { database: String } = "the database {database} is not there any more";
    DatabaseMadeMeanwhile { database: String } =
        "the database {database} was made meanwhile, and no copy of it is kept";
    DatabasePlaced { database: String } =
        "the new one is in the place of {database} already";
    CopyNotWhole { copy: String, database: String } =
        "the copy {copy} of the database {database} has not all that is in it";

    // Volumes and their containers.
    VolumeRoom { needed: Size } =
        "about {needed} are to be written where Docker keeps its volumes: see that they have room \
         there (`df` on its machine)";
    LeftByRestore {} = "what it holds may be what this restore has left";
    LeftByEarlier {} = "what it holds may be what an earlier try has left";
    IsPaused { container: String } =
        "`{container}` is paused, and would go on in what is there: stop it, or restore the volume \
         beside";
    IsRestarting { container: String } =
        "`{container}` is being restarted again and again: stop it, or restore the volume beside";
    BegunToUse { container: String, volume: String } =
        "`{container}` has begun to use `{volume}`: stop it";
    VolumeOfOthers { volume: String } =
        "volume `{volume}` was made by somebody else just now";
    FilledInPart { volume: String, first: Told } =
        "{first}; `{volume}` was empty and is filled in part: remove it, and restore again";
    StillStopped { containers: String, first: Told } = "{first}; left stopped: {containers}";

    // Files.
    NothingOf { path: String } =
        "the snapshot has nothing of {path}: restore it beside, or choose paths that it has";
    LinkLeadsAway { path: String } = "a link in the snapshot leads away from {path}";

    // Keys.
    KeysAt { server: String } = "all keys at {server}";
    KeysThere { keys: u64, server: String } =
        "{keys} keys at {server} (nothing of them is kept)";
    KeysNotBeside {} =
        "keys have no place beside in a server: restore into a folder, and start a server of its \
         own on dump.rdb";
    KeysTogether {} =
        "single keys are not restored: restore into a folder, start a server on dump.rdb, and copy \
         them from there (MIGRATE … COPY)";
    OfCluster {} = "a part of a cluster is not restored into: restore into a folder";
    IsReplica {} = "this server is a replica: restore into its master";
    RedisTooOld {} = "the server is older than Redis 5 and does not take keys as they are";
    KeysDropped {} = "the server drops keys when its memory is full (maxmemory-policy)";
    LoadedInContainer { image: String } = "a container of {image} loads the snapshot first";
    LoadedHere {} = "the snapshot is loaded into this machine's memory first";
    NoKeyYet {} = "there is no key yet";
    StopUsers {} =
        "stop what uses it: for a while it is empty, then has some of its keys; what is written \
         meanwhile is lost";
    KeysTake { needed: Size, server: String, free: Size } =
        "the keys take {needed} of memory, and {server} may use {free}: raise its `maxmemory`";
    FunctionsUnknown { server: String } =
        "the snapshot has functions, which {server} does not know: update the server";
    FunctionsStay { why: String } = "functions are as they were: {why}";
    SomeKeys { server: String, first: Told } =
        "{first}; {server} has only some of its keys now: restore again, or the undo snapshot";
    SomeKeysKept { server: String, file: String, first: Told } =
        "{first}; {server} may have only some of its keys now: restore again; what was there before \
         is the snapshot {file}, which a server of its own can be started on";
    KeysByHand { file: String } =
        "it may have only some of its keys: restore again; what was there before is the snapshot \
         {file}, which a server of its own can be started on";
    KeysByUndo {} = "it may have only some of its keys: restore again, or the undo snapshot";
    KeysMissing { database: u64, keys: u64, wanted: u64 } =
        "database {database} has {keys} keys of {wanted} now: the server drops keys \
         (maxmemory-policy), or somebody else does";
    KeysMore { database: u64, keys: u64, wanted: u64 } =
        "database {database} has {keys} keys, {wanted} of them restored: somebody writes to it";
    NewerServerNeeded { first: Told } =
        "{first}; a server at least as new as the one it is from has to be on this machine";
    KeyRefused { server: String, why: String, advice: Told } =
        "{server} does not take a key: {why}; {advice}";
    CommandRefused { server: String, command: String, why: String, advice: Told } =
        "{server} refuses {command}: {why}; {advice}";
    NumberRefused { server: String, number: String, why: String } =
        "{server} has no database {number}: {why}; raise `databases` in its configuration";
    NotRedis { server: String } =
        "{server} does not answer as Redis or Valkey does: check host and port";
    KeysOfNewer { server: String, from: String } =
        "it is {server}, and the keys were loaded by {from}, whose form it does not know: install a \
         server of its version on this machine, or update it";
    NeedsRights { rights: String } = "the user needs: {rights}";
    RaiseMemory {} = "raise its `maxmemory`";
    RestoreMaster {} = "restore into its master";
    NoClusters {} = "a cluster is not restored";
    LastSaveFailed {} = "its last snapshot failed: look at its log and its disk";
    CommandUnknown {} =
        "the command is switched off or not known there: restore into a folder";
    LookAtLog {} = "look at the server's log";

    // What became of what was there.
    NothingChanged {} = "nothing that was there was changed";
    AllRestored {} = "everything is restored";
    SomeRestored { done: String, rest: String } = "restored: {done}; not restored: {rest}";
    CancelledAsAsked {} = "cancelled by request";
    GivenUp {} = "it was cut off again and again, and is given up";
    UndoAgain { run: String } =
        "the undo snapshot is tried again; run {run} restores after it";
    CopyGone {} = "the copy it was read from is gone";
    PutBackFrom { what: Told, kept: String } =
        "{what}: what was there was put back from {kept}, which stays until you remove it";
    NotPutBack { what: Told, why: Told } = "{what}: {why}";
    HalfWay { made: String } =
        "it may be half-way: look what is there; what was to take its place is {made}";
    MayBeRestored { path: String, before: String } =
        "look at {path}: it may be what was restored; what was there before is {before}";
    MayBeDone {} = "it may be restored already";
    NameByHand { path: String, why: String, before: String, made: String } =
        "{path} is not there ({why}): what was there before is {before}, what was to take its place \
         is {made}; give the one that you want its name";
    FileByHand { path: String, first: Told, before: String, made: String } =
        "{first}: look at {path}; what was there before is {before}, what was to take its place is \
         {made}";
    SomeInPlace { stages: String, tag: String, before: String } =
        "some of it may be in its place and some not: what is not waits in {stages}; what was there \
         before is kept beside it as `….before-{tag}` ({before})";
    NamesByHand { first: Told, database: String, before: String, made: String } =
        "{first}. What was there is {database}, or {before} if it was renamed already; what was to \
         take its place is {made} until then; ALTER DATABASE … RENAME TO … puts them in order";
    LookWhichNames { database: String, before: String, made: String } =
        "look which of these databases are there: {database}, {before} (what was there before), \
         {made} (what was to take its place)";
    CopyByHand { why: Told, database: String, before: String, made: String } =
        "the database {database} may be missing or not whole ({why}). What was there before is \
         {before}, what was to take its place is {made}: make {database} empty (DROP DATABASE, \
         CREATE DATABASE) and copy the one that you want into it (`mariadb-dump --routines --events \
         --triggers '{before}' | mariadb '{database}'`)";
    MayBeClosed { database: String, quoted: String, why: Told } =
        "{database} may be closed to everybody until ALTER DATABASE {quoted} ALLOW_CONNECTIONS \
         true: {why}";
    MayStayClosed { source: String, databases: String } =
        "the source `{source}` of a restore is gone, and some of the databases {databases} may be \
         closed to everybody: ALTER DATABASE … ALLOW_CONNECTIONS true opens them";

    // Drills: where.
    ScratchFile {} = "a scratch file";
    ScratchFolder {} = "a scratch folder";
    ScratchServer { kind: String, path: String } = "a scratch {kind} at {path}";
    ScratchAsStored { kind: String, image: String } =
        "a scratch {kind} in a container of {image}, the image that it was stored from";
    ScratchAsNow { kind: String, image: String } =
        "a scratch {kind} in a container of {image}, the image that its server runs in now";
    ServerNotInstalled { program: String, package: String } =
        "there is no {program} on this machine to restore into: install the server (apt-get \
         install {package})";
    ServerNotStarted { kind: String, said: String } = "the scratch {kind} did not start: {said}";
    ServerSilent { kind: String, why: Told } = "the scratch {kind} does not answer: {why}";
    NotLoaded { kind: String, said: String } = "{kind} did not load the snapshot: {said}";
    ScratchNotMade { path: String, why: String } =
        "the scratch folder {path} cannot be made: {why}";
    NotForScratch { path: String, why: String } =
        "{path} cannot be given to the scratch server: {why}";
    ExtensionMissing { why: Told } =
        "an extension of this dump could not be made here, so the dump was not tried: it is not \
         installed on this machine, or it needs a superuser, which dumps are not given: {why}";
    ScratchClosed { path: String } =
        "the scratch server, which does not run as root, cannot pass through {path}: name a \
         folder for drills that others may enter in BACKUP_SCRATCH_DIR";

    // Drills: the app.
    BootedIn { container: String, image: String } =
        "a copy of {container} from its image {image}, on a network that leads nowhere";
    BootAnswered { path: String, status: String, seconds: String } =
        "the app answered {path} with {status} after {seconds} s";
    BootHealthy { seconds: String } = "the app was healthy after {seconds} s";
    BootWrongAnswer { path: String, seconds: String, why: String } =
        "the app did not answer {path} as expected within {seconds} s: {why}";
    BootUnhealthy { seconds: String, why: String } =
        "the app was not healthy within {seconds} s: {why}";
    BootEnded { code: String } = "the app ended with exit code {code} instead of answering";
    BootNothingAsked {} =
        "nothing tells whether the app is well: its container has no health check, so name a path \
         and a port";
    BootNotTried { artifacts: String } =
        "the app was not booted: {artifacts} did not come back as it was";
    BootOutOfReach { kind: String } =
        "the app was not booted: its {kind} was tried by programs of this machine, which no \
         container reaches";
    BootNoName { artifact: String } =
        "the app was not booted: nobody here knows by what name it finds the server of \
         `{artifact}`, whose container is gone";
    BootNoUser { artifact: String } =
        "the app was not booted: nobody here knows a user and password of it for `{artifact}`";
    BootNameTaken { name: String } =
        "the app was not booted: two databases would be called {name}: name the one that it needs \
         in `needs`";
    BootWithout { mounts: String } = "not there while the app was tried: {mounts}";

    // Drills: checks.
    NothingChecks {} =
        "nothing here can check this kind of artifact: give the drill a command";
    NothingChecked {} = "nothing was checked";
    CameBackWhole { at: Timestamp, seconds: String } =
        "the snapshot of {at:.0} came back whole in {seconds} s, checks included";
    NotProven { at: Timestamp, why: Told } =
        "the snapshot of {at:.0} is not proven: {why}";
    CommandsOff {} =
        "commands of drills are not allowed on this server: set BACKUP_DRILL_COMMANDS=1 to \
         allow them";
    CommandEmpty {} = "it names no program";
    CommandGood {} = "it ended with 0";
    Answer { answer: String } = "the answer is `{answer}`";
    AnswerAsExpected { answer: String } = "the answer is `{answer}`, as expected";
    AnswerExpected { answer: String, expected: String } =
        "the answer is `{answer}`, expected `{expected}`";
    QuestionsNeedSql {} = "questions are for databases that know SQL: remove it";
    FilesRead { files: u64, size: Size } = "{files} files with {size} came back and could be read";
    FilesAgree { files: u64, size: Size } =
        "{files} files with {size} came back and could be read, as many as were stored";
    FilesDiffer {
        files: u64, size: Size, others: u64,
        filesbefore: u64, sizebefore: Size, othersbefore: u64
    } =
        "{files} files with {size} came back and could be read; {filesbefore} files with \
         {sizebefore} and {othersbefore} other members were stored, and {others} other members \
         came back";
    FilesMissing { unpacked: u64, there: u64 } =
        "{unpacked} files were unpacked, {there} are there";
    BytesMissing { unpacked: Size, there: Size } =
        "{unpacked} were unpacked, {there} can be read from the files";
    FilesUnreadable { why: String } = "not every file can be read: {why}";
    FilesNone {} = "there is no file in it: nothing is proven";
    TablesRead { tables: u64, rows: u64 } = "{tables} tables with {rows} rows could all be read";
    TablesAgree { tables: u64, rows: u64, counted: u64 } =
        "{tables} tables with {rows} rows came back; {counted} of them were counted when they \
         were stored, and all of these agree";
    TablesDiffer { count: u64, which: Told } =
        "{count} tables differ from when they were stored: {which}";
    RowsDiffer { table: String, rows: u64, rowsbefore: u64 } =
        "{table} has {rows} rows of {rowsbefore}";
    TableMissing { table: String, rowsbefore: u64 } =
        "{table} is not there, it had {rowsbefore} rows";
    TablesNone {} = "there is no table in it: there is nothing to prove";
    RolesBack { count: u64 } = "all {count} roles came back";
    RolesLacking { lacking: u64, count: u64, first: String } =
        "{lacking} of {count} roles did not come back: {first}";
    RolesNone {} = "there are no roles in it but a new server's: nothing is proven";
    UsersBack { count: u64 } = "all {count} users came back";
    UsersLacking { lacking: u64, count: u64, first: String } =
        "{lacking} of {count} users did not come back: {first}";
    UsersNone {} = "there are no users in it but a new server's: nothing is proven";
    AllSound {} = "every table and every index is sound";
    TablesSound {} = "every table is sound";
    FileSound {} = "the file is sound";
    ReferencesGood {} = "whatever a row refers to is there";
    ReferencesLost { count: u64 } =
        "{count} rows refer to rows that are not there: so the app has left them";
    KeysLoaded { keys: String } = "the snapshot was loaded whole; keys: {keys}";
    KeysNone {} = "there is no key in it: there is nothing to prove";
    KeysInFile { read: u64, expired: u64, loaded: u64 } =
        "{read} keys are in the file, {expired} of them expired; {loaded} were loaded";
    ProgramMissing { program: String } = "{program} is not on this machine";
    KeysUncounted {} = "it does not say how many keys it has read";
}
