//! What is looked at of workers: that nobody is buried who lives.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::ids::WorkerId;
use crate::simulation::server::Host;
use crate::simulation::tables::{Tables, WorkerRecord, Written};
use crate::state::{StepEvent, WorkerState};

use super::{SLACK, Watch};

impl Watch {
    /// A process is a worker from now on, and none of those that it was before.
    pub(in crate::simulation) fn registered(&mut self, worker: WorkerId, host: &Arc<Host>) {
        self.forget(host);
        self.hosts.insert(worker, (Arc::clone(host), self.running.contains(&host.number)));
    }

    /// A process begins there.
    pub(in crate::simulation) fn came(&mut self, host: &Host) {
        self.running.insert(host.number);
    }

    /// The process there is gone, and with it its registrations; one of them may be committed only now.
    pub(in crate::simulation) fn gone(&mut self, host: &Host) {
        self.running.remove(&host.number);
        self.forget(host);
    }

    pub(super) fn forget(&mut self, host: &Host) {
        for (other, alive) in self.hosts.values_mut() {
            *alive &= other.number != host.number;
        }
    }

    /// The server's clock was put forward or back.
    pub(in crate::simulation) fn clock_was_put(&mut self, tables: &Tables) {
        self.clock_put = true;
        self.unheard.extend(tables.workers.keys());
    }

    /// Nobody whom nothing disturbed is buried, or loses a claim.
    pub(super) fn burials(&mut self, before: &Tables, written: &Written, by: &Host) {
        let taken = written.step_transitions.iter().filter(|change| {
            matches!(change.event, StepEvent::WorkerDied | StepEvent::CrashesExhausted)
        });
        let buried = written.workers.iter().filter(|(id, worker)| {
            let was_alive = before.workers.get(id).is_some_and(WorkerRecord::is_alive);
            worker.state == WorkerState::Dead && was_alive
        });
        let lost = taken.filter_map(|change| change.worker).chain(buried.map(|(id, _)| *id));
        let lost: BTreeSet<_> = lost.filter(|id| !self.unheard.contains(id)).collect();
        for id in lost {
            let Some(worker) = before.workers.get(&id) else { continue };
            let Some((host, alive)) = self.hosts.get(&id) else { continue };
            let calm = host.undisturbed();
            if *alive && calm > worker.dead_after + SLACK {
                let by = by.number;
                self.violated(format!(
                    "host {by} took worker {id} for dead, whom nothing disturbed for {calm:?}"
                ));
            }
        }
    }

    /// Who beats is heard by the clock as it is.
    pub(super) fn heartbeats(&mut self, before: &Tables, written: &Written) {
        self.unheard.retain(|id| {
            let (was, is) = (before.workers.get(id), written.workers.get(id));
            is.is_none_or(|is| was.is_some_and(|was| was.heartbeat_at == is.heartbeat_at))
        });
    }
}
