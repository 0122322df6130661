//! What one observer may see: whole transactions, never the past again, never an effect before its cause.

use std::collections::BTreeSet;

use common::{Database, Value};
use syncdb::Rejected;
use syncdb::sync::protocol::OUTCOME_UNKNOWN;

use super::Failure;
use super::tables::{self, ACCOUNTS, AMOUNT};

/// Everything that an observer of one database has seen so far.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    clients: usize,
    /// The client's own number; none at the server.
    own: Option<usize>,
    /// The client was set back once: of two beats of different lives, that with the later stamp stands.
    has_lives: bool,
    beats: Vec<i64>,
    notes: BTreeSet<i64>,
    gone: BTreeSet<i64>,
}

impl Reader {
    pub(crate) fn new(clients: usize, own: Option<usize>) -> Self {
        Self {
            clients,
            own,
            has_lives: false,
            beats: vec![0; clients],
            notes: BTreeSet::new(),
            gone: BTreeSet::new(),
        }
    }

    /// The notes that are there.
    pub(crate) fn notes(&self) -> impl Iterator<Item = i64> {
        self.notes.iter().copied()
    }

    pub(crate) fn beat(&self, client: usize) -> i64 {
        self.beats[client]
    }

    /// The client wrote its own beat: it must see it from now on.
    pub(crate) fn own_beat(&mut self, beat: i64) {
        if let Some(own) = self.own {
            self.beats[own] = beat;
        }
    }

    /// Rows may be there again of whose deletion nobody knows whether it was applied; the replica was told.
    pub(crate) fn take_back(&mut self, rejected: &[Rejected]) {
        let unknown = rejected
            .iter()
            .filter(|rejected| rejected.code == OUTCOME_UNKNOWN);
        let edits = unknown.flat_map(|rejected| &rejected.ops);
        for edit in edits.filter(|edit| edit.table == "notes" && edit.action == "delete") {
            if let Some(key) = edit.key.values().first().and_then(Value::as_int) {
                self.gone.remove(&key);
            }
        }
    }

    /// Notes that a rejected transaction had made, and another one makes again, may come back.
    pub(crate) fn comes_again(&mut self, rejected: &Rejected) {
        for edit in rejected.ops.iter().filter(|edit| edit.table == "notes") {
            if let Some(key) = edit.key.values().first().and_then(Value::as_int) {
                self.gone.remove(&key);
            }
        }
    }

    /// Reads everything, and compares it with what was read before.
    ///
    /// A client that was set back and has not settled with the server shows what is in its queue over what its earlier life
    /// did: of its own rows it may see parts of both.
    pub(crate) fn read(&mut self, db: &Database, set_back: bool) -> Result<(), Failure> {
        self.accounts(db, set_back)?;
        self.read_beats(db, set_back)?;
        let now: BTreeSet<i64> = tables::rows(db, "notes").into_keys().collect();
        if let Some(back) = now.intersection(&self.gone).next() {
            return Err(Failure::new(
                "resurrection",
                format!("{}: note {back} was gone and is back", self.who()),
            ));
        }
        self.gone.extend(self.notes.difference(&now));
        self.notes = now;
        Ok(())
    }

    fn who(&self) -> String {
        self.own.map_or_else(|| "server".to_owned(), tables::name)
    }

    /// Each client moves money between its own accounts only, in one transaction.
    fn accounts(&self, db: &Database, set_back: bool) -> Result<(), Failure> {
        let mut sums = vec![0; self.clients];
        let accounts = tables::rows(db, "accounts");
        if accounts.is_empty() {
            return Ok(());
        }
        for account in accounts.values() {
            let owner = usize::try_from(account[1].as_int().unwrap()).unwrap();
            sums[owner] += account[2].as_int().unwrap();
        }
        let is_torn = |(owner, sum): (usize, &i64)| {
            *sum != ACCOUNTS * AMOUNT && !(set_back && self.own == Some(owner))
        };
        let Some(owner) = sums.iter().enumerate().position(is_torn) else {
            return Ok(());
        };
        Err(Failure::new(
            "torn transaction",
            format!(
                "{}: the accounts of client {owner} hold {}, not {}",
                self.who(),
                sums[owner],
                ACCOUNTS * AMOUNT
            ),
        ))
    }

    fn read_beats(&mut self, db: &Database, set_back: bool) -> Result<(), Failure> {
        let beats = tables::rows(db, "beats");
        let mut now = vec![0; self.clients];
        for (id, beat) in &beats {
            now[usize::try_from(*id).unwrap()] = beat[1].as_int().unwrap();
        }
        for (client, (before, now)) in self.beats.iter().zip(&now).enumerate() {
            if now < before && !(self.has_lives && self.own == Some(client)) {
                return Err(Failure::new(
                    "went back",
                    format!(
                        "{}: the beat of client {client} was {before} and is {now}",
                        self.who()
                    ),
                ));
            }
        }
        for (id, beat) in &beats {
            // Its own beat as its lost life left it comes with an outcome, before the position moves and brings the others'.
            if set_back
                && self
                    .own
                    .is_some_and(|own| *id == i64::try_from(own).unwrap())
            {
                continue;
            }
            let seen = beat[2].as_list().unwrap_or_default();
            let seen = seen.iter().map(Value::as_int);
            for (client, (seen, now)) in seen.zip(&now).enumerate() {
                // Of its own beats the writer may know more than it has sent, and others more than one knows of its lost life.
                let own = client == usize::try_from(*id).unwrap()
                    || (set_back && self.own == Some(client));
                if !own && seen.unwrap_or_default() > *now {
                    return Err(Failure::new(
                        "effect before cause",
                        format!(
                            "{}: client {id} had seen beat {seen:?} of client {client}, here is {now}",
                            self.who()
                        ),
                    ));
                }
            }
        }
        self.beats = now;
        Ok(())
    }

    /// Forgets what was seen: the copy is an older one now.
    pub(crate) fn forget(&mut self) {
        *self = Self::new(self.clients, self.own);
        self.has_lives = true;
    }
}
