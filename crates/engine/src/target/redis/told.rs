//! What a server says of itself, read.

/// A server's answer to INFO.
#[derive(Debug, Clone)]
pub(crate) struct Told(pub(crate) String);

/// Keys of one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Database {
    pub(crate) number: u64,
    pub(crate) keys: u64,
    /// How many of them end by themselves.
    pub(crate) fleeting: u64,
}

impl Told {
    /// One value.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        let mut lines = self.0.lines();
        lines.find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(':')?.trim()))
    }

    pub(crate) fn number(&self, key: &str) -> u64 {
        self.value(key).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// Its name and version, for people.
    pub(crate) fn server(&self) -> String {
        // Valkey gives Redis's version for those who ask for nothing else.
        match self.value("valkey_version") {
            Some(version) => format!("Valkey {version}"),
            None => format!("Redis {}", self.value("redis_version").unwrap_or("?")),
        }
    }

    /// The first number of Redis's version.
    pub(crate) fn major(&self) -> u32 {
        let version = self.value("redis_version").unwrap_or_default();
        version.split('.').next().and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// Databases that have keys.
    pub(crate) fn databases(&self) -> Vec<Database> {
        let databases = self.0.lines().filter_map(|line| {
            let (name, rest) = line.split_once(":keys=")?;
            let number = name.strip_prefix("db")?.parse().ok()?;
            let (keys, rest) = rest.split_once(",expires=")?;
            let fleeting = rest.split(',').next()?.trim();
            Some(Database { number, keys: keys.parse().ok()?, fleeting: fleeting.parse().ok()? })
        });
        databases.collect()
    }

    /// All of its keys.
    pub(crate) fn keys(&self) -> u64 {
        self.databases().iter().map(|database| database.keys).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_versions_are_read_from_the_servers_words() {
        let info = "# Server\r\nredis_version:7.2.4\r\nvalkey_version:8.0.1\r\n# Keyspace\r\n\
                    db0:keys=5,expires=1,avg_ttl=2\r\ndb3:keys=1,expires=0\r\n";
        let told = Told(info.to_owned());
        let database = |number, keys, fleeting| Database { number, keys, fleeting };
        assert_eq!(told.databases(), [database(0, 5, 1), database(3, 1, 0)]);
        assert_eq!((told.keys(), told.major()), (6, 7));
        assert_eq!(told.server(), "Valkey 8.0.1");
        assert_eq!(told.number("maxmemory"), 0);
        assert_eq!(Told("redis_version:6.2.1\n".to_owned()).server(), "Redis 6.2.1");
    }
}
