//! What the runtime has for threads, on its way to them: claimed steps, events.

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
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
    /// Items that are kept; beyond them the oldest are dropped.
    most: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    waiting: Vec<Thread>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// What is there is handed out, and nothing else.
    Ending,
    /// Nothing is handed out.
    Closed,
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

impl<T> Inbox<T> {
    /// Keeps `most` items.
    pub(crate) fn bounded(most: usize) -> Self {
        let state = State { items: VecDeque::new(), waiting: Vec::new(), stage: Stage::Open };
        Self { state: Mutex::new(state), most }
    }

    /// Keeps whatever it gets.
    pub(crate) fn unbounded() -> Self {
        Self::bounded(usize::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds items and wakes as many threads as there are. Returns how many old ones were dropped.
    pub(crate) fn push(&self, items: Vec<T>) -> usize {
        let (woken, dropped) = {
            let mut state = self.lock();
            let wake = items.len().min(state.waiting.len());
            let left = state.waiting.len() - wake;
            state.items.extend(items);
            let dropped = state.items.len().saturating_sub(self.most);
            state.items.drain(..dropped);
            (state.waiting.split_off(left), dropped)
        };
        woken.iter().for_each(Thread::unpark);
        dropped
    }

    /// Waits up to `timeout` for at most `max` items; `None` when there will be no more. `take` sees them
    /// before any other thread can tell that they have left the queue.
    pub(crate) fn pop(
        &self,
        max: usize,
        timeout: Duration,
        interrupt: &Interrupt,
        take: impl Fn(&[T]),
    ) -> Option<Vec<T>> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            {
                let mut state = self.lock();
                if state.is_over() || !state.items.is_empty() {
                    return state.take(max, take);
                }
                if interrupt.is_raised() {
                    return Some(Vec::new());
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
                return self.lock().take(max, take);
            }
        }
    }

    fn stop_waiting(&self, thread: &Thread) {
        self.lock().waiting.retain(|other| other.id() != thread.id());
    }

    /// Items that no thread has taken.
    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// Takes back everything that no thread has taken.
    pub(crate) fn drain(&self) -> Vec<T> {
        self.lock().items.drain(..).collect()
    }

    /// Lets every wait end, now and from now on. What no thread has taken stays for [`Inbox::drain`].
    pub(crate) fn close(&self) {
        self.advance(Stage::Closed);
    }

    /// Lets every wait end once all that there is has been taken.
    pub(crate) fn end(&self) {
        self.advance(Stage::Ending);
    }

    fn advance(&self, stage: Stage) {
        let woken = {
            let mut state = self.lock();
            state.stage = stage;
            std::mem::take(&mut state.waiting)
        };
        woken.iter().for_each(Thread::unpark);
    }
}

impl<T> State<T> {
    fn is_over(&self) -> bool {
        match self.stage {
            Stage::Open => false,
            Stage::Ending => self.items.is_empty(),
            Stage::Closed => true,
        }
    }

    fn take(&mut self, max: usize, take: impl Fn(&[T])) -> Option<Vec<T>> {
        if self.is_over() {
            return None;
        }
        let count = max.min(self.items.len());
        let taken: Vec<_> = self.items.drain(..count).collect();
        take(&taken);
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn pop(inbox: &Inbox<u32>, max: usize, timeout: Duration) -> Option<Vec<u32>> {
        inbox.pop(max, timeout, &Interrupt::of_this_thread(), |_| {})
    }

    #[test]
    fn hands_out_in_order_and_at_most_what_was_asked_for() {
        let inbox = Inbox::unbounded();
        inbox.push(vec![0, 1, 2]);
        assert_eq!(pop(&inbox, 2, Duration::ZERO), Some(vec![0, 1]));
        assert_eq!(pop(&inbox, 2, Duration::ZERO), Some(vec![2]));
        assert_eq!(pop(&inbox, 2, Duration::from_millis(1)), Some(vec![]));
    }

    #[test]
    fn closing_ends_every_wait_and_leaves_what_no_thread_has_taken() {
        let inbox = Arc::new(Inbox::unbounded());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let inbox = Arc::clone(&inbox);
                std::thread::spawn(move || pop(&inbox, 1, Duration::from_secs(60)))
            })
            .collect();
        inbox.close();
        inbox.push(vec![0]);
        for thread in threads {
            assert_eq!(thread.join().unwrap(), None);
        }
        assert_eq!(pop(&inbox, 1, Duration::ZERO), None);
        assert_eq!(inbox.drain().len(), 1);
    }

    #[test]
    fn ending_hands_out_what_there_is() {
        let inbox = Inbox::unbounded();
        inbox.push(vec![0, 1]);
        inbox.end();
        assert_eq!(pop(&inbox, 1, Duration::ZERO), Some(vec![0]));
        assert_eq!(pop(&inbox, 1, Duration::from_secs(60)), Some(vec![1]));
        assert_eq!(pop(&inbox, 1, Duration::from_secs(60)), None);
    }

    #[test]
    fn beyond_its_bound_the_oldest_are_dropped_and_counted() {
        let inbox = Inbox::bounded(3);
        assert_eq!(inbox.push(vec![0, 1]), 0);
        assert_eq!(inbox.push(vec![2, 3, 4]), 2);
        assert_eq!(pop(&inbox, 9, Duration::ZERO), Some(vec![2, 3, 4]));
        assert_eq!(inbox.push((0..5).collect()), 2);
        assert_eq!(inbox.drain(), [2, 3, 4]);
    }

    #[test]
    fn an_interrupt_ends_a_wait_with_nothing_lost() {
        let inbox = Arc::new(Inbox::unbounded());
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
        assert_eq!(popper.join().unwrap(), Some(vec![]));
        inbox.push(vec![0]);
        assert_eq!(pop(&inbox, 1, Duration::ZERO), Some(vec![0]));
    }

    #[test]
    fn every_item_reaches_one_thread() {
        let inbox = Arc::new(Inbox::unbounded());
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let inbox = Arc::clone(&inbox);
                std::thread::spawn(move || {
                    let mut seen = Vec::new();
                    while let Some(items) = pop(&inbox, 7, Duration::from_secs(60)) {
                        seen.extend(items);
                    }
                    seen
                })
            })
            .collect();
        for chunk in 0..200 {
            inbox.push((chunk * 10..chunk * 10 + 10).collect());
        }
        while !inbox.lock().items.is_empty() {
            std::thread::yield_now();
        }
        inbox.close();
        let mut all: Vec<_> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..2000).collect::<Vec<_>>());
    }
}
