//! [`Progress`]: how far long work has come, and the way to stop it.

use std::ops::ControlFlow;

use common::{Error, Result};

/// Called from time to time during long work, from any of its threads, with how many vectors are done and how
/// many there are in all; [`ControlFlow::Break`] cancels the work.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) -> ControlFlow<()> + Sync);

/// A [`Progress`] that looks at nothing and never cancels.
pub fn unwatched(_: usize, _: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Reports progress.
///
/// # Errors
/// [`common::ErrorKind::Closed`] when the work is cancelled.
pub(crate) fn report(progress: Progress<'_>, done: usize, all: usize) -> Result<()> {
    match progress(done, all) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::closed(format!(
            "the index was cancelled after {done} of {all} vectors; nothing changed"
        ))),
    }
}
