//! How destinations are.

use std::collections::HashMap;

use catalog::CopyCount;
use engine::{Contact, Engine};
use model::{CopyState, Destination, DestinationId};
use strum::IntoEnumIterator as _;

use super::{
    apps::seconds,
    text::{Kind, Text},
};

pub(super) fn destinations(
    text: &mut Text,
    engine: &Engine,
    destinations: &[Destination],
    counts: &[CopyCount],
    archived: &HashMap<DestinationId, u64>,
) {
    let contacts = engine.contacts(destinations);
    let known: Vec<_> = destinations
        .iter()
        .filter_map(|one| Some((one.name.as_str(), contact(one, &contacts)?)))
        .collect();
    let help = "Whether the destination answered when it was last asked: 1 or 0.";
    let mut family = text.family("backup_destination_reachable", Kind::Gauge, help);
    for (name, contact) in &known {
        family.sample(&[("destination", name)], f64::from(u8::from(contact.answered)));
    }
    let help = "When the destination was last asked whether it answers.";
    let mut family = text.family("backup_destination_asked_timestamp_seconds", Kind::Gauge, help);
    for (name, contact) in &known {
        family.sample(&[("destination", name)], seconds(contact.at));
    }
    let help = "Bytes that copies and archives of WAL take there.";
    let mut family = text.family("backup_destination_stored_bytes", Kind::Gauge, help);
    for one in destinations {
        let here = counts.iter().filter(|count| count.destination_id == one.id);
        let copies: u64 = here.map(|count| count.bytes).sum();
        let bytes = copies + archived.get(&one.id).unwrap_or(&0);
        family.sample(&[("destination", one.name.as_str())], bytes as f64);
    }
    let help = "Copies of snapshots there, by state; `damaged` and `missing` are lost.";
    let mut family = text.family("backup_destination_copies", Kind::Gauge, help);
    for one in destinations {
        for state in CopyState::iter().filter(|state| *state != CopyState::Expired) {
            let same = |count: &&CopyCount| count.destination_id == one.id && count.state == state;
            let copies = counts.iter().find(same).map_or(0, |count| count.copies);
            let labels = [("destination", one.name.as_str()), ("state", state.into())];
            family.sample(&labels, copies as f64);
        }
    }
}

/// The last word on whether `destination` answers: ours, or that of its test.
fn contact(
    destination: &Destination,
    contacts: &HashMap<DestinationId, Contact>,
) -> Option<Contact> {
    let tested = destination
        .last_check
        .as_ref()
        .map(|check| Contact { at: check.at, answered: check.problem.is_none() });
    let asked = contacts.get(&destination.id).copied();
    asked.into_iter().chain(tested).max_by_key(|contact| contact.at)
}
