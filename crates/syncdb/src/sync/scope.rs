//! Scopes as the server evaluates them: filters compiled once, masks of the scopes that cover a row.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use common::database::Database;
use common::optimization::caching::{Cache, CacheOptions, SharedCache};
use common::query::{Filter, Predicate};
use common::schema::{Field, FieldId, Schema};
use common::utils::time::ManualClock;
use common::versioning::{Change, ChangeKind, ColumnSet, TableId};
use common::{Collection, Error, Record, RecordId, Result, Text, Transaction, Value};
use sha2::{Digest as _, Sha256};

use super::catalogue::{Catalogue, Served};
use super::digest::RowHasher;
use super::permission::{Permission, Permissions, Principal};
use super::protocol::{Action, Grant, Held, Scope, ScopeId, Want, bit};

/// Compiled scopes that a server keeps.
const COMPILED_MAX: NonZeroUsize = NonZeroUsize::new(1_024).expect("not zero");

/// What one scope covers of one table.
#[derive(Debug)]
pub(crate) struct TableScope {
    pub(crate) collection: Collection,
    /// As the replica's version has the table, with columns at their places in the rows.
    pub(crate) schema: Arc<Schema>,
    predicate: Predicate,
    /// Positions beside the key's.
    pub(crate) positions: Vec<usize>,
    /// The same in the order of the replica's version.
    in_order: Vec<usize>,
    columns: ColumnSet,
    /// All columns beside the key's that the replica's version has.
    all: ColumnSet,
}

impl TableScope {
    fn new(table: &Served, permission: &Permission) -> Result<Self> {
        let schema = Arc::clone(&table.view.placed);
        let predicate = permission.rows.compile(&schema)?;
        let rest = table.view.columns.iter();
        let rest: Vec<usize> = rest.filter(|at| *at >= schema.key_columns).collect();
        let all = rest.iter().copied().collect();
        let positions: Vec<usize> = match &permission.columns {
            None => rest,
            Some(names) => {
                let mut positions = Vec::with_capacity(names.len());
                for name in names {
                    positions.push(schema.position_of(name)?);
                }
                positions.retain(|position| *position >= schema.key_columns);
                positions.sort_unstable();
                positions.dedup();
                positions
            }
        };
        let columns: ColumnSet = positions.iter().copied().collect();
        let own = table.view.own.fields.iter();
        let own = own.filter_map(|own| schema.fields.iter().position(|field| field.id == own.id));
        Ok(Self {
            collection: table.collection.clone(),
            all,
            in_order: own.filter(|at| columns.contains(*at)).collect(),
            columns,
            schema,
            predicate,
            positions,
        })
    }

    pub(crate) fn covers(&self, row: &[Value]) -> bool {
        self.predicate.matches(row)
    }

    /// Whether a change does anything to the rows that are covered, before it or after.
    pub(crate) fn is_touched_by(&self, change: &Change) -> bool {
        let after = change.after().is_some_and(|after| self.covers(after));
        let Some(before) = &change.before else {
            return after || change.kind != ChangeKind::Insert;
        };
        let before = self.covers(before);
        if before && after {
            return change.columns.iter().any(|at| self.columns.contains(at));
        }
        before || after
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.predicate.is_always_true() && self.has_all_columns()
    }

    fn has_all_columns(&self) -> bool {
        self.positions.len() == self.all.len()
    }

    /// The columns that it has and another scope of the table has not.
    pub(crate) fn beyond(&self, other: &Self) -> Vec<usize> {
        let positions = self.positions.iter().copied();
        positions
            .filter(|at| !other.columns.contains(*at))
            .collect()
    }

    /// Whether another scope of the table has columns that it has not, though its version has them.
    pub(crate) fn gives_up(&self, other: &Self) -> bool {
        let mut given_up = other
            .columns
            .iter()
            .filter(|at| !self.columns.contains(*at));
        given_up.any(|at| self.all.contains(at))
    }

    pub(crate) fn hasher(&self) -> RowHasher {
        RowHasher::new(&self.schema, self.in_order.iter().copied())
    }
}

/// What one scope covers, for one principal.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) id: ScopeId,
    /// In the order of the tables' names.
    pub(crate) tables: Vec<TableScope>,
    by_id: HashMap<TableId, usize>,
}

impl Compiled {
    pub(crate) fn table(&self, id: TableId) -> Option<&TableScope> {
        self.tables.get(*self.by_id.get(&id)?)
    }

    pub(crate) fn table_named(&self, name: &str) -> Option<&TableScope> {
        let found = |table: &TableScope| table.schema.name.as_str().cmp(name);
        let position = self.tables.binary_search_by(found).ok()?;
        self.tables.get(position)
    }

    pub(crate) fn covers(&self, table: TableId, row: &[Value]) -> bool {
        self.table(table).is_some_and(|table| table.covers(row))
    }

    /// Number of rows in the tables concerned: at least as many as are covered.
    pub(crate) fn rows_max(&self) -> usize {
        self.tables.iter().map(|table| table.collection.len()).sum()
    }

    fn grant(&self, slot: u32) -> Grant {
        let limited = self.tables.iter().filter(|table| !table.has_all_columns());
        let columns = limited.map(|table| {
            let fields = table.positions.iter();
            let fields: Vec<FieldId> = fields
                .filter_map(|position| Some(table.schema.fields.get(*position)?.id))
                .collect();
            (table.schema.name.clone(), fields)
        });
        Grant {
            slot,
            id: self.id,
            columns: columns.collect(),
        }
    }
}

/// What somebody is about to do with rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    See,
    Change,
}

/// Compiles scopes, and remembers them.
pub(crate) struct Scopes {
    permissions: Option<Permissions>,
    catalogue: Arc<Catalogue>,
    compiled: SharedCache<ScopeId, Arc<Compiled>>,
}

impl Scopes {
    pub(crate) fn new(permissions: Option<Permissions>, catalogue: Arc<Catalogue>) -> Self {
        let options = CacheOptions::default().entries_max(COMPILED_MAX);
        // Nothing here expires, so no clock is asked.
        let clock = Arc::new(ManualClock::new(0));
        Self {
            permissions,
            catalogue,
            compiled: SharedCache::new(Cache::new(options, clock, |_, _| 1)),
        }
    }

    /// What a principal may do with a table as the current version has it; `None` for everything.
    pub(crate) fn decide(
        &self,
        access: Access,
        principal: Option<&Principal>,
        table: &Schema,
    ) -> Option<Permission> {
        let may_write = principal.is_none_or(|principal| principal.may_write);
        let permission = match (&self.permissions, access) {
            (None, Access::Change) if !may_write => Permission::none(),
            (None, _) => return None,
            (Some(permissions), Access::See) => permissions.permission(principal, table),
            (Some(permissions), Access::Change) => permissions.write_permission(principal, table),
        };
        (permission != Permission::all()).then_some(permission)
    }

    /// What a principal may do with a table, in the words of the version that `table` is of; `None` for everything.
    fn permission(
        &self,
        db: &Database,
        access: Access,
        principal: Option<&Principal>,
        table: &Served,
    ) -> Result<Option<Permission>> {
        let may_write = principal.is_none_or(|principal| principal.may_write);
        if self.permissions.is_none() && (may_write || access == Access::See) {
            return Ok(None);
        }
        let current = self.catalogue.current(db, table.collection.name())?;
        let Some(permission) = self.decide(access, principal, &current.view.own) else {
            return Ok(None);
        };
        if !self.catalogue.has_versions() {
            return Ok(Some(permission));
        }
        let (current, view) = (&current.view, &table.view);
        Ok(Some(
            self.catalogue.permission_in(current, view, permission),
        ))
    }

    /// What a principal may do with a table, where that is not everything.
    pub(crate) fn rights(
        &self,
        db: &Database,
        access: Access,
        principal: Option<&Principal>,
        table: &str,
    ) -> Result<Option<Rights>> {
        // What is wrong with other tables is said elsewhere.
        let Ok(current) = self.catalogue.current(db, table) else {
            return Ok(None);
        };
        let Some(permission) = self.permission(db, access, principal, &current)? else {
            return Ok(None);
        };
        // What waits at a replica may have been written under an earlier version than it is of now.
        let mut columns = HashSet::new();
        for served in self.catalogue.in_all(db, table) {
            if let Some(allowed) = self.permission(db, access, principal, &served)? {
                let is_allowed = |field: &&Field| {
                    let names = allowed.columns.as_ref();
                    names.is_none_or(|names| names.contains(&field.name))
                };
                let fields = served.view.own.fields.iter().filter(is_allowed);
                columns.extend(fields.map(|field| field.id));
            }
        }
        let is_limited = permission.columns.is_some();
        let compiled = self.of_tables(&[(current, permission)])?;
        Ok(Some(Rights {
            compiled,
            columns,
            is_limited,
        }))
    }

    /// The scope of all rows, with nothing held back.
    pub(crate) fn everything(&self, db: &Database) -> Result<Arc<Compiled>> {
        let tables = self.catalogue.tables(db, self.catalogue.versions.current);
        let tables = tables.into_iter().map(|table| (table, Permission::all()));
        self.of_tables(&tables.collect::<Vec<_>>())
    }

    /// The scope as it is served to a principal.
    ///
    /// # Errors
    /// When the filter or the columns do not fit the table.
    pub(crate) fn compile(
        &self,
        db: &Database,
        principal: Option<&Principal>,
        version: u32,
        want: &Want,
    ) -> Result<Arc<Compiled>> {
        let tables = match &want.table {
            None => self.catalogue.tables(db, version),
            Some(name) => vec![self.catalogue.table(db, version, name)?],
        };
        let served = tables.into_iter().map(|table| {
            let own = Permission {
                rows: want.filter.clone(),
                columns: want.columns.clone(),
            };
            let permission = match self.permission(db, Access::See, principal, &table)? {
                None => own,
                Some(allowed) => {
                    // A scope that does not compile by itself is told so; what is forbidden is left out.
                    TableScope::new(&table, &own)?;
                    own.both(allowed)
                }
            };
            Ok((table, permission))
        });
        self.of_tables(&served.collect::<Result<Vec<_>>>()?)
    }

    fn of_tables(&self, tables: &[(Served, Permission)]) -> Result<Arc<Compiled>> {
        let id = identity(&self.catalogue, tables)?;
        if let Some(known) = self.compiled.get(&id) {
            // A table that was dropped and made again is another one, and one that was altered there and back has other rows.
            let mut pairs = known.tables.iter().zip(tables);
            let is_same = |a: &Collection, b: &Collection| a.id() == b.id() && a.is_current();
            if pairs.all(|(a, (b, _))| is_same(&a.collection, &b.collection)) {
                return Ok(known);
            }
        }
        let scopes = tables.iter().map(|(table, permission)| {
            TableScope::new(table, permission)
                .map_err(|error| error.at(format!("table `{}`", table.view.own.name)))
        });
        let scopes = scopes.collect::<Result<Vec<_>>>()?;
        let numbered = scopes.iter().enumerate();
        let compiled = Arc::new(Compiled {
            id,
            by_id: numbered
                .map(|(i, table)| (table.collection.id(), i))
                .collect(),
            tables: scopes,
        });
        self.compiled.insert(id, Arc::clone(&compiled));
        Ok(compiled)
    }

    /// What a request is about.
    pub(crate) fn of_request(
        &self,
        db: &Database,
        principal: Option<&Principal>,
        version: u32,
        scopes: &[Scope],
        position_holds: bool,
    ) -> ScopeSet {
        let mut set = ScopeSet::default();
        for scope in scopes {
            let compiled = match self.compile(db, principal, version, &scope.want) {
                Ok(compiled) => compiled,
                Err(error) => {
                    set.refused.push((scope.slot, Text::new(error.to_string())));
                    continue;
                }
            };
            let state = match &scope.held {
                Held::Nothing => State::New,
                Held::Joined(id) if position_holds && *id == compiled.id => State::Joined,
                Held::Changed {
                    id,
                    old,
                    version: was,
                } if position_holds => {
                    let was = if *was == 0 { version } else { *was };
                    let old = self.compile(db, principal, was, old).ok();
                    match old.filter(|old| old.id == *id) {
                        _ if *id == compiled.id => State::Joined,
                        Some(old) => State::Changed(old),
                        None => State::Stale,
                    }
                }
                Held::Joined(_) | Held::Changed { .. } | Held::Stale => State::Stale,
            };
            set.scopes.push(ActiveScope {
                slot: scope.slot,
                granted: matches!(&scope.held, Held::Joined(id) if *id == compiled.id),
                compiled,
                state,
            });
        }
        set
    }
}

/// What a principal may do with one table.
pub(crate) struct Rights {
    /// The table as the current version has it.
    compiled: Arc<Compiled>,
    /// The columns that may be seen or written, of all versions.
    columns: HashSet<FieldId>,
    /// Whether there are others.
    is_limited: bool,
}

impl Rights {
    /// Checks an operation, before it is applied and after.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when it is not permitted. Rows that the principal may not see, and rows that
    /// are not there, are told apart by nothing but this.
    pub(crate) fn check(
        &self,
        tx: &Transaction<'_>,
        key: &RecordId,
        action: &Action,
    ) -> Result<()> {
        let Some(table) = self.compiled.tables.first() else {
            return Ok(());
        };
        let columns: Vec<FieldId> = match action {
            Action::Insert(columns) | Action::Update(columns) => {
                columns.iter().map(|(id, _)| *id).collect()
            }
            Action::Deltas(columns) => columns.iter().map(|(id, _)| *id).collect(),
            Action::Delete | Action::Revert { .. } => Vec::new(),
        };
        // Nor may what is written to a column that is no more reach others by way of it.
        let refused = |id: &&FieldId| self.is_limited && !self.columns.contains(*id);
        if let Some(id) = columns.iter().find(refused) {
            return Err(Error::invalid(format!(
                "column number {} of table `{}` is not permitted to this principal",
                id.0, table.schema.name
            )));
        }
        let row = tx.get(&table.collection, key.clone())?;
        if row.is_some_and(|row| !table.covers(&row)) {
            return Err(Error::invalid(format!(
                "this row of table `{}` is not permitted to this principal",
                table.schema.name
            )));
        }
        Ok(())
    }
}

fn identity(catalogue: &Catalogue, tables: &[(Served, Permission)]) -> Result<ScopeId> {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for (table, permission) in tables {
        part(table.view.own.name.as_bytes());
        part(&catalogue.schema_id(&table.view.own).0);
        part(&filter_json(&permission.rows)?);
        part(
            &serde_json::to_vec(&permission.columns).map_err(|error| {
                Error::invalid(format!("the columns cannot be written: {error}"))
            })?,
        );
    }
    let hash = hash.finalize();
    Ok(ScopeId(
        hash.first_chunk::<16>().copied().unwrap_or_default(),
    ))
}

/// A filter as JSON, the form in which it is stored and sent.
pub(crate) fn filter_json(filter: &Filter) -> Result<Vec<u8>> {
    serde_json::to_vec(filter)
        .map_err(|error| Error::invalid(format!("the filter cannot be written as JSON: {error}")))
}

/// How a scope stands to what the replica has.
#[derive(Debug)]
pub(crate) enum State {
    Joined,
    New,
    Stale,
    /// The replica has this other scope instead.
    Changed(Arc<Compiled>),
}

/// One scope of a request.
#[derive(Debug)]
pub(crate) struct ActiveScope {
    pub(crate) slot: u32,
    /// Whether the replica knows the rules already.
    granted: bool,
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) state: State,
}

impl ActiveScope {
    pub(crate) const fn bit(&self) -> u64 {
        bit(self.slot)
    }

    pub(crate) const fn is_joined(&self) -> bool {
        matches!(self.state, State::Joined)
    }
}

/// The scopes of a request.
#[derive(Debug, Default)]
pub(crate) struct ScopeSet {
    pub(crate) scopes: Vec<ActiveScope>,
    pub(crate) refused: Vec<(u32, Text)>,
}

impl ScopeSet {
    /// Mask of the scopes that the replica has.
    pub(crate) fn joined(&self) -> u64 {
        let joined = self.scopes.iter().filter(|scope| scope.is_joined());
        joined.fold(0, |mask, scope| mask | scope.bit())
    }

    /// Mask of the scopes of which the replica has rows, whatever their age.
    pub(crate) fn held(&self) -> u64 {
        let held = self
            .scopes
            .iter()
            .filter(|scope| !matches!(scope.state, State::New));
        held.fold(0, |mask, scope| mask | scope.bit())
    }

    /// The first scope that the replica does not have yet.
    pub(crate) fn next(&self) -> Option<&ActiveScope> {
        self.scopes.iter().find(|scope| !scope.is_joined())
    }

    fn among(&self, mask: u64) -> impl Iterator<Item = &ActiveScope> {
        let within = move |scope: &&ActiveScope| scope.bit() & mask != 0;
        self.scopes.iter().filter(within)
    }

    /// Mask of the scopes among `mask` that cover a row.
    pub(crate) fn covering(&self, mask: u64, table: TableId, row: &[Value]) -> u64 {
        let covering = self
            .among(mask)
            .filter(|scope| scope.compiled.covers(table, row));
        covering.fold(0, |mask, scope| mask | scope.bit())
    }

    /// The columns beside the key's that scopes among `mask` have of a table.
    pub(crate) fn columns(&self, mask: u64, table: TableId) -> ColumnSet {
        self.among(mask)
            .filter_map(|scope| scope.compiled.table(table))
            .fold(ColumnSet::EMPTY, |columns, table| {
                columns.union(&table.columns)
            })
    }

    /// Whether a scope among `mask` has a column of a table, in some of its rows at least, or had it when the replica was of
    /// another version.
    pub(crate) fn keeps(&self, mask: u64, table: TableId, position: usize) -> bool {
        let mut tables = self
            .among(mask)
            .filter_map(|scope| scope.compiled.table(table));
        tables.any(|table| table.columns.contains(position) || !table.all.contains(position))
    }

    /// Whether a replica knows by itself that it keeps every row of a table with all columns.
    pub(crate) fn is_plain(&self, mask: u64, table: TableId) -> bool {
        let mut scopes = self
            .among(mask)
            .filter_map(|scope| scope.compiled.table(table));
        scopes.next().is_some_and(TableScope::is_whole) && scopes.next().is_none()
    }

    /// Whether a row of a table has the same columns at the replica, whichever of the scopes among `mask` cover it, and did
    /// before they were changed.
    pub(crate) fn has_equal_columns(&self, mask: u64, table: TableId) -> bool {
        let compiled = self.among(mask).flat_map(|scope| {
            let old = match &scope.state {
                State::Changed(old) => Some(old),
                State::Joined | State::New | State::Stale => None,
            };
            [Some(&scope.compiled), old]
        });
        let mut tables = compiled.flatten().filter_map(|scope| scope.table(table));
        let first = tables.next();
        first.is_none_or(|first| tables.all(|table| table.columns == first.columns))
    }

    /// As [`ScopeSet::is_plain`], for the table of a name.
    pub(crate) fn is_plain_named(&self, mask: u64, name: &str) -> bool {
        let mut scopes = self
            .among(mask)
            .filter_map(|scope| scope.compiled.table_named(name));
        scopes.next().is_some_and(TableScope::is_whole) && scopes.next().is_none()
    }

    /// Whether all scopes have all rows with all columns of their tables, so that no change moves a row in or out.
    pub(crate) fn is_all_whole(&self) -> bool {
        let mut tables = self.scopes.iter().flat_map(|scope| &scope.compiled.tables);
        tables.all(TableScope::is_whole)
    }

    /// The tables of all scopes, by name.
    pub(crate) fn tables(&self) -> BTreeMap<Text, &TableScope> {
        let tables = self.scopes.iter().flat_map(|scope| &scope.compiled.tables);
        tables
            .map(|table| (table.schema.name.clone(), table))
            .collect()
    }

    /// The rules of scopes that the replica does not know them of, among `mask`.
    pub(crate) fn grants(&self, mask: u64) -> Vec<Grant> {
        self.among(mask)
            .filter(|scope| !scope.granted)
            .map(|scope| scope.compiled.grant(scope.slot))
            .collect()
    }
}

/// Whether a change's record is one that a scope covered, now or before.
pub(crate) fn ever(compiled: &Compiled, table: TableId, records: [Option<&Record>; 2]) -> bool {
    let mut records = records.into_iter().flatten();
    records.any(|record| compiled.covers(table, record))
}
