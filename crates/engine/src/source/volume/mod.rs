//! Direct source: Docker volumes.
//!
//! A container is made with the volume mounted read-only and never started: no shell, no program
//! and no extra image is needed. Where Docker keeps the volume's files in a folder that we can read,
//! and that proves to be the same, we read them there; else Docker's Engine API writes the tar.

pub(crate) mod direct;
pub(crate) mod helper;
mod members;
mod stream;
pub(crate) mod users;

use std::{collections::BTreeMap, path::PathBuf};

use bollard::Docker;
use glob::Pattern;
use model::{Fact, Failure, FailureCode};

use super::{
    OpenedSource, Part,
    direct::{Asked, Driver, SettingField, SettingValue},
    files::basis::{Basis, Kind},
    walked::Walked,
};
use crate::{CheckState, Report, docker, run::RunContext};

use self::{
    direct::Read,
    helper::Helper,
    stream::{Reading, VolumeStream},
    users::Meanwhile,
};

pub(crate) struct Volume;

/// A snapshot of the file system that the volume is on, where one can be taken and read.
pub(super) async fn standing(
    context: &RunContext,
    asked: &Asked<'_>,
    part: &Part,
) -> Result<Option<Basis>, Failure> {
    if Read::of(asked.setting("read")) == Read::Docker {
        return Ok(None);
    }
    let docker = docker::connect(&asked.engine.0.config).await?;
    let found = look_for(&docker, volume_of(asked)?).await?;
    let Ok(folder) = direct::candidate(asked, &found).await else { return Ok(None) };
    let Some(kind) = Kind::found(&context.engine, &folder).await else { return Ok(None) };
    Basis::of(context, asked, part, vec![folder], kind).await.map(Some)
}

const SETTINGS: &[SettingField] = &[
    SettingField::required("volume", SettingValue::Text),
    SettingField::optional("containers", SettingValue::Choice(&["none", "pause", "stop"])),
    SettingField::optional("exclude", SettingValue::List),
    SettingField::optional("image", SettingValue::Text),
    SettingField::optional("read", SettingValue::Choice(&["auto", "direct", "docker"])),
    SettingField::optional("description", SettingValue::Text),
];

#[async_trait::async_trait]
impl Driver for Volume {
    fn settings(&self) -> &'static [SettingField] {
        SETTINGS
    }

    fn secrets(&self) -> &'static [&'static str] {
        &[]
    }

    fn check(&self, settings: &BTreeMap<String, String>) -> Vec<(&'static str, Fact)> {
        let mut problems = Vec::new();
        if let Some(name) = settings.get("volume").filter(|name| !is_volume_name(name)) {
            problems.push(("volume", not_a_name(name)));
        }
        if let Some(image) = settings.get("image").filter(|image| !is_image_name(image)) {
            problems.push(("image", Fact::NoImageName { image: image.clone() }));
        }
        let excluded = settings.get("exclude").map(String::as_str).unwrap_or_default();
        for word in excluded.split([',', '\n']).map(str::trim).filter(|word| !word.is_empty()) {
            if let Err(error) = Pattern::new(word) {
                let (what, why) = (word.to_owned(), Fact::said(error).into());
                problems.push(("exclude", Fact::Of { what, why }));
            }
        }
        problems
    }

    async fn open(
        &self,
        context: &RunContext,
        asked: &Asked<'_>,
        part: &Part,
    ) -> Result<OpenedSource, Failure> {
        let volume = volume_of(asked)?;
        let excluded = patterns(&asked.list("exclude"))?;
        let docker = docker::connect(&asked.engine.0.config).await?;
        let found = look_for(&docker, volume).await?;
        // All that can fail before somebody's container has to wait is done before.
        let helper = Helper::make(context, &docker, volume, asked.setting("image"), part).await?;
        let begun = async {
            let folder = folder(context, asked, &found, &helper).await?;
            // What was prepared is of that folder; read through Docker it is of no use.
            let basis = context.prepared.take(&part.name);
            let (folder, basis) = match (folder, basis) {
                (Some(_), Some(basis)) => {
                    (basis.roots.first().map(|root| root.path.clone()), Some(basis))
                }
                (folder, basis) => {
                    if let Some(basis) = basis {
                        basis.end(context).await?;
                    }
                    (folder, None)
                }
            };
            let plan = folder.map(|folder| direct::plan(volume, folder, &asked.list("exclude")));
            let plan = plan.transpose()?;
            // Who is read from a snapshot does not have to wait.
            let meanwhile = match &basis {
                Some(_) => Meanwhile::Run,
                None => Meanwhile::of(asked.setting("containers")),
            };
            Ok((plan, users::hold(context, &docker, volume, meanwhile).await?, basis))
        };
        let (plan, held, basis) = match begun.await {
            Ok(begun) => begun,
            Err(failure) => {
                helper.remove(context).await;
                return Err(failure);
            }
        };
        let behind = Reading { helper, held, basis };
        Ok(match plan {
            Some(plan) => Box::new(Walked::begin(context, asked, plan, Box::new(behind))),
            None => Box::new(VolumeStream::begin(context.clone(), asked, volume, behind, excluded)),
        })
    }

    async fn doctor(&self, asked: &Asked<'_>, report: &mut Report) {
        if let Err(failure) = examine(asked, report).await {
            report.failed("volume", failure, Fact::DoVolume {});
        }
    }
}

/// Where we read the volume ourselves; `None` where Docker does.
async fn folder(
    context: &RunContext,
    asked: &Asked<'_>,
    found: &bollard::models::Volume,
    helper: &Helper,
) -> Result<Option<PathBuf>, Failure> {
    let read = Read::of(asked.setting("read"));
    if read == Read::Docker {
        return Ok(None);
    }
    let proven = async {
        let folder = direct::candidate(asked, found).await?;
        direct::prove(helper, &folder).await?;
        Ok::<_, direct::Why>(folder)
    };
    let volume = &found.name;
    match proven.await {
        Ok(folder) => {
            let at = folder.display();
            context.journal.info(format!("volume `{volume}` is read directly at {at}"));
            Ok(Some(folder))
        }
        Err(why) if read == Read::Auto => {
            context.journal.info(format!("volume `{volume}` is read through Docker: {why}"));
            Ok(None)
        }
        Err(why) => {
            let message = format!(
                "volume `{volume}` cannot be read directly: {why}; set `read` to `auto` to let \
                 Docker read it then"
            );
            Err(Failure::new(FailureCode::SourceConfig, message))
        }
    }
}

async fn examine(asked: &Asked<'_>, report: &mut Report) -> Result<(), Failure> {
    let volume = volume_of(asked)?;
    let docker = docker::connect(&asked.engine.0.config).await?;
    let found = look_for(&docker, volume).await?;
    let image = helper::image(&docker, asked.setting("image")).await?;
    report.ok("volume", Fact::VolumeThere { volume: volume.to_owned(), image });
    let read = Read::of(asked.setting("read"));
    match direct::candidate(asked, &found).await {
        _ if read == Read::Docker => report.ok("read", Fact::ReadByDocker {}),
        Ok(folder) => {
            report.ok("read", Fact::ReadDirectly { path: folder.display().to_string() });
        }
        Err(why) if read == Read::Auto => {
            report.ok("read", Fact::ReadByDockerFor { why });
        }
        Err(why) => {
            report.failed("read", Fact::NotDirectly { why }, Fact::DoReadAuto {});
        }
    }
    let users: Vec<_> = users::running(&docker, volume).await?;
    let names = users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>().join(", ");
    match Meanwhile::of(asked.setting("containers")) {
        _ if users.is_empty() => report.ok("containers", Fact::NobodyUses {}),
        Meanwhile::Run => report.push(
            "containers",
            CheckState::Warning,
            Fact::WrittenMeanwhile { names },
            Some(Fact::DoPauseOrStop {}),
        ),
        Meanwhile::Pause => report.ok("containers", Fact::PausedMeanwhile { names }),
        Meanwhile::Stop => match users.iter().find_map(users::Running::why_not_stopped) {
            Some(why) => report.failed("containers", why, Fact::DoPause {}),
            None => report.ok("containers", Fact::HeldMeanwhile { names }),
        },
    }
    Ok(())
}

pub(crate) fn volume_of<'a>(asked: &Asked<'a>) -> Result<&'a str, Failure> {
    let name = asked.direct.setting("volume").unwrap_or_default();
    if is_volume_name(name) {
        return Ok(name);
    }
    Err(Failure::new(FailureCode::SourceConfig, not_a_name(name)))
}

/// A volume that is named and not there would be made anew by whoever mounts it.
async fn look_for(docker: &Docker, volume: &str) -> Result<bollard::models::Volume, Failure> {
    match docker.inspect_volume(volume).await {
        Ok(found) => Ok(found),
        Err(error) if docker::is_gone(&error) => Err(Failure::new(
            FailureCode::SourceConfig,
            Fact::NoVolume { volume: volume.to_owned() },
        )),
        Err(error) => Err(docker::told(&error)),
    }
}

fn patterns(words: &[&str]) -> Result<Vec<Pattern>, Failure> {
    let read = |word: &&str| {
        Pattern::new(word.trim_start_matches("./").trim_matches('/')).map_err(|error| {
            Failure::new(FailureCode::SourceConfig, format!("exclude `{word}`: {error}"))
        })
    };
    words.iter().map(read).collect()
}

fn not_a_name(name: &str) -> Fact {
    Fact::NotVolumeName { name: name.to_owned() }
}

/// What Docker takes as a volume's name. The name becomes a part of addresses.
pub(crate) fn is_volume_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.len() >= 2
        && name.len() <= 255
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// `NAME[:TAG][@sha256:…]`, and nothing that would lead elsewhere in an address.
fn is_image_name(name: &str) -> bool {
    name.len() <= 512
        && !name.contains("..")
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-/:@".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_volumes_are_taken() {
        let problems = |key: &str, value: &str| {
            Volume.check(&BTreeMap::from([(key.to_owned(), value.to_owned())])).len()
        };
        for good in ["data", "odoo_db-data.1", &"a".repeat(64)] {
            assert_eq!(problems("volume", good), 0, "{good}");
        }
        for wrong in ["/etc", "../containers", "a/../../b", "$(id)", "--help", "x y", "a?force=1"] {
            assert_eq!(problems("volume", wrong), 1, "{wrong}");
        }
        assert_eq!(problems("image", "registry:5000/team/app:1.2@sha256:00ff"), 0);
        assert_eq!(problems("image", "../volumes/x"), 1);
        assert_eq!(problems("exclude", "cache/**, *.tmp"), 0);
        assert_eq!(problems("exclude", "a***b"), 1);
    }
}
