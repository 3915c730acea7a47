//! Tables exchanged by their names: one statement, which a server does wholly or not at all. Views,
//! procedures and events cannot be renamed; they are replaced right after it. A table with triggers
//! cannot leave its database: where there is one, all is loaded once more instead.

use std::{io::Write as _, path::Path};

use tempfile::NamedTempFile;

use super::{Mysql, ident, literal, table_kinds};
use crate::{
    config::Preset,
    export::ExportError,
    restore::{failed, program},
    strategy::mysql,
};

/// How long the exchange waits for those who use a table, in seconds.
const PATIENCE_SECS: u32 = 60;

/// What a database has beside tables.
struct Beside {
    views: Option<NamedTempFile>,
    routines: NamedTempFile,
}

impl Mysql<'_> {
    /// Whether the tables of both databases can change their names.
    pub(super) async fn can_rename(&self) -> Result<bool, ExportError> {
        let both = format!("({}, {})", literal(&self.name), literal(&self.made));
        let in_the_way = format!(
            "SELECT (SELECT count(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA IN \
             {both}) + (SELECT count(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA IN \
             {both} AND TABLE_TYPE NOT IN ({kinds}, 'VIEW')) + (SELECT count(*) FROM \
             information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA IN {both} AND \
             CONSTRAINT_SCHEMA <> UNIQUE_CONSTRAINT_SCHEMA)",
            kinds = table_kinds()
        );
        Ok(self.ask(&in_the_way).await? == "0")
    }

    /// Errs where tables of other databases refer to what is there: they would lose that.
    pub(super) async fn is_alone(&self) -> Result<(), ExportError> {
        let name = literal(&self.name);
        let query = format!(
            "SELECT concat(CONSTRAINT_SCHEMA, '.', TABLE_NAME) FROM \
             information_schema.REFERENTIAL_CONSTRAINTS WHERE UNIQUE_CONSTRAINT_SCHEMA = {name} \
             AND CONSTRAINT_SCHEMA <> {name} LIMIT 1"
        );
        match self.ask(&query).await?.as_str() {
            "" => Ok(()),
            table => Err(failed(format!(
                "the table {table} of another database refers to {}: drop that reference for the \
                 time being",
                self.name
            ))),
        }
    }

    /// Gives the tables of the new database the names of the old ones, which are kept.
    pub(super) async fn rename(&self, properties: &str) -> Result<(), ExportError> {
        let (old, new) = (self.beside(&self.name).await?, self.beside(&self.made).await?);
        self.make(&self.before, properties).await?;
        let (there, came) = (self.tables(&self.name).await?, self.tables(&self.made).await?);
        let out = |table: &String| (&self.name, table.clone(), &self.before);
        let into = |table: &String| (&self.made, table.clone(), &self.name);
        let moves: Vec<_> = there.iter().map(out).chain(came.iter().map(into)).collect();
        if let Err(error) = self.renamed(&moves).await {
            // None of them has moved.
            let _ = self.drop(&self.before).await;
            return Err(error);
        }
        let replaced = async {
            self.replace(&self.name, &new).await?;
            self.drop_what_is_gone().await
        };
        if let Err(error) = replaced.await {
            let back: Vec<_> =
                moves.iter().rev().map(|(from, table, to)| (*to, table.clone(), *from)).collect();
            self.set_begun(true);
            self.renamed(&back).await?;
            self.replace(&self.name, &old).await?;
            self.set_begun(false);
            let _ = self.drop(&self.before).await;
            return Err(error);
        }
        // What is kept has its own again; it does nothing by itself.
        let kept = async {
            self.replace(&self.before, &old).await?;
            self.silence(&self.before).await
        };
        if let Err(error) = kept.await {
            tracing::warn!("{} lacks views or procedures that it had: {error}", self.before);
        }
        Ok(())
    }

    async fn renamed(&self, moves: &[(&String, String, &String)]) -> Result<(), ExportError> {
        if moves.is_empty() {
            return Ok(());
        }
        let moves = moves.iter().map(|(from, table, to)| {
            let table = ident(table);
            format!("{}.{table} TO {}.{table}", ident(from), ident(to))
        });
        let statement = format!(
            "SET lock_wait_timeout = {PATIENCE_SECS};\nSET foreign_key_checks = 0;\n\
             RENAME TABLE {};\n",
            moves.collect::<Vec<_>>().join(", ")
        );
        // There may be more names than an argument has room for.
        let mut file = self.temporary()?;
        file.write_all(statement.as_bytes()).map_err(|error| failed(error.to_string()))?;
        self.bring_in(file.path(), &self.name).await
    }

    async fn tables(&self, database: &str) -> Result<Vec<String>, ExportError> {
        let query = format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND \
             TABLE_TYPE IN ({})",
            literal(database),
            table_kinds()
        );
        Ok(self.ask(&query).await?.lines().map(str::to_owned).collect())
    }

    /// Writes down what makes the views, procedures, functions and events of a database.
    async fn beside(&self, database: &str) -> Result<Beside, ExportError> {
        let query = format!(
            "SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {}",
            literal(database)
        );
        let views: Vec<_> = self.ask(&query).await?.lines().map(str::to_owned).collect();
        let routines = self.temporary()?;
        let only = ["--no-create-info", "--no-data", "--routines", "--events"];
        self.write_down(&only, database, &[], routines.path()).await?;
        let views = match views.as_slice() {
            [] => None,
            views => {
                let file = self.temporary()?;
                let only = ["--no-data", "--skip-routines", "--skip-events"];
                self.write_down(&only, database, views, file.path()).await?;
                Some(file)
            }
        };
        Ok(Beside { views, routines })
    }

    async fn write_down(
        &self,
        only: &[&str],
        database: &str,
        views: &[String],
        file: &Path,
    ) -> Result<(), ExportError> {
        let names = self.names(["mysqldump", "mariadb-dump"]);
        let dump = program(self.commands, &names, Preset::Mysql.package())?;
        let mut dump = mysql::connected(dump, self.options_file.path());
        dump.args(["--skip-triggers", "--no-tablespaces", "--default-character-set=utf8mb4"])
            .args(only)
            .arg(format!("--result-file={}", file.display()))
            .args(["--", database])
            .args(views);
        self.commands.run(dump, None).await
    }

    async fn replace(&self, database: &str, by: &Beside) -> Result<(), ExportError> {
        // A view may use a function.
        self.bring_in(by.routines.path(), database).await?;
        match &by.views {
            Some(views) => self.bring_in(views.path(), database).await,
            None => Ok(()),
        }
    }

    /// Drops the views, procedures, functions and events that the new one does not have.
    async fn drop_what_is_gone(&self) -> Result<(), ExportError> {
        let gone = |kind: &str, column: &str, table: &str, schema: &str| {
            format!(
                "SELECT concat({kind}, ' ', '{}.`', replace({column}, '`', '``'), '`') \
                 FROM information_schema.{table} WHERE {schema} = {} AND concat({kind}, {column}) \
                 NOT IN (SELECT concat({kind}, {column}) FROM information_schema.{table} \
                 WHERE {schema} = {})",
                ident(&self.name).replace('\\', "\\\\").replace('\'', "''"),
                literal(&self.name),
                literal(&self.made)
            )
        };
        let all = [
            gone("'VIEW'", "TABLE_NAME", "VIEWS", "TABLE_SCHEMA"),
            gone("ROUTINE_TYPE", "ROUTINE_NAME", "ROUTINES", "ROUTINE_SCHEMA"),
            gone("'EVENT'", "EVENT_NAME", "EVENTS", "EVENT_SCHEMA"),
        ];
        for things in all {
            for thing in self.ask(&things).await?.lines() {
                self.ask(&format!("DROP {thing}")).await?;
            }
        }
        Ok(())
    }
}
