//! What is wrong with a field, where a crate that knows no facts has found it.

use artifact::KeyError;
use model::Fact;
use notify::{SendError, Wrong};

/// A text that is no key of age.
pub(crate) fn of_key(error: KeyError) -> Fact {
    match error {
        KeyError::Count => Fact::GiveRecipients {},
        KeyError::Recipient(text) => Fact::NoRecipient { text },
        KeyError::Identity => Fact::NoIdentity {},
        KeyError::Passphrase => Fact::PassphraseEmpty {},
        other => Fact::said(other),
    }
}

/// A message that was not taken.
pub(crate) fn of_sending(error: &SendError) -> Fact {
    use SendError as E;
    match error {
        E::Refused { place, reason } => {
            Fact::PlaceRefused { place: place.clone(), why: reason.clone() }
        }
        E::Unreachable { place, reason } => {
            Fact::PlaceUnreachable { place: place.clone(), why: reason.clone() }
        }
        E::Timeout { place, limit_secs } => {
            Fact::PlaceLate { place: place.clone(), seconds: *limit_secs }
        }
        E::Throttled { place, .. } => Fact::PlaceThrottles { place: place.clone() },
        E::Troubled { place, status, .. } => {
            Fact::PlaceTroubled { place: place.clone(), status: status.to_string() }
        }
        E::Rejected { place, reason } => {
            Fact::PlaceTakesNone { place: place.clone(), why: reason.clone() }
        }
        E::Postponed { place, reason } => {
            Fact::PlacePostpones { place: place.clone(), why: reason.clone() }
        }
        E::Unexpected { place, status, kind } => Fact::PlaceOdd {
            place: place.clone(),
            status: status.to_string(),
            kind: (*kind).to_owned(),
        },
        other => Fact::said(other),
    }
}

/// A setting of a channel.
pub(crate) fn of_channel(wrong: Wrong) -> Fact {
    match wrong {
        Wrong::Unknown(kind) => Fact::ChannelSetting { kind },
        Wrong::Secret => Fact::IsSecret {},
        Wrong::NoSecret => Fact::IsNoSecret {},
        Wrong::Needed => Fact::ChannelNeeds {},
        Wrong::Choice { words, text } => Fact::ChannelChoice { words, text },
        Wrong::HeaderSecret => Fact::HeaderSecret {},
        Wrong::Address => Fact::NoWebAddress {},
        Wrong::Scheme => Fact::AddressScheme {},
        Wrong::Login => Fact::AddressLogin {},
        Wrong::Fragment => Fact::AddressFragment {},
        Wrong::Query => Fact::AddressQuery {},
        Wrong::Host => Fact::AddressHost {},
        Wrong::Never(address) => Fact::AddressNever { address },
        Wrong::MailAddress => Fact::NoMailAddress {},
        Wrong::Port => Fact::MailPort {},
        Wrong::MailHost => Fact::MailHost {},
        Wrong::MailHostPort => Fact::MailHostPort {},
        Wrong::Recipient(text) => Fact::MailRecipient { text },
        Wrong::Recipients(most) => Fact::MailRecipients { most: most as u64 },
        Wrong::WithUser => Fact::NeededWithUser {},
        Wrong::WithPassword => Fact::NeededWithPassword {},
        Wrong::Encryption => Fact::MailEncryption {},
        Wrong::Unusable(said) => Fact::CertificateUnused { said },
        Wrong::Certificate => Fact::NoCertificate {},
        Wrong::PingAddress => Fact::PingAddress {},
        Wrong::Topic => Fact::TopicSigns {},
        Wrong::TokenOrLogin => Fact::TokenOrLogin {},
        Wrong::BotToken => Fact::BotToken {},
        Wrong::ChatId => Fact::ChatId {},
        Wrong::ThreadId => Fact::ThreadId {},
        Wrong::TokenPlace => Fact::TokenPlace {},
        Wrong::TokenBeforePath => Fact::TokenBeforePath {},
        Wrong::KeyShort(least) => Fact::KeyShort { least: least as u64 },
        Wrong::KeyCoding => Fact::KeyCoding {},
        Wrong::HeaderTaken(name) => Fact::HeaderTaken { name },
        Wrong::HeaderLines => Fact::HeaderLines {},
        Wrong::Said(said) => Fact::Said { said },
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator as _;

    use super::*;

    #[test]
    fn facts_say_what_the_errors_say() {
        for wrong in Wrong::iter() {
            assert_eq!(of_channel(wrong.clone()).to_string(), wrong.to_string());
        }
        let text = "age1x".to_owned();
        let errors =
            [KeyError::Count, KeyError::Recipient(text), KeyError::Identity, KeyError::Passphrase];
        for error in errors {
            let told = of_key(error.clone());
            assert_eq!(told.to_string(), error.to_string());
            assert!(!matches!(told, Fact::Said { .. }), "{error}");
        }
    }
}
