//! [`Builder`]: builds indexes in a thread of its own while searches and writers go on.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{Error, ErrorKind, Result};
use parking_lot::{Condvar, Mutex, RwLock};

use super::column::Column;
use super::dense::{Build, CatchUp};
use super::follower::State;

/// Called with the number of vectors done and of all.
pub(super) type Watcher = Arc<dyn Fn(usize, usize) + Send + Sync>;

/// Builds what is due, one index after another. Its lock is taken before that of the state, never the other way.
#[derive(Default)]
pub(super) struct Builder {
    work: Mutex<Work>,
    /// Work has ended.
    ended: Condvar,
    watcher: RwLock<Option<Watcher>>,
    is_stopped: AtomicBool,
    /// Number of builds begun.
    builds: AtomicUsize,
}

#[derive(Default)]
struct Work {
    is_going_on: bool,
    /// Why the last build failed.
    failure: Option<(ErrorKind, String)>,
}

impl Builder {
    /// Has built what is due, unless that is going on already.
    pub(super) fn start(self: &Arc<Self>, state: &Arc<RwLock<State>>) {
        let mut work = self.work.lock();
        if work.is_going_on {
            return;
        }
        work.is_going_on = true;
        drop(work);
        // Threads of an exploration are its own: there, who brings the work does it.
        if cfg!(shuttle) {
            return self.run(state);
        }
        let run = {
            let (builder, state) = (self.clone(), state.clone());
            move || builder.run(&state)
        };
        let name = "index build".to_owned();
        if std::thread::Builder::new().name(name).spawn(run).is_err() {
            // No thread to be had: then this one.
            self.run(state);
        }
    }

    /// Stops soon.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
    }

    pub(super) fn builds(&self) -> usize {
        self.builds.load(Ordering::Relaxed)
    }

    pub(super) fn watch(&self, watcher: Watcher) {
        *self.watcher.write() = Some(watcher);
    }

    /// Waits until nothing is built.
    ///
    /// # Errors
    /// That of the last build, if it failed.
    pub(super) fn wait(&self) -> Result<()> {
        let mut work = self.work.lock();
        while work.is_going_on {
            self.ended.wait(&mut work);
        }
        match &work.failure {
            Some((kind, message)) => Err(Error::new(*kind, message.clone())),
            None => Ok(()),
        }
    }

    fn run(&self, state: &RwLock<State>) {
        // Also if a build panics: nobody shall wait for ever.
        let _end = End(self);
        loop {
            let Some((number, build)) = begin(state) else {
                // What became due after the look above has been seen by nobody else.
                let mut work = self.work.lock();
                if state.read().is_due() {
                    continue;
                }
                work.is_going_on = false;
                self.ended.notify_all();
                return;
            };
            let failure = self.build(state, number, build).err();
            if failure.is_some() {
                let mut state = state.write();
                if let Some(dense) = state.columns.get_mut(number).and_then(Column::dense_mut) {
                    dense.fail();
                }
            }
            self.work.lock().failure = failure.map(|error| (error.kind(), error.to_string()));
        }
    }

    fn build(&self, state: &RwLock<State>, number: usize, mut build: Build) -> Result<()> {
        self.builds.fetch_add(1, Ordering::Relaxed);
        let progress = |done: usize, all: usize| {
            if self.is_stopped.load(Ordering::Acquire) {
                return ControlFlow::Break(());
            }
            // Called by threads of the build, which an exploration knows nothing of.
            if cfg!(shuttle) {
                return ControlFlow::Continue(());
            }
            let watcher = self.watcher.read().clone();
            if let Some(watcher) = watcher {
                watcher(done, all);
            }
            ControlFlow::Continue(())
        };
        build.run(&progress)?;
        loop {
            let finished = {
                let mut state = state.write();
                let column = state.columns.get_mut(number).and_then(Column::dense_mut);
                column.and_then(|dense| dense.finish(build))
            };
            match finished {
                None => return Ok(()),
                Some((again, CatchUp::Anew)) => {
                    build = again;
                    build.run(&progress)?;
                }
                Some((again, CatchUp::Tell { changed, rows })) => {
                    build = again;
                    build.tell(&changed, rows);
                }
            }
        }
    }
}

/// The next index to build, with the number of its column.
fn begin(state: &RwLock<State>) -> Option<(usize, Build)> {
    let mut state = state.write();
    let columns = state.columns.iter_mut().enumerate();
    let mut builds = columns.filter_map(|(number, column)| {
        let build = column.dense_mut()?.begin()?;
        Some((number, build))
    });
    builds.next()
}

/// Ends the work of a builder that panics.
struct End<'a>(&'a Builder);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.work.lock().is_going_on = false;
            self.0.ended.notify_all();
        }
    }
}
