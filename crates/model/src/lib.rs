//! Nouns and pure rules: no I/O, no clock, no SQL, no HTTP.
//!
//! Everything here is data or a function of its arguments. The moment and the
//! randomness that a rule needs are handed to it.

#[macro_use]
mod words;

pub mod account;
pub mod alert;
pub mod app;
pub mod clock;
pub mod contents;
pub mod destination;
pub mod drill;
pub mod duration;
pub mod duty;
pub mod event;
pub mod fact;
pub mod failure;
pub mod id;
pub mod layout;
pub mod lsn;
pub mod name;
pub mod recovery;
pub mod restore;
pub mod retention;
pub mod run;
pub mod schedule;
pub mod secret;
pub mod sentence;
pub mod snapshot;
pub mod source;
pub mod whole;

pub use account::{
    ApiToken, AuditEntry, Identity, PasswordHash, Permission, Permissions, Role, Scope,
    SecondFactor, Session, User,
};
pub use alert::{
    Alert, AlertChange, AlertChannel, AlertKind, AlertRoute, ChannelKind, ChannelTry, Delivery,
    DeliveryItem, DeliveryState, DigestEvery, QuietHours, ToldThrough,
};
pub use app::{App, Binding, Limits, ManagedBy};
pub use clock::{Clock, ManualClock};
pub use contents::{Contents, TableRows};
pub use destination::{Destination, DestinationKind};
pub use drill::{
    BootReport, DrillBoot, DrillCheck, DrillCommand, DrillItem, DrillPlan, DrillQuestion,
    DrillReport, DrillState, Proof,
};
pub use duty::{Duty, OwedDuty};
pub use event::{Event, EventKind, Severity};
pub use fact::{Fact, FactValue, Size, Told};
pub use failure::{Failure, FailureCode};
pub use id::{
    AlertId, AppId, AuditId, ChannelId, DeliveryId, DestinationId, EventId, PlanId, RouteId, RunId,
    SessionId, SnapshotId, TokenId, UserId,
};
pub use lsn::{Lsn, LsnError};
pub use name::{Name, NameError};
pub use recovery::{
    ArchiveStanding, BaseFacts, Landing, Moment, MomentOrder, RecoveryPlan, RecoveryState,
    RecoveryWindow, RestorePoint, WalGap, WalPiece, WalPieceKind, WalPieceState, WalWay,
};
pub use restore::{
    Condition, Preflight, PreflightCheck, PreflightItem, PreflightLevel, RestoreOrder,
    RestoreReport, RestoreStep, RestoreTarget, Selection, StepState, WholeAct, WholeOrder,
    WholeReport, WholeStep,
};
pub use run::{
    DestinationOutcome, Lease, LogLevel, LogLine, Run, RunKind, RunState, Stage, StageTime, Trigger,
};
pub use secret::SealedSecret;
pub use sentence::Sentence;
pub use snapshot::{Artifact, CopyState, Snapshot, SnapshotKind, StoredCopy, StoredObject};
pub use source::{ContractSource, DirectKind, DirectSource, Source, SourceKind};
pub use whole::{
    AppState, CodePlan, CodeState, ContainerState, Grade, Hook, QuiesceMode, QuiescePlan,
    VolumeSnapshot, WalPosition,
};
