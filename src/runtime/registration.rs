//! How a template comes into the database, with the one that undoes its tasks.
//!
//! Whoever starts registers what has been there for long: so it is looked at first, and the row of a version is locked only
//! to replace it. The lock is that of the row, against whose key each submit holds one until its transaction ends.

use crate::error::Error;
use crate::ids::TemplateId;
use crate::store::templates::{self as rows, NamedSteps, StoredTemplate, TemplateKey};
use crate::store::{Store, StoreError, Transaction, Tx};
use crate::template::TaskTemplate;

/// What is to be stored: the template, and the one that undoes its tasks, which has its namespace and version.
#[derive(Debug)]
pub(super) struct Registration {
    template: Wanted,
    undoing: Option<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    template: TaskTemplate,
    configuration: String,
}

impl Registration {
    /// # Errors
    /// [`Error::Template`] when it is wrong.
    pub(super) fn from_json(json: &str) -> Result<Self, Error> {
        let template = TaskTemplate::from_json(json)?;
        let undoing = template.check_registrable()?.map(Wanted::new);
        Ok(Self { template: Wanted::new(template), undoing })
    }

    /// The template's id, when all is stored as it is to be. Waits for nobody.
    ///
    /// # Errors
    /// [`Error::TemplateConflict`] when it is stored otherwise and has tasks.
    pub(super) async fn find(&self, store: &Store) -> Result<Option<TemplateId>, Error> {
        let key = self.template.key();
        let names: Vec<_> = self.all().map(|one| one.template.name().to_owned()).collect();
        let stored = store.find_registered(key.namespace, &names, key.version).await?;
        let mut found = Vec::new();
        for one in self.all() {
            let Some(stored) = stored.get(one.template.name()) else { return Ok(None) };
            if stored.configuration == one.configuration {
                found.push(stored.id);
            } else if store.template_is_used(stored.id).await? {
                return Err(one.conflict());
            } else {
                return Ok(None);
            }
        }
        Ok(found.first().copied())
    }

    /// Stores all of it, in the place of what is stored otherwise; `None` when that was replaced by others meanwhile.
    ///
    /// # Errors
    /// [`Error::TemplateConflict`] when it is stored otherwise and has tasks, [`Error::TemplateHeld`] when it may get some.
    pub(super) async fn write(&self, store: &Store) -> Result<Option<TemplateId>, Error> {
        let mut tx = store.begin_plain().await?;
        let Some(id) = self.template.write(&mut tx).await? else { return Ok(None) };
        if let Some(undoing) = &self.undoing
            && undoing.write(&mut tx).await?.is_none()
        {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some(id))
    }

    /// It is stored otherwise.
    pub(super) fn conflict(&self) -> Error {
        self.template.conflict()
    }

    fn all(&self) -> impl Iterator<Item = &Wanted> {
        std::iter::once(&self.template).chain(&self.undoing)
    }
}

impl Wanted {
    fn new(template: TaskTemplate) -> Self {
        Self { configuration: template.to_json(), template }
    }

    fn key(&self) -> TemplateKey<'_> {
        TemplateKey {
            namespace: self.template.namespace(),
            name: self.template.name(),
            version: self.template.version(),
        }
    }

    async fn write(&self, tx: &mut Tx) -> Result<Option<TemplateId>, Error> {
        if let Some(id) = self.insert(tx).await? {
            return Ok(Some(id));
        }
        if let Some(id) = self.keep(tx).await? {
            return Ok(Some(id));
        }
        let stored = match rows::lock(tx, self.key()).await {
            Err(StoreError::Timeout { .. }) => return Err(self.held()),
            locked => locked?,
        };
        let Some(stored) = stored else { return Ok(None) };
        if stored.configuration == self.configuration {
            return Ok(Some(stored.id));
        }
        if rows::is_used(&mut **tx, stored.id).await? {
            return Err(self.conflict());
        }
        rows::delete(tx, stored.id).await?;
        self.insert(tx).await
    }

    /// Keeps a version until the transaction ends that is stored as it is to be, which submits do not hinder; `None` for any other.
    async fn keep(&self, tx: &mut Tx) -> Result<Option<TemplateId>, Error> {
        let TemplateKey { namespace, name, version } = self.key();
        let names = [name.to_owned()];
        let stored =
            rows::find_registered(&mut **tx, namespace, &names, version).await?.remove(name);
        match stored.filter(|stored| stored.configuration == self.configuration) {
            Some(StoredTemplate { id, .. }) => Ok(rows::hold(tx, id).await?.then_some(id)),
            None => Ok(None),
        }
    }

    /// `None` when the version is stored already.
    async fn insert(&self, tx: &mut Tx) -> Result<Option<TemplateId>, Error> {
        let description = self.template.description();
        let Some(id) = rows::insert(tx, self.key(), description, &self.configuration).await? else {
            return Ok(None);
        };
        rows::insert_steps(tx, id, &self.named_steps()).await?;
        Ok(Some(id))
    }

    fn named_steps(&self) -> NamedSteps {
        let steps = self.template.steps();
        NamedSteps {
            indexes: (0i32..).take(steps.len()).collect(),
            names: steps.iter().map(|step| step.name.clone()).collect(),
            queues: steps.iter().map(|step| step.queue.clone()).collect(),
        }
    }

    fn conflict(&self) -> Error {
        let (namespace, name, version) = self.owned_key();
        Error::TemplateConflict { namespace, name, version }
    }

    fn held(&self) -> Error {
        let (namespace, name, version) = self.owned_key();
        Error::TemplateHeld { namespace, name, version }
    }

    fn owned_key(&self) -> (String, String, String) {
        let key = self.key();
        (key.namespace.to_owned(), key.name.to_owned(), key.version.to_owned())
    }
}
