//! Everything that restores and drills have to say.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{EnumIter, IntoStaticStr};

/// A number of bytes in a sentence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

/// A thing that a sentence names, for whoever writes it in another language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactValue {
    /// A name, a path, or what a program said.
    Text(String),
    /// How many.
    Count(u64),
    /// How many bytes.
    Size(u64),
    /// When.
    Time(Timestamp),
}

impl From<&String> for FactValue {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<&u64> for FactValue {
    fn from(count: &u64) -> Self {
        Self::Count(*count)
    }
}

impl From<&Size> for FactValue {
    fn from(bytes: &Size) -> Self {
        Self::Size(bytes.0)
    }
}

impl From<&Timestamp> for FactValue {
    fn from(at: &Timestamp) -> Self {
        Self::Time(*at)
    }
}

macro_rules! facts {
    ($($name:ident { $($field:ident: $of:ty),* } = $text:literal;)*) => {
        /// A sentence without its language: a stable code, and what it names.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EnumIter, IntoStaticStr)]
        #[serde(tag = "code", content = "facts", rename_all = "snake_case")]
        #[strum(serialize_all = "snake_case")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum Fact {
            $(
                #[doc = $text]
                $name {
                    $(
                        #[doc = concat!("`", stringify!($field), "` of the sentence.")]
                        $field: $of,
                    )*
                },
            )*
        }

        impl fmt::Display for Fact {
            #[allow(unused_variables, reason = "not every text names everything")]
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name { $($field),* } => write!(f, $text),)*
                }
            }
        }

        impl Fact {
            /// Its code, which stays the same in every version.
            pub fn code(&self) -> &'static str {
                self.into()
            }

            /// What it names.
            pub fn values(&self) -> Vec<(&'static str, FactValue)> {
                match self {
                    $(Self::$name { $($field),* } => vec![
                        $((stringify!($field), FactValue::from($field)),)*
                    ],)*
                }
            }
        }
    };
}

facts! {
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
        "there is a copy at `{destination}`, last re-read {at}";
    CopyNotReread { destination: String } =
        "there is a copy at `{destination}`, not re-read since it was stored";
    CopyLocked { destination: String, why: String } =
        "the copy at `{destination}` cannot be opened: {why}";
    NoGoodCopy {} = "this snapshot has no good copy to read from";

    // Parts.
    TablesAreOfDatabases {} = "tables are chosen for databases";
    PathsAreOfArchives {} = "it is no archive: no paths can be chosen of it";
    DatabaseHasTables {} = "a database has tables, not paths";
    TablesBeside {} = "tables are restored beside the database, to be copied from there";
    TablesNeedCustom {} =
        "single tables need a dump of the format `custom`; this one is plain SQL";
    TablesOfOneSchema {} = "the tables of one restore are to be in one schema";
    TablesComeBare {} = "tables alone come without their indexes and constraints";
    SqliteWhole {} =
        "tables of a SQLite file are not restored one by one: restore the file beside, and copy \
         them from there (ATTACH)";
    MysqlWhole {} =
        "single tables of a dump are not restored: restore the database beside, and copy them \
         from there (INSERT … SELECT)";
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
    VolumeOnlyIfEmpty { volume: String, why: String } =
        "volume `{volume}` is filled only if it is empty, because its folder cannot be exchanged \
         ({why}): else restore it beside, and point your compose file at the new volume";
    VolumeHoldsFiles { volume: String, why: String } =
        "volume `{volume}` holds files, and its folder cannot be exchanged here ({why}): restore \
         it beside, and point your compose file at the new volume";
    StoppedMeanwhile { containers: String } =
        "stopped meanwhile, and started again: {containers}";

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
    DoesNotGoOn { container: String, why: String } = "`{container}` does not go on: {why}";
    LeftOver { what: String, why: String } = "{what} is left over: {why}";
    OtherRows { table: String, rows: u64 } =
        "the table {table} came back with other rows than the {rows} it was stored with";
    UndoNotTaken { why: String } =
        "the undo snapshot could not be taken ({why}): nothing was changed; where there is nothing \
         left to save, restore without one";

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
    ServerSilent { kind: String, why: String } = "the scratch {kind} does not answer: {why}";
    NotLoaded { kind: String, said: String } = "{kind} did not load the snapshot: {said}";
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
        "the snapshot of {at} came back whole in {seconds} s, checks included";
    NotProven { at: Timestamp, artifacts: String, why: String } =
        "the snapshot of {at} is not proven: {why}";
    CommandsOff {} =
        "commands of drills are not allowed on this server: set BACKUP_DRILL_COMMANDS=1 to \
         allow them";
    CommandEmpty {} = "it names no program";
    CommandGood {} = "it ended with 0";
    Answer { answer: String } = "the answer is `{answer}`";
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
    FilesUnreadable { why: String } = "not every file can be read: {why}";
    FilesNone {} = "there is no file in it: nothing is proven";
    TablesRead { tables: u64, rows: u64 } = "{tables} tables with {rows} rows could all be read";
    TablesAgree { tables: u64, rows: u64, counted: u64 } =
        "{tables} tables with {rows} rows came back; {counted} of them were counted when they \
         were stored, and all of these agree";
    TablesDiffer { count: u64, which: String } =
        "{count} tables differ from when they were stored: {which}";
    TablesNone {} = "there is no table in it: there is nothing to prove";
    RolesThere { count: u64 } = "{count} roles are there";
    UsersThere { count: u64 } = "{count} users are there";
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
