//! What happens in seeds with features only, and tables that are new.

use std::collections::BTreeSet;

use common::query::Filter;
use common::schema::{Field, FieldType, Schema};
use common::{Record, Row};
use syncdb::sync::protocol::OUTCOME_UNKNOWN;
use syncdb::{
    LedgerEntry, Permission, Permissions, Rejected, RevertOptions, Reverted, Rule, SyncDb,
    SyncServerOptions,
};

use super::World;
use crate::Failure;
use crate::features::Feature;
use crate::oracle::{Cell, Tx, Write, tracked};
use crate::plan::Random;
use crate::scope::{self, Scope};
use crate::tables::{self, TRACKED};
use crate::tasks;

/// Whether one whole value stands, which the oracle knows by its number, so that it can be brought back.
fn is_whole(entry: &LedgerEntry) -> bool {
    let rules = [
        Rule::LastWriteWins,
        Rule::ServerWins,
        Rule::ClientWins,
        Rule::Revert,
    ];
    entry.column.is_some() && rules.contains(&entry.rule)
}

impl World<'_> {
    /// The options with what each client may see.
    pub(super) fn permit(&self, options: SyncServerOptions) -> SyncServerOptions {
        let features = self.config().features.as_ref();
        if !features.is_some_and(|features| features.permissions) {
            return options;
        }
        let rights = self.rights.clone();
        options.permissions(Permissions::new(move |principal, table| {
            let client = principal.and_then(|principal| {
                let number = principal.name.strip_prefix("client-")?;
                number.parse().ok()
            });
            match client.and_then(|client: usize| rights.lock()[client].clone()) {
                Some(places) if table.name == "tasks" => {
                    Permission::rows(scope::in_places(&places))
                }
                _ => Permission::rows(Filter::True),
            }
        }))
    }

    /// Subscribes a new replica to its part.
    pub(super) fn begin_scope(&self, client: usize, db: &SyncDb) -> Option<Scope> {
        let features = self.config().features.as_ref()?;
        features.scoped[client].then(|| Scope::begin(db, client))
    }

    /// Whether a client has not simply everything.
    pub(super) fn has_part(&self, client: usize) -> bool {
        self.clients[client].scope.is_some() || self.rights.lock()[client].is_some()
    }

    /// What is wrong with the part that a client has.
    pub(super) fn part_difference(&self, client: usize) -> Option<String> {
        let of = &self.clients[client];
        let (Some(server), Some(db)) = (&self.server, of.db) else {
            return None;
        };
        self.config().features.as_ref()?;
        let rights = self.rights.lock();
        scope::difference(
            server.database(),
            db.database(),
            of.scope.as_ref(),
            rights[client].as_ref(),
        )
    }

    /// A replica that has all of what it wants as of the server's last commit holds just that.
    pub(super) fn check_part(&self, client: usize) -> Result<(), Failure> {
        let of = &self.clients[client];
        let (Some(server), Some(db), Some(_)) = (&self.server, of.db, &of.scope) else {
            return Ok(());
        };
        let features = self.config().features.as_ref();
        // What it may see may have changed without a commit.
        if features.is_none_or(|features| features.permissions) || self.config().server_restores {
            return Ok(());
        }
        let states = db.subscriptions().map_err(Failure::error)?;
        let seq = Some(server.database().seq());
        if states.iter().any(|state| state.cursor != seq) {
            return Ok(());
        }
        let name = tables::name(client);
        scope::check(
            &name,
            server.database(),
            db.database(),
            of.scope.as_ref(),
            None,
        )
    }

    pub(super) fn check_part_in_the_end(&self, client: usize) -> Result<(), Failure> {
        let db = self.clients[client].db.unwrap();
        let name = tables::name(client);
        if let Some(what) = self.part_difference(client) {
            return Err(Failure::new("wrong part", format!("{name}: {what}")));
        }
        // Counted anew by one who has only what is stored.
        let clock = self.network.clock(self.clients[client].node);
        let again = tables::open(
            &tables::image(db.database()),
            tables::options(clock, 1 << 12),
        );
        let again = SyncDb::open(again, name.as_str()).map_err(Failure::error)?;
        let (counted, kept) = (again.digest(), db.digest());
        let (counted, kept) = (
            counted.map_err(Failure::error)?,
            kept.map_err(Failure::error)?,
        );
        if counted != kept {
            return Err(Failure::new(
                "digests differ",
                format!("{name}: the rows add up to {counted}, the digest says {kept}"),
            ));
        }
        Ok(())
    }

    /// What a client has that was rejected. Outcomes that a replica has not received are not forgotten while it lives.
    pub(super) fn rejected_by(&self, client: usize, db: &SyncDb) -> Result<Vec<Rejected>, Failure> {
        let rejected = db.rejected().map_err(Failure::error)?;
        let unknown = rejected.iter().find(|r| r.code == OUTCOME_UNKNOWN);
        match unknown.filter(|_| !self.clients[client].was_set_back) {
            None => Ok(rejected),
            Some(unknown) => Err(Failure::new(
                "outcome forgotten",
                format!(
                    "{}, which was never set back: {unknown}",
                    tables::name(client)
                ),
            )),
        }
    }

    pub(super) fn new_table(&mut self, choice: u64) -> Result<(), Failure> {
        let Some(server) = &self.server else {
            return Ok(());
        };
        if self.extra_tables >= 2 {
            return Ok(());
        }
        self.extra_tables += 1;
        server.train_dictionaries().unwrap();
        let schema = Schema::build(format!("extra{}", self.extra_tables), ["id"])
            .field(Field::new("id", FieldType::Int))
            .field(Field::new("what", FieldType::Any));
        let table = server
            .database()
            .create_collection(schema.finish().unwrap())
            .unwrap();
        for id in 0..i64::try_from(choice % 20).unwrap() {
            table
                .insert(Row::new().with("id", id).with("what", choice.cast_signed()))
                .unwrap();
        }
        self.after_server()
    }

    pub(super) fn feature(
        &mut self,
        client: usize,
        feature: Feature,
        choice: u64,
    ) -> Result<(), Failure> {
        match feature {
            Feature::ServerTask => {
                if let Some(server) = &self.server {
                    tasks::write_at_server(server.database(), &mut self.oracle, choice).unwrap();
                    server.account_for_direct_writes().unwrap();
                }
                return self.after_server();
            }
            Feature::ServerRevert => return self.revert_at_server(choice),
            Feature::Permit => {
                self.rights.lock()[client] = scope::rights(choice);
                self.clients[client].may_compare = true;
                let line = format!("may see {:?}", self.rights.lock()[client]);
                self.say(self.clients[client].node, line);
                return Ok(());
            }
            _ => {}
        }
        let Some(mut writer) = self.writer(client, choice) else {
            return Ok(());
        };
        let done = match feature {
            Feature::Task => writer.task(),
            Feature::Merge => writer.merge(),
            Feature::NewTask => writer.new_task(),
            Feature::Draft => writer.draft(),
            Feature::Subscribe => {
                let of = &mut self.clients[client];
                if let (Some(scope), Some(db)) = (&mut of.scope, of.db) {
                    scope.change(db, choice);
                    // A sync that is under way was for what it wanted before.
                    of.agrees = false;
                    of.may_compare |= db.pending() > 0;
                }
                Ok(())
            }
            Feature::Revert => revert(writer.db, choice),
            Feature::Settle => return self.settle(client, choice),
            Feature::ServerTask | Feature::ServerRevert | Feature::Permit => Ok(()),
        };
        done.map_err(|error| Failure::new("write failed", format!("{feature:?}: {error}")))?;
        if feature == Feature::Subscribe {
            let of = &self.clients[client];
            self.say(of.node, format!("wants {:?}", of.scope));
        }
        self.after_client(client)
    }

    fn revert_at_server(&mut self, choice: u64) -> Result<(), Failure> {
        let Some(server) = &self.server else {
            return Ok(());
        };
        let mut ledger = server.conflicts().map_err(Failure::error)?;
        ledger.retain(is_whole);
        if let Some(entry) = pick(&ledger, choice) {
            let reverted = server.revert(entry.id(), &RevertOptions::default());
            let reverted = reverted.map_err(Failure::error)?;
            if let Reverted::Done(entries) = reverted
                && entries.len() != 1
            {
                let what = format!("{entries:?} came of {entry:?}");
                return Err(Failure::new("wrong revert", what));
            }
        }
        self.after_server()
    }

    /// Tries one of the rejected transactions again, or discards it.
    fn settle(&mut self, client: usize, choice: u64) -> Result<(), Failure> {
        let of = &self.clients[client];
        let Some(db) = of.db else {
            return Ok(());
        };
        let rejected = db.rejected().map_err(Failure::error)?;
        let Some(rejected) = pick(&rejected, choice).cloned() else {
            return Ok(());
        };
        let features = self.config().features.as_ref();
        let reverts = rejected.ops.iter().any(|op| op.action == "revert");
        let retries = features.is_some_and(|features| features.retries) && !reverts;
        if !retries || Random::new(choice).chance(30) {
            db.discard(rejected.id).map_err(Failure::error)?;
            self.rejected.push(rejected);
        } else {
            let seen = seen_by(db, &rejected);
            // A row that it changes may be gone: it stays rejected then.
            if db.retry(rejected.id).is_ok() {
                self.retried(client, &rejected, seen);
            }
        }
        self.after_client(client)
    }

    /// Takes down that a transaction is done again: what it writes, and what is there now where it writes.
    fn retried(&mut self, client: usize, rejected: &Rejected, seen: Vec<(Write, bool)>) {
        let numbers: BTreeSet<u64> = seen.iter().map(|(write, _)| write.token).collect();
        let mut again = Tx {
            client: Some(client),
            ..Tx::default()
        };
        for tx in &mut self.oracle.txs {
            let is_it = tx.client == Some(client)
                && !tx.is_retried
                && tx.writes.iter().any(|write| numbers.contains(&write.token));
            if !is_it {
                continue;
            }
            tx.is_retried = true;
            let had_seen = tx.writes.iter();
            again
                .had_seen
                .extend(had_seen.filter_map(|write| Some((write.cell, write.seen?))));
            again.had_seen.append(&mut tx.had_seen);
            tx.writes.clear();
            tx.deletes.clear();
            again.adds.append(&mut tx.adds);
            let merges = std::mem::take(&mut tx.merges);
            again
                .unsure_bits
                .extend(merges.bits.iter().map(|(task, _)| *task));
            again.unsure_bits.append(&mut tx.unsure_bits);
            let elements = merges.elements.into_iter().map(|mut element| {
                element.perhaps |= !element.is_added;
                element
            });
            again.merges.elements.extend(elements);
            again.merges.tops.extend(merges.tops);
            again.merges.lows.extend(merges.lows);
        }
        self.clients[client].reader.comes_again(rejected);
        again.writes = seen.into_iter().map(|(write, _)| write).collect();
        self.oracle.txs.push(again);
    }
}

fn pick<T>(from: &[T], choice: u64) -> Option<&T> {
    (!from.is_empty()).then(|| &from[usize::try_from(choice % from.len() as u64).unwrap()])
}

/// A client asks for what lost in a conflict that it knows of.
fn revert(db: &SyncDb, choice: u64) -> common::Result<()> {
    let mut ledger = db.conflicts()?;
    ledger.retain(is_whole);
    match pick(&ledger, choice) {
        Some(entry) => db.revert(entry.id(), false).map(drop),
        None => Ok(()),
    }
}

/// The numbered values that a rejected transaction writes, with what is there now.
fn seen_by(db: &SyncDb, rejected: &Rejected) -> Vec<(Write, bool)> {
    let mut found = Vec::new();
    for op in &rejected.ops {
        let Some(table) = TRACKED.into_iter().find(|table| op.table == *table) else {
            continue;
        };
        let Ok(collection) = db.collection(table) else {
            continue;
        };
        let key = op.key.values()[0].as_int().unwrap();
        let row: Option<Record> = collection.get(key);
        for position in tracked(table, collection.schema().fields.len()) {
            let name = &collection.schema().fields[position].name;
            let value = op.columns.get(name).map_or(0, tables::token);
            if value > 0 {
                let cell: Cell = (table, key, position);
                let seen = row.as_ref().map(|row| tables::token(&row[position]));
                let write = Write {
                    cell,
                    token: value,
                    seen,
                };
                found.push((write, row.is_some()));
            }
        }
    }
    found
}
