//! Guessing passwords is slow: failures are counted by user and by address.
//!
//! The counts are this process's own: several orchestrators on one catalog each have theirs, and
//! a restart forgets them. Who is locked out can still use the command line on the server's own
//! machine, which has its own credential.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

const WINDOW: SignedDuration = SignedDuration::from_mins(15);
const PER_USER: usize = 5;
const PER_ADDRESS: usize = 20;
/// Above this many users and addresses the ones longest quiet are forgotten.
const MAX_KEYS: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    User(String),
    Address(IpAddr),
}

/// Counts failed logins.
#[derive(Default)]
pub(super) struct Throttle(Mutex<HashMap<Key, Vec<Timestamp>>>);

impl Throttle {
    /// Counts an attempt as failed before its password is checked, so that many at once gain
    /// nothing; [`Self::succeeded`] takes it back. `Err` tells how long to wait.
    pub(super) fn attempt(&self, now: Timestamp, user: &str, from: IpAddr) -> Result<(), Duration> {
        let keys = keys(user, from);
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, limit) in &keys {
            let Some(times) = failures.get_mut(key) else { continue };
            times.retain(|at| *at > now - WINDOW);
            if times.len() >= *limit {
                let free = times[times.len() - limit] + WINDOW;
                let wait = free.duration_since(now).as_secs().max(1);
                return Err(Duration::from_secs(wait.unsigned_abs()));
            }
        }
        for (key, _) in keys {
            if failures.len() >= MAX_KEYS && !failures.contains_key(&key) {
                make_room(&mut failures, now);
            }
            failures.entry(key).or_default().push(now);
        }
        Ok(())
    }

    /// The attempt was neither right nor wrong yet: it alone is taken back.
    pub(super) fn undo(&self, user: &str, from: IpAddr) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, _) in keys(user, from) {
            if let Some(times) = failures.get_mut(&key) {
                times.pop();
            }
        }
    }

    /// The attempt was right: the user's failures are forgotten, the address keeps
    /// those of others.
    pub(super) fn succeeded(&self, user: &str, from: IpAddr) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, _) in keys(user, from) {
            match key {
                Key::User(_) => {
                    failures.remove(&key);
                }
                Key::Address(_) => {
                    if let Some(times) = failures.get_mut(&key) {
                        times.pop();
                    }
                }
            }
        }
    }
}

/// What an attempt counts for. Without a name it is its address alone.
fn keys(user: &str, from: IpAddr) -> Vec<(Key, usize)> {
    // No name is longer; whoever has an IPv6 address has the other 2^64 beside it.
    let user = user.chars().take(model::name::MAX_LEN + 1).collect::<String>().to_lowercase();
    let from = match from.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    };
    let by_user = (!user.is_empty()).then_some((Key::User(user), PER_USER));
    by_user.into_iter().chain([(Key::Address(from), PER_ADDRESS)]).collect()
}

/// Forgets what is over, and where that is not enough the half that is longest quiet: one sweep
/// for thousands of newcomers.
fn make_room(failures: &mut HashMap<Key, Vec<Timestamp>>, now: Timestamp) {
    failures.retain(|_, times| times.last().is_some_and(|at| *at > now - WINDOW));
    if failures.len() >= MAX_KEYS {
        let mut last: Vec<_> =
            failures.values().filter_map(|times| times.last().copied()).collect();
        let middle = last.len() / 2;
        let (_, middle, _) = last.select_nth_unstable(middle);
        let middle = *middle;
        failures.retain(|_, times| times.last().is_some_and(|at| *at > middle));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + secs).unwrap()
    }

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn a_user_is_guessed_at_five_times_from_wherever() {
        let throttle = Throttle::default();
        for n in 0..5 {
            throttle.attempt(at(i64::from(n)), "Ana", address(n)).unwrap();
        }
        let wait = throttle.attempt(at(10), "ana", address(9)).unwrap_err();
        assert_eq!(wait, Duration::from_secs(890));
        throttle.attempt(at(10), "bo", address(9)).unwrap();
        assert!(throttle.attempt(at(899), "ana", address(9)).is_err());
        throttle.attempt(at(901), "ana", address(9)).unwrap();
    }

    #[test]
    fn an_address_guesses_twenty_times_at_whomever() {
        let throttle = Throttle::default();
        for n in 0..20 {
            throttle.attempt(at(0), &format!("user{n}"), address(1)).unwrap();
        }
        assert!(throttle.attempt(at(1), "another", address(1)).is_err());
        throttle.attempt(at(1), "another", address(2)).unwrap();
        let neighbours = ["2001:db8::1", "2001:db8::ffff:2"].map(|text| text.parse().unwrap());
        for n in 0..20 {
            throttle.attempt(at(0), &format!("person{n}"), neighbours[n % 2]).unwrap();
        }
        assert!(throttle.attempt(at(1), "ana", neighbours[0]).is_err());
    }

    #[test]
    fn success_forgets_the_users_failures_and_its_own_attempt() {
        let throttle = Throttle::default();
        for _ in 0..50 {
            throttle.attempt(at(0), "ana", address(1)).unwrap();
            throttle.succeeded("ANA", address(1));
        }
    }

    #[test]
    fn a_password_without_its_code_does_not_forget_wrong_codes() {
        let throttle = Throttle::default();
        for _ in 0..5 {
            throttle.attempt(at(0), "ana", address(1)).unwrap();
            throttle.undo("ana", address(1));
            throttle.attempt(at(0), "ana", address(1)).unwrap();
        }
        assert!(throttle.attempt(at(1), "ana", address(1)).is_err());
    }

    #[test]
    fn the_counts_stay_bounded_and_the_busy_one_stays_counted() {
        let throttle = Throttle::default();
        let flood = |n: u32| {
            let from = IpAddr::V4((0x0a00_0000 + n).into());
            throttle.attempt(at(i64::from(n / 100)), &format!("user{n}"), from).unwrap();
        };
        (0..20_000).for_each(flood);
        for n in 0..5 {
            throttle.attempt(at(200), "ana", address(n)).unwrap();
        }
        (20_000..22_000).for_each(flood);
        assert!(throttle.0.lock().unwrap().len() <= MAX_KEYS);
        assert!(throttle.attempt(at(240), "ana", address(9)).is_err());
    }
}
