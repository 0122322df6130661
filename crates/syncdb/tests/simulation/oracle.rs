//! The oracle: a sequential account of every write and of what its writer saw, and what must have become of each.
//!
//! It knows nothing of the protocol. Every value carries the number of its write. In the end each write stands, or
//! somebody who had seen it wrote over it, or a conflict in the ledger names it as the loser, or its transaction was
//! rejected; and no value stands that somebody who had seen it replaced.

use std::collections::{BTreeMap, HashMap, HashSet};

use common::versioning::Hlc;
use common::{Database, Value};
use syncdb::sync::protocol::OUTCOME_UNKNOWN;
use syncdb::{LedgerEntry, Rejected, Rule, SetBias, Side, Strategy, SyncServer};

use super::Failure;
use super::merged::{self, Fates};
use super::plan::Config;
use super::tables::{self, FIRST_TOKEN, TRACKED, token};
use super::tasks::{self, Merges};

/// Where a value stands: table, key, position of the column.
pub(crate) type Cell = (&'static str, i64, usize);

/// One write of one column.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) cell: Cell,
    pub(crate) token: u64,
    /// What the writer saw there; `None` in a new row.
    pub(crate) seen: Option<u64>,
}

/// One transaction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tx {
    /// The client; `None` for the server.
    pub(crate) client: Option<usize>,
    pub(crate) writes: Vec<Write>,
    /// Rows that it deleted, with what the writer saw in them.
    pub(crate) deletes: Vec<(&'static str, i64, Vec<(Cell, u64)>)>,
    /// What it added to which tally.
    pub(crate) adds: Vec<(i64, i64)>,
    /// Its client was set back to a time before it: it may have reached the server or not.
    pub(crate) optional: bool,
    /// What it did to columns of tasks that are merged.
    pub(crate) merges: Merges,
    /// It was rejected, and another one does it again.
    pub(crate) is_retried: bool,
    /// Of one that does it again: what the rejected one had seen.
    pub(crate) had_seen: Vec<(Cell, u64)>,
    /// Of one that does it again: tasks whose bits it wrote as they were.
    pub(crate) unsure_bits: Vec<i64>,
}

/// Who replaced a value that he saw: whether only perhaps, and with what.
type Replaced = HashMap<(Cell, u64), Vec<(bool, Option<u64>)>>;

/// What replicas and the ledger say of writes that do not stand, or stand although they were replaced.
struct Told<'a> {
    rejected: &'a [Rejected],
    refused: &'a HashSet<u64>,
    reported: &'a HashSet<u64>,
    reasserted: HashSet<u64>,
    stood: HashSet<(u64, u64)>,
}

/// When, by whom, and what.
type Latest = ((Hlc, String), Value);

#[derive(Default)]
pub(crate) struct Oracle {
    pub(crate) txs: Vec<Tx>,
    next_token: u64,
    /// The writes of columns of kept notes, each with the number of its transaction.
    stamped: Vec<((i64, usize), Latest, usize)>,
}

impl Oracle {
    pub(crate) fn token(&mut self) -> u64 {
        self.next_token += 1;
        FIRST_TOKEN + self.next_token
    }

    /// A write of the last transaction whose stamp decides, whatever its value.
    pub(crate) fn stamped(
        &mut self,
        key: i64,
        position: usize,
        stamp: Hlc,
        by: &str,
        value: &Value,
    ) {
        let written = ((stamp, by.to_owned()), value.clone());
        self.stamped
            .push(((key, position), written, self.txs.len() - 1));
    }

    /// Checks what the server holds in the end against everything that was written. `set_back` names the replicas that were
    /// set back to an old copy of themselves.
    #[expect(
        clippy::too_many_lines,
        reason = "one account of what became of each write"
    )]
    pub(crate) fn check(
        &self,
        config: &Config,
        server: &SyncServer,
        rejected: &[Rejected],
        set_back: &HashSet<String>,
    ) -> Result<(), Failure> {
        let ledger = server.conflicts().unwrap();
        check_ledger(config, &ledger)?;
        // Of some the server does not know any more whether it applied them: those may stand or not.
        let (unknown, refused): (Vec<Rejected>, Vec<Rejected>) = rejected
            .iter()
            .cloned()
            .partition(|rejected| rejected.code == OUTCOME_UNKNOWN);
        let unknown = tokens_of_rejected(&unknown);
        let refused = tokens_of_rejected(&refused);
        let reported = losers(&ledger);
        let stands = standing(server.database());
        // Who replaced what he saw: certainly, or only perhaps.
        let mut replaced = Replaced::new();
        let is_refused = |tx: &Tx| tx.writes.iter().any(|w| refused.contains(&w.token));
        let is_optional =
            |tx: &Tx| tx.optional || tx.writes.iter().any(|w| unknown.contains(&w.token));
        // Who saw a value that was rejected later knew of what that value had replaced; not of what it met when it was tried again
        // after that.
        let mut below: HashMap<u64, Vec<(usize, u64)>> = HashMap::new();
        for (at, tx) in self.txs.iter().enumerate().filter(|(_, tx)| is_refused(tx)) {
            for write in &tx.writes {
                let had_seen = tx.had_seen.iter().filter(|(cell, _)| *cell == write.cell);
                let seen = write.seen.into_iter().map(|seen| (at, seen));
                let seen = seen.chain(had_seen.map(|(_, seen)| (0, *seen)));
                below.entry(write.token).or_default().extend(seen);
            }
        }
        // What was tried again stands anew: who saw it before it was rejected has not replaced it.
        let mut written: HashMap<(Cell, u64), usize> = HashMap::new();
        for (at, tx) in self.txs.iter().enumerate() {
            written.extend(
                tx.writes
                    .iter()
                    .map(|write| ((write.cell, write.token), at)),
            );
        }
        let mut replace = |at: usize, cell: Cell, seen: u64, by: (bool, Option<u64>)| {
            let (mut known, mut rest) = (HashSet::new(), vec![seen]);
            while let Some(token) = rest.pop() {
                if known.insert(token) {
                    if written.get(&(cell, token)).is_none_or(|since| *since < at) {
                        replaced.entry((cell, token)).or_default().push(by);
                    }
                    let below = below.get(&token).into_iter().flatten();
                    rest.extend(
                        below
                            .filter(|(since, _)| *since <= at)
                            .map(|(_, seen)| *seen),
                    );
                }
            }
        };
        // Who makes a row anew knows what he had written under its key himself, though it went out of his sight in between.
        let mut own: HashMap<(Option<usize>, Cell), u64> = HashMap::new();
        let perhaps_unsent = match &config.features {
            Some(_) => self.perhaps_unsent(&is_refused),
            None => HashSet::new(),
        };
        for (at, tx) in self
            .txs
            .iter()
            .enumerate()
            .filter(|(_, tx)| !is_refused(tx))
        {
            for write in &tx.writes {
                let before = own.insert((tx.client, write.cell), write.token);
                if let Some(seen) = write.seen.or(before) {
                    let perhaps = is_optional(tx) || perhaps_unsent.contains(&write.token);
                    replace(at, write.cell, seen, (perhaps, Some(write.token)));
                }
            }
            for (table, _, seen) in &tx.deletes {
                // A draft comes back with what it held.
                let perhaps = is_optional(tx) || *table == "drafts";
                for (cell, seen) in seen {
                    replace(at, *cell, *seen, (perhaps, None));
                }
            }
            for (cell, seen) in &tx.had_seen {
                replace(at, *cell, *seen, (true, None));
            }
        }
        // A write that its own writer replaced before it was sent is not sent; what was rejected then is the later one.
        let mut unsent: HashSet<(Option<usize>, u64)> = HashSet::new();
        for tx in self.txs.iter().filter(|tx| is_refused(tx)) {
            let seen = tx.writes.iter().filter_map(|write| write.seen);
            // The one that was rejected before had seen it, of what was tried again.
            let seen = seen.chain(tx.had_seen.iter().map(|(_, token)| *token));
            // 0 is a value that carries no number.
            unsent.extend(
                seen.filter(|token| *token != 0)
                    .map(|token| (tx.client, token)),
            );
        }
        let mut known: HashSet<(Cell, u64)> = HashSet::new();
        for tx in &self.txs {
            known.extend(tx.writes.iter().map(|w| (w.cell, w.token)));
            if is_optional(tx) || is_refused(tx) {
                continue;
            }
            for write in &tx.writes {
                let kept = stands.get(&write.cell) == Some(&write.token)
                    || replaced.contains_key(&(write.cell, write.token))
                    || reported.contains(&write.token)
                    || unsent.contains(&(tx.client, write.token));
                if !kept {
                    return Err(Failure::new(
                        "lost write",
                        format!(
                            "write {} of {:?} to {:?} is gone: nobody who saw it replaced it, and no conflict \
                             names it; {:?} stands there{}",
                            write.token,
                            tx.client,
                            write.cell,
                            stands.get(&write.cell),
                            self.history(write.cell, &ledger)
                        ),
                    ));
                }
            }
            for (table, key, _) in tx.deletes.iter().filter(|(table, ..)| *table == "notes") {
                if stands.keys().any(|(t, k, _)| t == table && k == key) {
                    return Err(Failure::new(
                        "resurrection",
                        format!("{table} {key} was deleted by {:?} and is there", tx.client),
                    ));
                }
            }
        }
        let told = Told {
            rejected,
            refused: &refused,
            reported: &reported,
            reasserted: {
                let mut found = reasserted(&ledger, set_back);
                found.extend(brought_back(&ledger));
                found
            },
            stood: stood(&ledger),
        };
        self.check_standing(&stands, &known, &replaced, &told)?;
        self.check_tallies(server.database(), &is_refused, &is_optional)?;
        if let Some(features) = &config.features {
            let mut dropped = HashSet::new();
            for entry in ledger.iter().filter(|entry| entry.rule == Rule::DeleteWins) {
                tokens(&entry.client, &mut dropped);
            }
            let fates = Fates {
                dropped: &dropped,
                txs: &self.txs,
                is_refused: &is_refused,
                is_optional: &is_optional,
                ledger: &ledger,
                set_back: !set_back.is_empty(),
            };
            merged::check(server.database(), features, &fates)?;
            self.check_reverts(&ledger, &stands, &replaced)?;
        }
        // Kept notes are not rejected alone, and what was written to one before is not rejected with a later transaction.
        let is_sent = |tx: &Tx, _| !is_refused(tx) && !tx.is_retried;
        self.check_latest(config, server, &is_sent)
    }

    /// Writes that their own writer replaced before they were sent, perhaps, with what was rejected later: what they had seen
    /// stands then.
    fn perhaps_unsent(&self, is_refused: &dyn Fn(&Tx) -> bool) -> HashSet<u64> {
        let mut found = HashSet::new();
        for tx in self.txs.iter().rev() {
            for write in &tx.writes {
                if is_refused(tx) || found.contains(&write.token) {
                    let had_seen = tx.had_seen.iter().filter(|(cell, _)| *cell == write.cell);
                    let seen = write
                        .seen
                        .into_iter()
                        .chain(had_seen.map(|(_, seen)| *seen));
                    let own = |seen: &u64| *seen != 0 && self.writer(*seen) == tx.client;
                    found.extend(seen.filter(own));
                }
            }
        }
        found
    }

    /// No value stands that nobody wrote, that was rejected, or that somebody who had seen it replaced.
    fn check_standing(
        &self,
        stands: &BTreeMap<Cell, u64>,
        known: &HashSet<(Cell, u64)>,
        replaced: &Replaced,
        told: &Told<'_>,
    ) -> Result<(), Failure> {
        for (cell, token) in stands {
            if *token != 0 && !known.contains(&(*cell, *token)) {
                return Err(Failure::new(
                    "unknown value",
                    format!("nobody wrote {token} to {cell:?}"),
                ));
            }
            if told.refused.contains(token) {
                return Err(Failure::new(
                    "rejected value",
                    format!(
                        "write {token} was rejected and stands in {cell:?}{}",
                        rejections(told.rejected, *token)
                    ),
                ));
            }
            let by = replaced.get(&(*cell, *token)).into_iter().flatten();
            let certain = by
                .filter(|(optional, by)| {
                    !optional && by.is_none_or(|by| !told.reported.contains(&by))
                })
                .filter(|(_, by)| by.is_none_or(|by| !self.gave_way(by, *token, &told.stood)));
            // Where the client wins, what a replica has that was set back wins too; the ledger says so.
            if let Some((_, by)) = certain.into_iter().next()
                && !told.reasserted.contains(token)
            {
                return Err(Failure::new(
                    "stale value",
                    format!(
                        "{cell:?} holds {token}, which {by:?} had replaced{}",
                        self.history(*cell, &[])
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Whether the ledger says of a write, or of one by which its own writer replaced it unsent, that `token` stood against it.
    fn gave_way(&self, write: u64, token: u64, stood: &HashSet<(u64, u64)>) -> bool {
        // What was tried again may have met a write that was made on top of it.
        let (mut looked_at, mut rest) = (HashSet::new(), vec![write]);
        while let Some(write) = rest.pop() {
            if stood.contains(&(token, write)) {
                return true;
            }
            if looked_at.insert(write) {
                let writer = self.writer(write);
                let own = |tx: &&Tx| tx.client.is_some() && tx.client == writer;
                let later = self.txs.iter().filter(own).filter_map(|tx| {
                    let later = tx.writes.iter().find(|later| later.seen == Some(write));
                    later.map(|later| later.token)
                });
                rest.extend(later);
            }
        }
        false
    }

    fn writer(&self, token: u64) -> Option<usize> {
        let wrote = |tx: &&Tx| tx.writes.iter().any(|write| write.token == token);
        self.txs.iter().find(wrote)?.client
    }

    /// Everything that was added is in the sum, once.
    fn check_tallies(
        &self,
        db: &Database,
        is_refused: &dyn Fn(&Tx) -> bool,
        is_optional: &dyn Fn(&Tx) -> bool,
    ) -> Result<(), Failure> {
        for (key, tally) in tables::rows(db, "tallies") {
            // What may have been added, beyond what was.
            let (mut sum, mut least, mut most) = (0, 0, 0);
            for tx in self.txs.iter().filter(|tx| !is_refused(tx)) {
                for (_, by) in tx.adds.iter().filter(|(to, _)| *to == key) {
                    match (is_optional(tx), *by > 0) {
                        (false, _) => sum += by,
                        (true, true) => most += by,
                        (true, false) => least += by,
                    }
                }
            }
            let found = tally[1].as_int().unwrap();
            if !(sum + least..=sum + most).contains(&found) {
                return Err(Failure::new(
                    "wrong sum",
                    format!(
                        "tally {key} holds {found}; {sum} was added, and perhaps {least} to {most}"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Everything that was written to a cell, and its conflicts.
    fn history(&self, cell: Cell, ledger: &[LedgerEntry]) -> String {
        let mut lines = String::new();
        for tx in &self.txs {
            for write in tx.writes.iter().filter(|write| write.cell == cell) {
                lines += &format!(
                    "\n    {:?} wrote {}, where it saw {:?}{}{}",
                    tx.client,
                    write.token,
                    write.seen,
                    if tx.had_seen.is_empty() {
                        String::new()
                    } else {
                        format!(" again, and before {:?}", tx.had_seen)
                    },
                    if tx.optional {
                        ", before it was set back"
                    } else {
                        ""
                    }
                );
            }
        }
        for entry in ledger {
            if entry.table == cell.0 && entry.key.values().first() == Some(&Value::Int(cell.1)) {
                lines += &format!("\n    ledger: {entry}");
            }
        }
        lines
    }

    /// Each conflict was reverted once at most, while what it had left stood there, and what it brought back is still there,
    /// unless somebody wrote over it since.
    fn check_reverts(
        &self,
        ledger: &[LedgerEntry],
        stands: &BTreeMap<Cell, u64>,
        replaced: &Replaced,
    ) -> Result<(), Failure> {
        let is_reverted =
            |entry: &LedgerEntry| ledger.iter().any(|e| e.reverts == Some(entry.id()));
        for entry in ledger.iter().filter(|entry| entry.reverts.is_some()) {
            let wrong =
                |what: &str| Err(Failure::new("wrong revert", format!("{what}: {entry:?}")));
            let id = entry.reverts.unwrap();
            let Some(conflict) = ledger.iter().find(|entry| entry.id() == id) else {
                return wrong("there is no such conflict");
            };
            let again = ledger
                .iter()
                .filter(|e| e.reverts == Some(id) && !is_reverted(e));
            if again.count() > 1 {
                return wrong("it was reverted twice");
            }
            let lost = match conflict.winner {
                Side::Server => &conflict.client,
                Side::Client | Side::Merged => &conflict.server,
            };
            if entry.server != conflict.result
                || entry.result != *lost
                || entry.column != conflict.column
            {
                return wrong(
                    "it replaced what the conflict had not left, or brought back something else",
                );
            }
            let later = |other: &LedgerEntry| {
                other.id() > entry.id()
                    && other.table == entry.table
                    && other.key == entry.key
                    && (other.column == entry.column || other.column.is_none())
                    && other.result != entry.result
            };
            // Who asked for it did not see it yet when he wrote on.
            let was_there = Some(token(&entry.server));
            let went_on = self.txs.iter().any(|tx| {
                let is_his = tx
                    .client
                    .is_some_and(|by| entry.replica.0 == tables::name(by));
                let key = entry.key.values().first();
                let is_of_row =
                    |table: &str, row: i64| entry.table == table && key == Some(&Value::Int(row));
                let wrote_on = tx
                    .writes
                    .iter()
                    .any(|write| is_of_row(write.cell.0, write.cell.1) && write.seen == was_there);
                let deleted_it = tx.deletes.iter().any(|(table, row, seen)| {
                    is_of_row(table, *row) && seen.iter().any(|(_, seen)| Some(*seen) == was_there)
                });
                is_his && (wrote_on || deleted_it)
            });
            let number = token(&entry.result);
            let of_cell = replaced.keys().find(|(_, token)| *token == number);
            let stands_there = stands.values().any(|token| *token == number);
            if number != 0
                && !went_on
                && !stands_there
                && of_cell.is_none()
                && !ledger.iter().any(later)
            {
                return wrong("what it brought back is gone");
            }
        }
        Ok(())
    }

    fn check_latest(
        &self,
        config: &Config,
        server: &SyncServer,
        is_sent: &dyn Fn(&Tx, u64) -> bool,
    ) -> Result<(), Failure> {
        if !config.exact || config.strategy != Strategy::LastWriteWins {
            return Ok(());
        }
        let notes = tables::rows(server.database(), "notes");
        let ledger = server.conflicts().unwrap();
        let mut latest: BTreeMap<(i64, usize), &Latest> = BTreeMap::new();
        for (at, written, tx) in &self.stamped {
            // What was brought back stands whatever its stamp.
            let is_reverted = ledger.iter().any(|entry| {
                entry.reverts.is_some()
                    && entry.table == "notes"
                    && entry.key.values().first() == Some(&Value::Int(at.0))
                    && entry
                        .column
                        .as_ref()
                        .is_some_and(|name| *name == tables::column(at.1))
            });
            if is_reverted || !is_sent(&self.txs[*tx], token(&written.1)) {
                continue;
            }
            let known = latest.entry(*at).or_insert(written);
            if known.0 < written.0 {
                *known = written;
            }
        }
        for ((key, position), (written, value)) in &latest {
            let found = notes.get(key).and_then(|note| note.get(*position));
            if found != Some(value) {
                let mut lines = String::new();
                let to_cell = |at: &(i64, usize)| *at == (*key, *position);
                for (_, ((stamp, by), value), tx) in
                    self.stamped.iter().filter(|(at, ..)| to_cell(at))
                {
                    let counts = is_sent(&self.txs[*tx], token(value));
                    let left_out = if counts {
                        ""
                    } else {
                        ", which was not sent or rejected"
                    };
                    lines += &format!("\n    {by} wrote {value:?} at {stamp:?}{left_out}");
                }
                lines += &self.history(("notes", *key, *position), &server.conflicts().unwrap());
                return Err(Failure::new(
                    "wrong winner",
                    format!(
                        "column {position} of note {key} holds {found:?}; the latest write is {value:?} of {written:?}{lines}"
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// What stands at the server, by cell.
fn standing(db: &Database) -> BTreeMap<Cell, u64> {
    let mut stands = BTreeMap::new();
    for table in TRACKED {
        for (key, record) in tables::rows(db, table) {
            for position in tracked(table, record.len()) {
                stands.insert((table, key, position), token(&record[position]));
            }
        }
    }
    stands
}

/// The columns of a table that carry numbers of writes.
pub(crate) fn tracked(table: &str, columns: usize) -> std::ops::Range<usize> {
    match table {
        "notes" => tables::FREE..columns,
        "names" => 2..3,
        "tasks" => tasks::TOKEN..tasks::TAGS,
        _ => 1..3,
    }
}

fn tokens(value: &Value, found: &mut HashSet<u64>) {
    match value {
        Value::Map(map) => map.values().for_each(|value| tokens(value, found)),
        value => found.extend(Some(token(value)).filter(|token| *token != 0)),
    }
}

fn tokens_of_rejected(rejected: &[Rejected]) -> HashSet<u64> {
    let mut found = HashSet::new();
    for edit in rejected.iter().flat_map(|rejected| &rejected.ops) {
        if TRACKED.contains(&edit.table.as_str()) {
            for value in edit.columns.values() {
                tokens(value, &mut found);
            }
        }
    }
    found
}

/// The writes that a conflict discarded.
fn losers(ledger: &[LedgerEntry]) -> HashSet<u64> {
    let mut found = HashSet::new();
    for entry in ledger {
        if TRACKED.contains(&entry.table.as_str()) {
            match entry.winner {
                Side::Server => tokens(&entry.client, &mut found),
                Side::Client => tokens(&entry.server, &mut found),
                Side::Merged => {
                    tokens(&entry.client, &mut found);
                    tokens(&entry.server, &mut found);
                }
            }
        }
    }
    found
}

/// The rejections of a write.
fn rejections(rejected: &[Rejected], token: u64) -> String {
    let of_token = rejected.iter().filter(|rejected| {
        let found = tokens_of_rejected(std::slice::from_ref(*rejected));
        found.contains(&token)
    });
    of_token.fold(String::new(), |lines, rejected| {
        lines + &format!("\n    {rejected}")
    })
}

/// What the server had and kept against which client's write.
fn stood(ledger: &[LedgerEntry]) -> HashSet<(u64, u64)> {
    let kept = ledger
        .iter()
        .filter(|entry| entry.winner == Side::Server && entry.column.is_some());
    kept.map(|entry| (token(&entry.server), token(&entry.client)))
        .collect()
}

/// The writes of replicas that were set back which stand because the client's always do.
fn reasserted(ledger: &[LedgerEntry], set_back: &HashSet<String>) -> HashSet<u64> {
    let mut found = HashSet::new();
    for entry in ledger {
        if entry.rule == Rule::ClientWins && set_back.contains(entry.replica.0.as_str()) {
            tokens(&entry.client, &mut found);
        }
    }
    found
}

/// What was brought back of what had lost.
fn brought_back(ledger: &[LedgerEntry]) -> HashSet<u64> {
    let mut found = HashSet::new();
    for entry in ledger.iter().filter(|entry| entry.reverts.is_some()) {
        tokens(&entry.result, &mut found);
    }
    found
}

/// Each conflict was resolved by its table's rule, and stands in the ledger once.
fn check_ledger(config: &Config, ledger: &[LedgerEntry]) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    for entry in ledger {
        if !seen.insert((entry.seq, entry.number)) {
            return Err(Failure::new("ledger", format!("{entry:?} comes twice")));
        }
        let client = (entry.client_stamp, &entry.replica);
        let server = (entry.server_stamp, &entry.server_replica);
        if entry.reverts.is_some() {
            continue;
        }
        let winner = match entry.rule {
            Rule::LastWriteWins if client > server => Side::Client,
            Rule::LastWriteWins | Rule::ServerWins => Side::Server,
            Rule::ClientWins => Side::Client,
            Rule::Max if entry.client > entry.server => Side::Client,
            Rule::Min if entry.client < entry.server => Side::Client,
            Rule::Max | Rule::Min => Side::Server,
            // The deletion, of whichever side.
            _ => entry.winner,
        };
        let rule = match config.strategy {
            // Two lives of one replica: its own clock decides.
            _ if entry.replica == entry.server_replica => Rule::LastWriteWins,
            Strategy::ServerWins if entry.table == "notes" => Rule::ServerWins,
            Strategy::ClientWins if entry.table == "notes" => Rule::ClientWins,
            _ => Rule::LastWriteWins,
        };
        let is_single = entry.column.is_some();
        let rule = match (entry.table.as_str(), entry.column.as_deref()) {
            ("drafts", None) => Rule::UpdateResurrects,
            (_, None) => Rule::DeleteWins,
            ("tasks", Some("tags")) => config.features.as_ref().map_or(rule, |f| match f.bias {
                SetBias::AddWins => Rule::AddWins,
                SetBias::RemoveWins => Rule::RemoveWins,
            }),
            ("tasks", Some("top")) => Rule::Max,
            ("tasks", Some("low")) => Rule::Min,
            // Its own value there is of an earlier life, or was made of one of its own and somebody else's.
            ("tasks", Some("bits"))
                if entry.rule != rule || entry.replica != entry.server_replica =>
            {
                Rule::Custom(tasks::BOTH.into())
            }
            _ => rule,
        };
        // Two lives of one replica, whose stamps were cut at the same bound: the later mutation.
        let winner = if client == server && is_single && rule == Rule::LastWriteWins {
            entry.winner
        } else {
            winner
        };
        if entry.winner != winner || entry.rule != rule {
            return Err(Failure::new(
                "wrong winner",
                format!("{entry:?}; {winner:?} should have won"),
            ));
        }
    }
    Ok(())
}
