//! The connection over which a worker beats and is called.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::decision::Claim;
use crate::guard::{Guard, removed};
use crate::ids::ClaimBatchId;
use crate::simulation::server::{Connection, Progress, Row, State, Work, held};
use crate::simulation::tables::WorkerRecord;
use crate::store::{Beat, Call, Line, Pulse, StoreError};

use super::{Answer, done};
use crate::simulation::plan::QUEUES;

/// The connection of a heart.
#[derive(Debug)]
pub(in crate::simulation) struct SimulatedLine {
    pub(super) connection: Connection,
    pub(super) calls: mpsc::UnboundedReceiver<Call>,
    pub(super) patience: Duration,
}

impl Line for SimulatedLine {
    async fn beat(&mut self, pulse: &Pulse) -> Result<Beat, StoreError> {
        let beat = self.connection.ask(self.patience, |state, work| beat(state, work, pulse)).await;
        if beat.is_err() {
            self.connection.host.disturb();
        }
        beat
    }

    async fn next(&mut self) -> Result<Option<Call>, StoreError> {
        let call = self.calls.recv().await;
        Ok(call.filter(|_| !self.connection.is_lost()))
    }
}

/// As `beat.sql`.
fn beat(state: &mut State, work: &mut Work, pulse: &Pulse) -> Answer<Beat> {
    held!(state.hold(work.id, Row::Worker(pulse.worker)));
    let own = |batch: &&ClaimBatchId| {
        state.tables.batches.get(batch).is_some_and(|record| record.worker == pulse.worker)
    };
    let over: Vec<_> = pulse.over.iter().filter(own).copied().collect();
    for batch in &over {
        held!(state.hold(work.id, Row::Batch(*batch)));
    }
    let now = state.now();
    let tables = &state.tables;
    let fleet: Vec<_> = tables.workers.iter().filter(|(_, worker)| worker.is_alive()).collect();
    let others = fleet.iter().filter(|(id, _)| **id != pulse.worker);
    let busy = others.clone().filter(|(_, worker)| worker.resting.is_zero()).count();
    let rests = others.clone().any(|(_, worker)| !worker.resting.is_zero());
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let workers = u32::try_from(fleet.len()).unwrap_or(u32::MAX);
    let alive = tables.workers.get(&pulse.worker).filter(|worker| worker.is_alive());
    if let Some(worker) = alive {
        let resting = Duration::from_millis(pulse.resting_ms.into()) * workers;
        let beaten = WorkerRecord { heartbeat_at: now, resting, ..*worker };
        work.written.workers.insert(pulse.worker, beaten);
    }
    work.written.batches.extend(over.into_iter().map(|batch| (batch, None)));
    let first_of = |queue: &&str| {
        tables
            .ready
            .values()
            .filter(|ready| ready.queue.as_deref() == Some(*queue))
            .map(|r| r.available_at)
            .min()
    };
    let firsts: Vec<_> =
        QUEUES.iter().filter_map(|queue| Some((*queue, first_of(queue)?))).collect();
    let serves = |queue: &str| pulse.queues.iter().any(|served| served == queue);
    let due: Vec<_> =
        firsts.iter().filter(|(_, at)| rests && *at <= now).map(|(q, _)| (*q).to_owned()).collect();
    let dead = tables.silent(now).into_iter().any(|worker| worker != pulse.worker)
        || !tables.ended_with_claims().is_empty();
    let lost = |claim: &&Claim| {
        let held = tables.steps.get(&claim.step);
        let current =
            held.is_some_and(|s| s.worker == Some(claim.worker) && s.attempts == claim.attempt);
        !current && !removed(Guard::LostClaimsAsked)
    };
    let beat = Beat {
        alive: alive.is_some(),
        workers: workers.into(),
        before: count(fleet.iter().filter(|(id, _)| **id < pulse.worker).count()),
        busy: count(busy),
        other_queues: firsts
            .iter()
            .filter(|(queue, _)| pulse.all_queues && !serves(queue))
            .map(|(queue, _)| (*queue).to_owned())
            .collect(),
        called: count(due.len()),
        next_available_at: firsts
            .iter()
            .filter(|(queue, _)| pulse.all_queues || serves(queue))
            .map(|(_, at)| *at)
            .min(),
        now,
        claim_batches: count(
            tables.batches.values().filter(|batch| batch.worker == pulse.worker).count(),
        ),
        somebody_died: dead,
        somebody_late: !tables.late(now).is_empty() || !tables.late_steps(now).is_empty(),
        lost: pulse.running.iter().filter(lost).map(|claim| claim.step).collect(),
        somebody_ended: !tables.follow_ups.is_empty(),
    };
    work.written.calls.extend(due.into_iter().map(Call::Steps));
    state.tell(|| {
        let rests = if pulse.resting_ms > 0 { ", at rest" } else { "" };
        format!("worker {} beats{rests}", pulse.worker)
    });
    done(beat)
}
