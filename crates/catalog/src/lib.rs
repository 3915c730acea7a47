//! The SQL index of everything the orchestrator knows.
