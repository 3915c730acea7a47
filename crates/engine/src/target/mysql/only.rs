//! Some tables of a dump that is loaded whole: the others are dropped again.

use model::{Fact, Failure};

use super::{copy::On, ident, refused};
use crate::source::mysql::client::literal as text;

/// Tables that one statement drops.
const BATCH: usize = 100;

impl On<'_> {
    /// Leaves only `tables` of those in the database `made`, with their indexes and triggers, and
    /// no view. Errs where one of them is not there.
    pub(super) async fn keep_only(&self, made: &str, tables: &[String]) -> Result<(), Failure> {
        let query = format!(
            "SELECT hex(table_name), table_type FROM information_schema.tables WHERE table_schema \
             = {} AND table_name <> {}",
            text(made),
            text(&self.mark())
        );
        let told = self.client.ask(&query).await?;
        let (mut found, mut others, mut views) = (0, Vec::new(), Vec::new());
        for line in told.lines() {
            let Some((name, kind)) = line.split_once('\t') else { continue };
            let name = hex::decode(name).ok().and_then(|name| String::from_utf8(name).ok());
            let name = name.ok_or_else(|| refused("a table has a name that is no text"))?;
            let whole = format!("{}.{}", ident(made), ident(&name));
            match kind {
                "VIEW" => views.push(whole),
                "SEQUENCE" => {}
                _ if tables.contains(&name) => found += 1,
                _ => others.push(whole),
            }
        }
        if found != tables.len() {
            let (found, asked) = (found as u64, tables.len() as u64);
            return Err(refused(Fact::TablesFound { found, asked }));
        }
        for (what, names) in [("VIEW", views), ("TABLE", others)] {
            for batch in names.chunks(BATCH) {
                let drop = format!("SET foreign_key_checks = 0; DROP {what} {}", batch.join(", "));
                self.client.ask_for(&drop, self.aim.timeout()).await?;
            }
        }
        Ok(())
    }
}
