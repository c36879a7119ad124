//! What the runtime has for threads, on its way to them: claimed steps, events.

use std::collections::VecDeque;
use std::ops::RangeBounds;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::runtime::Delivery;

/// A queue from the runtime to blocked threads.
///
/// A waiting thread parks, so that whoever wakes it does no more than a store and an unpark: that
/// may be done from anywhere, also from a signal's unblock function. The lock is a `std` one: it is
/// held for a few pushes or pops and never across a wait.
///
/// A thread that needs another lock before it can do anything with an item waits and takes in two calls, with that lock
/// held in the second: what lies here, nobody has begun, and it can be taken back.
///
/// What has a lower rank is taken first, and of one rank what came first.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
    /// Items that are kept; beyond them the oldest are dropped.
    most: usize,
}

#[derive(Debug)]
struct State<T> {
    /// In order, with their ranks.
    items: VecDeque<(i16, T)>,
    waiting: Vec<Thread>,
    stage: Stage,
    /// Since when there are items for which no thread has come.
    unattended: Option<Instant>,
    /// They were taken back, and no thread has come since.
    deserted: bool,
}

/// What was taken back because no thread came.
#[derive(Debug)]
pub(crate) struct Deserted<T> {
    /// Since when there was something to take.
    pub(crate) since: Instant,
    pub(crate) items: Vec<T>,
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
        let state = State {
            items: VecDeque::new(),
            waiting: Vec::new(),
            stage: Stage::Open,
            unattended: None,
            deserted: false,
        };
        Self { state: Mutex::new(state), most }
    }

    /// Keeps whatever it gets.
    pub(crate) fn unbounded() -> Self {
        Self::bounded(usize::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds items and wakes as many threads as there are. Returns how many of the first were dropped.
    pub(crate) fn push(&self, items: Vec<(i16, T)>) -> usize {
        let (woken, dropped) = {
            let mut state = self.lock();
            let wake = items.len().min(state.waiting.len());
            let left = state.waiting.len() - wake;
            if state.unattended.is_none() && !items.is_empty() {
                state.unattended = Some(Instant::now());
            }
            state.extend(items);
            let dropped = state.items.len().saturating_sub(self.most);
            state.items.drain(..dropped);
            (state.waiting.split_off(left), dropped)
        };
        woken.iter().for_each(Thread::unpark);
        dropped
    }

    /// Waits up to `timeout` for at most `max` items; `None` when there will be no more. `take` sees them
    /// before any other thread can tell that they have left the queue, and whether it was deserted.
    pub(crate) fn pop(
        &self,
        max: usize,
        timeout: Duration,
        interrupt: &Interrupt,
        take: impl Fn(&[T], bool),
    ) -> Option<Vec<T>> {
        let deadline = std::time::Instant::now().checked_add(timeout);
        loop {
            let taken = self.lock().take(max, &take);
            if taken.as_ref().is_none_or(|items| !items.is_empty()) || interrupt.is_raised() {
                return taken;
            }
            let left = deadline.map_or(Duration::MAX, |by| {
                by.saturating_duration_since(std::time::Instant::now())
            });
            if left.is_zero() {
                return taken;
            }
            self.wait(left, interrupt);
        }
    }

    /// Waits up to `timeout` until there is something to take, or there will be nothing any more; not where everything was
    /// taken back until a thread comes. May end before, and others may take what there is.
    pub(crate) fn wait(&self, timeout: Duration, interrupt: &Interrupt) {
        {
            let mut state = self.lock();
            let comes = state.deserted || !state.items.is_empty();
            if state.is_over() || comes || interrupt.is_raised() {
                return;
            }
            state.waiting.push(interrupt.thread.clone());
        }
        std::thread::park_timeout(timeout);
        self.stop_waiting(&interrupt.thread);
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
        let mut state = self.lock();
        if !state.deserted {
            state.unattended = None;
        }
        state.drain(..).collect()
    }

    /// Since when there are items for which no thread has come.
    pub(crate) fn unattended(&self) -> Option<Instant> {
        self.lock().unattended
    }

    /// Takes everything back if no thread has come for it within `limit`, and from then on whatever there is, until
    /// one comes: `None` where threads come.
    pub(crate) fn desert(&self, limit: Duration, now: Instant) -> Option<Deserted<T>> {
        let mut state = self.lock();
        let since = state.unattended?;
        state.deserted |= now.saturating_duration_since(since) >= limit;
        state.deserted.then(|| Deserted { since, items: state.drain(..).collect() })
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
    fn extend(&mut self, items: Vec<(i16, T)>) {
        let rank = |(rank, _): &(i16, T)| *rank;
        let behind = self.items.back().map(rank).into_iter().chain(items.iter().map(rank));
        let in_order = behind.is_sorted();
        self.items.extend(items);
        if !in_order {
            self.items.make_contiguous().sort_by_key(rank);
        }
    }

    fn drain(&mut self, which: impl RangeBounds<usize>) -> impl Iterator<Item = T> {
        self.items.drain(which).map(|(_, item)| item)
    }

    fn is_over(&self) -> bool {
        match self.stage {
            Stage::Open => false,
            Stage::Ending => self.items.is_empty(),
            Stage::Closed => true,
        }
    }

    fn take(&mut self, max: usize, take: impl Fn(&[T], bool)) -> Option<Vec<T>> {
        if self.is_over() {
            return None;
        }
        let count = max.min(self.items.len());
        let taken: Vec<_> = self.drain(..count).collect();
        take(&taken, std::mem::take(&mut self.deserted));
        self.unattended = (!self.items.is_empty()).then(Instant::now);
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn usual(items: std::ops::Range<u32>) -> Vec<(i16, u32)> {
        items.map(|item| (0, item)).collect()
    }

    fn pop(inbox: &Inbox<u32>, max: usize, timeout: Duration) -> Option<Vec<u32>> {
        inbox.pop(max, timeout, &Interrupt::of_this_thread(), |_, _| {})
    }

    #[test]
    fn hands_out_in_order_and_at_most_what_was_asked_for() {
        let inbox = Inbox::unbounded();
        inbox.push(usual(0..3));
        assert_eq!(pop(&inbox, 2, Duration::ZERO), Some(vec![0, 1]));
        assert_eq!(pop(&inbox, 2, Duration::ZERO), Some(vec![2]));
        assert_eq!(pop(&inbox, 2, Duration::from_millis(1)), Some(vec![]));
    }

    #[test]
    fn what_has_a_lower_rank_overtakes_and_within_a_rank_nothing_does() {
        let inbox = Inbox::unbounded();
        inbox.push(vec![(0, 1), (2, 2)]);
        inbox.push(vec![(0, 3), (-1, 4), (2, 5), (0, 6)]);
        assert_eq!(pop(&inbox, 1, Duration::ZERO), Some(vec![4]));
        inbox.push(vec![(-1, 7), (1, 8)]);
        assert_eq!(inbox.drain(), [7, 1, 3, 6, 8, 2, 5]);
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
        inbox.push(usual(0..1));
        for thread in threads {
            assert_eq!(thread.join().unwrap(), None);
        }
        assert_eq!(pop(&inbox, 1, Duration::ZERO), None);
        assert_eq!(inbox.drain().len(), 1);
    }

    #[test]
    fn ending_hands_out_what_there_is() {
        let inbox = Inbox::unbounded();
        inbox.push(usual(0..2));
        inbox.end();
        assert_eq!(pop(&inbox, 1, Duration::ZERO), Some(vec![0]));
        assert_eq!(pop(&inbox, 1, Duration::from_secs(60)), Some(vec![1]));
        assert_eq!(pop(&inbox, 1, Duration::from_secs(60)), None);
    }

    #[test]
    fn beyond_its_bound_the_oldest_are_dropped_and_counted() {
        let inbox = Inbox::bounded(3);
        assert_eq!(inbox.push(usual(0..2)), 0);
        assert_eq!(inbox.push(usual(2..5)), 2);
        assert_eq!(pop(&inbox, 9, Duration::ZERO), Some(vec![2, 3, 4]));
        assert_eq!(inbox.push(usual(0..5)), 2);
        assert_eq!(inbox.drain(), [2, 3, 4]);
    }

    const LIMIT: Duration = Duration::from_secs(5);

    fn deserted(inbox: &Inbox<u32>, now: Instant) -> Option<Vec<u32>> {
        inbox.desert(LIMIT, now).map(|deserted| deserted.items)
    }

    #[test]
    fn what_no_thread_comes_for_is_taken_back() {
        let inbox = Inbox::unbounded();
        let start = Instant::now();
        assert_eq!(deserted(&inbox, start + 9 * LIMIT), None);
        inbox.push(usual(0..2));
        assert_eq!(deserted(&inbox, start), None);
        inbox.push(usual(2..3));
        let since = inbox.unattended().unwrap();
        assert!(since - start < LIMIT);
        let one = inbox.desert(LIMIT, since + LIMIT).unwrap();
        assert_eq!((one.since, one.items), (since, vec![0, 1, 2]));
        assert_eq!(inbox.len(), 0);
    }

    #[test]
    fn a_deserted_inbox_keeps_nothing_until_a_thread_comes() {
        let inbox = Inbox::unbounded();
        let later = Instant::now() + 9 * LIMIT;
        inbox.push(usual(0..1));
        assert_eq!(deserted(&inbox, later), Some(vec![0]));
        inbox.push(usual(1..2));
        assert_eq!(inbox.drain(), [1]);
        inbox.push(usual(2..3));
        assert_eq!(deserted(&inbox, Instant::now()), Some(vec![2]));
        let seen = std::cell::Cell::new(false);
        let interrupt = Interrupt::of_this_thread();
        // Else it would be noticed only after the wait that it has come.
        let waits = Instant::now();
        inbox.wait(Duration::from_secs(60), &interrupt);
        assert!(waits.elapsed() < LIMIT);
        let popped = inbox.pop(1, Duration::ZERO, &interrupt, |_, deserted| seen.set(deserted));
        assert_eq!((popped, seen.get()), (Some(vec![]), true));
        inbox.push(usual(3..4));
        assert_eq!(deserted(&inbox, Instant::now()), None);
        inbox.drain();
        assert_eq!(inbox.unattended(), None);
    }

    #[test]
    fn a_thread_that_takes_an_item_has_come_for_all_of_them() {
        let inbox = Inbox::unbounded();
        inbox.push(usual(0..2));
        let pushed = inbox.unattended().unwrap();
        assert_eq!(pop(&inbox, 1, Duration::ZERO), Some(vec![0]));
        let taken = inbox.unattended().unwrap();
        assert!(taken > pushed);
        assert_eq!(deserted(&inbox, pushed + LIMIT), None);
        assert_eq!(deserted(&inbox, taken + LIMIT), Some(vec![1]));
        assert_eq!(pop(&inbox, 1, Duration::ZERO), Some(vec![]));
        assert_eq!(inbox.unattended(), None);
    }

    #[test]
    fn a_thread_that_waits_takes_nothing() {
        let inbox = Inbox::unbounded();
        let interrupt = Interrupt::of_this_thread();
        inbox.wait(Duration::from_millis(1), &interrupt);
        inbox.push(usual(0..1));
        inbox.wait(Duration::from_secs(60), &interrupt);
        let later = Instant::now() + LIMIT;
        assert_eq!(deserted(&inbox, later), Some(vec![0]));
        inbox.close();
        inbox.wait(Duration::from_secs(60), &interrupt);
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
                inbox.pop(1, Duration::from_secs(60), &interrupt, |_, _| {})
            })
        };
        told.recv().unwrap().raise();
        assert_eq!(popper.join().unwrap(), Some(vec![]));
        inbox.push(usual(0..1));
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
            inbox.push(usual(chunk * 10..chunk * 10 + 10));
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
