//! Mail over SMTP.

use std::{net::SocketAddr, time::SystemTime};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor,
    message::{
        Mailbox, Mailboxes, MultiPart, SinglePart,
        header::{ContentType, HeaderName, HeaderValue, To},
    },
    transport::smtp::{
        authentication::Credentials,
        client::{Tls, TlsParameters},
        extension::ClientId,
    },
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    Limits, Message, SendError, Wrong,
    address::{refusal, resolve},
    certificates,
    http::{chain, without},
    settings::Given,
    text::{CHARS, cut, escape, line},
};

/// Longest subject, in characters.
const MAX_SUBJECT: usize = 200;
/// Longest body, in characters.
const MAX_BODY: usize = 100_000;
/// How many people one message goes to.
const MAX_RECIPIENTS: usize = 50;
/// How much of what a server says is told, in characters.
const MAX_SAID: usize = 200;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encryption {
    /// Encrypted after a greeting; refused where the server cannot.
    Starttls,
    /// Encrypted from the first byte.
    Tls,
    /// Not at all.
    None,
}

pub(crate) struct Email {
    host: String,
    port: u16,
    tls: Tls,
    login: Option<(String, SecretString)>,
    from: Mailbox,
    to: Mailboxes,
    limits: Limits,
    place: String,
}

impl Email {
    pub(crate) fn read(given: &mut Given<'_>, limits: Limits) -> Option<Self> {
        let encryption = match given.text("encryption") {
            Some("tls") => Encryption::Tls,
            Some("none") => Encryption::None,
            _ => Encryption::Starttls,
        };
        let port = port(given, encryption);
        let from = given.text("from").and_then(|text| {
            let read = text.parse::<Mailbox>().ok();
            if read.is_none() {
                given.wrong("from", Wrong::MailAddress);
            }
            read
        });
        let to = given.text("to").and_then(|text| recipients(text, given));
        let login = login(given, encryption);
        let host = host(given)?;
        let tls = tls(given, encryption, &host);
        let place = format!("smtp://{host}:{}", port?);
        Some(Self { host, port: port?, tls: tls?, login, from: from?, to: to?, limits, place })
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) async fn send(&self, message: &Message) -> Result<(), SendError> {
        let mail = self.mail(message)?;
        match tokio::time::timeout(self.limits.total, self.deliver(&mail)).await {
            Ok(done) => done,
            Err(_) => Err(self.late()),
        }
    }

    fn late(&self) -> SendError {
        let limit_secs = self.limits.total.as_secs();
        SendError::Timeout { place: self.place.clone(), limit_secs }
    }

    /// Tries each address of the server until one of them answers.
    async fn deliver(&self, mail: &lettre::Message) -> Result<(), SendError> {
        let place = || self.place.clone();
        let found = resolve(&self.host, self.port).await;
        let found = found.map_err(|error| match refusal(&error) {
            Some(reason) => SendError::Refused { place: place(), reason },
            None => SendError::Unreachable { place: place(), reason: error.to_string() },
        })?;
        let reason = "its name has no address".to_owned();
        let mut failure = SendError::Unreachable { place: place(), reason };
        for address in found {
            match self.transport(address).send(mail.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) => {
                    failure = self.failed(&error);
                    // Once it has spoken, another address is the same server.
                    if error.status().is_some() {
                        break;
                    }
                }
            }
        }
        Err(failure)
    }

    /// To an address that was judged; the certificate is checked against the name.
    fn transport(&self, address: SocketAddr) -> AsyncSmtpTransport<Tokio1Executor> {
        let domain = self.from.email.domain().to_owned();
        let mut builder =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
                .port(self.port)
                .tls(self.tls.clone())
                .timeout(Some(self.limits.connect.max(self.limits.total / 2)))
                .hello_name(ClientId::Domain(domain));
        if let Some((name, password)) = &self.login {
            let password = password.expose_secret().to_owned();
            builder = builder.credentials(Credentials::new(name.clone(), password));
        }
        builder.build()
    }

    fn failed(&self, error: &lettre::transport::smtp::Error) -> SendError {
        let secrets: Vec<_> = self.login.iter().map(|(_, password)| password.clone()).collect();
        let place = self.place.clone();
        let said = without(&secrets, &chain(error));
        let reason = cut(&line(&said), MAX_SAID, CHARS);
        if error.is_permanent() {
            SendError::Rejected { place, reason }
        } else if error.is_transient() {
            SendError::Postponed { place, reason }
        } else if error.is_timeout() {
            self.late()
        } else if error.is_client() {
            // It offers neither the encryption nor the login that is wanted.
            SendError::Rejected { place, reason }
        } else {
            SendError::Unreachable { place, reason }
        }
    }

    fn mail(&self, message: &Message) -> Result<lettre::Message, SendError> {
        let safe = |one: char| if one.is_ascii_alphanumeric() || one == '-' { one } else { '.' };
        let id: String = message.id.chars().map(safe).collect();
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let builder = lettre::Message::builder()
            .from(self.from.clone())
            .mailbox(To::from(self.to.clone()))
            .subject(cut(&message.title, MAX_SUBJECT, CHARS))
            .date(SystemTime::from(message.at))
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            // No holiday notice answers it.
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()));
        let text = format!("{}\n\n{}\n", message.title, message.plain());
        let parts = MultiPart::alternative()
            .singlepart(SinglePart::plain(cut(&text, MAX_BODY, CHARS)))
            .singlepart(SinglePart::builder().header(ContentType::TEXT_HTML).body(html(message)));
        builder.multipart(parts).map_err(|error| {
            let (place, reason) = (self.place.clone(), error.to_string());
            SendError::Rejected { place, reason }
        })
    }
}

fn port(given: &mut Given<'_>, encryption: Encryption) -> Option<u16> {
    let Some(text) = given.text("port") else {
        return Some(match encryption {
            Encryption::Starttls => 587,
            Encryption::Tls => 465,
            Encryption::None => 25,
        });
    };
    let port = text.parse().ok().filter(|port| *port > 0);
    if port.is_none() {
        given.wrong("port", Wrong::Port);
    }
    port
}

fn host(given: &mut Given<'_>) -> Option<String> {
    let text = given.text("host")?;
    let host = text.trim_matches(['[', ']']).to_owned();
    let good = |one: char| one.is_ascii_alphanumeric() || matches!(one, '.' | '-' | '_' | ':');
    if !host.chars().all(good) || host.starts_with('-') {
        given.wrong("host", Wrong::MailHost);
        return None;
    }
    if let Ok(address) = host.parse()
        && let Err(refused) = crate::address::judge(address)
    {
        given.wrong("host", refused.into());
        return None;
    }
    if host.contains(':') && host.parse::<std::net::Ipv6Addr>().is_err() {
        given.wrong("host", Wrong::MailHostPort);
        return None;
    }
    Some(host)
}

fn recipients(text: &str, given: &mut Given<'_>) -> Option<Mailboxes> {
    let list = text.split([',', ';', '\n']).map(str::trim).filter(|one| !one.is_empty());
    let mut all = Vec::new();
    for one in list {
        match one.parse::<Mailbox>() {
            Ok(mailbox) => all.push(mailbox),
            Err(_) => {
                given.wrong("to", Wrong::Recipient(one.escape_debug().to_string()));
                return None;
            }
        }
    }
    if all.is_empty() || all.len() > MAX_RECIPIENTS {
        given.wrong("to", Wrong::Recipients(MAX_RECIPIENTS));
        return None;
    }
    Some(all.into_iter().collect())
}

fn login(given: &mut Given<'_>, encryption: Encryption) -> Option<(String, SecretString)> {
    match (given.text("username"), given.secret("password")) {
        (None, None) => None,
        (Some(_), None) => {
            given.wrong("password", Wrong::WithUser);
            None
        }
        (None, Some(_)) => {
            given.wrong("username", Wrong::WithPassword);
            None
        }
        (Some(_), Some(_)) if encryption == Encryption::None => {
            given.wrong("encryption", Wrong::Encryption);
            None
        }
        (Some(name), Some(password)) => Some((name.to_owned(), password.clone())),
    }
}

fn tls(given: &mut Given<'_>, encryption: Encryption, host: &str) -> Option<Tls> {
    let certificate = certificates::for_mail(given);
    if encryption == Encryption::None {
        return Some(Tls::None);
    }
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(certificate) = certificate {
        builder = builder.add_root_certificate(certificate);
    }
    match builder.build() {
        Ok(parameters) if encryption == Encryption::Tls => Some(Tls::Wrapper(parameters)),
        Ok(parameters) => Some(Tls::Required(parameters)),
        Err(error) => {
            given.wrong("ca_certificate", Wrong::Unusable(error.to_string()));
            None
        }
    }
}

/// The message for readers that show HTML: the same words, nothing loaded from anywhere.
fn html(message: &Message) -> String {
    let attribute = |text: &str| escape(text).replace('"', "&quot;");
    let mut html = format!("<p><strong>{}</strong></p>", escape(&message.title));
    for paragraph in message.body.split("\n\n").filter(|text| !text.trim().is_empty()) {
        let paragraph = escape(paragraph).replace('\n', "<br>");
        html.extend(["<p>", &paragraph, "</p>"]);
    }
    if !message.facts.is_empty() {
        html.push_str("<table cellpadding=\"4\">");
        for (name, value) in &message.facts {
            let (name, value) = (escape(name), escape(value));
            html.extend(["<tr><td>", &name, "</td><td><strong>", &value, "</strong></td></tr>"]);
        }
        html.push_str("</table>");
    }
    if let Some(link) = &message.link {
        html.extend(["<p><a href=\"", &attribute(link), "\">", &escape(link), "</a></p>"]);
    }
    cut_html(html)
}

/// Too long to be read at all: the plain part has what fits.
fn cut_html(html: String) -> String {
    if html.chars().count() > MAX_BODY { "<p>…</p>".to_owned() } else { html }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_has_nothing_of_the_message_as_markup() {
        let message = Message {
            id: "1".into(),
            level: crate::Level::Error,
            title: "<script>".into(),
            body: "a & b\nc".into(),
            facts: vec![("App".into(), "<img>".into())],
            link: Some("https://x/?a=\"b\"&c".into()),
            at: jiff::Timestamp::UNIX_EPOCH,
            data: serde_json::Value::Null,
        };
        let html = html(&message);
        assert!(html.contains("&lt;script&gt;") && html.contains("&lt;img&gt;"), "{html}");
        assert!(html.contains("a &amp; b<br>c"), "{html}");
        assert!(html.contains("href=\"https://x/?a=&quot;b&quot;&amp;c\""), "{html}");
    }
}
