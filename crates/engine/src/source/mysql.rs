//! Direct source: MariaDB and MySQL.

use model::{Failure, FailureCode};

use super::{
    OpenedSource, Part,
    direct::{Asked, Driver, SettingField},
};
use crate::{Report, run::RunContext};

pub(crate) struct Mysql;

#[async_trait::async_trait]
impl Driver for Mysql {
    fn settings(&self) -> &'static [SettingField] {
        &[]
    }

    fn secrets(&self) -> &'static [&'static str] {
        &[]
    }

    async fn open(
        &self,
        _context: &RunContext,
        _asked: &Asked<'_>,
        _part: &Part,
    ) -> Result<OpenedSource, Failure> {
        Err(Failure::new(FailureCode::SourceConfig, "not built yet"))
    }

    async fn doctor(&self, _asked: &Asked<'_>, _report: &mut Report) {}
}
