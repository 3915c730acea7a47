//! Messages to people, over the channels they read: mail and services that take HTTP.
//!
//! What is sent is worded already; a channel knows how its service wants it, and what the
//! service's answer means.

mod address;
mod certificates;
mod channel;
mod discord;
mod email;
mod error;
mod gotify;
mod healthchecks;
mod http;
mod kind;
mod message;
mod ntfy;
mod settings;
mod slack;
mod telegram;
mod text;
mod webhook;
mod wrong;

pub use channel::{Channel, Clock, Limits};
pub use error::SendError;
pub use kind::{Field, Kind};
pub use message::{Level, Message};
pub use settings::{SettingProblem, SettingsError};
pub use wrong::Wrong;
