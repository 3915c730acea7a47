//! Why sources and destinations did not do what they were asked: more of the sentences.

/// Gives the sentences before these, and these after them, to what adds the last ones.
macro_rules! with_troubles {
    ($($sentences:tt)*) => {
        with_fields! {
            $($sentences)*

            // Secrets and addresses.
            SecretLocked {} =
                "a stored secret cannot be opened with the present APP_SECRET_KEY: put back the \
                 key the catalog was written with, or enter the secret again";
            AddressIsHere { address: String } =
                "the address {address} is this machine itself: set BACKUP_ALLOW_LOOPBACK=true if \
                 that is meant";
            AddressSpecial { address: String } =
                "the address {address} is a link-local, metadata, multicast or unspecified one: \
                 never an app";
            AddressOutside { address: String } =
                "the address {address} is outside the allowed networks (BACKUP_ALLOWED_NETWORKS)";
            IsRefused { what: String, why: Told } = "{what} is refused: {why}";
            HostUnknown { host: String, why: Told } =
                "the name `{host}` is not known: {why}; check host and network";
            NoAnswerInTime {} = "no answer in time";
            NoAddress {} = "it has no address";

            // Apps that keep to the contract.
            AppUnreachable { url: String, why: String } =
                "{url} cannot be reached: {why}; check that it runs and is on `backups_net`";
            AppUnauthorized { url: String } =
                "{url} answered 401: the token does not match; paste the one the app expects";
            AppBusy { url: String, status: String } =
                "{url} is busy ({status}); it is tried again later";
            AppStatus { url: String, status: String } = "{url} answered {status}";
            AppStatusSaid { url: String, status: String, said: String } =
                "{url} answered {status}: {said}";
            AppProtocol { url: String, why: String } = "{url} does not keep to the contract: {why}";
            ExportCut { size: Size, why: String } = "the export was cut after {size}: {why}";
            ExportDiffers { why: String } =
                "the export is not what the app declared: {why}; nothing was kept";
            ExportTooLarge { limit: Size } =
                "the export is larger than the {limit} allowed (BACKUP_MAX_SIZE_MB)";
            TookLonger { what: String, seconds: u64 } = "{what} took more than {seconds} s";
            AppExportFailed { said: String } = "the app's export failed: {said}";
            AppImportFailed { said: String } = "the app's import failed: {said}";
            ImportNotOffered { url: String } =
                "{url} takes nothing back: its capabilities do not say `restore`";
            ImportUnreadable { why: String } = "what was to be imported cannot be read: {why}";

            // What to do about a store's error.
            DoLookFolder {} = "check the folder, and whether somebody removed it";
            DoOtherName {} = "choose another name, or remove what is there yourself";
            DoPermissions {} = "check the destination's credentials and permissions";
            DoFreeRoom {} = "free room at the destination, or keep fewer snapshots";
            StorePatience {} = "the destination asks for patience; it is tried again";
            StoreLate {} = "the destination did not answer in time; check the network or the mount";
            DoReachStore {} = "check that the destination runs and can be reached";
            StoreOther {} = "the destination did not keep what it was sent; it is tried again";
            DoOtherCopy {} =
                "restore from another copy, and check the destination's disk or service";
            DoOtherFolder {} = "choose another name or folder";
            DoReport {} = "this is a fault of the orchestrator; please report it";
            EncryptionWrong { destination: String, why: String } =
                "the encryption of `{destination}`: {why}";
            NoRecipients { destination: String } =
                "`{destination}` is to be encrypted and has neither recipients nor a passphrase: \
                 enter one";
            NotOnMachine { program: String } = "{program} is not installed on this machine";

            // PostgreSQL.
            OddPostgres { place: String } = "{place} does not answer as PostgreSQL does";
            NoPgDump {} =
                "there is no pg_dump on this machine: install it (apt-get install \
                 postgresql-client), or name the database's `container`, which has one";
            NoPostgresIn { first: Told, container: String } =
                "{first}: is {container} a PostgreSQL container?";
            PgDumpOld { server: String, newest: String, then: Told } =
                "the server is PostgreSQL {server} and pg_dump is {newest}, which cannot dump it: \
                 {then}";
            DoPgDump { major: String } =
                "install pg_dump {major} (apt-get install postgresql-client-{major}), or name the \
                 server's `container`, which has one";
            DoOwnContainer { container: String } =
                "name the server's own container instead of {container}, or update its tools";
            VersionUntold { program: String, said: String } =
                "{program} does not tell its version: {said}";
            DoDatabaseName {} = "check the database's name";
            DoUserHba {} = "check user and password, and the server's pg_hba.conf";
            DoSslmode {} = "check sslmode and sslrootcert";
            DoSpoolRoom {} =
                "the spool folder is full: give it room for the whole database, or use the format \
                 custom, which needs none";
            DoReadAll {} = "grant the user pg_read_all_data, or use one that may read everything";
            NotPostgres { source: String, app: String } =
                "`{source}` of `{app}` is no PostgreSQL server: choose another source for its \
                 archive of WAL";
            HostOrContainer {} = "give the server's host, or its container";
            OfContainer { container: String, why: Told } = "container `{container}`: {why}";
            NoWayToContainer { container: String } =
                "container `{container}` has no address that may be connected to: the archive of \
                 WAL comes over the network, so put the database and the orchestrator into one \
                 network, or give the server's host instead of its container";
            PostgresUnreached { what: String, why: String } =
                "{what}: {why}; look whether PostgreSQL runs there and listens on that address";
            SlotsUntold {} = "the server does not tell of its slots";

            // MariaDB and MySQL.
            NoMariadbClient { why: Told } =
                "neither mariadb-dump nor mysqldump can be run: install MariaDB's client programs \
                 (Debian: mariadb-client), or name a container that has them; {why}";
            NameNotUtf8 {} = "the server told a database's name that is no UTF-8";
            NoDatabase { database: String } =
                "there is no database `{database}`, or the user may not see it";
            DoGrantDump {} = "grant the user what the dump needs";
            DoDatabaseRight {} = "correct the database's name";
            DoTls {} = "correct the source's TLS settings";
            DoNewerClient {} = "install a newer client program";

            // Redis and Valkey.
            RedisUnreachable { place: String, why: Told } =
                "{place} cannot be reached: {why}; check host, port and network, and that the \
                 server runs";
            SnapshotLate { place: String } =
                "the snapshot of {place} did not end in time: raise the app's time limit";
            SilentTooLong { place: String } = "{place} has said nothing for too long";
            ConnectionLost { place: String, why: Told } =
                "the connection to {place} was lost: {why}; the server's log tells whether it \
                 could make a snapshot";
            ConnectionClosed {} = "the connection was closed";
            TakesNothing {} = "it takes nothing";
            OddRedis { place: String, said: String } =
                "{place} does not answer as Redis or Valkey does (`{said}`): check host and port";
            Refuses { place: String, said: String } = "{place} refuses: {said}";
            DoRedisRights { command: String } = "the user needs: {command}";
            RedisNoReplication {} =
                "the server has replication switched off; such services have snapshots of their \
                 own";
            DoSetPassword {} = "set a password, or let us connect";
            ServerNotReady {} = "the server is not ready: try again later";
            DoLookLog {} = "look at the server's log";

            // SQLite.
            IsLink {} = "is a symbolic link: name the file it points to";
            IsNoFile {} = "is no regular file";
            DoPathOurs {} = "give the path as the orchestrator sees it";
            SourceTooLarge { source: String, size: Size, limit: Size } =
                "`{source}` has {size}, {limit} are allowed: raise BACKUP_MAX_SIZE_MB or the \
                 app's own limit";
            CopyLate {} =
                "the copy of the database did not end in time: raise the app's time limit";
            FileLocked { path: String } =
                "{path} is locked by another process; raise busy_timeout_secs, or look at who \
                 keeps it locked";
            SqliteSaid { path: String, said: String, then: Told } = "{path}: {said}: {then}";
            NotSqlite {} = "it is no SQLite database, or an encrypted one";
            DoSqliteRights {} =
                "the orchestrator must be able to read the file, and to write beside it where its \
                 journal mode is WAL";
            NoRoomWritten {} = "there is no room where it is written";
            DoLookSqlite {} = "look at the file with `sqlite3`";

            // Volumes.
            NoVolume { volume: String } =
                "Docker has no volume `{volume}` here: `docker volume ls` shows its names";
            NotVolumeName { name: String } =
                "`{name}` is not the name of a volume: letters, digits, `_`, `.` and `-`; a \
                 folder of this machine is a source of kind `files`";
            NoImage {} =
                "this Docker has no image at all, and a container (never started) is needed to \
                 read a volume: pull any";
            ImageNotThere { first: Told } =
                "{first}: pull it, or leave `image` out to use any that is here";
            DockerElsewhere {} = "DOCKER_HOST is no socket of this machine";
            VolumeDriver { driver: String } = "it belongs to the driver `{driver}`";
            VolumeOptions {} = "it has options: what it mounts is there while a container runs";
            MountedWithin { path: String } = "something is mounted in it, at {path}";
            NoUsualPlace { path: String } = "{path} is no usual place";
            NotSeen { path: String, why: String } = "{path} cannot be seen from here ({why})";
            BehindLink { path: String } = "{path} lies behind a link";
            UserNamespaces {} = "user namespaces give its owners other numbers here";
            NotReadAll { path: String } =
                "the orchestrator may not read everything in {path}: it is not root, or without \
                 CAP_DAC_READ_SEARCH";
            DoPauseSource {} = "set `containers` of this source to `pause`";
            DoPauseQuiesce {} = "set quiesce.mode to `pause`";
            StopRemoves { container: String } =
                "`{container}` was started with `--rm`: stopping removes it";
            StopReplaced { container: String } =
                "`{container}` belongs to a Swarm service, which replaces what is stopped";

            // Files, and snapshots of file systems.
            NoFileRoots {} =
                "no folder of this machine may be read: whoever runs the orchestrator names those \
                 that may in BACKUP_FILE_ROOTS";
            OutsideFileRoots { path: String, roots: String } =
                "{path} may not be read: BACKUP_FILE_ROOTS allows {roots}";
            NotLookedFor { path: String, why: String } = "{path} cannot be looked for: {why}";
            NothingAt { path: String } =
                "nothing is at {path}: is it mounted where the orchestrator runs?";
            LeadsOut { path: String } =
                "{path} leads out of the folders that BACKUP_FILE_ROOTS allows";
            IsLinkAt { path: String } =
                "{path} is a link: give the path that it leads to, or set `follow_symlinks`";
            NotInstalled { program: String, package: String } =
                "{program} is not installed: install the package {package}";
            NotOnBtrfs { path: String } =
                "{path} is not on Btrfs: set `snapshot` to what it is on, or to none";
            SubvolumeHidden { path: String } =
                "the top of the subvolume around {path} is not visible here: mount the whole \
                 subvolume";
            NothingMounted { path: String } = "nothing is mounted around {path}";
            NotOnLvm { path: String, why: Told } = "{path} is on no logical volume: {why}";
            NotOnZfs { path: String, why: Told } = "no ZFS dataset holds {path}: {why}";
            ZfsElsewhere { path: String, line: String } =
                "the dataset around {path} is not mounted where ZFS says ({line}): mount it at \
                 the same path here";
        }
    };
}
