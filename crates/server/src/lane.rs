//! [`Lane`]: short work that is done one after the other anyway, on a thread that stays awake for as long as there is any.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Work that waits for its turn.
type Job = Box<dyn FnOnce() + Send>;

/// Short work that is done one after the other anyway, as single writes are: there is one writer at a time. A thread for each would be
/// woken only to wait for the others; here one of them does what has gathered.
#[derive(Clone, Default)]
pub(crate) struct Lane(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// A thread is at it.
    is_running: bool,
}

impl Lane {
    /// Does the work on a thread that may wait; `None` when it ended in a panic. It goes on when nobody waits for it any more.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move || {
            let done = catch_unwind(AssertUnwindSafe(work));
            // Whoever asked may have gone.
            let _ = done.map(|done| tell.send(done));
        });
        let begins = {
            let mut waiting = self.0.lock();
            waiting.jobs.push_back(job);
            !std::mem::replace(&mut waiting.is_running, true)
        };
        if begins {
            let lane = self.clone();
            tokio::task::spawn_blocking(move || lane.drain());
        }
        told.await.ok()
    }

    fn drain(&self) {
        loop {
            let job = {
                let mut waiting = self.0.lock();
                let Some(job) = waiting.jobs.pop_front() else {
                    waiting.is_running = false;
                    return;
                };
                job
            };
            job();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_in_turn_also_behind_a_panic() {
        let lane = Lane::default();
        let done = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for number in 0..100 {
            let (lane, done) = (lane.clone(), Arc::clone(&done));
            waiting.push(tokio::spawn(async move {
                lane.run(move || {
                    assert!(number % 10 != 3, "every tenth fails");
                    done.lock().push(number);
                    number
                })
                .await
            }));
        }
        for (number, waiting) in (0..).zip(waiting) {
            let expected = (number % 10 != 3).then_some(number);
            assert_eq!(waiting.await.unwrap(), expected);
        }
        let done = done.lock();
        assert_eq!(done.len(), 90);
        assert!(done.is_sorted(), "{done:?}");
    }
}
