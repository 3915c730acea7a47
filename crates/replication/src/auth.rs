//! Making ourselves known: SCRAM, MD5, and a clear password where the way is encrypted.

use fallible_iterator::FallibleIterator;
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256},
    },
    message::{
        backend::{AuthenticationSaslBody, Message},
        frontend,
    },
};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    Error, Settings,
    server_error::{Asked, ServerError},
    wire::{Frame, Wire},
};

/// How the way is encrypted.
pub(crate) struct Way {
    pub(crate) encrypted: bool,
    /// What binds the password to the connection, where it can be.
    pub(crate) end_point: Option<Vec<u8>>,
}

/// Sends the first message and answers until the server is content.
pub(crate) async fn authenticate(
    wire: &mut Wire,
    settings: &Settings,
    way: Way,
) -> Result<(), Error> {
    let parameters = [
        ("user", settings.role.as_str()),
        ("replication", "true"),
        ("application_name", settings.application_name.as_str()),
        ("client_encoding", "UTF8"),
    ];
    frontend::startup_message(parameters, &mut wire.output)
        .map_err(|_| Error::Settings("the role's name must not hold a zero byte".into()))?;
    wire.flush().await?;
    let doing = format!("connecting to {} as \"{}\"", settings.host, settings.role);
    match next(wire, &doing, settings).await? {
        Message::AuthenticationOk => return Ok(()),
        Message::AuthenticationCleartextPassword => {
            if !way.encrypted {
                return Err(Error::Authentication(format!(
                    "{doing}: the server wants the password in clear over a connection without \
                     TLS, which is refused; write scram-sha-256 into pg_hba.conf, or use TLS"
                )));
            }
            let password = password(settings)?;
            frontend::password_message(password.expose_secret().as_bytes(), &mut wire.output)
                .map_err(zero_byte)?;
        }
        Message::AuthenticationMd5Password(body) => {
            let password = password(settings)?.expose_secret().as_bytes();
            let hash =
                SecretString::from(md5_hash(settings.role.as_bytes(), password, body.salt()));
            frontend::password_message(hash.expose_secret().as_bytes(), &mut wire.output)
                .map_err(zero_byte)?;
        }
        Message::AuthenticationSasl(body) => scram(wire, &doing, settings, way, &body).await?,
        _ => {
            return Err(Error::Authentication(format!(
                "{doing}: the server asks for a way to log in that is not known here; write \
                 scram-sha-256 into its line of pg_hba.conf"
            )));
        }
    }
    wire.flush().await?;
    match next(wire, &doing, settings).await? {
        Message::AuthenticationOk => Ok(()),
        _ => Err(Error::protocol("no end of the log-in")),
    }
}

async fn scram(
    wire: &mut Wire,
    doing: &str,
    settings: &Settings,
    way: Way,
    offered: &AuthenticationSaslBody,
) -> Result<(), Error> {
    let bad = |error: std::io::Error| {
        Error::Authentication(format!("{doing}: the server does not prove who it is: {error}"))
    };
    let offered: Vec<String> =
        offered.mechanisms().map(|name| Ok(name.to_owned())).collect().map_err(bad)?;
    let offers = |name: &str| offered.iter().any(|offer| offer == name);
    let (mechanism, binding) = match way.end_point {
        Some(end_point) if offers(SCRAM_SHA_256_PLUS) => {
            (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(end_point))
        }
        _ if !offers(SCRAM_SHA_256) => {
            return Err(Error::Authentication(format!(
                "{doing}: the server offers {offered:?}; only SCRAM-SHA-256 is known here"
            )));
        }
        // Tells the server that binding was possible: a middleman who took the offer away shows.
        Some(_) => (SCRAM_SHA_256, ChannelBinding::unrequested()),
        None => (SCRAM_SHA_256, ChannelBinding::unsupported()),
    };
    let password = password(settings)?;
    let mut scram = ScramSha256::new(password.expose_secret().as_bytes(), binding);
    frontend::sasl_initial_response(mechanism, scram.message(), &mut wire.output).map_err(bad)?;
    wire.flush().await?;
    let Message::AuthenticationSaslContinue(body) = next(wire, doing, settings).await? else {
        return Err(Error::protocol("SCRAM is not continued"));
    };
    // The server chooses how many rounds, up to 100 000.
    let mut scram = tokio::task::spawn_blocking(move || scram.update(body.data()).map(|()| scram))
        .await
        .map_err(|_| Error::Gone)?
        .map_err(bad)?;
    frontend::sasl_response(scram.message(), &mut wire.output).map_err(bad)?;
    wire.flush().await?;
    let Message::AuthenticationSaslFinal(body) = next(wire, doing, settings).await? else {
        return Err(Error::protocol("SCRAM does not end"));
    };
    scram.finish(body.data()).map_err(bad)
}

fn password(settings: &Settings) -> Result<&SecretString, Error> {
    settings.password.as_ref().ok_or_else(|| {
        Error::Authentication(format!(
            "{} asks for the password of \"{}\"; give one",
            settings.host, settings.role
        ))
    })
}

fn zero_byte(_: std::io::Error) -> Error {
    Error::Settings("a password must not hold a zero byte".into())
}

/// The next message that is no notice; an error of the server ends it.
async fn next(wire: &mut Wire, doing: &str, settings: &Settings) -> Result<Message, Error> {
    loop {
        match wire.next().await? {
            Frame::Message(Message::NoticeResponse(_)) => {}
            Frame::Message(Message::ErrorResponse(body)) => {
                let (doing, role) = (doing.to_owned(), &settings.role);
                let error = ServerError::read(Asked::Connect, doing, role, None, body.fields());
                return Err(Box::new(error).into());
            }
            Frame::Message(message) => return Ok(message),
            _ => return Err(Error::protocol("data before the log-in")),
        }
    }
}
