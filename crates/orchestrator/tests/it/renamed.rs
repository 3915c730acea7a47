//! A form that was opened before somebody gave its thing another name is about that thing still.

use serde_json::json;

use crate::forms::{Form, World};

/// A page, what the thing is called, and its kind in the audit log.
const FORMS: [(&str, &str, &str); 4] = [
    ("/apps/shop/edit", "shop", "app"),
    ("/destinations/disk/edit", "disk", "destination"),
    ("/alerts/channels/ops", "ops", "alert-channel"),
    ("/alerts/routes/all", "all", "alert-route"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_finds_what_it_was_made_from_under_its_new_name() {
    let world = World::new().await;
    let (_, page, _) = world.see("/apps/shop/drills").await;
    let drills = Form::on(&page, "/apps/shop/drills");
    for (path, name, kind) in FORMS {
        let (_, page, _) = world.see(path).await;
        let form = Form::on(&page, path);
        assert_eq!(form.value("item").len(), 26, "{path}: {form:?}");
        let renamed = format!("{name}-renamed");
        let reply = world.send(path, &form.with(&[("name", &renamed)])).await;
        assert_eq!(reply.status, 303, "{path}: {:.3000}", reply.page);

        let reply = world.send(path, &form.with(&[])).await;
        assert_eq!(reply.status, 409, "{path}: {:.3000}", reply.page);
        let told = reply.page.split("id=\"conflict\"").nth(1).unwrap();
        let told = told.split("</section>").next().unwrap();
        assert!(told.contains(&renamed), "{path} does not tell the new name: {told}");

        // Saved once more with that in sight, it has the name that was typed.
        let places = [path.to_owned(), format!("{path}-renamed")];
        let is_there = |one: &&String| reply.page.contains(&format!("action=\"{one}\""));
        let again = Form::on(&reply.page, places.iter().find(is_there).unwrap());
        let typed = format!("{name}-again");
        // By the address that it was opened with.
        let reply = world.send(path, &again.with(&[("name", &typed)])).await;
        assert_eq!(reply.status, 303, "{path}: {:.3000}", reply.page);
        let action = format!("action={kind}.edit&who=ana");
        let noted = world.server.done_get(&format!("audit?{action}")).await;
        let mut targets: Vec<_> =
            noted.as_array().unwrap().iter().map(|one| &one["target"]).collect();
        targets.sort_by_key(|target| target.to_string().len());
        assert_eq!(targets, [&json!(name), &json!(renamed)], "{path}");
    }
    let sent = drills.with(&[("boot-container", "box")]);
    let reply = world.send("/apps/shop/drills", &sent).await;
    assert_eq!(reply.status, 409, "{:.3000}", reply.page);
    let again = Form::on(&reply.page, "/apps/shop-again/drills");
    let reply = world.send(&again.action, &again.with(&[])).await;
    assert_eq!(reply.status, 303, "{:.3000}", reply.page);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_never_changes_what_has_its_name_by_now() {
    let world = World::new().await;
    let (_, page, _) = world.see("/alerts/routes/all").await;
    let form = Form::on(&page, "/alerts/routes/all");
    let reply = world.send("/alerts/routes/all", &form.with(&[("name", "some")])).await;
    assert_eq!(reply.status, 303, "{:.3000}", reply.page);
    // Its version is the one that the form names.
    let other = json!({ "name": "all", "channels": ["ops"], "remind_every_hours": 5 });
    world.server.done("POST", "alert-routes", other).await;

    let reply = world.send("/alerts/routes/all", &form.with(&[("remind_every_hours", "99")])).await;
    assert_eq!(reply.status, 422, "{:.3000}", reply.page);
    for (route, hours) in [("all", json!(5)), ("some", json!(null))] {
        let kept = world.server.done_get(&format!("alert-routes/{route}")).await;
        assert_eq!(kept["remind_every_hours"], hours, "{kept}");
    }
}
