//! Restoring: what, from where, to where; then what it would meet; then it begins.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use engine::{EngineError, PartRequest, RestoreRequest};
use model::{CopyState, Preflight, PreflightLevel, Snapshot, SnapshotId, SnapshotKind};

use super::{
    Web,
    fault::{Fault, show},
    filters,
    form::{Errors, Fields, Sealed, redirect},
    mark::Mark,
    page::{Nav, Page},
    run_report::Check,
    visitor::Visitor,
};

/// An artifact that can be ticked.
struct Part {
    name: String,
    file: String,
    size: String,
    ticked: bool,
    paths: String,
    tables: String,
}

/// What was chosen, as the form shows it.
struct Asked {
    to: String,
    name: String,
    path: String,
    from: String,
    /// The app as a whole.
    whole: bool,
    /// Changes to its code are set aside.
    set_aside: bool,
    parts: Vec<Part>,
}

impl Asked {
    /// All of it, back into the app.
    fn blank(snapshot: &Snapshot, app: &str, visitor: &Visitor) -> Self {
        let mut fields = Fields::default();
        for artifact in &snapshot.artifacts {
            fields.push("artifact", artifact.source.as_str());
        }
        fields.push("to", "app");
        fields.push("name", &format!("{app}-restored"));
        Self::of(&fields, snapshot, visitor)
    }

    fn of(fields: &Fields, snapshot: &Snapshot, visitor: &Visitor) -> Self {
        let part = |artifact: &model::Artifact| {
            let name = artifact.source.to_string();
            Part {
                file: artifact.file_name.clone(),
                size: visitor.lang.size(artifact.size_bytes),
                ticked: fields.all("artifact").any(|one| one == name),
                paths: fields.text(&format!("paths-{name}")).to_owned(),
                tables: fields.text(&format!("tables-{name}")).to_owned(),
                name,
            }
        };
        let text = |name: &str| fields.text(name).to_owned();
        Self {
            to: text("to"),
            name: text("name"),
            path: text("path"),
            from: text("from"),
            whole: fields.ticked("whole"),
            set_aside: fields.ticked("set_aside"),
            parts: snapshot.artifacts.iter().map(part).collect(),
        }
    }

    fn request(&self) -> RestoreRequest {
        let lines = |text: &str| -> Vec<String> {
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
        };
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let all = self.parts.iter().all(|p| p.ticked && p.paths.is_empty() && p.tables.is_empty());
        let only = self.parts.iter().filter(|part| part.ticked && !all).map(|part| PartRequest {
            artifact: part.name.clone(),
            paths: lines(&part.paths),
            tables: lines(&part.tables),
        });
        RestoreRequest {
            to: self.to.clone(),
            name: given(&self.name).filter(|_| self.to == "beside"),
            path: given(&self.path).filter(|_| self.to == "folder"),
            only: only.collect(),
            from: given(&self.from),
            whole: self.whole && self.to == "app",
            set_code_aside: self.set_aside && self.whole,
            ..RestoreRequest::default()
        }
    }

    /// The fields again, for the next page to carry.
    fn fields(&self) -> Vec<(String, String)> {
        let mut fields = vec![
            ("to".to_owned(), self.to.clone()),
            ("name".to_owned(), self.name.clone()),
            ("path".to_owned(), self.path.clone()),
            ("from".to_owned(), self.from.clone()),
        ];
        for (name, is_set) in [("whole", self.whole), ("set_aside", self.set_aside)] {
            if is_set {
                fields.push((name.to_owned(), "on".to_owned()));
            }
        }
        for part in &self.parts {
            if part.ticked {
                fields.push(("artifact".to_owned(), part.name.clone()));
            }
            fields.push((format!("paths-{}", part.name), part.paths.clone()));
            fields.push((format!("tables-{}", part.name), part.tables.clone()));
        }
        fields.retain(|(_, value)| !value.is_empty());
        fields
    }
}

#[derive(Template)]
#[template(path = "restore.html")]
struct AskPage {
    page: Page,
    id: String,
    app: String,
    asked: Asked,
    /// Destinations that hold a copy.
    places: Vec<String>,
    /// Folders of the server that may be written into.
    roots: Vec<String>,
    errors: Errors,
    command: String,
}

struct Item {
    artifact: String,
    target: String,
    replaces: Option<String>,
    size: String,
}

#[derive(Template)]
#[template(path = "restore_preflight.html")]
struct PreflightPage {
    page: Page,
    id: String,
    fields: Vec<(String, String)>,
    items: Vec<Item>,
    checks: Vec<Check>,
    size: String,
    estimate: Option<String>,
    confirm: Option<String>,
    /// It replaces what the app has, of which a snapshot can be taken first.
    offers_undo: bool,
    undo: bool,
    may_begin: bool,
    errors: Errors,
    command: String,
}

struct Found {
    snapshot: Snapshot,
    app: String,
}

async fn find(web: &Web, text: &str) -> Result<Found, Fault> {
    let id: SnapshotId = text.parse().map_err(|_| Fault::not_found())?;
    let snapshot = web.engine.catalog().snapshot(id).await?;
    let app = web.engine.catalog().app(snapshot.app_id).await?.name.to_string();
    Ok(Found { snapshot, app })
}

async fn form(
    web: &Web,
    visitor: &Visitor,
    found: &Found,
    asked: Asked,
    errors: Errors,
) -> Result<Html<String>, Fault> {
    let mut places = Vec::new();
    for copy in found.snapshot.copies.iter().filter(|copy| copy.state != CopyState::Expired) {
        if copy.state.is_restorable()
            && let Ok(one) = web.engine.catalog().destination(copy.destination_id).await
        {
            places.push(one.name.to_string());
        }
    }
    let when = visitor.when(found.snapshot.taken_at).absolute;
    let roots = &web.engine.config().restore_roots;
    Ok(show(&AskPage {
        page: visitor.page(visitor.lang.with("restore-title", "when", when), Nav::Snapshots),
        id: found.snapshot.id.to_string(),
        app: found.app.clone(),
        command: command(&found.snapshot, &asked.request()) + " --preflight",
        asked,
        places,
        roots: roots.iter().map(|root| root.display().to_string()).collect(),
        errors,
    }))
}

pub(super) async fn ask(
    visitor: Visitor,
    State(web): State<Web>,
    Path(text): Path<String>,
) -> Result<Response, Fault> {
    let found = find(&web, &text).await?;
    if found.snapshot.kind == SnapshotKind::Base {
        return Ok(redirect(&format!("/apps/{}/recovery", found.app)));
    }
    let asked = Asked::blank(&found.snapshot, &found.app, &visitor);
    Ok(form(&web, &visitor, &found, asked, Errors::default()).await?.into_response())
}

pub(super) async fn sent(
    visitor: Visitor,
    State(web): State<Web>,
    Path(text): Path<String>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let found = find(&web, &text).await?;
    let asked = Asked::of(&fields, &found.snapshot, &visitor);
    let refuse = |errors| (StatusCode::UNPROCESSABLE_ENTITY, errors);
    if !asked.parts.iter().any(|part| part.ticked) {
        let none = Errors::at("only", visitor.t("restore-nothing"));
        let page = form(&web, &visitor, &found, asked, none).await?;
        return Ok(refuse(page).into_response());
    }
    if fields.text("action") == "edit" {
        return Ok(form(&web, &visitor, &found, asked, Errors::default()).await?.into_response());
    }
    let mut request = asked.request();
    let mut errors = Errors::default();
    let mut status = StatusCode::OK;
    let begins = fields.text("action") == "begin";
    if begins {
        request.confirm = Some(fields.text("confirm").to_owned()).filter(|typed| !typed.is_empty());
        request.without_undo = !fields.ticked("undo");
        match web.engine.restore_now(found.snapshot.id, &request).await {
            Ok(run) => return Ok(redirect(&format!("/runs/{}", run.id))),
            Err(error) => errors = visitor.refused(error)?,
        }
        status = StatusCode::UNPROCESSABLE_ENTITY;
    }
    match web.engine.preflight(found.snapshot.id, &request).await {
        Ok(seen) => {
            if begins
                && let Some(wanted) = &seen.confirm
                && request.confirm.as_ref() != Some(wanted)
            {
                errors = Errors::at("confirm", visitor.t("wrong-name"));
            }
            let undo = !begins || fields.ticked("undo");
            let page = preflight(&visitor, &found, &asked, &request, seen, undo, errors);
            Ok((status, page).into_response())
        }
        Err(error @ (EngineError::Invalid(_) | EngineError::Refused(_))) => {
            let errors = visitor.refused(error)?;
            let page = form(&web, &visitor, &found, asked, errors).await?;
            Ok(refuse(page).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

fn preflight(
    visitor: &Visitor,
    found: &Found,
    asked: &Asked,
    request: &RestoreRequest,
    seen: Preflight,
    undo: bool,
    errors: Errors,
) -> Html<String> {
    let lang = visitor.lang;
    let when = visitor.when(found.snapshot.taken_at).absolute;
    let checks = seen.checks.iter().map(|check| Check {
        mark: Mark::preflight(check.level, lang),
        name: check.artifact.as_ref().map(ToString::to_string),
        message: visitor.sentence(&check.sentence),
    });
    let mut checks: Vec<_> = checks.collect();
    // What stands against it comes first.
    checks.sort_by_key(|check| match check.mark.class {
        "failed" => 0,
        "late" => 1,
        _ => 2,
    });
    let confirmed =
        RestoreRequest { confirm: seen.confirm.clone(), without_undo: !undo, ..request.clone() };
    show(&PreflightPage {
        page: visitor.page(lang.with("restore-title", "when", when), Nav::Snapshots),
        id: found.snapshot.id.to_string(),
        fields: asked.fields(),
        may_begin: seen.checks.iter().all(|check| check.level != PreflightLevel::Blocked),
        offers_undo: seen.confirm.is_some() && asked.to == "app",
        undo,
        checks,
        size: lang.size(seen.size_bytes),
        estimate: seen.estimate_secs.map(|secs| lang.span(i64::try_from(secs).unwrap_or(i64::MAX))),
        confirm: seen.confirm,
        items: seen
            .items
            .into_iter()
            .map(|item| Item {
                artifact: item.artifact.to_string(),
                target: visitor.sentence(&item.target),
                replaces: item.replaces.as_ref().map(|what| visitor.sentence(what)),
                size: lang.size(item.size_bytes),
            })
            .collect(),
        errors,
        command: command(&found.snapshot, &confirmed) + " --wait",
    })
}

/// The same by command line: one command, or one for each artifact where only some are restored.
fn command(snapshot: &Snapshot, request: &RestoreRequest) -> String {
    let mut common = match request.to.as_str() {
        "beside" => format!(" --beside {}", word(request.name.as_deref().unwrap_or("NAME"))),
        "folder" => format!(" --into-folder {}", word(request.path.as_deref().unwrap_or("PATH"))),
        _ => " --into-app".to_owned(),
    };
    if request.whole {
        common += " --whole";
    }
    if request.set_code_aside {
        common += " --set-code-aside";
    }
    if let Some(from) = &request.from {
        common.extend([" --from ", &word(from)]);
    }
    if let Some(confirm) = &request.confirm {
        common.extend([" --confirm ", &word(confirm)]);
        if request.without_undo && request.to == "app" {
            common += " --no-undo";
        }
    }
    let begin = format!("backup-orchestrator restore {}", snapshot.id);
    if request.only.is_empty() {
        return begin + &common;
    }
    let one = |part: &PartRequest| {
        let mut words = format!("{begin} --only {}", word(&part.artifact));
        for table in &part.tables {
            words.extend([" --table ", &word(table)]);
        }
        for path in &part.paths {
            words.extend([" --path ", &word(path)]);
        }
        words + &common
    };
    let commands: Vec<_> = request.only.iter().map(one).collect();
    commands.join(" && ")
}

/// A word as a shell takes it.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_a_shell_as_they_are() {
        assert_eq!(word("shop-old"), "shop-old");
        assert_eq!(word("public.it's"), "'public.it'\\''s'");
        assert_eq!(word("$(reboot)"), "'$(reboot)'");
        assert_eq!(word(""), "''");
    }
}
