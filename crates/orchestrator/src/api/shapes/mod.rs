//! What the API's replies and bodies look like, where they are not the nouns themselves.

mod accounts;
mod alerts;
mod apps;
mod destinations;
mod runs;

pub(super) use accounts::{
    CallerShown, CallerWord, EnrolmentShown, NewTokenShown, RecoveryCodes, SessionShown,
    TokenShown, UserShown,
};
pub(crate) use alerts::draft_of;
pub(super) use alerts::{ChannelEdit, ChannelKindShown, ChannelShown, RouteEdit, RouteShown};
pub(super) use apps::{AppEdit, AppShown, CardShown, Fires, OverviewShown};
pub(super) use destinations::{DestinationEdit, DestinationMade, DestinationShown};
pub(super) use runs::{Cancelled, RunShown};
