//! What is wrong with a setting of a destination, a source or a channel: more of the sentences.

/// Gives the sentences before these, and these after them, to what adds the last ones.
macro_rules! with_settings {
    ($($sentences:tt)*) => {
        with_refusals! {
            $($sentences)*

            // Destinations.
            DestinationKindStays {} =
                "the kind cannot be changed: add a new destination and choose it in the apps";
            LayoutStays {} =
                "the layout cannot be changed: add a new destination and choose it in the apps";
            KindHasNone {} = "this kind of destination has none of these";
            KindKnows { words: String } = "this kind of destination knows {words}";
            NameRemote {} = "name a remote, or set RCLONE_REMOTE";
            LocalFolder {} = "give the folder's absolute path, without `..`";
            LocalRoots { roots: String } = "local destinations must lie in {roots}";
            GiveNumber {} = "give its number";
            RegionLike {} = "for example us-west-004";
            MakeHmac {} = "make an HMAC key in the bucket's settings, under Interoperability";
            BucketAlone {} = "the bucket's name alone";
            SshNeeds {} = "an SSH server needs it";
            SshAlone {} = "it is for an SSH server, and `host` names none";
            FolderPlain {} = "a folder, without `..`";
            HostAlone {} = "a name or an address alone";
            UserSigns {} = "letters, digits and `.-_+@`";
            HostKeyWhole {} =
                "the server's whole public key, as `ssh-keyscan -t ed25519 HOST` shows it: a \
                 fingerprint is not enough for rsync";
            LockModes {} = "`governance` or `compliance`";
            LockModeOrNone {} = "say `governance` or `compliance`, or leave out the days";
            LockDays {} = "for how many days, from 1 to 36,500";

            // Encryption and repositories.
            NoneOrAge {} = "`none` or `age`";
            OpensNothing {} = "it opens nothing that is encrypted to these recipients";
            RecipientsOrPassphrase {} = "age takes recipients or a passphrase, not both";
            GiveEncryption {} = "give recipients, an identity or a passphrase";
            GiveRecipients {} = "give one to 64 age recipients, separated by commas";
            NoRecipient { text: String } =
                "`{text}` is no age recipient: it begins with `age1`, and `age-keygen -y` prints \
                 it from an identity";
            NoIdentity {} =
                "this is no age identity: it begins with `AGE-SECRET-KEY-1`, as `age-keygen` \
                 prints it";
            PassphraseEmpty {} = "the passphrase is empty";
            OneKeyId {} = "give the id of exactly one key";
            RestLayout {} =
                "a REST server takes the files of a repository and no others: choose \
                 `repository`, or another kind of destination";
            ObjectsOrRepository {} = "`objects` or `repository`";
            RepositoryEncrypted {} = "a repository is encrypted by itself: leave this out";
            RepositoryFolder {} = "a repository lies in one folder: give its path";
            RepositoryPassword {} = "give the repository's password";
            NoKeyOpens { keys: u64 } =
                "none of the {keys} keys opens with this password: check the password";

            // Addresses of destinations.
            AddressForms {} =
                "write it as file:///folder, s3://bucket/prefix, sftp://user@host/folder, \
                 rclone:REMOTE:FOLDER …";
            AddressPassword {} =
                "a password does not belong into an address, where others on the machine see it: \
                 give it with --set-file password=FILE";
            AddressSecret { key: String } =
                "`{key}` is a secret and does not belong into an address: give it with --set-file \
                 {key}=FILE";
            AddressSetting { kind: String, key: String } = "{kind} has no setting `{key}`";
            AddressCoding {} = "it is not written in UTF-8";
            AddressSlash {} = "it has one slash too few: write file:///folder";
            AddressUser {} = "no user belongs before its host: see the guide for this kind";
            AddressRclone {} = "write it as rclone:REMOTE:FOLDER";
            AddressOrKind {} = "give the destination's address, or its kind";
            KitKey {} = "the recovery key, as the kit prints it";
            NoCatalogCopy {} =
                "there is no copy of a catalog there: is it the right place? Snapshots alone are \
                 read by `backup-orchestrator bootstrap --manifests-only`";
            NoCopyUsable { why: String } =
                "no copy of the catalog there can be used: {why}; give the right key, or \
                 --manifests-only for the snapshots alone";
            OtherSecretKey {} =
                "APP_SECRET_KEY is another than the one in the copy, which alone opens its \
                 secrets: take it out of the environment; the right one is written into the data \
                 folder";

            // Sources.
            SourcesOrUrl {} = "give either `sources`, or `url` and `token` of one server";
            TwoSources { name: String } = "two sources are called `{name}`";
            SourceKinds {} = "use contract, postgres, mysql, redis, sqlite, volume or files";
            NoSuchSecret { kind: String } = "`{kind}` has no such secret";
            NoSuchSetting { kind: String } = "`{kind}` has no such setting";
            KindNeedsIt { kind: String } = "`{kind}` needs it";
            UrlControls {} = "an address has no control characters";
            UrlUnread { said: String } = "{said}: write it as `http://CONTAINER:PORT`";
            UrlScheme {} = "begin it with http:// or https://";
            UrlLogin {} = "leave user and password out: the token is a field of its own";
            UrlQuery {} = "leave `?` and `#` out: this is the base address";
            UrlHost {} = "it names no host";
            TokenForm {} = "a token is of 8 to 4,096 printable ASCII characters without spaces";
            PasteToken {} = "paste the token that the app expects";
            HostSocketContainer {} = "name a host, a socket or a container";
            HostSocket {} = "name a host or a socket";
            HostOrSocket {} = "name a host or a socket, not both";
            SlashFirst {} = "begin it with `/`";
            WholePathHere {} = "begin it with `/`: the whole path, as the orchestrator sees it";
            NameDatabase {} = "name a database, or `*` for all";
            StarAlone {} = "`*` is all of them: name no others beside it";
            StarAllDatabases {} = "`*` is all databases: leave out the others";
            HostOrItsContainer {} = "give the server's host, or its container";
            OneHost {} = "one host name, address or folder of a socket";
            ContainerNameOrId {} = "a container's name or id";
            DatabaseNames {} = "names of 1 to 63 bytes, commas between them";
            DatabaseTwice {} = "a database is named twice";
            DirectoryHere {} =
                "the directory format is written on this machine: use custom or plain with a \
                 container";
            DirectoryJobs {} = "only the format `directory` has several";
            FilePathWhole {} = "the whole path of a file";
            NoImageName { image: String } = "`{image}` is not the name of an image";
            OnlyForLvm {} = "it is for `snapshot: lvm`";

            // Channels of alerts.
            ChannelSetting { kind: String } = "is no setting of the kind {kind}";
            IsSecret {} = "is a secret: give it as one";
            IsNoSecret {} = "is no secret: give it as a setting";
            ChannelNeeds {} = "is needed";
            ChannelChoice { words: String, text: String } = "is one of {words}, not `{text}`";
            HeaderSecret {} = "has a space or a character that a token has not: paste it anew";
            NoWebAddress {} = "is no address: write it as https://…";
            AddressScheme {} = "must begin with https:// or http://";
            AddressLogin {} = "has a user or password in it: leave them out";
            AddressFragment {} = "has a `#` in it: leave out what follows";
            AddressQuery {} = "has a `?` in it: this is the server's address";
            AddressHost {} = "names no host";
            AddressNever { address: String } =
                "is refused: the address {address} is a link-local, metadata, multicast or \
                 unspecified one";
            NoMailAddress {} = "is no mail address: write it as name@example.com";
            MailPort {} = "is a number from 1 to 65535";
            MailHost {} = "is the name of a mail server, such as smtp.example.com";
            MailHostPort {} = "has a `:` in it: the port is a setting of its own";
            MailRecipient { text: String } = "has `{text}` in it, which is no mail address";
            MailRecipients { most: u64 } = "is 1 to {most} mail addresses, with commas between";
            NeededWithUser {} = "is needed with a user name";
            NeededWithPassword {} = "is needed with a password";
            MailEncryption {} = "is needed with a password: take `starttls` or `tls`";
            CertificateUnused { said: String } = "cannot be used: {said}";
            NoCertificate {} =
                "is no certificate in PEM: paste it from `-----BEGIN CERTIFICATE-----` on";
            PingAddress {} = "is the check's own ping address, without `/fail` after it";
            TopicSigns {} = "has only letters, digits, `_` and `-`, 64 at most";
            TokenOrLogin {} = "or user name and password, not both";
            BotToken {} = "is not as @BotFather gives it: 123456:ABC…";
            ChatId {} = "is a number, such as -1001234567890, or a channel's @name";
            ThreadId {} = "is a number";
            TokenPlace {} = "is needed: the address has a place for it";
            TokenBeforePath {} = "has the place for the token before its path";
            KeyShort { least: u64 } = "is too short: take {least} characters or more";
            KeyCoding {} = "begins with `whsec_` and is not Base64 after it";
            HeaderTaken { name: String } = "may not set `{name}`";
            HeaderLines {} = "are lines of `Name: value`";
        }
    };
}
