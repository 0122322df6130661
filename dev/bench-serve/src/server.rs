//! [`Server`]: a process that keeps rows, and how its rows are read.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::process::Process;
use crate::{Result, postgres, redis, tandem};

pub(crate) enum Kind {
    Tandem,
    Postgres,
    Redis,
}

/// A process that keeps rows.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// The same server once more, on the same files.
    pub(crate) again: Box<dyn Fn() -> Result<(Process, SocketAddr)>>,
}

impl Server {
    pub(crate) fn begin(
        kind: Kind,
        again: impl Fn() -> Result<(Process, SocketAddr)> + 'static,
    ) -> Result<Self> {
        let (process, address) = again()?;
        Ok(Self {
            kind,
            process,
            address,
            again: Box::new(again),
        })
    }

    /// Kills it without a word, and lets it find what it had.
    pub(crate) fn kill_and_start_again(&mut self) -> Result<()> {
        self.process.kill()?;
        (self.process, self.address) = (self.again)()?;
        Ok(())
    }

    /// All rows, by key.
    pub(crate) async fn rows(&self) -> Result<BTreeMap<u64, String>> {
        match self.kind {
            Kind::Tandem => tandem::rows(self).await,
            Kind::Postgres => postgres::rows(self).await,
            Kind::Redis => redis::rows(self).await,
        }
    }
}
