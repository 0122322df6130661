//! Group commit in front of an engine that has none: one thread writes what many wait for.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::Shared;
use crate::engines::{Engine, Failure};

/// A row, and where to say that it is on the disk.
type Job = (u64, String, Sender<Result<(), String>>);

pub(crate) struct Grouped {
    engine: Shared,
    jobs: Option<Mutex<Sender<Job>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Grouped {
    pub(crate) fn new(engine: Shared) -> Self {
        let (jobs, queue) = channel();
        let of_thread = engine.clone();
        Self {
            engine,
            jobs: Some(Mutex::new(jobs)),
            thread: Some(std::thread::spawn(move || run(&*of_thread, &queue))),
        }
    }
}

fn run(engine: &dyn Engine, queue: &Receiver<Job>) {
    while let Ok((key, text, done)) = queue.recv() {
        let mut rows = vec![(key, text)];
        let mut waiting = vec![done];
        while let Ok((key, text, done)) = queue.try_recv() {
            rows.push((key, text));
            waiting.push(done);
        }
        let result = engine.fill(&rows).map_err(|error| error.to_string());
        for done in waiting {
            // Who waits may have given up.
            let _ = done.send(result.clone());
        }
    }
}

impl Engine for Grouped {
    fn upsert(&self, key: u64, text: &str) -> Result<(), Failure> {
        let (done, wait) = channel();
        let jobs = self.jobs.as_ref().ok_or("closed")?;
        let jobs = jobs.lock().map_err(|_| "a thread panicked")?.clone();
        jobs.send((key, text.to_owned(), done))?;
        Ok(wait.recv()??)
    }

    fn fill(&self, rows: &[(u64, String)]) -> Result<(), Failure> {
        self.engine.fill(rows)
    }

    fn count(&self) -> Result<u64, Failure> {
        self.engine.count()
    }
}

impl Drop for Grouped {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It has said what failed to those who waited.
            let _ = thread.join();
        }
    }
}
