//! The engine on a real Postgres: `TASKER_TEST_DATABASE_URL` names the server, `bin/test rust` starts one.
#![allow(clippy::unwrap_used, clippy::panic)]

mod artifacts;
mod budgets;
mod common;
mod deadlines;
mod encryption;
mod engine;
mod feed;
mod heartbeat;
mod held;
mod identity;
mod joins;
mod overviews;
mod plans;
mod priorities;
mod prune;
mod registration;
mod rescue;
mod silence;
mod store;
