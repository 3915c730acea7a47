//! What is refused, and why: the last of the sentences.

/// Gives the sentences before these, and these after them, to the macro that makes them.
macro_rules! with_refusals {
    ($($sentences:tt)*) => {
        facts! {
            $($sentences)*

            // Asked for, and not to be done now.
            NotThere { what: String, name: String } = "there is no {what} `{name}`";
            NameIsTaken { what: String, name: String } =
                "there is a {what} called `{name}` already: choose another name";
            ChangedByOther { name: String } =
                "`{name}` was changed by somebody else meanwhile: look at it again, then \
                 repeat the change";
            IsUsed { name: String, by: Told } = "`{name}` is used by {by}";
            UsedByRun {} = "a run under way: wait for its end or cancel it";
            UsedByApp { app: String } = "the app `{app}`";
            UsedByRoute { route: String } = "the route `{route}`";
            UsedByDeletion {} = "the deletion that has begun";
            LastAdmin { name: String } =
                "`{name}` is the last admin: make another user an admin first";
            IdentityIsTaken { by: String } =
                "this login of the other service is linked with `{by}` already: unlink it \
                 there first";
            DeclaredInFile { name: String } =
                "`{name}` is declared in backups.yml: change it there, the server reads it \
                 again";
            DeclaredByLabels { name: String } =
                "`{name}` is declared by labels on a container: change them there";
            QueuedAlready {} = "the run is queued already";
            RunWorksThere { run: String, destination: String, wanted: Told } =
                "run {run} works with `{destination}`: wait for its end or cancel it, then \
                 {wanted}";
            MayBeRemoved {} = "it can be removed";
            MayBeChanged {} = "its settings can be changed";
            MayBeUnlocked {} = "its locks can be removed";
            NeverRecoveredOver {} =
                "there are apps or destinations here, which a recovery would replace: recover \
                 on an empty server, or run `backup-orchestrator bootstrap ADDRESS --force`";
            NotLookedAt {} =
                "nothing was looked at by that word, or something else since: look again";

            // Messages that were not taken.
            ChannelOff {} = "the channel is disabled";
            ChannelGone {} = "the channel was removed";
            PlaceRefused { place: String, why: String } = "{place} is refused: {why}";
            PlaceUnreachable { place: String, why: String } = "{place} cannot be reached: {why}";
            PlaceLate { place: String, seconds: u64 } =
                "{place} did not answer within {seconds} s";
            PlaceThrottles { place: String } =
                "{place} wants fewer messages; it is tried again later";
            PlaceTroubled { place: String, status: String } =
                "{place} answered {status}: it has trouble of its own, and is tried again later";
            PlaceTakesNone { place: String, why: String } = "{place} does not take it: {why}";
            PlacePostpones { place: String, why: String } = "{place} does not take it now: {why}";
            PlaceOdd { place: String, status: String, kind: String } =
                "{place} answered {status}, but not as {kind} does; check the address";

            // Restores and snapshots.
            ConfirmReplaced { what: String, app: String } =
                "{what} would be replaced: give the app's name `{app}` to confirm it";
            ConfirmGoBack { app: String } =
                "what `{app}` has now would be replaced: give the app's name `{app}` to \
                 confirm it";
            BaseAlone {} =
                "this is a base backup: choose a moment that it leads to (`restore APP --at \
                 TIME`)";
            NoGoodToTry { app: String } = "`{app}` has no good snapshot to try: back it up first";
            NoGoodCopyOf { snapshot: String } = "snapshot {snapshot} has no good copy";
            NoGoodCopyThere { snapshot: String } =
                "snapshot {snapshot} has no good copy at that destination";
            HandedOutOther {} =
                "what was handed out before the damage was found is not what the other copy \
                 holds: read it again";
            IndexNotMade {} = "the index was not made: ask again";
            IndexGone {} = "the index was just removed: ask again";

            // WAL.
            NoWalArchive { app: String } =
                "`{app}` has no archive of WAL: say so in its settings first";
            WalElseNow { file: String, there: String, now: String } =
                "{file} is in the archive of WAL with other content ({there} there, {now} \
                 now): nothing is overwritten; two servers may be writing into one archive, \
                 or one was restored without a new timeline";
            PointIsThere { app: String, name: String } =
                "`{app}` has a restore point `{name}`: give another name";

            // Destinations.
            NothingDeletedThere { destination: String } =
                "`{destination}` is append-only: nothing is deleted there";
            KeyStaysThere { destination: String } =
                "`{destination}` is append-only: its old key cannot be removed; add a key, \
                 and enter its password in the destination's settings";
            KeyInUse {} =
                "this is the password in use: enter another one in the destination's settings \
                 first";
            NotRepository { destination: String } =
                "`{destination}` is no repository: only destinations with `layout` = \
                 `repository` are";
            ChangedMeanwhile { destination: String } =
                "`{destination}` was changed meanwhile: look at it, and try again";
            NoGoogleDrive { destination: String } = "`{destination}` is no Google Drive";
            NoGoogleClient {} = "enter the OAuth client's ID and secret first, and save";
            GoogleAddress { why: String } = "BACKUP_GOOGLE_AUTH_URL: {why}";
            GoogleForAMoment {} =
                "Google gave no lasting token: remove this client's access at \
                 https://myaccount.google.com/connections and connect again";
            GoogleUnreachable { why: String } = "Google could not be asked for the token: {why}";
            GoogleTooLong {} = "Google's answer is too long";
            GoogleUnclear { status: String } =
                "Google's answer ({status}) is not what it should be";
            GoogleRefused { said: String } =
                "Google refused ({said}): check client ID, client secret and the redirect \
                 address, then connect again";
        }
    };
}
