//! How a server is told what to replay, and how far.

use std::path::Path;

use super::{
    choose::{Stop, Way},
    control::Control,
    prepare::{FETCH, quoted},
};

/// Where a server of ours has its socket.
pub(crate) const PORT: u16 = 5432;

/// Where a server is to end, in PostgreSQL's own words.
pub(crate) fn target(way: &Way) -> Vec<(&'static str, String)> {
    let mut all = vec![("recovery_target_timeline", way.history.timeline().to_string())];
    match &way.stop {
        Stop::End => return all,
        Stop::Time(at) => all.push(("recovery_target_time", time(*at))),
        // Before the first record that begins there: all that was written before it, and no more.
        Stop::Lsn(at) => all.push(("recovery_target_lsn", at.to_string())),
        Stop::Name(name) => all.push(("recovery_target_name", name.clone())),
    }
    let inclusive = if matches!(way.stop, Stop::Lsn(_)) { "off" } else { "on" };
    all.push(("recovery_target_inclusive", inclusive.to_owned()));
    // Shown before it is promoted.
    all.push(("recovery_target_action", "pause".to_owned()));
    all
}

/// With its offset: the server's own zone means nothing to it.
fn time(at: jiff::Timestamp) -> String {
    let at = at.to_zoned(jiff::tz::TimeZone::UTC);
    format!("{}+00", at.strftime("%Y-%m-%d %H:%M:%S.%6f"))
}

/// What a server of ours is started with: what counts most, so that no setting of the old server
/// makes it reach out, listen, or load what is not here.
pub(crate) fn arguments(
    room: &Path,
    control: &Control,
    way: &Way,
    is_scratch: bool,
) -> Vec<String> {
    let at = |name: &str| room.join(name).display().to_string();
    let mut all: Vec<String> = [
        ("config_file", at("postgresql.conf")),
        ("hba_file", at("pg_hba.conf")),
        ("ident_file", at("pg_ident.conf")),
        ("unix_socket_directories", room.display().to_string()),
        ("unix_socket_permissions", "0700".to_owned()),
        ("port", PORT.to_string()),
        ("listen_addresses", String::new()),
        ("ssl", "off".to_owned()),
        ("hot_standby", "on".to_owned()),
        ("archive_mode", "off".to_owned()),
        ("restore_command", FETCH.to_owned()),
        ("shared_preload_libraries", String::new()),
        ("session_preload_libraries", String::new()),
        ("local_preload_libraries", String::new()),
        ("logging_collector", "off".to_owned()),
        ("log_destination", "stderr".to_owned()),
        ("synchronous_standby_names", String::new()),
        // Subscriptions would take from their publisher what the old server is to get.
        ("max_logical_replication_workers", "0".to_owned()),
        ("max_wal_size", "1GB".to_owned()),
        ("autovacuum", "off".to_owned()),
        ("timezone", "UTC".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| format!("-c{name}={value}"))
    .collect();
    all.extend(control.settings().into_iter().map(|one| format!("-c{one}")));
    all.extend(target(way).into_iter().map(|(name, value)| format!("-c{name}={value}")));
    if is_scratch {
        // Nothing of it is to last.
        all.extend(
            ["-cfsync=off", "-cfull_page_writes=off", "-csynchronous_commit=off"]
                .map(str::to_owned),
        );
    }
    all
}

/// The settings by which a server that people start goes on to the same moment, and waits there.
pub(crate) fn left(way: &Way) -> Vec<String> {
    let mut all =
        vec!["archive_mode = 'off'".to_owned(), format!("restore_command = {}", quoted(FETCH))];
    all.extend(target(way).into_iter().map(|(name, value)| format!("{name} = {}", quoted(&value))));
    all
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use replication::{Base, History, Lsn, SegmentSize, Timeline};

    use super::{super::choose::KnownBase, *};

    fn way(stop: Stop) -> Way {
        let timeline = Timeline::new(3).unwrap();
        let base = Base { system: 1, timeline, start: Lsn(0), end: Lsn(1) };
        let base = KnownBase {
            snapshot: format!("{:026}", 1).parse().unwrap(),
            at: Timestamp::UNIX_EPOCH,
            base,
            segment: SegmentSize::default(),
            major: 15,
        };
        let history = History::first(timeline);
        Way { base, history, stop, pieces: Vec::new(), end: Lsn(1) }
    }

    fn told(stop: Stop) -> String {
        let all = target(&way(stop));
        all.iter().flat_map(|(name, value)| [name, "=", value.as_str(), ";"]).collect()
    }

    #[test]
    fn moments_are_told_in_the_servers_words() {
        let at = Timestamp::from_microsecond(1_700_000_000_123_456).unwrap();
        assert_eq!(
            told(Stop::Time(at)),
            "recovery_target_timeline=3;recovery_target_time=2023-11-14 22:13:20.123456+00;\
             recovery_target_inclusive=on;recovery_target_action=pause;"
        );
        assert!(told(Stop::Lsn(Lsn(255))).contains("_lsn=0/FF;recovery_target_inclusive=off;"));
        assert_eq!(told(Stop::End), "recovery_target_timeline=3;");
        let left = left(&way(Stop::Name("before 'it'".to_owned())));
        assert!(left.contains(&"recovery_target_name = 'before ''it'''".to_owned()), "{left:?}");
        assert!(left[1].starts_with("restore_command = 'cp \"pg_wal_archive/%f\""), "{left:?}");
    }
}
