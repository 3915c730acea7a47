//! Tokens that are for some apps alone: what a request is about.

use catalog::CatalogError;
use model::{AppId, RunId, SnapshotId};
use percent_encoding::percent_decode_str;

use super::{Accounts, Caller};

/// Lists that can be asked for one app, by `?app=`.
const BY_QUERY: &[&str] = &["/api/v1/runs", "/api/v1/events"];

/// What a request names. A route that names nothing of an app is about everything.
#[derive(Debug, PartialEq, Eq)]
enum About {
    App(String),
    Run(String),
    Snapshot(String),
    Everything,
}

impl Accounts {
    /// Whether what a request names is within what the caller is for. Somebody who is for some
    /// apps alone reaches these, their runs and their snapshots, and nothing that is not told to
    /// be about one of them.
    pub(crate) async fn reaches(
        &self,
        caller: &Caller,
        matched: &str,
        path: &str,
        query: &str,
    ) -> Result<bool, CatalogError> {
        let Some(apps) = &caller.apps else { return Ok(true) };
        let app = match self.app_of(about(matched, path, query)).await {
            // What is not there is refused as what is another's: which names exist is not told.
            Err(CatalogError::NotFound { .. }) => None,
            found => found?,
        };
        Ok(app.is_some_and(|app| apps.contains(&app)))
    }

    async fn app_of(&self, about: About) -> Result<Option<AppId>, CatalogError> {
        let catalog = self.catalog();
        Ok(match about {
            About::App(name) => Some(catalog.app_by_name(&name).await?.id),
            About::Run(id) => match id.parse::<RunId>() {
                Ok(id) => catalog.run(id).await?.app_id,
                Err(_) => None,
            },
            About::Snapshot(id) => match id.parse::<SnapshotId>() {
                Ok(id) => Some(catalog.snapshot(id).await?.app_id),
                Err(_) => None,
            },
            About::Everything => None,
        })
    }
}

fn about(matched: &str, path: &str, query: &str) -> About {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    for (name, value) in matched.split('/').zip(path.split('/')) {
        match name {
            "{app}" => return About::App(decoded(value)),
            "{run}" => return About::Run(decoded(value)),
            "{snapshot}" => return About::Snapshot(decoded(value)),
            _ => {}
        }
    }
    let mut asked = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "app");
    match (BY_QUERY.contains(&matched), asked.next(), asked.next()) {
        (true, Some((_, app)), None) => About::App(app.into_owned()),
        _ => About::Everything,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::permissions::ROUTES;

    #[test]
    fn a_request_is_about_what_its_path_names() {
        let app = |name: &str| About::App(name.to_owned());
        let runs = "/api/v1/runs";
        for (matched, path, query, expected) in [
            ("/api/v1/apps/{app}/run", "/api/v1/apps/the%20shop/run", "", app("the shop")),
            ("/runs/{run}/log", "/runs/01x/log", "app=shop", About::Run("01x".to_owned())),
            (runs, runs, "limit=5&app=shop", app("shop")),
            (runs, runs, "app=shop&app=other", About::Everything),
            (runs, runs, "", About::Everything),
            ("/api/v1/tokens", "/api/v1/tokens", "app=shop", About::Everything),
        ] {
            assert_eq!(about(matched, path, query), expected, "{path}?{query}");
        }
    }

    #[test]
    fn no_route_names_two_that_could_differ() {
        for route in ROUTES {
            let named = route
                .path
                .split('/')
                .filter(|part| matches!(*part, "{app}" | "{run}" | "{snapshot}"));
            assert!(named.count() <= 1, "{}", route.path);
        }
    }
}
