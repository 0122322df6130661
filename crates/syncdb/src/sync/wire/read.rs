//! Messages to protocol types, by `docs/proto/sync.proto`. Fields of later versions are skipped.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use common::limits::{COLLECTIONS_MAX, COLUMNS_MAX};
use common::schema::{FieldId, Schema};
use common::serialization::{Format, decode_schema};
use common::versioning::{Hlc, ReplicaId};
use common::{Error, Result, Seq, Text, Value};

use super::fields::{Budget, Fields, expected, once};
use super::operations::{Header, Rows};
use super::{LEDGER_COLUMNS, block, field, operations, scope};
use crate::payload::DictionaryId;
use crate::sync::dictionaries::{Dictionaries, TableDictionary};
use crate::sync::ledger::{EntryId, LedgerEntry};
use crate::sync::policy::Policy;
use crate::sync::protocol::{
    Answer, Block, DICTIONARIES_MAX, DICTIONARY_BYTES_MAX, Epoch, MUTATIONS_MAX, Mutation, Outcome,
    Position, REPLICA_BYTES_MAX, Rejection, Request, SchemaSetId, Scope, SentDictionary,
};
use crate::sync::system::read_policy;

/// What a schema takes in memory for each byte of its JSON, roughly.
const SCHEMA_BYTES_FACTOR: usize = 8;

pub(super) fn check(what: &str, found: usize, max: usize) -> Result<()> {
    if found <= max {
        return Ok(());
    }
    Err(Error::limit_exceeded(format!(
        "{found} {what}, but the limit is {max}"
    )))
}

/// Which of the dictionaries of a request this side has.
pub(super) type Lookup<'a> = &'a dyn Fn(DictionaryId) -> Option<Arc<TableDictionary>>;

/// A request, and what it takes to answer it.
pub(crate) struct ReadRequest {
    pub(crate) request: Request,
    /// Those of its dictionaries that are here, by number.
    pub(crate) dictionaries: Dictionaries,
    /// Whether some of its rows are packed with one that is not here, so that its mutations were not read.
    pub(crate) unread: bool,
}

pub(super) fn request(
    mut fields: Fields<'_>,
    lookup: Lookup<'_>,
    budget: &mut Budget,
) -> Result<ReadRequest> {
    use field::request as at;
    let mut ids = Vec::new();
    let mut ahead = fields;
    while let Some((number, part)) = ahead.next()? {
        if number == at::DICTIONARIES {
            part.ids(DICTIONARIES_MAX, &mut ids)?;
        }
    }
    let dictionaries = Dictionaries::new(ids.iter().map(|id| lookup(*id)).collect());
    budget.with_dictionaries(dictionaries.clone());
    let mut unread = false;
    let mut found = Request {
        replica: ReplicaId::from(""),
        number: 0,
        position: Position::Start,
        scopes: Vec::new(),
        token: Vec::new(),
        ranges: None,
        schemas: SchemaSetId::default(),
        version: 0,
        acknowledged: 0,
        now: Hlc(0),
        told: EntryId::default(),
        first: 0,
        dictionaries: ids,
        references: false,
        mutations: Vec::new(),
    };
    let mut place = None;
    let mut rows: Vec<Rows> = Vec::new();
    let mut headers: Vec<Header> = Vec::new();
    while let Some((number, part)) = fields.next()? {
        match number {
            at::REPLICA => found.replica = ReplicaId(budget.text(part.text()?)?),
            at::NUMBER => found.number = part.fixed()?,
            at::POSITION => once(&mut place, position(part.message()?)?)?,
            at::SCHEMAS => found.schemas = SchemaSetId(part.bytes16()?),
            at::ACKNOWLEDGED => found.acknowledged = part.number()?,
            at::NOW => found.now = Hlc(part.fixed()?),
            at::ROWS => {
                budget.element::<Rows>()?;
                let number = block::dictionary_of(part.message()?)?;
                let is_here = number == 0 || dictionaries.get(number).is_some();
                let is_named = usize::try_from(number).is_ok_and(|n| n <= found.dictionaries.len());
                if !is_here && is_named {
                    unread = true;
                    continue;
                }
                rows.push(Rows::of(block::read_operations(part.message()?, budget)?));
            }
            at::MUTATIONS => {
                check("mutations", headers.len() + 1, MUTATIONS_MAX)?;
                headers.push(operations::read_header(part.message()?, budget)?);
            }
            at::SCOPES => {
                budget.element::<Scope>()?;
                found.scopes.push(scope::read(part.message()?, budget)?);
            }
            at::TOKEN => found.token = scope::token(part, budget)?,
            at::RANGES => once(
                &mut found.ranges,
                scope::questions(part.message()?, budget)?,
            )?,
            at::TOLD => found.told = entry_id(part.message()?)?,
            at::FIRST => found.first = part.number()?,
            at::REFERENCES => found.references = part.bool()?,
            at::VERSION => found.version = part.small()?,
            _ => {}
        }
    }
    found.position = place.unwrap_or_default();
    if !unread {
        found.mutations = operations::read(headers, &mut rows, found.now, budget)?;
        if rows.iter().any(|rows| rows.left() > 0) {
            return Err(expected("an operation for each row"));
        }
    }
    check_request(&found)?;
    Ok(ReadRequest {
        request: found,
        dictionaries,
        unread,
    })
}

/// What is true of every request, whatever it was written in.
pub(super) fn check_request(request: &Request) -> Result<()> {
    if request.replica.0.is_empty() {
        return Err(expected("the name of a replica"));
    }
    check(
        "bytes in the name of a replica",
        request.replica.0.len(),
        REPLICA_BYTES_MAX,
    )?;
    scope::check(request)?;
    check("dictionaries", request.dictionaries.len(), DICTIONARIES_MAX)?;
    let mutations = &request.mutations;
    let next_to = |pair: &[Mutation]| match pair {
        [a, b] => a.client_seq.checked_add(1) == Some(b.client_seq),
        _ => true,
    };
    if !mutations.windows(2).all(next_to) || mutations.first().is_some_and(|m| m.client_seq == 0) {
        return Err(expected("mutations with contiguous numbers from 1"));
    }
    Ok(())
}

fn position(mut fields: Fields<'_>) -> Result<Position> {
    use field::position as at;
    let (mut epoch, mut seq) = (Epoch(0), Seq(0));
    while let Some((number, part)) = fields.next()? {
        match number {
            at::EPOCH => epoch = Epoch(part.fixed()?),
            at::SEQ => seq = Seq(part.number()?),
            _ => {}
        }
    }
    Ok(Position::At { epoch, seq })
}

pub(super) fn answer(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Answer> {
    use field::answer as at;
    let (mut exchange, mut epoch, mut now, mut next) = (0, Epoch(0), Hlc(0), 0);
    let mut found_schemas = None;
    let mut outcomes = Vec::new();
    let (mut heard, mut known, mut truth) = (false, 0, Vec::new());
    let (mut refused, mut staged, mut commit) = (Vec::new(), None, None);
    let mut policies = BTreeMap::new();
    let (mut ledger, mut told) = (Vec::new(), EntryId::default());
    let (mut dictionaries, mut lost) = (Vec::new(), Vec::new());
    let mut version = 0;
    while let Some((number, part)) = fields.next()? {
        match number {
            at::NUMBER => exchange = part.fixed()?,
            at::EPOCH => epoch = Epoch(part.fixed()?),
            at::NOW => now = Hlc(part.fixed()?),
            at::SCHEMAS => once(&mut found_schemas, schemas(part.message()?, budget)?)?,
            at::NEXT => next = part.number()?,
            at::OUTCOMES => {
                budget.element::<(u64, Outcome)>()?;
                outcomes.push(outcome(part.message()?, budget)?);
            }
            at::HEARD => heard = part.bool()?,
            at::KNOWN => known = part.number()?,
            at::TRUTH => {
                budget.element::<Block>()?;
                truth.push(block::read(part.message()?, budget)?);
            }
            at::REFUSED => {
                budget.element::<(u32, Text)>()?;
                refused.push(scope::refused(part.message()?, budget)?);
            }
            at::STAGED => once(&mut staged, scope::staged(part.message()?, budget)?)?,
            at::COMMIT => once(&mut commit, scope::commit(part.message()?, budget)?)?,
            at::POLICIES => {
                check("policies", policies.len() + 1, COLLECTIONS_MAX)?;
                let (table, found) = policy(part.message()?, budget)?;
                policies.insert(table, found);
            }
            at::LEDGER => {
                budget.element::<LedgerEntry>()?;
                ledger.push(conflict(part.message()?, budget)?);
            }
            at::TOLD => told = entry_id(part.message()?)?,
            at::DICTIONARIES => {
                check("dictionaries", dictionaries.len() + 1, DICTIONARIES_MAX)?;
                dictionaries.push(dictionary(part.message()?, budget)?);
            }
            at::LOST => part.ids(DICTIONARIES_MAX, &mut lost)?,
            at::VERSION => version = part.small()?,
            _ => {}
        }
    }
    Ok(Answer {
        dictionaries,
        lost,
        number: exchange,
        epoch,
        now,
        schemas: found_schemas,
        version,
        next,
        heard,
        outcomes,
        policies,
        ledger,
        told,
        known,
        truth,
        refused,
        staged,
        commit,
    })
}

fn dictionary(mut fields: Fields<'_>, budget: &mut Budget) -> Result<SentDictionary> {
    use field::dictionary as at;
    let (mut table, mut key_columns, mut content) = (Text::default(), 0, None);
    let mut numbers = Vec::new();
    while let Some((number, part)) = fields.next()? {
        match number {
            at::TABLE => table = budget.text(part.text()?)?,
            at::KEY_COLUMNS => key_columns = part.small()?,
            at::FIELDS => part.numbers(COLUMNS_MAX, budget, &mut numbers)?,
            at::CONTENT => {
                let bytes = part.bytes()?;
                check("bytes in a dictionary", bytes.len(), DICTIONARY_BYTES_MAX)?;
                content = Some(budget.bytes(bytes)?.into());
            }
            _ => {}
        }
    }
    let content = content.ok_or_else(|| expected("the content of a dictionary"))?;
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() != numbers.len() {
        return Err(expected("each column once"));
    }
    Ok(SentDictionary {
        table,
        key_columns,
        fields: numbers.into_iter().map(FieldId).collect(),
        content,
    })
}

fn entry_id(mut fields: Fields<'_>) -> Result<EntryId> {
    use field::entry_id as at;
    let mut id = EntryId {
        seq: Seq::ZERO,
        number: u32::MAX,
    };
    while let Some((number, part)) = fields.next()? {
        match number {
            at::SEQ => id.seq = Seq(part.number()?),
            at::NUMBER => id.number = part.small()?.wrapping_sub(1),
            _ => {}
        }
    }
    Ok(id)
}

fn policy(mut fields: Fields<'_>, budget: &mut Budget) -> Result<(Text, Policy)> {
    use field::policy as at;
    let (mut table, mut json) = (Text::default(), "");
    while let Some((number, part)) = fields.next()? {
        match number {
            at::TABLE => table = budget.text(part.text()?)?,
            at::JSON => json = part.text()?,
            _ => {}
        }
    }
    budget.spend(json.len().saturating_mul(SCHEMA_BYTES_FACTOR))?;
    let policy = read_policy(json).map_err(|error| error.at(&table))?;
    Ok((table, policy))
}

fn schemas(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Vec<Schema>> {
    let mut found = Vec::new();
    while let Some((number, part)) = fields.next()? {
        if number == field::schemas::JSON {
            let json = part.bytes()?;
            check("schemas", found.len() + 1, COLLECTIONS_MAX)?;
            budget.spend(json.len().saturating_mul(SCHEMA_BYTES_FACTOR))?;
            found.push(decode_schema(json, budget.limits())?);
        }
    }
    Ok(found)
}

fn outcome(mut fields: Fields<'_>, budget: &mut Budget) -> Result<(u64, Outcome)> {
    use field::outcome as at;
    let (mut client_seq, mut found) = (0, None);
    while let Some((number, part)) = fields.next()? {
        match number {
            at::CLIENT_SEQ => client_seq = part.number()?,
            at::APPLIED => {
                part.message()?;
                once(&mut found, Outcome::Applied)?;
            }
            at::RESOLVED => once(&mut found, resolved(part.message()?, budget)?)?,
            at::REJECTED => once(&mut found, rejected(part.message()?, budget)?)?,
            _ => {}
        }
    }
    let found = found.ok_or_else(|| expected("an outcome that this side knows"))?;
    Ok((client_seq, found))
}

fn resolved(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Outcome> {
    let mut conflicts = Vec::new();
    while let Some((number, part)) = fields.next()? {
        if number == field::resolved::CONFLICTS {
            budget.element::<LedgerEntry>()?;
            conflicts.push(conflict(part.message()?, budget)?);
        }
    }
    Ok(Outcome::Resolved(conflicts))
}

fn conflict(mut fields: Fields<'_>, budget: &mut Budget) -> Result<LedgerEntry> {
    let mut row = vec![Value::Null; LEDGER_COLUMNS.len()];
    while let Some((number, part)) = fields.next()? {
        let position = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
        if let Some(cell) = position.and_then(|position| row.get_mut(position)) {
            let value = Format::Protobuf.decode_value(part.bytes()?, budget.limits())?;
            budget.spend(value.heap_bytes())?;
            *cell = value;
        }
    }
    LedgerEntry::from_values(&row)
}

fn rejected(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Outcome> {
    use field::rejected as at;
    let mut found = Rejection {
        code: "".into(),
        message: "".into(),
    };
    while let Some((number, part)) = fields.next()? {
        match number {
            at::CODE => found.code = budget.text(part.text()?)?,
            at::MESSAGE => found.message = budget.text(part.text()?)?,
            _ => {}
        }
    }
    Ok(Outcome::Rejected(found))
}

pub(super) fn blocks(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Vec<Block>> {
    let mut found = Vec::new();
    while let Some((number, part)) = fields.next()? {
        if number == field::blocks::BLOCKS {
            budget.element::<Block>()?;
            found.push(block::read(part.message()?, budget)?);
        }
    }
    Ok(found)
}
