//! Sessions that know their statements before there is work.

use futures_util::future::try_join_all;

use super::{Place, Store, StoreError, claims, steps, tasks};
use crate::decision::Decisions;
use crate::ids::StepId;

/// No step has this id.
const NO_STEP: StepId = StepId(0);

impl Store {
    /// Has so many sessions at a time prepare and plan the statements of claims and ends: what a session learns with its
    /// first steps, they would wait for. Writes nothing. Does nothing where sessions are shared, which keep nothing.
    pub(crate) async fn warm_up(&self, sessions: u32) -> Result<(), StoreError> {
        if !self.way.is_shared() {
            try_join_all((0..sessions).map(|_| self.rehearse())).await?;
        }
        Ok(())
    }

    /// A claim and an end of nothing.
    async fn rehearse(&self) -> Result<(), StoreError> {
        let mut tx = self.begin_plain().await?;
        claims::pick(&mut tx, &[], &[], Place::START, 0).await?;
        tasks::lock_free(&mut tx, &[]).await?;
        tasks::lock(&mut tx, &[]).await?;
        steps::read_ended(&mut tx, &[NO_STEP], &[]).await?;
        steps::apply(&mut tx, &Decisions::default(), &|_| String::new(), &[]).await?;
        Ok(())
    }
}
