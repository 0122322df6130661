//! [`Authority`]: what a push works on: the server's rows, and what it keeps beside them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use common::versioning::{ChangeKind, TableId};
use common::{
    Collection, Committed, Database, Error, Record, Result, Seq, Text, Transaction, Value,
};
use parking_lot::Mutex;

use super::catalogue::Catalogue;
use super::columns::{self, Remember};
use super::conflict::{MergeFunctions, Policy};
use super::ledger::LedgerOptions;
use super::permission::Permissions;
use super::scope::Scopes;
use super::system::{LEDGER_AT, ServerTables, forget_oldest, user_schemas, user_tables};

/// Changes of the log that are accounted for at a time.
const FOLD_CHANGES: usize = 4_096;

/// How conflicts are resolved and what is kept of them.
#[derive(Clone, Default)]
pub(crate) struct ConflictRules {
    /// The policies that are not the default, by table.
    pub(crate) policies: BTreeMap<Text, Policy>,
    pub(crate) functions: MergeFunctions,
    pub(crate) ledger: LedgerOptions,
}

/// A server's database with the tables that sync keeps in it.
pub(crate) struct Authority {
    pub(crate) db: Database,
    pub(crate) tables: ServerTables,
    pub(crate) rules: ConflictRules,
    /// Pushes are applied one after another.
    pub(crate) pushing: Mutex<()>,
    /// The log up to here is accounted for in the side table.
    accounted: Mutex<Seq>,
    /// Which parts of the rows a replica may have and change.
    pub(crate) scopes: Scopes,
    /// The versions of the tables that are served.
    pub(crate) catalogue: Arc<Catalogue>,
    /// From this commit on, the log has what was before each change.
    pub(crate) before_since: Seq,
}

impl Authority {
    pub(crate) fn open(
        db: Database,
        mut rules: ConflictRules,
        permissions: Option<Permissions>,
        catalogue: Catalogue,
    ) -> Result<Self> {
        let known = |name: &Text| rules.functions.contains_key(name);
        if let Some(name) = rules
            .policies
            .values()
            .flat_map(Policy::functions)
            .find(|name| !known(name))
        {
            return Err(Error::invalid(format!(
                "a policy names the merge function `{name}`, which is not registered"
            )));
        }
        for schema in user_schemas(&db) {
            if let Some(policy) = rules.policies.get(&schema.name) {
                policy.check(&schema)?;
            }
        }
        rules
            .policies
            .retain(|_, policy| *policy != Policy::default());
        // Whether a change moved a row out of a scope is only seen by what was before.
        let before_since = db.keep_before();
        let tables = ServerTables::open(&db)?;
        let (log_start, _) = db.log_extent();
        let catalogue = Arc::new(catalogue);
        Ok(Self {
            db,
            tables,
            rules,
            pushing: Mutex::new(()),
            accounted: Mutex::new(log_start),
            scopes: Scopes::new(permissions, Arc::clone(&catalogue)),
            catalogue,
            before_since,
        })
    }

    /// Follows a commit of a push, in whose transaction the direct writes before it were accounted for.
    pub(crate) fn committed(&self, committed: &Committed) {
        // The commit itself is looked at again: rows that followed a reference are in no operation.
        *self.accounted.lock() = Seq(committed.seq.0.saturating_sub(1));
    }

    /// As [`Authority::account_for_direct_writes`], in a transaction of its own.
    pub(crate) fn account(&self) -> Result<()> {
        let _one_at_a_time = self.pushing.lock();
        let mut tx = self.db.begin();
        self.account_for_direct_writes(&mut tx)?;
        self.forget_old(&mut tx)?;
        if !tx.is_empty() {
            self.committed(&tx.commit()?);
        }
        Ok(())
    }

    /// Brings the side table up to date with what was written past it.
    pub(crate) fn account_for_direct_writes(&self, tx: &mut Transaction<'_>) -> Result<()> {
        let mut from = *self.accounted.lock();
        let (log_start, _) = self.db.log_extent();
        // What was pruned counts for whole rows; see `RowWrites::of`.
        from = from.max(log_start);
        let tables = self.tables_by_id();
        // However many rows were deleted, what one transaction remembers of them is bounded.
        let mut remembered = 0;
        loop {
            let changes = self.db.changes_since(from, FOLD_CHANGES)?;
            let Some(last) = changes.last().map(|change| change.seq) else {
                break;
            };
            for change in &changes {
                if let Some(table) = tables.get(&change.table) {
                    let policy = self.policy(table.name());
                    let ledger = &self.rules.ledger;
                    let remember = if remembered < ledger.deleted_max {
                        Remember::Row
                    } else if remembered < ledger.gone_max {
                        Remember::Key
                    } else {
                        Remember::Nothing
                    };
                    remembered += usize::from(change.kind == ChangeKind::Delete);
                    let schema = table.schema();
                    let tables = &self.tables;
                    columns::fold(tx, tables, &schema, policy, change, remember, log_start)?;
                }
            }
            from = last;
        }
        Ok(())
    }

    pub(crate) fn tables_by_id(&self) -> HashMap<TableId, Collection> {
        let tables = user_tables(&self.db).into_iter();
        tables.map(|table| (table.id(), table)).collect()
    }

    pub(crate) fn policy(&self, table: &str) -> &Policy {
        static DEFAULT: LazyLock<Policy> = LazyLock::new(Policy::default);
        self.rules.policies.get(table).unwrap_or(&DEFAULT)
    }

    /// Forgets the oldest of what is kept to explain the past, a bounded number at a time.
    pub(crate) fn forget_old(&self, tx: &mut Transaction<'_>) -> Result<()> {
        let options = &self.rules.ledger;
        let now = self.db.clock().now().0;
        let age = i64::try_from(options.age_seconds_max).unwrap_or(i64::MAX);
        let oldest = now.saturating_sub(age.saturating_mul(1_000_000));
        let too_old = |record: &Record| {
            let at = record.get(LEDGER_AT).and_then(Value::as_timestamp);
            at.is_some_and(|at| at.0 < oldest)
        };
        forget_oldest(tx, &self.tables.conflicts, options.entries_max, &too_old)?;
        forget_oldest(tx, &self.tables.deleted, options.deleted_max, &|_| false)?;
        forget_oldest(tx, &self.tables.gone, options.gone_max, &|_| false)
    }
}
