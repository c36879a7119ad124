//! Guards that the simulator takes away, one at a time, to see that it notices. Without the feature
//! `simulation` none can be taken away, and asking costs nothing.

/// Something that keeps an invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "simulation", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(not(feature = "simulation"), allow(dead_code, unreachable_pub))]
pub enum Guard {
    /// An end counts for the claim that is current only: in the decider.
    CurrentClaim,
    /// A row is written only if it is as it was read.
    Fencing,
    /// All rows of a decision are written, or none.
    WriteCount,
    /// A task's row is held while its steps change.
    TaskLocks,
    /// A claim is listed, so that it can be taken back.
    ListedClaims,
    /// A child waits for what its join policy asks for.
    JoinCounter,
    /// A failure is counted in each step that waits for it.
    FailuresCount,
    /// A step that is skipped is done for its own children.
    SkipsGoOn,
    /// For a child that it does not take, a decision step counts as skipped.
    BranchesCount,
    /// A parent that is tried again is open again.
    ParentsReopen,
    /// With a step, those below it begin anew.
    RerunGoesDown,
    /// What a step has added before it is executed anew is its no more.
    AddedRetire,
    /// Steps of a paused task are not claimed.
    PausedWait,
    /// Steps of a task with a lower priority are claimed first.
    UrgentFirst,
    /// A step that can be claimed has the priority of its task.
    PrioritiesGoAlong,
    /// A transition is numbered after those from which it follows.
    TransitionsInOrder,
    /// A task counts what its steps do.
    TaskCounters,
    /// A step is not tried more often than its policy allows.
    RetryLimit,
    /// A step that seems to kill its workers is given up.
    CrashLimit,
    /// A worker takes claims back from the dead only.
    SilentOnly,
    /// A worker whose commit was not answered reads what it holds.
    UnsureReads,
    /// A worker that was taken for dead goes on under another id.
    BurialNoticed,
    /// Ends that were not written are written later.
    EndsAreKept,
    /// A worker looks for steps that nobody called it for.
    HeartbeatAsks,
    /// What a worker knows is read anew where somebody else was faster.
    ConflictRereads,
    /// Ends of tasks that somebody holds stand apart, and no steps of theirs are claimed.
    HeldAreParked,
    /// A task is made only if no other one has its identity.
    UniqueIdentity,
    /// An identity is free again when the window of its task is over.
    WindowsEnd,
    /// A step is tried again when its handler asked for it, whatever its policy says.
    AskedDelay,
    /// A task ends when its deadline has passed.
    DeadlinesEnd,
    /// No step of a task is claimed whose deadline has passed.
    LateNotClaimed,
    /// A task that others end says by whom, or by what, and why.
    EndsSayWhy,
    /// With a task that others end, attempts that run end.
    EndsCutOff,
    /// A signal that was sent before a step waits for it is not missed.
    SignalsKept,
    /// A checkpoint is written by the claim that is current only.
    CheckpointsFenced,
    /// A worker asks whether the attempts that run are still its own.
    LostClaimsAsked,
    /// No attempt is scheduled for when a step has to have ended.
    TotalTimeout,
    /// A step that runs a task is told of its end.
    ParentsAreTold,
    /// What the end of a task leaves to be done is found by whoever lives.
    FollowUpsFound,
    /// A step makes the task that it runs once.
    ChildMadeOnce,
    /// A step that is executed anew runs another task.
    RerunMakesAnew,
    /// A task is undone once.
    UndoneOnce,
    /// A task whose undoing has begun does not go on.
    UndoneStays,
    /// A map step waits for all its items.
    ItemsAwaited,
    /// No more items run at a time than may.
    TurnsCount,
    /// A step waits for those that are added before it.
    BeforeCounts,
    /// No step of a task is started that its budget does not allow.
    BudgetsKept,
    /// With the steps that a fork begins with, those below them are executed.
    ForkGoesDown,
    /// A step is taken over only if its parents allow it.
    CopiesFollow,
    /// A fork is found by the keys of its task.
    KeysGoAlong,
    /// Of an end that does not count, no artifact is written.
    ArtifactsFollowEnds,
    /// An attempt has ended as its transaction has recorded, whoever ends it.
    RecordedEndsCount,
    /// A transaction records the end of an attempt whose claim is current only.
    RecordsFenced,
    /// Who records an end holds the task until it is there.
    RecordsHoldTasks,
}

impl Guard {
    /// Every guard.
    #[cfg(feature = "simulation")]
    pub const ALL: [Self; 54] = [
        Self::CurrentClaim,
        Self::Fencing,
        Self::WriteCount,
        Self::TaskLocks,
        Self::ListedClaims,
        Self::JoinCounter,
        Self::FailuresCount,
        Self::SkipsGoOn,
        Self::BranchesCount,
        Self::ParentsReopen,
        Self::RerunGoesDown,
        Self::AddedRetire,
        Self::PausedWait,
        Self::UrgentFirst,
        Self::PrioritiesGoAlong,
        Self::TransitionsInOrder,
        Self::TaskCounters,
        Self::RetryLimit,
        Self::CrashLimit,
        Self::SilentOnly,
        Self::UnsureReads,
        Self::BurialNoticed,
        Self::EndsAreKept,
        Self::HeartbeatAsks,
        Self::ConflictRereads,
        Self::HeldAreParked,
        Self::UniqueIdentity,
        Self::WindowsEnd,
        Self::AskedDelay,
        Self::DeadlinesEnd,
        Self::LateNotClaimed,
        Self::EndsSayWhy,
        Self::EndsCutOff,
        Self::SignalsKept,
        Self::CheckpointsFenced,
        Self::LostClaimsAsked,
        Self::TotalTimeout,
        Self::ParentsAreTold,
        Self::FollowUpsFound,
        Self::ChildMadeOnce,
        Self::RerunMakesAnew,
        Self::UndoneOnce,
        Self::UndoneStays,
        Self::ItemsAwaited,
        Self::TurnsCount,
        Self::BeforeCounts,
        Self::BudgetsKept,
        Self::ForkGoesDown,
        Self::CopiesFollow,
        Self::KeysGoAlong,
        Self::ArtifactsFollowEnds,
        Self::RecordedEndsCount,
        Self::RecordsFenced,
        Self::RecordsHoldTasks,
    ];
}

/// Whether the guard was taken away.
#[cfg(not(feature = "simulation"))]
pub(crate) const fn removed(_: Guard) -> bool {
    false
}

#[cfg(feature = "simulation")]
pub(crate) use taken::{any_removed, remove, removed};

#[cfg(feature = "simulation")]
mod taken {
    use std::cell::Cell;

    use super::Guard;

    thread_local! {
        static REMOVED: Cell<Option<Guard>> = const { Cell::new(None) };
    }

    /// Whether the guard was taken away in this thread.
    pub(crate) fn removed(guard: Guard) -> bool {
        REMOVED.get() == Some(guard)
    }

    /// Whether a guard was taken away in this thread.
    pub(crate) fn any_removed() -> bool {
        REMOVED.get().is_some()
    }

    /// Takes the guard away in this thread, and gives back the one that was taken away before.
    pub(crate) fn remove(guard: Option<Guard>) {
        REMOVED.set(guard);
    }
}
