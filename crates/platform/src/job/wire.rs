//! What connects a running job with the worker that runs it: the sign to stop goes down, progress comes up.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::task::Progress;

/// One attempt's wire. Clones are the same wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire {
    pub(crate) cancelled: CancellationToken,
    unread: Arc<Mutex<Option<Progress>>>,
    /// Everything that was said, where a test wants to know.
    said: Option<Arc<Mutex<Vec<Progress>>>>,
}

impl Wire {
    /// A wire that remembers everything.
    pub(crate) fn recording() -> Self {
        Self { said: Some(Arc::default()), ..Self::default() }
    }

    /// Says how far the job is; what nobody has read yet is replaced.
    pub(crate) fn say(&self, progress: Progress) {
        if let Some(said) = &self.said {
            said.lock().unwrap_or_else(PoisonError::into_inner).push(progress.clone());
        }
        *self.unread.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
    }

    /// What was said since the last time.
    pub(crate) fn read(&self) -> Option<Progress> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Everything that was said, on a wire that remembers.
    pub(crate) fn said(&self) -> Vec<Progress> {
        let said = self.said.as_ref();
        said.map(|said| said.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
    }
}
