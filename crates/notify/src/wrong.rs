//! What can be wrong with a setting.

/// What is wrong with a setting, and what to do; its name stands before it. Never what a secret
/// says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::EnumIter)]
pub enum Wrong {
    /// The kind does not have it.
    #[error("is no setting of the kind {0}")]
    Unknown(String),
    /// Given in the open.
    #[error("is a secret: give it as one")]
    Secret,
    /// Given as a secret.
    #[error("is no secret: give it as a setting")]
    NoSecret,
    /// Not given.
    #[error("is needed")]
    Needed,
    /// None of the words that it may be.
    #[error("is one of {words}, not `{text}`")]
    Choice {
        /// What it may be.
        words: String,
        /// What it is.
        text: String,
    },
    /// It cannot stand in a header.
    #[error("has a space or a character that a token has not: paste it anew")]
    HeaderSecret,
    /// No URL.
    #[error("is no address: write it as https://…")]
    Address,
    /// Not HTTP.
    #[error("must begin with https:// or http://")]
    Scheme,
    /// A user or a password is in it.
    #[error("has a user or password in it: leave them out")]
    Login,
    /// A fragment is in it.
    #[error("has a `#` in it: leave out what follows")]
    Fragment,
    /// A query is in it.
    #[error("has a `?` in it: this is the server's address")]
    Query,
    /// No host is in it.
    #[error("names no host")]
    Host,
    /// An address that nothing is sent to.
    #[error("is refused: the address {0} is a link-local, metadata, multicast or unspecified one")]
    Never(String),
    /// No mail address.
    #[error("is no mail address: write it as name@example.com")]
    MailAddress,
    /// No port.
    #[error("is a number from 1 to 65535")]
    Port,
    /// No name of a server.
    #[error("is the name of a mail server, such as smtp.example.com")]
    MailHost,
    /// A port in the name of a server.
    #[error("has a `:` in it: the port is a setting of its own")]
    MailHostPort,
    /// One of the recipients is none.
    #[error("has `{0}` in it, which is no mail address")]
    Recipient(String),
    /// None, or too many.
    #[error("is 1 to {0} mail addresses, with commas between")]
    Recipients(usize),
    /// A user without a password.
    #[error("is needed with a user name")]
    WithUser,
    /// A password without a user.
    #[error("is needed with a password")]
    WithPassword,
    /// A password in the open.
    #[error("is needed with a password: take `starttls` or `tls`")]
    Encryption,
    /// The TLS library does not take it.
    #[error("cannot be used: {0}")]
    Unusable(String),
    /// No PEM.
    #[error("is no certificate in PEM: paste it from `-----BEGIN CERTIFICATE-----` on")]
    Certificate,
    /// Not where a check is pinged.
    #[error("is the check's own ping address, without `/fail` after it")]
    PingAddress,
    /// Not a name of a topic.
    #[error("has only letters, digits, `_` and `-`, 64 at most")]
    Topic,
    /// Two ways to log in.
    #[error("or user name and password, not both")]
    TokenOrLogin,
    /// Not a bot's.
    #[error("is not as @BotFather gives it: 123456:ABC…")]
    BotToken,
    /// Not a chat's.
    #[error("is a number, such as -1001234567890, or a channel's @name")]
    ChatId,
    /// Not a thread's.
    #[error("is a number")]
    ThreadId,
    /// The address waits for it.
    #[error("is needed: the address has a place for it")]
    TokenPlace,
    /// It would be sent elsewhere.
    #[error("has the place for the token before its path")]
    TokenBeforePath,
    /// Too easily guessed.
    #[error("is too short: take {0} characters or more")]
    KeyShort(usize),
    /// Not Base64.
    #[error("begins with `whsec_` and is not Base64 after it")]
    KeyCoding,
    /// A header of ours.
    #[error("may not set `{0}`")]
    HeaderTaken(String),
    /// Not a header.
    #[error("are lines of `Name: value`")]
    HeaderLines,
    /// The HTTP library cannot work with it, in its words.
    #[error("{0}")]
    Said(String),
}
