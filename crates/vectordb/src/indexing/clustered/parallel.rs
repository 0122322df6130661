//! Work in parts on several threads, with results that do not depend on how many.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::{Error, Result};
use parking_lot::Mutex;

use crate::indexing::progress::{Progress, report};

/// How far one build has come: counted over all its threads and steps.
pub(super) struct Account<'a> {
    progress: Progress<'a>,
    done: AtomicUsize,
    all: usize,
}

impl<'a> Account<'a> {
    pub(super) fn new(progress: Progress<'a>, all: usize) -> Self {
        Self {
            progress,
            done: AtomicUsize::new(0),
            all,
        }
    }

    /// Reports that `count` more vectors are done.
    ///
    /// # Errors
    /// [`common::ErrorKind::Closed`] when the work is cancelled.
    pub(super) fn advance(&self, count: usize) -> Result<()> {
        let done = self.done.fetch_add(count, Ordering::Relaxed) + count;
        report(self.progress, done.min(self.all), self.all)
    }
}

/// Number of threads to use when as many, or none in particular, are asked for.
pub(super) fn threads(asked: Option<NonZeroUsize>) -> usize {
    let machine = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    asked.unwrap_or_else(machine).get()
}

/// Does all parts of a work, each as soon as a thread is free; the first error ends it.
pub(super) fn for_each<P: Send>(
    threads: usize,
    parts: impl ExactSizeIterator<Item = P> + Send,
    work: impl Fn(P) -> Result<()> + Sync,
) -> Result<()> {
    let threads = threads.min(parts.len()).max(1);
    if threads == 1 {
        return parts.into_iter().try_for_each(work);
    }
    let failed: Mutex<Option<Error>> = Mutex::new(None);
    let parts = Mutex::new(parts);
    let run = || {
        loop {
            // Its own statement: the lock is not held while the work is done.
            let part = parts.lock().next();
            let Some(part) = part else { break };
            if failed.lock().is_some() {
                break;
            }
            if let Err(error) = work(part) {
                failed.lock().get_or_insert(error);
                break;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
    match failed.into_inner() {
        None => Ok(()),
        Some(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_done_once_and_errors_end_it() {
        for threads in [1, 3] {
            let mut numbers = [0; 100];
            let parts = numbers.chunks_mut(7).enumerate();
            for_each(threads, parts, |(at, part)| {
                for number in part {
                    *number += at;
                }
                Ok(())
            })
            .unwrap();
            assert!(numbers.iter().enumerate().all(|(at, n)| *n == at / 7));

            let failed = for_each(threads, 0..1_000, |part| match part {
                13 => Err(Error::closed("unlucky")),
                _ => Ok(()),
            });
            assert_eq!(failed.unwrap_err().kind(), common::ErrorKind::Closed);
        }
    }
}
