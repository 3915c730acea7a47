//! Everything that happens: schedules, runs, retention, doctor.
