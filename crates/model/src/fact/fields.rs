//! What is wrong with a field that somebody filled in.

/// Gives the sentences before these, and these after them, to what adds the last ones.
macro_rules! with_fields {
    ($($sentences:tt)*) => {
        with_settings! {
            $($sentences)*

            // What people write: names, identifiers, words.
            NameEmpty {} = "a name cannot be empty";
            NameTooLong { most: u64, has: u64 } =
                "a name takes at most {most} characters, this one has {has}";
            NameSign { sign: String } =
                "`{sign}` cannot be in a name: use letters, digits, `-`, `_` and `.`, and begin \
                 with a letter or digit";
            NameDots {} = "`..` cannot be in a name";
            NoIdentifier { text: String } =
                "`{text}` is not an identifier: it takes 26 letters and digits, as the lists \
                 print them";
            NoDestinationKind { word: String } =
                "`{word}` is not a kind of destination: use local, s3, rclone, sftp, webdav, b2, \
                 azblob, gcs, gdrive, tree or rest";
            NoChannelKind { word: String } =
                "`{word}` is not a kind of channel: use email, telegram, webhook, ntfy, slack, \
                 discord, gotify or healthchecks";
            NoWalPosition { text: String } =
                "\"{text}\" is no position in a WAL: write it as PostgreSQL does, such as \
                 16/B374D848";

            // Schedules and lengths of time.
            NoSchedule { text: String, why: Told } =
                "`{text}` is no schedule: use `daily`, `weekly`, `@every 4h` or cron's five \
                 fields such as `0 3 * * *` ({why})";
            ScheduleTooLong {} = "it is too long";
            IntervalUnclear {} = "the interval is unclear";
            NotFiveFields {} = "it has not five fields";
            IntervalBounds {} = "an interval takes from one minute to 366 days";
            CronSeconds {} =
                "a cron with seconds is not accepted: give five fields, once a minute is the most";
            NeverFires { text: String } = "`{text}` never fires: no such date exists";
            NoTimeZone { text: String } =
                "`{text}` is no time zone: use a name such as `Europe/Madrid` or `UTC`";
            TimeOfSchedule {} = "a time is written 03:00";
            AtMostDay {} = "at most a day (86,400)";
            NoLength { text: String } = "`{text}` is no length of time: write `30d`, `12h` or `1w`";
            RuleCount { rule: String, most: u64 } =
                "{rule} takes a number from 1 to {most}; leave it out to have no such rule";

            // Templates of names, and folders.
            NoTemplateField { name: String } =
                "`{{{name}}}` is no field: use app, source, run, kind, or a time such as \
                 YYYYMMDD_HHMM";
            BraceOpen {} = "a brace is left open";
            NameConstant {} = "put a time or `{{run}}` into it: every run needs a name of its own";
            TemplatePath {} =
                "a name is relative, of letters, digits and ` ._-+=@`, without `..` or empty parts";
            SourceInFolder {} =
                "`{{source}}` belongs after the last `/`: a manifest lies in one folder with the \
                 objects it names";
            RelativeFolder {} =
                "a folder is a relative path such as `apps/shop`, without `..`, empty parts or \
                 control characters";
            FolderOfCopies {} = "this folder is for copies of the catalog";
            AbsolutePath {} = "an absolute path";
            AbsolutePathPlain {} = "an absolute path, without `..`";
            AbsolutePathLike { path: String } = "an absolute path, such as {path}";
            AbsolutePathFor { path: String } = "{path}: give an absolute path, without `..`";

            // Numbers, words and lines.
            IsNeeded {} = "this is needed";
            WholeNumber {} = "a whole number, such as 7";
            WholeNumberWithin { least: String, most: String } =
                "a whole number from {least} to {most}";
            NumberWithin { least: u64, most: u64 } = "from {least} to {most}";
            HoursWithin { least: u64, most: u64 } = "from {least} to {most} hours";
            DaysWithin { least: u64, most: u64 } = "from {least} to {most} days";
            HoursUpTo { most: u64 } = "1 to {most} hours";
            DaysUpTo { most: u64 } = "1 to {most} days";
            AtMostOf { count: u64 } = "at most {count}";
            MoreThanNone {} = "more than 0";
            AtLeastKept {} = "at least 256 MiB";
            TenSecondsToWeek {} = "from 10 seconds to a week";
            SecondToYear {} = "from a second to a year";
            MinuteToYear {} = "from a minute to a year";
            SecondsToDay {} = "seconds, from 1 to a day (86,400)";
            SecondsToHour {} = "seconds, from 1 to an hour (3,600)";
            OneOfThese { words: String } = "one of {words}";
            TrueOrFalse {} = "`true` or `false`";
            AtMostCharacters { count: u64 } = "at most {count} characters";
            OneLine {} = "one line without control characters";
            OneLineUpTo { count: u64 } = "one line of at most {count} characters";
            SecretLine {} = "one line of at most 4,096 bytes";
            SettingBytes {} = "at most 4,096 bytes";
            SettingCharacters {} = "at most 1,024 characters without control characters";
            NoControls {} = "no control characters";
            NoDashFirst {} = "it cannot begin with `-`";
            CommitId {} = "a commit id has 7 to 64 hexadecimal digits";

            // Apps.
            ChooseDestination {} = "choose at least one destination";
            NoSuchDestination { name: String } = "there is no destination `{name}`";
            NoSuchApp { name: String } = "there is no app `{name}`";
            ChosenTwice {} = "it is chosen twice";
            OnlyTree {} =
                "a destination of trees is the only one of an app with files: let another app \
                 read the same files for the others";
            NoCompression { text: String } =
                "`{text}` is no compression: use `none`, `gzip` (levels `gzip:1` to `gzip:9`) or \
                 `zstd` (`zstd:1` to `zstd:19`)";
            NameContainers {} =
                "name the app's containers: none of its sources is a volume that tells them";
            AtMostContainers { count: u64 } = "at most {count} containers";
            ContainerName {} = "the name of a container";
            HooksOrOther {} = "`hooks`, or another one: with `none` no command is run";
            HookBefore {} = "`hooks` takes at least one command before";
            AtMostCommands { count: u64 } = "at most {count} commands";
            ProgramAndArguments {} = "a program and its arguments";
            NamePostgres {} = "name a source of the app that is a PostgreSQL server";
            NameOwnDestination {} = "name one of the app's destinations";
            NoWalThere {} =
                "a REST server keeps a restic repository and nothing beside it, and WAL lies \
                 beside repositories: choose another of the app's destinations, or add one";
            KindOfDeclared { name: String, kind: String } =
                "`{name}` is of kind `{kind}`, and a kind cannot be changed: give the new one \
                 another name";
            DeclaredTwice { name: String } = "`{name}` is declared twice";
            DeclaredElsewhere { what: String, name: String } =
                "there is already another {what} `{name}`, which is not declared here: choose \
                 another name, or rename or remove that one first";

            // Drills.
            AtMostChecks { count: u64 } = "at most {count} questions and commands";
            AQuery {} = "a query";
            AContainer {} = "a container";
            PathFromRoot {} = "a path that begins with / and has no spaces";
            APort {} = "a port, from 1 to 65535";
            AStatus {} = "a status, from 100 to 599";
            BootSeconds {} = "seconds, from 1 to 3600";
            AUser {} = "a user";

            // Alerts.
            ChannelKindStays {} =
                "the kind cannot be changed: add a new channel and choose it in the routes";
            HourOfDay {} = "an hour, from 0 to 23";
            OneChannel {} = "at least one channel";
            LeastSeverity {} = "info, warning or error";
            DigestWords {} = "none, daily or weekly";
            NoAlertKind {} = "no such kind of alert";
            NoSuchChannel { name: String } = "there is no channel `{name}`: add it first";
            TimeOfDay {} = "a time of the day, such as 22:00";
            OtherTime {} = "another time than the one they begin at";

            // Restores, moments, looking into snapshots.
            AtMostParts { count: u64 } = "at most {count} parts";
            SayFolder {} = "its server is in no container of this Docker: say into which folder";
            MomentUnread {} = "A time and its zone are needed, such as 14:30:00 and Europe/Madrid.";
            MomentTwice { first: String, second: String } =
                "This time comes twice, because clocks are put back then. Write one of these as \
                 the zone's offset: {first} or {second}.";
            MomentNever { at: String } =
                "This time never was, because clocks are put forward then, at {at}.";
            PointName {} = "1 to 63 letters, digits and . _ - :";
            CannotLookInto { source: String, why: String } =
                "`{source}` cannot be looked into: {why}";
            NeitherFile {} = "it is neither a file nor a folder: download the folder that holds it";
            OtherApps {} = "it is of another app: only snapshots of one app are compared";

            // What this host has.
            CoverageId {} = "`volume:NAME` or `database:CONTAINER`, as coverage shows it";
            TickSome { most: u64 } = "tick 1 to {most} of what was found";
            NothingReadable { id: String } = "`{id}` is nothing that can be read";
            NotOfHost { id: String } = "`{id}` is no volume or database here";
            CoveredAlready { id: String, apps: String } = "`{id}` is in {apps} already";

            // WAL that a server hands over.
            NoWalFile { name: String } = "`{name}` is no name of a file of WAL";
            OnlySegmentBegins {} = "only a segment has a beginning";
            NoWalSize { bytes: u64 } = "{bytes} bytes are no file of WAL";
            WalCutShort { came: u64, size: u64 } = "{came} bytes came of {size}: it is not taken";
            NoTimelineFirst { name: String } = "`{name}` begins with no timeline";
            NoSegmentHead {} =
                "it does not begin as a segment does: hand over the server's own files";
            NoSegmentSize { bytes: u64 } = "{bytes} bytes are no size of a segment";
            NoSegmentName {} = "this is no name of a segment of that size";
            OtherSegment { position: String, bytes: u64 } =
                "it is the segment at {position} of {bytes} bytes, and not what its name says";

            // Users, tokens and logins.
            PasswordKnown {} = "this password is one that everybody tries first: choose another";
            PasswordIsName {} = "the password is the user's name: choose another";
            PasswordShort {} = "the password is too short: at least 10 characters";
            PasswordLong {} = "the password is too long: at most 512 bytes";
            PasswordRepeats {} = "the password repeats a few characters: choose another";
            NoOtherLogin {} = "there is no other service to log in through: set OIDC_ISSUER first";
            OwnFactorFirst {} = "set up a second factor of your own first, on your account's page";
            FactorCode {} = "of the second factor, or a recovery code";
            FactorCodeWrong {} = "the code is wrong or was used already: wait for the next one";
            ChooseScopes {} = "choose at least one of read, run, restore, admin, append";
            AdminForAll {} = "a token with the scope admin is for everything: choose other scopes";
            MomentPassed {} = "the moment has passed already";
            LengthOrMoment {} = "give this or expires_at, not both";
            TokenLength {} = "a length of time such as 90d or 12h";
            WriteDay {} = "write a day as 2026-11-30, or a whole moment";
            LogLevels {} = "choose debug, info, warning or error";
        }
    };
}
