//! A task that was just made takes over what another one of its template has done.

use super::draft::{Draft, Place};
use super::readiness::{self, Done};
use crate::decision::{Copied, CopiedEnd};
use crate::guard::{Guard, removed};
use crate::state::{InvalidTransition, StepEvent, StepState};

/// Lets the steps, parents before their children, be as they ended in the other task, and what follows from it follow. One
/// whose own parents are not as its join policy asks for is executed.
pub(super) fn copy(
    draft: &mut Draft<'_>,
    copies: &[Copied],
    detail: &str,
) -> Result<(), InvalidTransition> {
    let mut ready: Vec<Place> = Vec::new();
    for copy in copies {
        let Some(place) = draft.place(copy.step) else { continue };
        let step = draft.step(place);
        let can_start = step.state == StepState::Enqueued
            || step.state == StepState::Pending
                && (step.open_parents + step.failed_parents == 0 || removed(Guard::CopiesFollow));
        let how = match &copy.end {
            CopiedEnd::Complete { results, taken } if can_start => {
                let change = draft.transition(place, StepEvent::Copied)?;
                change.results.clone_from(results);
                change.detail = Some(
                    taken
                        .as_ref()
                        .map_or_else(|| detail.to_owned(), |taken| taken.detail_beside(detail)),
                );
                Done::with_results(taken.as_deref())
            }
            CopiedEnd::Skipped
                if matches!(step.state, StepState::Enqueued | StepState::Pending) =>
            {
                draft.transition(place, StepEvent::Skipped)?.detail = Some(detail.to_owned());
                Done::Skipped
            }
            CopiedEnd::Complete { .. } | CopiedEnd::Skipped => continue,
        };
        ready.extend(readiness::close_parents(draft, vec![(copy.step, how)])?);
    }
    ready.retain(|place| draft.step(*place).state == StepState::Pending);
    readiness::hand_out(draft, &ready, None)
}
