//! [`Lane`]: short work that is done one after the other anyway, by whoever is there first.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;

/// Most work of others that one task does behind its own, before it leaves the rest to a thread that has nothing else to do.
const HERE_MAX: usize = 32;

/// Work that waits for its turn.
struct Job {
    work: Box<dyn FnOnce() + Send>,
    is_short: bool,
}

/// Work that is done one after the other anyway, as single writes are: there is one writer at a time. A thread for each would be
/// woken only to wait for the others; here one of them does what has gathered.
///
/// A write of a row takes a few microseconds, less than to wake a thread for it. What is said to be short is done on the calling
/// thread, for as long as it would not have to wait there.
#[derive(Clone, Default)]
pub(crate) struct Lane(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Somebody is at it.
    is_running: bool,
}

impl Lane {
    /// Does the work behind what is there already: here if it is short and `is_free` says that it need not wait, otherwise on a
    /// thread that may. Work that panics is gone, and what comes behind it is done.
    pub(crate) fn add(
        &self,
        is_short: bool,
        is_free: impl Fn() -> bool,
        work: impl FnOnce() + Send + 'static,
    ) {
        let work = Box::new(work);
        {
            let mut queue = self.0.lock();
            queue.jobs.push_back(Job { work, is_short });
            if std::mem::replace(&mut queue.is_running, true) {
                return;
            }
        }
        for _ in 0..HERE_MAX {
            match self.next(|job| job.is_short && is_free()) {
                Next::Job(job) => run(job),
                Next::Nothing => return,
                Next::Unfit => break,
            }
        }
        let lane = self.clone();
        tokio::task::spawn_blocking(move || {
            while let Next::Job(job) = lane.next(|_| true) {
                run(job);
            }
        });
    }

    /// The next work, for whoever is at it; without any, nobody is from here on.
    fn next(&self, fits: impl Fn(&Job) -> bool) -> Next {
        let mut queue = self.0.lock();
        let Some(job) = queue.jobs.pop_front() else {
            queue.is_running = false;
            return Next::Nothing;
        };
        if fits(&job) {
            return Next::Job(job);
        }
        queue.jobs.push_front(job);
        Next::Unfit
    }
}

enum Next {
    Job(Job),
    /// There is some, and not for this thread.
    Unfit,
    Nothing,
}

fn run(job: Job) {
    // The panic was written to the log; whoever waits for the work sees that it is gone.
    let _ = catch_unwind(AssertUnwindSafe(job.work));
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_is_done_in_turn_also_behind_a_panic() {
        let lane = Lane::default();
        let done = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for number in 0..100 {
            let (lane, done) = (lane.clone(), Arc::clone(&done));
            let (tell, told) = oneshot::channel();
            let is_free = move || number % 7 != 5;
            lane.add(number % 5 != 0, is_free, move || {
                assert!(number % 10 != 3, "every tenth fails");
                done.lock().push(number);
                let _ = tell.send(number);
            });
            waiting.push(told);
        }
        for (number, waiting) in (0..).zip(waiting) {
            let expected = (number % 10 != 3).then_some(number);
            assert_eq!(waiting.await.ok(), expected);
        }
        let done = done.lock();
        assert_eq!(done.len(), 90);
        assert!(done.is_sorted(), "{done:?}");
    }

    #[test]
    fn short_work_is_done_here_unless_it_would_wait_and_no_more_of_others_than_so_much() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let _entered = runtime.enter();
        let lane = Lane::default();
        let (tell, told) = std::sync::mpsc::channel();
        let add = |is_short, is_free: bool| {
            let tell = tell.clone();
            let work = move || tell.send(std::thread::current().id()).unwrap();
            lane.add(is_short, move || is_free, work);
        };
        let here = std::thread::current().id();
        add(true, true);
        assert_eq!(told.try_recv(), Ok(here));
        for (is_short, is_free) in [(false, true), (true, false)] {
            add(is_short, is_free);
            assert_ne!(told.recv(), Ok(here));
            while lane.0.lock().is_running {
                std::thread::yield_now();
            }
        }
        // Work that comes while the first is at it, far more than one is to do for others.
        let (again, tell_all) = (lane.clone(), tell.clone());
        lane.add(
            true,
            || true,
            move || {
                for _ in 0..2 * HERE_MAX {
                    let tell = tell_all.clone();
                    let work = move || tell.send(std::thread::current().id()).unwrap();
                    again.add(true, || true, work);
                }
            },
        );
        let threads = (0..2 * HERE_MAX).map(|_| told.recv().unwrap());
        assert_eq!(
            threads.filter(|thread| *thread == here).count(),
            HERE_MAX - 1
        );
    }
}
