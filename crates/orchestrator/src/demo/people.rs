//! Who works with the demonstration, what they have done, and who is told of what is wrong.

use std::collections::BTreeMap;

use catalog::AlertChanges;
use engine::{ChannelDraft, Engine, EngineError, RouteDraft};
use jiff::Timestamp;
use model::{
    Alert, AlertChange, AlertId, AlertRoute, ApiToken, AuditEntry, AuditId, ChannelId, ChannelTry,
    Delivery, DeliveryId, DeliveryItem, DeliveryState, PasswordHash, Role, Scope, TokenId, User,
    UserId,
};
use rand::{SeedableRng as _, rngs::StdRng};

use super::history::{History, Trouble, after, hours, name_of};

const SEED: u64 = 5551;

/// Adds people besides the first, tokens, channels and routes, what is wrong, and the audit log.
pub(super) async fn add(engine: &Engine, history: &History) -> Result<(), EngineError> {
    let mut rng = StdRng::seed_from_u64(SEED);
    let since = hours(history.today(), -24 * 40);
    for (name, role) in [("ana", Role::Operator), ("luis", Role::Viewer)] {
        let user = User {
            id: UserId::generate(since, &mut rng),
            name: name_of(name)?,
            // No password has this hash.
            password_hash: PasswordHash::from_phc("none".to_owned()),
            role,
            second_factor: None,
            unconfirmed_factor: None,
            identity: None,
            created_at: since,
            updated_at: since,
            version: 1,
        };
        engine.catalog().insert_user(&user).await?;
    }
    for (name, scope, app) in
        [("prometheus", Scope::Read, None), ("shop-deploy", Scope::Append, Some(0))]
    {
        let app = app.and_then(|number: usize| history.apps().get(number));
        let token = ApiToken {
            id: TokenId::generate(since, &mut rng),
            name: name_of(name)?,
            // Nor has any token.
            secret_sha256: format!("none of {name}"),
            scopes: vec![scope],
            apps: app.map(|app| app.id).into_iter().collect(),
            created_by: "demo".to_owned(),
            created_at: since,
            expires_at: Some(hours(since, 24 * 365)),
            last_used_at: Some(after(engine.now(), -90)),
        };
        engine.catalog().insert_token(&token).await?;
    }
    alerts(engine, history.troubles(), &mut rng).await?;
    audit(engine, history.today(), &mut rng).await
}

/// Mail for everything, and a push message for errors.
async fn alerts(
    engine: &Engine,
    troubles: &[Trouble],
    rng: &mut StdRng,
) -> Result<(), EngineError> {
    let now = engine.now();
    let mut ways = Vec::new();
    for (name, kind, settings, least) in [
        (
            "operators",
            "email",
            &[
                ("host", "mail.example.com"),
                ("from", "backups@example.com"),
                ("to", "ana@example.com, luis@example.com"),
            ][..],
            "warning",
        ),
        ("on-call", "ntfy", &[("topic", "company-backups-7f3a")][..], "error"),
    ] {
        let settings: BTreeMap<_, _> =
            settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let channel = engine
            .add_alert_channel(ChannelDraft {
                name: name.to_owned(),
                kind: kind.to_owned(),
                settings,
                ..ChannelDraft::default()
            })
            .await?;
        let tried = ChannelTry::new(hours(now, -4), None);
        engine.catalog().note_channel_try(channel.id, &tried).await?;
        let is_urgent = least == "error";
        let route = engine
            .add_alert_route(RouteDraft {
                name: if is_urgent { "at-night-too" } else { "everything" }.to_owned(),
                position: u32::from(is_urgent),
                least: least.to_owned(),
                channels: vec![name.to_owned()],
                remind_every_hours: is_urgent.then_some(24),
                quiet_from: if is_urgent { "" } else { "22:00" }.to_owned(),
                quiet_to: if is_urgent { "" } else { "07:00" }.to_owned(),
                ..RouteDraft::default()
            })
            .await?;
        ways.push((channel.id, route));
    }
    let mut changes = AlertChanges::default();
    for trouble in troubles {
        let alert = alert(trouble, rng);
        for (channel, route) in ways.iter().filter(|(_, route)| route.fits(&alert)) {
            changes.deliveries.push(sent(&alert, *channel, route, rng));
        }
        changes.opened.push(alert);
    }
    Ok(engine.catalog().change_alerts(&changes).await?)
}

fn alert(trouble: &Trouble, rng: &mut StdRng) -> Alert {
    Alert {
        id: AlertId::generate(trouble.since, rng),
        kind: trouble.kind,
        severity: trouble.severity,
        app_id: Some(trouble.app.id),
        app: Some(trouble.app.name.to_string()),
        destination_id: None,
        destination: None,
        run_id: trouble.run,
        snapshot_id: None,
        opened_at: trouble.since,
        closed_at: None,
        withdrawn: false,
        sentence: trouble.fact.clone().into(),
        told: Vec::new(),
    }
}

fn sent(alert: &Alert, channel: ChannelId, route: &AlertRoute, rng: &mut StdRng) -> Delivery {
    let at = alert.opened_at;
    Delivery {
        id: DeliveryId::generate(at, rng),
        channel_id: channel,
        route_id: route.id,
        items: vec![DeliveryItem { alert_id: alert.id, change: AlertChange::Opened }],
        digest: false,
        state: DeliveryState::Sent,
        attempts: 1,
        not_before: at,
        created_at: at,
        ended_at: Some(after(at, 2)),
        problem: None,
        fact: None,
    }
}

async fn audit(engine: &Engine, today: Timestamp, rng: &mut StdRng) -> Result<(), EngineError> {
    for (hours_ago, who, action, target, detail) in [
        (310, "demo", "user.add", "ana", "operator"),
        (309, "demo", "user.add", "luis", "viewer"),
        (305, "demo", "token.create", "shop-deploy", "append"),
        (250, "demo", "app.edit", "shop", ""),
        (214, "ana", "login", "ana", ""),
        (213, "ana", "app.run", "wiki", ""),
        (166, "ana", "login", "ana", ""),
        (120, "demo", "alert-channel.add", "on-call", ""),
        (73, "luis", "login.failed", "luis", ""),
        (72, "luis", "login", "luis", ""),
        (34, "token shop-deploy", "app.run", "shop", "release 2.40"),
        (32, "ana", "login", "ana", ""),
        (31, "ana", "snapshot.pin", "shop", "release 2.40"),
        (10, "ana", "app.drill", "billing", ""),
    ] {
        let at = hours(today, -hours_ago);
        let entry = AuditEntry {
            id: AuditId::generate(at, rng),
            at,
            who: who.to_owned(),
            from: "203.0.113.24".to_owned(),
            action: action.to_owned(),
            target: target.to_owned(),
            detail: detail.to_owned(),
        };
        engine.catalog().append_audit(&entry).await?;
    }
    Ok(())
}
