//! What our own parsers say is a fact, in the same words.

use std::{fmt::Display, str::FromStr};

use super::*;
use crate::{
    AppId, ChannelKind, DestinationKind, Lsn, Name,
    layout::Template,
    retention::{KeepWithin, RetentionPolicy},
    schedule::{ScheduleSpec, TimeZoneName},
};

/// That each of `texts` is refused, and that the fact says what the error says.
fn refused<T>(texts: &[&str])
where
    T: FromStr,
    T::Err: Display + Into<Fact>,
{
    for text in texts {
        let Err(error) = text.parse::<T>() else { panic!("{text:?} was taken") };
        let told = error.to_string();
        assert_eq!(error.into().to_string(), told, "{text:?}");
    }
}

#[test]
fn errors_of_parsers_are_facts_in_the_same_words() {
    let long = "x".repeat(300);
    refused::<Name>(&["", &long, "a b", "-a", "\u{1b}", "a..b"]);
    refused::<AppId>(&["", "x", &long]);
    refused::<Lsn>(&["", "16", "x/y", &long]);
    refused::<DestinationKind>(&["", "tape", &long]);
    refused::<ChannelKind>(&["", "pigeon", &long]);
    refused::<TimeZoneName>(&["", "Mars/Olympus", "\u{1b}", &long]);
    refused::<KeepWithin>(&["", "7", "1m1h", "\u{1b}", &long]);
    refused::<Template>(&["{app", "{no}", "{a\u{1b}}", "{app}", "/{run}", "../{run}", "{run}//x"]);
    let crons = ["* * * *", "* * * * * *", "99 * * * *", "0 0 30 2 *", "@every 1s", "@every x"];
    refused::<ScheduleSpec>(&crons);
    refused::<ScheduleSpec>(&["", "never", "\u{1b}", &long]);
}

#[test]
fn what_is_wrong_with_a_policy_is_a_fact_in_the_same_words() {
    let error = RetentionPolicy { keep_daily: Some(0), ..Default::default() }.check().unwrap_err();
    let told = error.to_string();
    assert_eq!(Fact::from(error).to_string(), told);
}

#[test]
fn only_what_somebody_else_said_is_said() {
    let said = |text: &str| {
        let error = text.parse::<ScheduleSpec>().unwrap_err();
        let Fact::NoSchedule { why, .. } = Fact::from(error) else { panic!("{text}") };
        why.0.fact.unwrap().code()
    };
    assert_eq!(said("* * * *"), "not_five_fields");
    assert_eq!(said("@every x"), "interval_unclear");
    assert_eq!(said("99 * * * *"), "said");
}
