//! [`Waiting`]: answers that wait until what they tell of is durable, each woken once.

use std::collections::VecDeque;

use common::Seq;
use parking_lot::Mutex;

/// What is done when a commit is durable.
type Next = Box<dyn FnOnce() + Send>;

/// Answers that wait until commits are durable, in the order of these. Hundreds share one sync of the disk: each is woken by its
/// own, and by no other.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<VecDeque<(Seq, Next)>>);

impl Waiting {
    /// Does `next` once `seq` is durable: at once when it is, by `is_durable`; otherwise when [`Waiting::look`] finds so, on
    /// the thread that calls it.
    pub(crate) fn add(&self, seq: Seq, is_durable: impl FnOnce() -> bool, next: Next) {
        let mut waiting = self.0.lock();
        // Under the lock: whoever looks afterwards sees it.
        if is_durable() {
            drop(waiting);
            next();
            return;
        }
        let later = waiting.iter().rev().take_while(|(other, _)| *other > seq);
        let at = waiting.len() - later.count();
        waiting.insert(at, (seq, next));
    }

    /// Wakes those whose commit is at or before `safe`; all of them when there is none, as nothing will become durable any more.
    pub(crate) fn look(&self, safe: Option<Seq>) {
        let ready: Vec<_> = {
            let mut waiting = self.0.lock();
            let ready = waiting.partition_point(|(seq, _)| safe.is_none_or(|safe| *seq <= safe));
            waiting.drain(..ready).collect()
        };
        for (_, next) in ready {
            next();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Barrier};
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_is_woken_once_when_its_own_commit_is_durable() {
        let waiting = Waiting::default();
        let woken = Arc::new(Mutex::new(Vec::new()));
        let add = |seq: u64, durable: u64| {
            let woken = Arc::clone(&woken);
            let next = Box::new(move || woken.lock().push(seq));
            waiting.add(Seq(seq), || seq <= durable, next);
        };
        let take = || std::mem::take(&mut *woken.lock());
        for seq in [3, 5, 4, 4, 9] {
            add(seq, 2);
        }
        add(2, 2);
        assert_eq!(take(), [2]);
        waiting.look(Some(Seq(4)));
        assert_eq!(take(), [3, 4, 4]);
        waiting.look(Some(Seq(4)));
        assert!(take().is_empty());
        add(1, 4);
        waiting.look(None);
        assert_eq!(take(), [1, 5, 9]);
    }

    #[test]
    fn nobody_is_forgotten_who_comes_while_somebody_looks() {
        let (waiting, durable) = (Waiting::default(), AtomicU64::new(0));
        let (begin, end) = (Barrier::new(2), Barrier::new(2));
        let (turns, mut forgotten) = (2_000, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for seq in 1..=turns {
                    begin.wait();
                    durable.store(seq, Ordering::SeqCst);
                    waiting.look(Some(Seq(seq)));
                    end.wait();
                }
            });
            for seq in 1..=turns {
                begin.wait();
                // Long enough to be overtaken, if that were possible.
                let is_durable = || {
                    let is_durable = seq <= durable.load(Ordering::SeqCst);
                    std::thread::sleep(Duration::from_micros(seq % 64));
                    is_durable
                };
                waiting.add(Seq(seq), is_durable, Box::new(|| ()));
                end.wait();
                forgotten += waiting.0.lock().drain(..).count();
            }
        });
        assert_eq!(forgotten, 0);
    }
}
