//! Physical replication slots.

use crate::{
    Connection, Error, Lsn, Problem, Timeline,
    query::text,
    server_error::{Asked, identifier},
};

/// Longest name of a slot.
const MAX_NAME: usize = 63;

/// What a slot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotState {
    /// From where the server keeps WAL; `None` before it was reserved or once it was lost.
    pub restart: Option<Lsn>,
    /// The timeline of `restart`.
    pub timeline: Option<Timeline>,
}

/// Slots have names of small letters, digits and underscores.
fn checked(name: &str) -> Result<&str, Error> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(allowed) {
        return Err(Error::Settings(format!(
            "\"{}\" cannot name a slot: use a-z, 0-9 and _, at most {MAX_NAME}",
            name.escape_debug()
        )));
    }
    Ok(name)
}

impl Connection {
    /// Makes a physical slot that keeps WAL from now on. Returns whether it is new.
    pub async fn create_slot(&mut self, name: &str) -> Result<bool, Error> {
        let name = checked(name)?;
        let quoted = identifier(name);
        let command = if self.major() >= 15 {
            format!("CREATE_REPLICATION_SLOT {quoted} PHYSICAL (RESERVE_WAL true)")
        } else {
            format!("CREATE_REPLICATION_SLOT {quoted} PHYSICAL RESERVE_WAL")
        };
        match self.rows(Asked::CreateSlot, &command, Some(name)).await {
            Ok(_) => Ok(true),
            Err(error) if error.server().is_some_and(|e| e.problem == Problem::SlotExists) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// What the slot holds; `None` where there is none. Servers before 15 cannot be asked this way:
    /// `Error::Settings`; ask `pg_replication_slots` with SQL.
    pub async fn read_slot(&mut self, name: &str) -> Result<Option<SlotState>, Error> {
        let name = checked(name)?;
        if self.major() < 15 {
            return Err(Error::Settings(
                "PostgreSQL before 15 tells a slot's state by SQL only: SELECT restart_lsn FROM \
                 pg_replication_slots"
                    .into(),
            ));
        }
        let command = format!("READ_REPLICATION_SLOT {}", identifier(name));
        let rows = self.rows(Asked::Slot, &command, Some(name)).await?;
        let Some(row) = rows.first().filter(|row| row.first().is_some_and(Option::is_some)) else {
            return Ok(None);
        };
        let restart = text(row, 1).ok().map(str::parse).transpose()?;
        let timeline = text(row, 2).ok().map(str::parse).transpose()?;
        Ok(Some(SlotState { restart, timeline }))
    }

    /// Drops the slot; one in use is [`Problem::SlotBusy`]. Returns whether it was there.
    pub async fn drop_slot(&mut self, name: &str) -> Result<bool, Error> {
        let name = checked(name)?;
        let command = format!("DROP_REPLICATION_SLOT {}", identifier(name));
        match self.rows(Asked::Slot, &command, Some(name)).await {
            Ok(_) => Ok(true),
            Err(error) if error.server().is_some_and(|e| e.problem == Problem::NoSlot) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The name of a slot as a command takes it.
pub(crate) fn quoted(name: &str) -> Result<String, Error> {
    checked(name).map(identifier)
}
