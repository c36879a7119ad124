//! Claimed steps on their way to handler threads.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::runtime::Delivery;

/// A queue from the runtime to blocked threads.
///
/// A waiting thread parks, so that whoever wakes it does no more than a store and an unpark: that
/// may be done from anywhere, also from a signal's unblock function. The lock is a `std` one: it is
/// held for a few pushes or pops and never across a wait.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    deliveries: VecDeque<Delivery>,
    waiting: Vec<Thread>,
    closed: bool,
}

/// What a handler thread gets.
#[derive(Debug)]
pub enum Batch {
    /// Steps to execute; empty after a timeout or an interrupt.
    Steps(Vec<Delivery>),
    /// There will be no more.
    Closed,
}

/// Ends a wait of one thread from outside.
#[derive(Debug)]
pub struct Interrupt {
    thread: Thread,
    raised: AtomicBool,
}

impl Interrupt {
    /// An interrupt for the calling thread.
    #[must_use]
    pub fn of_this_thread() -> Self {
        Self { thread: std::thread::current(), raised: AtomicBool::new(false) }
    }

    /// Ends the wait. A store and a wake-up: safe wherever those are.
    pub fn raise(&self) {
        self.raised.store(true, Ordering::Release);
        self.thread.unpark();
    }

    /// Whether the wait was ended from outside.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds deliveries and wakes as many threads as there are.
    pub(crate) fn push(&self, deliveries: Vec<Delivery>) {
        let woken = {
            let mut state = self.lock();
            let wake = deliveries.len().min(state.waiting.len());
            let left = state.waiting.len() - wake;
            state.deliveries.extend(deliveries);
            state.waiting.split_off(left)
        };
        woken.iter().for_each(Thread::unpark);
    }

    /// Waits up to `timeout` for at most `max` deliveries. `take` sees them before any other thread
    /// can tell that they have left the queue.
    pub(crate) fn pop(
        &self,
        max: usize,
        timeout: Duration,
        interrupt: &Interrupt,
        take: impl Fn(&[Delivery]),
    ) -> Batch {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            {
                let mut state = self.lock();
                if state.closed {
                    return Batch::Closed;
                }
                if !state.deliveries.is_empty() {
                    let batch = max.min(state.deliveries.len());
                    let taken: Vec<_> = state.deliveries.drain(..batch).collect();
                    take(&taken);
                    return Batch::Steps(taken);
                }
                if interrupt.is_raised() {
                    return Batch::Steps(Vec::new());
                }
                state.waiting.push(interrupt.thread.clone());
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            match left {
                Some(left) if left.is_zero() => {}
                Some(left) => std::thread::park_timeout(left),
                None => std::thread::park(),
            }
            self.stop_waiting(&interrupt.thread);
            if left.is_some_and(|left| left.is_zero()) {
                return self.pop_now(max, take);
            }
        }
    }

    fn pop_now(&self, max: usize, take: impl Fn(&[Delivery])) -> Batch {
        let mut state = self.lock();
        if state.closed {
            return Batch::Closed;
        }
        let batch = max.min(state.deliveries.len());
        let taken: Vec<_> = state.deliveries.drain(..batch).collect();
        take(&taken);
        Batch::Steps(taken)
    }

    fn stop_waiting(&self, thread: &Thread) {
        self.lock().waiting.retain(|other| other.id() != thread.id());
    }

    /// Takes back everything that no thread has taken.
    pub(crate) fn drain(&self) -> Vec<Delivery> {
        self.lock().deliveries.drain(..).collect()
    }

    /// Lets every wait end, now and from now on. What no thread has taken stays for [`Inbox::drain`].
    pub(crate) fn close(&self) {
        let woken = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        woken.iter().for_each(Thread::unpark);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::decision::Claim;
    use crate::ids::{TaskId, TemplateId, WorkerId};

    fn delivery(index: u32) -> Delivery {
        let claim = Claim { step: TaskId(1).step(index), attempt: 1, worker: WorkerId(1) };
        Delivery { claim, template: TemplateId(1), context: "{}".into(), parents: None }
    }

    fn pop(inbox: &Inbox, max: usize, timeout: Duration) -> Batch {
        inbox.pop(max, timeout, &Interrupt::of_this_thread(), |_| {})
    }

    fn len(batch: &Batch) -> Option<usize> {
        match batch {
            Batch::Steps(steps) => Some(steps.len()),
            Batch::Closed => None,
        }
    }

    #[test]
    fn hands_out_in_order_and_at_most_what_was_asked_for() {
        let inbox = Inbox::default();
        inbox.push((0..3).map(delivery).collect());
        let Batch::Steps(first) = pop(&inbox, 2, Duration::ZERO) else { panic!("closed") };
        let indexes: Vec<_> = first.iter().map(|d| d.claim.step.index()).collect();
        assert_eq!(indexes, [0, 1]);
        assert_eq!(len(&pop(&inbox, 2, Duration::ZERO)), Some(1));
        assert_eq!(len(&pop(&inbox, 2, Duration::from_millis(1))), Some(0));
    }

    #[test]
    fn closing_ends_every_wait_and_leaves_what_no_thread_has_taken() {
        let inbox = Arc::new(Inbox::default());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let inbox = Arc::clone(&inbox);
                std::thread::spawn(move || pop(&inbox, 1, Duration::from_secs(60)))
            })
            .collect();
        inbox.close();
        inbox.push(vec![delivery(0)]);
        for thread in threads {
            assert_eq!(len(&thread.join().unwrap()), None);
        }
        assert_eq!(len(&pop(&inbox, 1, Duration::ZERO)), None);
        assert_eq!(inbox.drain().len(), 1);
    }

    #[test]
    fn an_interrupt_ends_a_wait_with_nothing_lost() {
        let inbox = Arc::new(Inbox::default());
        let (tell, told) = std::sync::mpsc::channel();
        let popper = {
            let inbox = Arc::clone(&inbox);
            std::thread::spawn(move || {
                let interrupt = Arc::new(Interrupt::of_this_thread());
                tell.send(Arc::clone(&interrupt)).unwrap();
                inbox.pop(1, Duration::from_secs(60), &interrupt, |_| {})
            })
        };
        told.recv().unwrap().raise();
        assert_eq!(len(&popper.join().unwrap()), Some(0));
        inbox.push(vec![delivery(0)]);
        assert_eq!(len(&pop(&inbox, 1, Duration::ZERO)), Some(1));
    }

    #[test]
    fn every_delivery_reaches_one_thread() {
        let inbox = Arc::new(Inbox::default());
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let inbox = Arc::clone(&inbox);
                std::thread::spawn(move || {
                    let mut seen = Vec::new();
                    while let Batch::Steps(steps) = pop(&inbox, 7, Duration::from_secs(60)) {
                        seen.extend(steps.iter().map(|d| d.claim.step.index()));
                    }
                    seen
                })
            })
            .collect();
        for chunk in 0..200 {
            inbox.push((chunk * 10..chunk * 10 + 10).map(delivery).collect());
        }
        while !inbox.lock().deliveries.is_empty() {
            std::thread::yield_now();
        }
        inbox.close();
        let mut all: Vec<_> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..2000).collect::<Vec<_>>());
    }
}
