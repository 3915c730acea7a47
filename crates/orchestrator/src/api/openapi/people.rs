//! What the routes about people take and answer: who is told, who may log in, and who does.

use engine::{ChannelDraft, DeliveryShown, RouteDraft};
use model::{Alert, ChannelTry};

use super::operation::Operation;
use crate::{
    accounts::{LoginRules, RulesEdit, TokenDraft, UserDraft, UserEdit},
    api::{
        session,
        shapes::{
            CallerShown, ChannelEdit, ChannelKindShown, ChannelShown, EnrolmentShown,
            NewTokenShown, RecoveryCodes, RouteEdit, RouteShown, SessionShown, TokenShown,
            UserShown,
        },
    },
};

pub(super) fn of_alerts() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/alerts", "List what is and was wrong, open ones first")
            .asks("app", "string", "Of this app only: its name or id.")
            .asks("open", "boolean", "Those that last only.")
            .asks("offset", "integer", "How many to pass over.")
            .asks("limit", "integer", "How many to give: 50 unless told, at most 500.")
            .lists::<Alert>(200, "The alerts.")
            .may_fail(&[404]),
        Operation::get("/api/v1/alert-messages", "List what was sent and waits, the newest first")
            .asks("channel", "string", "To this channel only: its name or id.")
            .asks("state", "string", "In this state only: `held`, `queued`, `sent` or `failed`.")
            .asks("offset", "integer", "How many to pass over.")
            .asks("limit", "integer", "How many to give: 50 unless told, at most 500.")
            .lists::<DeliveryShown>(200, "The messages.")
            .may_fail(&[404]),
        Operation::get("/api/v1/alert-channel-kinds", "What channels can be, and what each takes")
            .lists::<ChannelKindShown>(200, "The kinds of channel."),
        Operation::get("/api/v1/alert-channels", "List the channels")
            .lists::<ChannelShown>(200, "All channels."),
        Operation::post("/api/v1/alert-channels", "Add a channel")
            .takes::<ChannelDraft>()
            .gives::<ChannelShown>(201, "The channel as it is now.")
            .may_fail(&[409]),
        Operation::get("/api/v1/alert-channels/{channel}", "Show a channel")
            .gives::<ChannelShown>(200, "The channel."),
        Operation::put("/api/v1/alert-channels/{channel}", "Edit a channel")
            .takes::<ChannelEdit>()
            .gives::<ChannelShown>(200, "The channel as it is now.")
            .may_fail(&[409]),
        Operation::delete("/api/v1/alert-channels/{channel}", "Remove a channel no route leads to")
            .done("It is removed.")
            .may_fail(&[409]),
        Operation::post("/api/v1/alert-channels/{channel}/test", "Send a message of trial")
            .gives::<ChannelTry>(200, "What came of it."),
        Operation::get("/api/v1/alert-routes", "List the routes in their order")
            .lists::<RouteShown>(200, "All routes."),
        Operation::post("/api/v1/alert-routes", "Add a route")
            .takes::<RouteDraft>()
            .gives::<RouteShown>(201, "The route as it is now.")
            .may_fail(&[409]),
        Operation::get("/api/v1/alert-routes/{route}", "Show a route")
            .gives::<RouteShown>(200, "The route."),
        Operation::put("/api/v1/alert-routes/{route}", "Edit a route")
            .takes::<RouteEdit>()
            .gives::<RouteShown>(200, "The route as it is now.")
            .may_fail(&[409]),
        Operation::delete("/api/v1/alert-routes/{route}", "Remove a route")
            .done("It is removed; what it held goes out.")
            .may_fail(&[409]),
    ]
}

pub(super) fn of_accounts() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/users", "List the users").lists::<UserShown>(200, "All users."),
        Operation::post("/api/v1/users", "Add a user")
            .takes::<UserDraft>()
            .gives::<UserShown>(201, "The user.")
            .may_fail(&[409]),
        Operation::put("/api/v1/users/{user}", "Change a user's role or password")
            .takes::<UserEdit>()
            .gives::<UserShown>(200, "The user as they are now.")
            .may_fail(&[409]),
        Operation::delete("/api/v1/users/{user}", "Remove a user; the tokens they made stay")
            .done("They are removed.")
            .may_fail(&[409]),
        Operation::delete("/api/v1/users/{user}/second-factor", "End a user's second factor")
            .done("It is ended, and so are their logins.")
            .may_fail(&[409]),
        Operation::delete(
            "/api/v1/users/{user}/identity",
            "Unlink a user from their login at the other service",
        )
        .done("They are unlinked, and their logins are ended.")
        .may_fail(&[409]),
        Operation::delete("/api/v1/users/{user}/sessions", "End all logins of a user")
            .done("They are ended."),
        Operation::get("/api/v1/sessions", "List who is logged in where, the last seen first")
            .asks("user", "string", "Of this user only: their name or id.")
            .lists::<SessionShown>(200, "The logins.")
            .may_fail(&[404]),
        Operation::delete("/api/v1/sessions/{session}", "End a login").done("It is ended."),
        Operation::get("/api/v1/account/sessions", "List one's own logins")
            .lists::<SessionShown>(200, "The logins; none of a token."),
        Operation::delete("/api/v1/account/sessions", "End one's own logins but this one")
            .done("They are ended."),
        Operation::delete("/api/v1/account/sessions/{session}", "End one of one's own logins")
            .done("It is ended."),
        Operation::get("/api/v1/login-rules", "What logins must fulfil")
            .gives::<LoginRules>(200, "The rules."),
        Operation::put("/api/v1/login-rules", "Change what logins must fulfil")
            .takes::<RulesEdit>()
            .gives::<LoginRules>(200, "The rules as they are now."),
        Operation::get("/api/v1/tokens", "List the API tokens")
            .lists::<TokenShown>(200, "All tokens, without their secrets."),
        Operation::post("/api/v1/tokens", "Make an API token")
            .takes::<TokenDraft>()
            .gives::<NewTokenShown>(201, "The token with its secret, shown this once.")
            .may_fail(&[409]),
        Operation::delete("/api/v1/tokens/{token}", "Revoke an API token").done("It is revoked."),
    ]
}

pub(super) fn of_session() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/session", "Who the caller is")
            .gives::<CallerShown>(200, "Their name and what they may do.")
            .may_fail(&[401]),
        Operation::post("/api/v1/session", "Log in")
            .for_anybody()
            .takes::<session::Login>()
            .done("Logged in: the answer sets the cookie.")
            .may_fail(&[401, 403, 429]),
        Operation::delete("/api/v1/session", "Log out").done("Logged out.").may_fail(&[401, 403]),
        Operation::put("/api/v1/session/password", "Change one's own password")
            .takes::<session::NewPassword>()
            .done("Changed: all other logins have ended, the answer sets a new cookie.")
            .may_fail(&[401, 403, 429]),
        Operation::post("/api/v1/session/second-factor", "Begin a second factor of one's own")
            .takes::<session::PresentPassword>()
            .gives::<EnrolmentShown>(200, "The secret; nothing asks for it yet.")
            .may_fail(&[401, 403, 409, 429]),
        Operation::put("/api/v1/session/second-factor", "Turn it on by its first code")
            .takes::<session::FirstCode>()
            .gives::<RecoveryCodes>(200, "It is on. The recovery codes, shown this once.")
            .may_fail(&[401, 403, 409]),
        Operation::post("/api/v1/session/second-factor/end", "End one's own second factor")
            .takes::<session::PasswordAndCode>()
            .done("It is ended.")
            .may_fail(&[401, 403, 409, 429]),
    ]
}
