//! [`Subscription`]: which part of the server's rows a replica keeps, and the table in which it notes how far it is with
//! each.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::ops::ControlFlow;

use common::query::Filter;
use common::schema::{FieldId, Schema};
use common::{
    Collection, Error, Limits, Record, RecordId, Result, Seq, Text, Transaction, Value, View,
};

use super::protocol::{Grant, Held, SCOPES_MAX, Scope, ScopeId, Want, bit, is_system};
use super::scope::filter_json;
use super::system::{damaged, number, read_number, read_text};

/// Longest name of a subscription, in bytes of UTF-8.
pub const SUBSCRIPTION_BYTES_MAX: usize = 128;

/// Place of [`Kept::at`] in its row.
const AT: usize = 10;

/// Slot of the subscription to everything, which a replica has while it has no other.
const EVERYTHING_SLOT: u32 = 0;

/// Which rows and columns of one table a replica keeps.
///
/// ```
/// use common::query::Filter;
/// use syncdb::Subscription;
/// let mine = Subscription::new("mine", "tasks")
///     .filter(Filter::eq("owner", "anna"))
///     .columns(["title", "done"]);
/// assert_eq!(mine.table, "tasks");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// Name, by which it is changed and ended.
    pub name: Text,
    /// Name of the table.
    pub table: Text,
    /// Which rows. The server evaluates it, before and after every change.
    pub filter: Filter,
    /// Which columns beside the key's; `None` for all. The others never travel, and are null at the replica.
    pub columns: Option<Vec<Text>>,
}

impl Subscription {
    /// All columns of all rows of a table.
    pub fn new(name: impl Into<Text>, table: impl Into<Text>) -> Self {
        Self {
            name: name.into(),
            table: table.into(),
            filter: Filter::True,
            columns: None,
        }
    }

    /// Sets which rows.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Sets which columns beside the key's.
    #[must_use]
    pub fn columns<N: Into<Text>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.columns = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    fn want(&self) -> Want {
        Want {
            table: Some(self.table.clone()),
            filter: self.filter.clone(),
            columns: self.columns.clone(),
        }
    }

    fn check(&self) -> Result<()> {
        if self.name.is_empty() || self.name.len() > SUBSCRIPTION_BYTES_MAX {
            return Err(Error::invalid(format!(
                "the name of a subscription has 1 to {SUBSCRIPTION_BYTES_MAX} bytes, this one {}",
                self.name.len()
            )));
        }
        if is_system(&self.table) {
            return Err(Error::invalid(format!(
                "table `{}` is not synced",
                self.table
            )));
        }
        if self.filter.has_parameters() {
            return Err(Error::invalid(
                "the filter has parameters without values; bind them first",
            ));
        }
        self.filter.check()
    }
}

/// How far a replica is with a subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriptionState {
    /// The subscription.
    pub subscription: Subscription,
    /// How often its filter or columns were changed.
    pub filter_version: u64,
    /// The server's commit as of which the replica has all of it; `None` until it has arrived.
    pub cursor: Option<Seq>,
    /// Why the server does not serve it, if it does not.
    pub refused: Option<Text>,
}

/// What a replica has of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Having {
    Nothing,
    Joined,
    Stale,
}

/// A subscription as the replica keeps it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kept {
    pub(crate) slot: u32,
    /// Its place in the order of delivery.
    pub(crate) order: u64,
    /// Empty for the subscription to everything.
    pub(crate) name: Text,
    pub(crate) want: Want,
    pub(crate) version: u64,
    pub(crate) having: Having,
    /// The rules under which the server serves it.
    pub(crate) grant: Option<Grant>,
    /// What it was when it joined, when it was changed since.
    pub(crate) old: Option<Want>,
    /// The version of the application's tables that `old` was of, when that was another one.
    pub(crate) old_version: u32,
    /// It is kept until those that replace it have joined.
    pub(crate) leaving: bool,
    pub(crate) refused: Option<Text>,
    /// The commit as of which its rows are here, when the replica's position has gone on without it.
    pub(crate) at: Option<Seq>,
}

impl Kept {
    pub(crate) const fn bit(&self) -> u64 {
        bit(self.slot)
    }

    fn new(slot: u32, order: u64, name: Text, want: Want) -> Self {
        Self {
            slot,
            order,
            name,
            want,
            version: 1,
            having: Having::Nothing,
            grant: None,
            old: None,
            old_version: 0,
            leaving: false,
            refused: None,
            at: None,
        }
    }

    /// Whether rows of the table may be here because of it.
    pub(crate) fn is_about(&self, table: &str) -> bool {
        self.want.table.as_deref().is_none_or(|own| own == table)
    }

    /// Whether a request speaks of it. One that leaves is only of use as long as its rows are current.
    fn is_said(&self) -> bool {
        !self.leaving || self.having == Having::Joined
    }

    /// Whether it is still to arrive.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.leaving
            && self.refused.is_none()
            && (self.having != Having::Joined || self.old.is_some())
    }

    /// The columns of a table beside the key's that it has; `None` for all.
    pub(crate) fn fields(&self, table: &str) -> Option<&[FieldId]> {
        let grant = self.grant.as_ref()?;
        let mut columns = grant.columns.iter();
        let found = columns.find(|(name, _)| name == table)?;
        Some(&found.1)
    }

    fn scope(&self) -> Scope {
        let id = self.grant.as_ref().map(|grant| grant.id);
        let held = match (self.having, id, &self.old) {
            (Having::Joined, Some(id), None) => Held::Joined(id),
            (Having::Joined, Some(id), Some(old)) => Held::Changed {
                id,
                old: Box::new(old.clone()),
                version: self.old_version,
            },
            (Having::Joined | Having::Stale, ..) => Held::Stale,
            (Having::Nothing, ..) => Held::Nothing,
        };
        Scope {
            slot: self.slot,
            want: self.want.clone(),
            held,
        }
    }

    fn values(&self) -> Result<Vec<Value>> {
        let grant = self.grant.as_ref().map_or(Value::Null, grant_value);
        let having = match self.having {
            Having::Nothing => 0,
            Having::Joined => 1,
            Having::Stale => 2,
        };
        Ok(vec![
            Value::from(self.slot),
            number(self.order),
            Value::Text(self.name.clone()),
            want_value(&self.want)?,
            number(self.version),
            Value::Int(having),
            grant,
            self.old.as_ref().map_or(Ok(Value::Null), want_value)?,
            Value::from(self.leaving),
            Value::from(self.refused.clone()),
            self.at.map_or(Value::Null, |at| number(at.0)),
            Value::from(self.old_version),
        ])
    }

    fn read(record: &Record) -> Result<Self> {
        let slot = u32::try_from(read_number(record, 0)?).map_err(|_| damaged(0))?;
        let optional = |position: usize| record.get(position).filter(|value| !value.is_null());
        Ok(Self {
            slot,
            order: read_number(record, 1)?,
            name: read_text(record, 2)?,
            want: optional(3).and_then(read_want).ok_or_else(|| damaged(3))?,
            version: read_number(record, 4)?,
            having: match read_number(record, 5)? {
                0 => Having::Nothing,
                1 => Having::Joined,
                2 => Having::Stale,
                _ => return Err(damaged(5)),
            },
            grant: optional(6)
                .map(|value| read_grant(slot, value).ok_or_else(|| damaged(6)))
                .transpose()?,
            old: optional(7)
                .map(|value| read_want(value).ok_or_else(|| damaged(7)))
                .transpose()?,
            leaving: record.get(8).and_then(Value::as_bool).unwrap_or_default(),
            refused: optional(9).and_then(Value::as_text).map(Text::new),
            at: match optional(AT) {
                Some(_) => Some(Seq(read_number(record, AT)?)),
                None => None,
            },
            old_version: match optional(AT + 1) {
                Some(_) => {
                    u32::try_from(read_number(record, AT + 1)?).map_err(|_| damaged(AT + 1))?
                }
                None => 0,
            },
        })
    }

    pub(crate) const fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// What it had is forgotten, or is as it is to be.
    pub(crate) fn forget_old(&mut self) {
        self.old = None;
        self.old_version = 0;
    }
}

/// The commit as of which rows of some tables are here: the replica's position `cursor`, unless a subscription to one of
/// them has not followed it.
pub(crate) fn position(
    view: View<'_>,
    table: &Collection,
    is_of: impl Fn(&str) -> bool,
    cursor: Seq,
) -> Result<Seq> {
    let mut behind = Vec::new();
    view.scan(table, &mut |records| {
        let is_behind = |record: &&Record| record.get(AT).is_some_and(|at| !at.is_null());
        behind.extend(records.iter().filter(is_behind).cloned());
        ControlFlow::Continue(())
    })?;
    let mut position = cursor;
    for record in behind {
        let want = record.get(3).and_then(Value::as_list);
        let of = want.and_then(<[Value]>::first).and_then(Value::as_text);
        if of.is_none_or(&is_of) {
            position = position.min(Seq(read_number(&record, AT)?));
        }
    }
    Ok(position)
}

fn want_value(want: &Want) -> Result<Value> {
    let columns = want.columns.as_ref().map_or(Value::Null, |columns| {
        Value::List(columns.iter().cloned().map(Value::Text).collect())
    });
    Ok(Value::from(vec![
        Value::from(want.table.clone()),
        Value::from(filter_json(&want.filter)?),
        columns,
    ]))
}

fn read_want(value: &Value) -> Option<Want> {
    let [table, filter, columns] = value.as_list()? else {
        return None;
    };
    let columns = match columns {
        Value::Null => None,
        columns => {
            let names = columns.as_list()?.iter();
            Some(
                names
                    .map(|name| name.as_text().map(Text::new))
                    .collect::<Option<_>>()?,
            )
        }
    };
    Some(Want {
        table: table.as_text().map(Text::new),
        filter: Filter::from_json(filter.as_bytes()?, &Limits::default()).ok()?,
        columns,
    })
}

fn grant_value(grant: &Grant) -> Value {
    let columns = grant.columns.iter().map(|(table, fields)| {
        Value::from(vec![
            Value::Text(table.clone()),
            Value::List(fields.iter().map(|field| Value::from(field.0)).collect()),
        ])
    });
    Value::from(vec![
        Value::from(&grant.id.0[..]),
        Value::List(columns.collect()),
    ])
}

fn read_grant(slot: u32, value: &Value) -> Option<Grant> {
    let [id, columns] = value.as_list()? else {
        return None;
    };
    let table = |value: &Value| {
        let [table, fields] = value.as_list()? else {
            return None;
        };
        let fields = fields.as_list()?.iter();
        let fields = fields.map(|field| Some(FieldId(u32::try_from(field.as_int()?).ok()?)));
        Some((
            table.as_text().map(Text::new)?,
            fields.collect::<Option<_>>()?,
        ))
    };
    Some(Grant {
        slot,
        id: ScopeId(id.as_bytes()?.try_into().ok()?),
        columns: columns
            .as_list()?
            .iter()
            .map(table)
            .collect::<Option<_>>()?,
    })
}

/// All subscriptions of a replica, in the order of delivery.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Subscriptions {
    pub(crate) kept: Vec<Kept>,
}

impl Subscriptions {
    /// Those in the table; the one to everything when there are none.
    pub(crate) fn read(view: View<'_>, table: &Collection) -> Result<Self> {
        let mut records = Vec::new();
        view.scan(table, &mut |chunk| {
            records.extend_from_slice(chunk);
            ControlFlow::Continue(())
        })?;
        let kept: Result<Vec<Kept>> = records.iter().map(Kept::read).collect();
        let mut kept = kept.map_err(|error| error.at("sync_subscriptions"))?;
        kept.sort_by_key(|kept| kept.order);
        if kept.is_empty() {
            kept.push(Kept::new(
                EVERYTHING_SLOT,
                0,
                Text::new(""),
                Want::EVERYTHING,
            ));
        }
        Ok(Self { kept })
    }

    pub(crate) fn write(&self, tx: &mut Transaction<'_>, table: &Collection) -> Result<()> {
        for kept in &self.kept {
            tx.upsert_values(table, kept.values()?)?;
        }
        Ok(())
    }

    pub(crate) fn remove(
        &mut self,
        tx: &mut Transaction<'_>,
        table: &Collection,
        slot: u32,
    ) -> Result<()> {
        self.kept.retain(|kept| kept.slot != slot);
        if tx.get(table, RecordId::from(i64::from(slot)))?.is_some() {
            tx.delete(table, RecordId::from(i64::from(slot)))?;
        }
        Ok(())
    }

    /// Adds a subscription, or changes the one of its name. Returns whether anything is different.
    pub(crate) fn put(&mut self, subscription: &Subscription) -> Result<bool> {
        subscription.check()?;
        let want = subscription.want();
        if let Some(kept) = self.by_name(&subscription.name) {
            if kept.want == want && !kept.leaving {
                return Ok(false);
            }
            if kept.want.table != want.table {
                return Err(Error::invalid(format!(
                    "subscription `{}` is of table `{}`; end it first, or give the new one another name",
                    subscription.name,
                    kept.want.table.as_deref().unwrap_or_default()
                )));
            }
            kept.leaving = false;
            kept.refused = None;
            kept.version += 1;
            if kept.having == Having::Joined && kept.old.is_none() {
                kept.old = Some(kept.want.clone());
            }
            kept.want = want;
            if kept.old.as_ref() == Some(&kept.want) && kept.old_version == 0 {
                kept.old = None;
            }
        } else {
            let slot = (EVERYTHING_SLOT + 1..SCOPES_MAX)
                .find(|slot| self.kept.iter().all(|kept| kept.slot != *slot));
            let slot = slot.ok_or_else(|| {
                Error::limit_exceeded(format!(
                    "a replica has at most {} subscriptions",
                    SCOPES_MAX - 1
                ))
            })?;
            let order = self
                .kept
                .iter()
                .map(|kept| kept.order)
                .max()
                .unwrap_or_default()
                + 1;
            let name = subscription.name.clone();
            self.kept.push(Kept::new(slot, order, name, want));
        }
        for kept in &mut self.kept {
            kept.leaving |= kept.name.is_empty();
        }
        Ok(true)
    }

    /// Ends a subscription. Returns whether there was one.
    pub(crate) fn end(&mut self, name: &str) -> bool {
        let Some(kept) = self.by_name(name).filter(|kept| !kept.leaving) else {
            return false;
        };
        kept.leaving = true;
        if self.kept.iter().all(|kept| kept.leaving) {
            match self.kept.iter_mut().find(|kept| kept.name.is_empty()) {
                Some(everything) => everything.leaving = false,
                None => self.kept.push(Kept::new(
                    EVERYTHING_SLOT,
                    0,
                    Text::new(""),
                    Want::EVERYTHING,
                )),
            }
        }
        true
    }

    /// Notes that the application's tables are of another version from here on: what is here is what it was, under `version`.
    /// Columns that are made here and were never fetched count as not kept until they come.
    pub(crate) fn of_another_version(
        &mut self,
        version: u32,
        rename: &dyn Fn(&Want) -> Want,
        schemas: &[&Schema],
    ) {
        for kept in &mut self.kept {
            let want = rename(&kept.want);
            let had = schemas.iter().filter(|schema| kept.is_about(&schema.name));
            let had = had.map(|schema| {
                let all = schema.fields.iter().skip(schema.key_columns);
                let fields = match kept.fields(&schema.name) {
                    Some(fields) => fields.to_vec(),
                    None => all.map(|field| field.id).collect(),
                };
                (schema.name.clone(), fields)
            });
            let had: Vec<(Text, Vec<FieldId>)> = had.collect();
            if let Some(grant) = &mut kept.grant {
                grant.columns = had;
            }
            if kept.having == Having::Joined && kept.old.is_none() {
                kept.old = Some(std::mem::replace(&mut kept.want, want));
                kept.old_version = version;
            } else {
                kept.want = want;
                if kept.old.is_some() && kept.old_version == 0 {
                    kept.old_version = version;
                }
            }
        }
    }

    fn by_name(&mut self, name: &str) -> Option<&mut Kept> {
        self.kept
            .iter_mut()
            .find(|kept| kept.name == name && !kept.name.is_empty())
    }

    pub(crate) fn by_slot(&mut self, slot: u32) -> Option<&mut Kept> {
        self.kept.iter_mut().find(|kept| kept.slot == slot)
    }

    /// What a request says of them.
    pub(crate) fn scopes(&self) -> Vec<Scope> {
        let said = self.kept.iter().filter(|kept| kept.is_said());
        said.map(Kept::scope).collect()
    }

    /// Mask of those that a request speaks of.
    pub(crate) fn said(&self) -> u64 {
        let said = self.kept.iter().filter(|kept| kept.is_said());
        said.fold(0, |mask, kept| mask | kept.bit())
    }

    /// Whether any is still to arrive.
    pub(crate) fn await_any(&self) -> bool {
        self.kept.iter().any(Kept::is_awaited)
    }

    /// Mask of those with rows here.
    pub(crate) fn held(&self) -> u64 {
        let held = self
            .kept
            .iter()
            .filter(|kept| kept.having != Having::Nothing);
        held.fold(0, |mask, kept| mask | kept.bit())
    }

    /// Those of a mask that are about a table.
    pub(crate) fn about<'a>(&'a self, mask: u64, table: &'a str) -> impl Iterator<Item = &'a Kept> {
        self.kept
            .iter()
            .filter(move |kept| kept.bit() & mask != 0 && kept.is_about(table))
    }

    /// Whether a column beside the key's is kept here: some subscription has it, or none speaks of the table.
    pub(crate) fn has_field(&self, table: &str, field: FieldId) -> bool {
        let mut about = self.about(u64::MAX, table).peekable();
        about.peek().is_none()
            || about.any(|kept| {
                kept.fields(table)
                    .is_none_or(|fields| fields.contains(&field))
            })
    }

    /// The columns beside the key's that a row has here, by the subscriptions that cover it; `None` for all. `noted` says
    /// which those are, where it is noted by row.
    pub(crate) fn fields_of_row<'a>(
        &'a self,
        table: &'a str,
        noted: impl FnOnce() -> Result<u64>,
    ) -> Result<Option<Vec<&'a [FieldId]>>> {
        let about: Vec<&Kept> = self.about(self.held(), table).collect();
        if about.iter().all(|kept| kept.fields(table).is_none()) {
            return Ok(None);
        }
        let mask = if about.len() > 1 { noted()? } else { u64::MAX };
        let covering = about.iter().filter(|kept| kept.bit() & mask != 0);
        // One that has all columns makes it all. A row that none covers was made here, and is its maker's.
        let fields: Option<Vec<&[FieldId]>> = covering.map(|kept| kept.fields(table)).collect();
        Ok(fields.filter(|fields| !fields.is_empty()))
    }

    pub(crate) fn states(&self, cursor: Option<Seq>) -> Vec<SubscriptionState> {
        let told = self
            .kept
            .iter()
            .filter(|kept| !kept.leaving && !kept.name.is_empty());
        told.map(|kept| SubscriptionState {
            subscription: Subscription {
                name: kept.name.clone(),
                table: kept.want.table.clone().unwrap_or_default(),
                filter: kept.want.filter.clone(),
                columns: kept.want.columns.clone(),
            },
            filter_version: kept.version,
            cursor: cursor.filter(|_| kept.having == Having::Joined && kept.old.is_none()),
            refused: kept.refused.clone(),
        })
        .collect()
    }
}
