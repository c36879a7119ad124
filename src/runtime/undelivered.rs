//! Claims of this worker that could not be handed to a thread. They are tried again in ever smaller groups, so that
//! what cannot be read for one step keeps no other waiting; and a step for which it never can be is given up.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::decision::Claim;
use crate::error::Error;

/// How often what a step needs is read in vain, where what is read is at fault, before the step is given up.
const MOST_REFUSALS: u32 = 3;

/// For how long it is, for any other reason, while the database answers: an operator's lock or a missing
/// permission may last for minutes.
const LONGEST_TROUBLE: Duration = Duration::from_secs(600);

/// Pause of a group after it failed, doubled up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// The longest pause of a group.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Claims that are delivered together.
#[derive(Debug)]
pub(super) struct Group {
    claims: Vec<Claim>,
    /// How often in succession what is read was at fault; of a single claim.
    refusals: u32,
    /// Since when it fails though the database answers.
    since: Option<Instant>,
    pause: Duration,
    /// It is not tried before.
    rests_until: Option<Instant>,
}

impl Group {
    fn new(claims: Vec<Claim>) -> Self {
        Self { claims, refusals: 0, since: None, pause: Duration::ZERO, rests_until: None }
    }

    pub(super) fn claims(&self) -> &[Claim] {
        &self.claims
    }

    fn is_due(&self, now: Instant) -> bool {
        self.rests_until.is_none_or(|until| until <= now)
    }

    fn rest(&mut self, now: Instant) {
        self.pause = (self.pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.rests_until = Some(now + self.pause);
    }

    /// Two halves, each of which is tried at once.
    fn halves(mut self) -> [Self; 2] {
        let half = self.claims.split_off(self.claims.len() / 2);
        [self.claims, half].map(|claims| Self { since: self.since, ..Self::new(claims) })
    }
}

/// A claim that is given up, and why.
pub(super) type Hopeless = (Claim, String);

/// The groups that wait for their next delivery.
#[derive(Debug, Default)]
pub(super) struct Undelivered {
    groups: VecDeque<Group>,
}

impl Undelivered {
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.groups.clear();
    }

    /// Takes in claims whose delivery failed, or that nobody has tried to deliver.
    pub(super) fn push(&mut self, claims: Vec<Claim>) {
        if !claims.is_empty() {
            self.groups.push_back(Group::new(claims));
        }
    }

    /// Gives all claims away.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Claim> + use<> {
        std::mem::take(&mut self.groups).into_iter().flat_map(|group| group.claims)
    }

    /// When the next group is to be tried; `None` without groups.
    pub(super) fn due_at(&self, now: Instant) -> Option<Instant> {
        self.groups.iter().map(|group| group.rests_until.unwrap_or(now)).min()
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.groups.iter().any(|group| group.is_due(now))
    }

    /// The group that is tried next.
    pub(super) fn take_off(&mut self, now: Instant) -> Option<Group> {
        let due = self.groups.iter().position(|group| group.is_due(now))?;
        self.groups.remove(due)
    }

    /// The delivery of a group failed. `answers`: the database does. Returns the claim of a group of one for
    /// which there is no hope.
    pub(super) fn take_back(
        &mut self,
        mut group: Group,
        error: &Error,
        answers: bool,
        now: Instant,
    ) -> Option<Hopeless> {
        if !answers {
            group.since = None;
            self.groups.push_back(group);
            return None;
        }
        let since = *group.since.get_or_insert(now);
        if group.claims.len() > 1 {
            self.groups.extend(group.halves());
            return None;
        }
        group.refusals = if error.is_about_data() { group.refusals + 1 } else { 0 };
        let refused = group.refusals >= MOST_REFUSALS;
        if refused || now - since >= LONGEST_TROUBLE {
            let claim = group.claims.pop()?;
            return Some((claim, format!("what its handler needs cannot be read: {error}")));
        }
        group.rest(now);
        self.groups.push_back(group);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{TaskId, WorkerId};
    use crate::store::StoreError;

    fn claims(count: u32) -> Vec<Claim> {
        let claim = |index| Claim { step: TaskId(1).step(index), attempt: 1, worker: WorkerId(1) };
        (0..count).map(claim).collect()
    }

    fn undelivered(count: u32) -> Undelivered {
        let mut undelivered = Undelivered::default();
        undelivered.push(claims(count));
        undelivered
    }

    fn of_data() -> Error {
        StoreError::Constraint { code: "22000".to_owned(), constraint: String::new() }.into()
    }

    fn passing() -> Error {
        StoreError::Timeout { code: "55P03".to_owned() }.into()
    }

    /// Tries all groups again and again for `lasts`, of which those with the step `poison` fail. Returns the
    /// claims that were given up, when, and how many deliveries there were.
    fn play(
        undelivered: &mut Undelivered,
        poison: u32,
        error: &Error,
        answers: bool,
        lasts: Duration,
    ) -> (Vec<(u32, Duration)>, usize) {
        let start = Instant::now();
        let (mut now, mut hopeless, mut tries) = (start, Vec::new(), 0);
        while now - start < lasts
            && let Some(at) = undelivered.due_at(now)
        {
            now = now.max(at) + Duration::from_millis(10);
            let group = undelivered.take_off(now).expect("a group is due");
            tries += 1;
            if group.claims().iter().any(|claim| claim.step.index() == poison) {
                let lost = undelivered.take_back(group, error, answers, now);
                hopeless.extend(lost.map(|(claim, _)| (claim.step.index(), now - start)));
            }
        }
        (hopeless, tries)
    }

    #[test]
    fn a_step_whose_data_cannot_be_read_is_given_up_and_the_others_are_delivered() {
        let mut undelivered = undelivered(500);
        let (hopeless, tries) =
            play(&mut undelivered, 377, &of_data(), true, Duration::from_secs(60));
        assert_eq!(hopeless.len(), 1);
        assert_eq!(hopeless[0].0, 377);
        assert!(hopeless[0].1 < Duration::from_secs(1), "{hopeless:?}");
        assert!(undelivered.is_empty());
        assert!(tries <= 22, "{tries} deliveries");
    }

    #[test]
    fn other_trouble_may_last_for_minutes_and_not_for_ever() {
        let mut undelivered = undelivered(2);
        let (hopeless, tries) =
            play(&mut undelivered, 1, &passing(), true, Duration::from_secs(3_600));
        assert_eq!(hopeless.len(), 1);
        assert!(hopeless[0].1 >= LONGEST_TROUBLE, "{hopeless:?}");
        assert!(hopeless[0].1 < LONGEST_TROUBLE + 2 * LONGEST_PAUSE, "{hopeless:?}");
        assert!(undelivered.is_empty());
        assert!(tries < 100, "{tries} deliveries");
    }

    #[test]
    fn nothing_is_given_up_while_the_database_does_not_answer() {
        let mut undelivered = undelivered(3);
        let (hopeless, _) = play(&mut undelivered, 1, &passing(), false, 2 * LONGEST_TROUBLE);
        assert_eq!(hopeless, []);
        let group = undelivered.take_off(Instant::now()).expect("the group as it was");
        assert_eq!(group.claims(), claims(3));
        let now = Instant::now();
        assert!(undelivered.take_back(group, &passing(), true, now).is_none());
        assert_eq!(undelivered.groups[0].since, Some(now));
    }

    #[test]
    fn all_claims_can_be_taken_out() {
        let mut undelivered = undelivered(3);
        undelivered.push(Vec::new());
        let group = undelivered.take_off(Instant::now()).expect("a group");
        undelivered.take_back(group, &of_data(), true, Instant::now());
        assert_eq!(undelivered.groups.len(), 2);
        assert_eq!(undelivered.drain().collect::<Vec<_>>(), claims(3));
        assert!(undelivered.is_empty() && undelivered.due_at(Instant::now()).is_none());
    }
}
