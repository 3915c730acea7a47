//! What the doctor finds, and what it advises.

/// Gives the sentences before these, and these after them, to what adds the last ones.
macro_rules! with_checks {
    ($($sentences:tt)*) => {
        with_troubles! {
            $($sentences)*

            // What a program, a server or the system said.
            Said { said: String } = "{said}";

            // Apps that keep to the contract.
            Answers { place: String } = "{place} answers";
            TokenAccepted {} = "the token is accepted";
            ContractIs { version: String, types: String } = "contract {version}, types {types}";
            Expects { size: Size } = "it expects {size}";
            ExpectsTooMuch { size: Size, limit: Size } = "it expects {size}, {limit} are allowed";
            DoTokenAgain {} = "enter the token again";
            DoNetwork { host: String } =
                "check that `{host}` runs, is on the network `backups_net`, listens on 0.0.0.0, \
                 and that the port is right: docker network connect backups_net {host}";
            DoHealthz {} = "serve GET /healthz so that container engines can see it live";
            DoRaiseLimit {} = "raise BACKUP_MAX_SIZE_MB or the app's own limit";
            DoPasteToken {} = "paste the token from the sidecar's `.env` (BACKUP_API_TOKEN)";
            DoContractCheck {} = "look at the app's or sidecar's log; `contract check` tells more";

            // Destinations.
            OpensAs { place: String } = "opens as {place}";
            DoDestinationSettings {} = "correct the destination's settings";
            LocksGo {} = "lock files are removed when they are given back";
            LocksStay {} =
                "lock files cannot be removed: each counts for half an hour, and then lies there";
            DoLetLocksGo {} =
                "allow deletion in the folder `locks` alone, or let a rule of the storage remove \
                 what is a day old there";
            DoSeeLocks {} =
                "see who else works on the repository, and that the folder `locks` can be written";
            ObjectLockOn {} = "the bucket knows Object Lock";
            ObjectLockOff {} =
                "Object Lock is off in this bucket: nothing that is written can be locked";
            DoObjectLock {} = "switch it on in the bucket's properties, or leave the setting out";
            DoAskObjectLock {} =
                "allow s3:GetBucketObjectLockConfiguration to see whether it is on";
            TreesReady {} = "rsync and what else trees need are there";
            DoTrees {} = "install rsync, and on a server also GNU findutils, coreutils and tar";
            Encrypted {} = "encrypted with age, and the key to read it is here";
            EncryptedNoKey {} =
                "encrypted with age, and the identity is not here: verification sees damage to \
                 stored bytes only, and nothing can be restored from here";
            EncryptedOtherKey {} =
                "encrypted with age, and the identity here does not belong to its recipients: \
                 what is written now cannot be restored from here";
            DoEncryption {} = "correct the destination's encryption";
            DoIdentity {} =
                "enter the age identity, or keep it where a restore by hand will find it";
            DoIdentityAgain {} = "enter the age identity again";
            CanaryWritten {} = "a small object was written and read back";
            DoCanary {} = "check that the credentials may write there, and that there is room";
            CanaryListed {} = "the listing shows it";
            CanaryNotListed {} = "the listing does not show what was just written";
            DoTrueListing {} =
                "retention needs true listings: check for caches between here and there";
            DoLetList {} = "the credentials must be able to list";
            CanaryStays {} = "it is still there after its deletion";
            CanaryDeleted {} = "it was deleted";
            DeletionPossible {} =
                "deletion is possible although the destination is said to be append-only";
            DoNotDelete {} = "use credentials that cannot delete, or switch append-only off";
            DeletionRefused { why: Told } = "deletion is refused: {why}";
            DoLetDelete {} =
                "retention needs to delete: allow it, or say that the destination is append-only";

            // The machine of the orchestrator.
            ClockWell {} = "it has not jumped";
            ClockJumped { at: Timestamp } =
                "it moved by more than a day at {at}; nothing expires meanwhile";
            DoAcceptClock {} = "if it is right now: backup-orchestrator accept-clock";
            DockerUnused {} = "not used: DOCKER_HOST is not set";
            DoDockerHost {} = "mount Docker's socket, or start the proxy that DOCKER_HOST names";
            DockerAnswers { host: String, count: u64 } = "{host} answers: {count} containers";
            DoDockerProxy {} = "the guide lists what a proxy in front of Docker has to allow";
            SocketMounted { socket: String } =
                "{socket} itself is mounted here: who has it has this machine, and mounting it \
                 read-only changes nothing about that";
            DoFilter {} = "put a filtering proxy in between; the guide says what it has to allow";
            RoomIs { path: String, free: u64, all: u64 } =
                "{path} has {free} MiB free of {all} MiB";
            DoMakeRoom {} = "make room: what must be whole before it is sent waits there";
            DoDataFolder {} = "check the data folder";

            // Sources of every kind.
            LoginAccepted { server: String } = "the login is accepted by {server}";
            DoPassword {} = "enter the password again";
            DoUserPassword {} = "enter user and password again";
            DoHostPort {} = "check host, port and network, and that the server runs";
            DoSourceSettings {} = "change the source's settings";
            SizeIs { size: Size } = "{size}";
            IsTooLarge { what: String, size: Size, limit: Size } =
                "{what} has {size}, {limit} are allowed";

            // PostgreSQL.
            DoStartServer {} = "start the server, and check host, port and network";
            DoLoginHba {} = "enter user and password again, and allow them in pg_hba.conf";
            DoServerLog {} = "look into the server's log";
            PostgresAnswers { major: String, address: String } =
                "PostgreSQL {major} answers at {address}";
            MayLogIn { user: String } = "`{user}` may log in";
            CanDump { major: String } = "pg_dump {major} can dump it";
            DatabasesSeen { databases: String } = "visible: {databases}";
            RolesNoPasswords {} = "roles are dumped without their passwords";
            DoReadAllOrSet {} = "grant pg_read_all_data, or set them after a restore";
            Unreadable { count: u64, database: String } =
                "{count} tables or sequences of {database} cannot be read";
            ReadableNow { database: String } =
                "everything in {database} can be read now, new tables may not";
            Readable { database: String } = "everything in {database} can be read";

            // MariaDB and MySQL.
            DoMariadbClient {} = "install MariaDB's client programs (Debian: mariadb-client)";
            DatabasesSized { databases: String, size: Size } = "{databases}; {size} in all";
            DoDatabaseNames {} = "correct the names, or let the user see the databases";
            UsersNotDumped {} = "the dump program here cannot write users and grants";
            DoUsersOut {} = "install MariaDB's client programs, or leave `users` out";

            // Redis and Valkey.
            DoInfo {} = "enter user and password again, and let the user run INFO";
            NoKeys {} = "no keys";
            MemoryUsed { size: Size } = "{size} of memory; a snapshot is mostly smaller";
            ReplicaLost {} =
                "this server is a replica that has lost its master, and gives no snapshot";
            DoReplica {} = "look at its connection to the master";
            MaySnapshot {} = "the user may ask for a snapshot (SYNC)";
            MayNotSnapshot {} = "the user may not ask for a snapshot, or the server has no SYNC";
            SnapshotUntold {} = "whether a snapshot may be asked for cannot be told here";
            DoRun {} = "a run will tell";

            // SQLite.
            DoPathSeen {} = "enter the path as this machine or container sees it";
            PathThere { path: String } = "{path} is there";
            SqliteReads { version: String, tables: u64, mode: String } =
                "SQLite {version} reads it: {tables} tables, journal mode {mode}";
            DoSqlite {} = "look at the file with `sqlite3`, and at who may read it";
            DoOwnLimit {} = "raise the app's own limit";
            FreeIn { size: Size, path: String } = "{size} are free in {path}";
            DoRoomForCopy {} = "the copy needs as much room as the database";
            DoSpool {} = "the orchestrator needs a folder it can write";

            // Volumes.
            DoVolume {} = "correct the source's settings, or what DOCKER_HOST may do";
            VolumeThere { volume: String, image: String } =
                "`{volume}` is there; held by way of the image {image}";
            ReadByDocker {} = "through Docker, as the source says";
            ReadByDockerFor { why: Told } = "through Docker: {why}";
            ReadDirectly { path: String } =
                "directly, at {path}, which each run proves to be Docker's first";
            NotDirectly { why: Told } = "not directly: {why}";
            DoReadAuto {} = "set `read` to `auto`, or end what is in the way";
            NobodyUses {} = "no running container uses it";
            WrittenMeanwhile { names: String } = "it is read while these write to it: {names}";
            DoPauseOrStop {} =
                "set `containers` to `pause` or `stop`, unless what writes there stays whole \
                 through a loss of power";
            PausedMeanwhile { names: String } = "paused while it is read: {names}";
            HeldMeanwhile { names: String } = "stopped while it is read: {names}";
            DoPause {} = "set `containers` to `pause`";

            // Files.
            DoFileRoots {} =
                "name the folder in BACKUP_FILE_ROOTS, mount it where the orchestrator runs, and \
                 check its spelling";
            PathsAndMore { paths: String, more: u64 } = "{paths} and {more} more";
            DoLetRead {} = "let the orchestrator's user read it, or run the orchestrator as root";
            AllOpen {} = "all of them can be opened";
            CopiesWithin { path: String } =
                "copies of the app are kept in {path}, within what is read";
            DoElsewhere {} = "they are left out; keep them on another disk";
            DoFileSystem {} =
                "install what the file system needs, and let the orchestrator run as root";
            DoSnapshotKind {} = "set `snapshot` to the kind of file system that the path is on";
            SnapshotsForRoot {} = "snapshots are for root, and the orchestrator is another user";
            SnapshotsOf { volumes: String } = "snapshots are taken of {volumes}";

            // Archives of WAL.
            DoOtherSource {} = "choose another source";
            DoGiveHost {} = "give the server's host in the source's settings";
            DoLogin {} = "check host, port, user and password";
            WalOpen {} = "the replication protocol is open to us";
            PostgresIs { version: String } = "PostgreSQL {version}";
            DoNewerPostgres {} = "PostgreSQL 13 or later is needed";
            SettingIs { setting: String, value: String } = "{setting} = {value}";
            DoAndRestart { statement: String } = "{statement}; then restart the server";
            DoArchiveTimeout { statement: String } =
                "{statement}: a segment is handed over when it is full, which on a quiet server \
                 takes days";
            DoSlotBound { statement: String, reload: String } =
                "{statement}, at most half of the room that pg_wal has; {reload}: a second guard \
                 beside ours against a full disk";
            SlotKeepsMuch { size: Size, limit: Size } =
                "the server keeps {size} for us; {limit} are allowed";
            DoSeeWal {} = "see why WAL is not stored: `recovery status`";
            SlotIs { status: String, size: Size } = "the slot is {status}; {size} are kept";
            SlotLater {} = "the slot is made when receiving begins";
            WalRoom { size: Size, path: String, limit: Size } =
                "{size} are free at {path}, where the server keeps WAL; at most {limit} are kept \
                 for us";
            WalRoomBounded { why: Told, limit: Size } =
                "what is free where the server keeps WAL is not known ({why}); at most {limit} \
                 are kept for us";
            WalRoomUnknown { why: Told, limit: Size } =
                "what is free where the server keeps WAL is not known ({why}); up to {limit} are \
                 kept for us while the destination is away";
            DoSayMost { statement: String } =
                "say how much in the app's settings (most kept for us), or on the server: \
                 {statement}";
            RoleBlind { statement: String } =
                "our role may not see its data directory ({statement})";
            NotItsData { path: String } = "{path} on this machine is not its data directory";
            NotSeenHere { path: String } = "{path} cannot be seen from here";
            DoRolePassword { statement: String } =
                "set the password again: {statement} and enter the same here";
            DoAdmit { statement: String, line: String, other: String, reload: String } =
                "see that the role exists ({statement}), add the line `{line}` to pg_hba.conf \
                 with the address this connection comes from (`{other}` for a socket; `all` does \
                 not stand for `replication`), then {reload}";
            DoAsSuperuser { statement: String } = "as a superuser: {statement}";
            DoWaitOrSenders { statement: String } =
                "wait, or raise max_wal_senders: {statement} and restart";
        }
    };
}
