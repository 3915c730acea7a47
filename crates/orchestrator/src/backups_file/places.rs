//! Which key of the file a field of an entry comes from.

use handwritten::Lines;

/// Where an entry stands in the file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// `backup_targets[N]`.
    Target(usize),
    /// `volume_backups[N]`.
    Volume(usize),
    /// `backup_config`.
    Config,
    /// `destinations[N]`.
    Destination(usize),
    /// `apps[N]`.
    App(usize),
    /// `alert_channels[N]`.
    Channel(usize),
    /// `alert_routes[N]`.
    Route(usize),
}

impl Place {
    pub(super) fn base(self) -> String {
        match self {
            Self::Target(at) => format!("backup_targets[{at}]"),
            Self::Volume(at) => format!("volume_backups[{at}]"),
            Self::Config => "backup_config".to_owned(),
            Self::Destination(at) => format!("destinations[{at}]"),
            Self::App(at) => format!("apps[{at}]"),
            Self::Channel(at) => format!("alert_channels[{at}]"),
            Self::Route(at) => format!("alert_routes[{at}]"),
        }
    }

    /// The key that the engine's `field` came from.
    pub(super) fn key(self, field: &str, lines: &Lines) -> String {
        let base = self.base();
        match self {
            Self::Destination(_) | Self::Channel(_) | Self::Route(_) => {
                return format!("{base}.{field}");
            }
            Self::Config => return format!("{base}.{}", of_config(field)),
            _ => {}
        }
        // What the entry leaves out holds for all of them.
        let shared = [
            ("schedule", "schedule"),
            ("retention", "retention_count"),
            ("compression", "compression_level"),
            ("destinations", "backup_dir"),
        ];
        for (own, common) in shared {
            let is_own = lines.has(&format!("{base}.{own}"))
                || lines.has(&format!("{base}.{common}"))
                || !field.starts_with(own);
            if !is_own {
                return format!("backup_config.{common}");
            }
        }
        if let Self::App(_) = self {
            return format!("{base}.{field}");
        }
        let inside = ["sources[0].settings.", "sources[0].secrets."];
        if let Some(key) = inside.into_iter().find_map(|prefix| field.strip_prefix(prefix)) {
            let own = format!("{base}.{key}");
            return match (self, key) {
                (Self::Volume(_), "volume" | "volume_name") => format!("{base}.volume_name"),
                _ if lines.has(&own) => own,
                _ => format!("{base}.config.{key}"),
            };
        }
        match field {
            "sources[0].kind" => format!("{base}.type"),
            _ if field.starts_with("sources") => base,
            _ => format!("{base}.{field}"),
        }
    }
}

fn of_config(field: &str) -> &str {
    match field {
        "settings.path" => "backup_dir",
        "settings.region" => "s3_region",
        "settings.prefix" => "s3_prefix",
        "settings.endpoint" => "s3_endpoint",
        // The bucket, its keys, and what is said of the destination as a whole.
        field if field.starts_with("settings.") || field.starts_with("secrets.") => "s3_bucket",
        field => field,
    }
}
