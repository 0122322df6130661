//! Protocol types to messages, by `docs/proto/sync.proto`.

use common::serialization::{Format, encode_schema};
use common::{Result, Value};

use super::block::{self, Packing};
use super::fields::{put_bytes, put_fixed, put_ids, put_message, put_number, put_numbers};
use super::{field, operations, scope};
use crate::payload::Level;
use crate::sync::dictionaries::Dictionaries;
use crate::sync::ledger::{EntryId, LedgerEntry};
use crate::sync::protocol::{Answer, Block, Outcome, Position, Request, SentDictionary};
use crate::sync::system::write_policy;

pub(super) fn request(
    request: &Request,
    dictionaries: &Dictionaries,
    level: Level,
    out: &mut Vec<u8>,
) -> Result<()> {
    use field::request as at;
    put_bytes(at::REPLICA, request.replica.0.as_bytes(), out);
    put_fixed(at::NUMBER, request.number, out);
    if let Position::At { epoch, seq } = request.position {
        put_message(at::POSITION, out, |out| {
            put_fixed(field::position::EPOCH, epoch.0, out);
            put_number(field::position::SEQ, seq.0, out);
            Ok(())
        })?;
    }
    put_bytes(at::SCHEMAS, &request.schemas.0, out);
    put_number(at::ACKNOWLEDGED, request.acknowledged, out);
    put_fixed(at::NOW, request.now.0, out);
    operations::write(
        &request.mutations,
        request.now,
        (at::ROWS, at::MUTATIONS),
        Packing::Message(dictionaries, level),
        out,
    )?;
    scope::write_request(request, out)?;
    put_ids(at::DICTIONARIES, &request.dictionaries, out);
    entry_id(at::TOLD, request.told, out)?;
    put_number(at::FIRST, request.first, out);
    put_number(at::REFERENCES, request.references.into(), out);
    put_number(at::VERSION, request.version.into(), out);
    Ok(())
}

fn entry_id(field: u32, id: EntryId, out: &mut Vec<u8>) -> Result<()> {
    if id == EntryId::default() {
        return Ok(());
    }
    put_message(field, out, |out| {
        put_number(field::entry_id::SEQ, id.seq.0, out);
        // All entries of a commit is what is said mostly, so it is what takes no bytes.
        put_number(
            field::entry_id::NUMBER,
            id.number.wrapping_add(1).into(),
            out,
        );
        Ok(())
    })
}

pub(super) fn answer(
    answer: &Answer,
    dictionaries: &Dictionaries,
    out: &mut Vec<u8>,
) -> Result<()> {
    use field::answer as at;
    let packing = Packing::Message(dictionaries, Level::Fast);
    put_fixed(at::NUMBER, answer.number, out);
    put_fixed(at::EPOCH, answer.epoch.0, out);
    put_fixed(at::NOW, answer.now.0, out);
    if let Some(schemas) = &answer.schemas {
        put_message(at::SCHEMAS, out, |out| {
            schemas.iter().try_for_each(|schema| {
                put_bytes(field::schemas::JSON, &encode_schema(schema)?, out);
                Ok(())
            })
        })?;
    }
    put_number(at::NEXT, answer.next, out);
    for (client_seq, found) in &answer.outcomes {
        put_message(at::OUTCOMES, out, |out| outcome(*client_seq, found, out))?;
    }
    put_number(at::HEARD, u64::from(answer.heard), out);
    put_number(at::KNOWN, answer.known, out);
    blocks(at::TRUTH, &answer.truth, packing, out)?;
    scope::write_answer(answer, packing, out)?;
    for sent in &answer.dictionaries {
        put_message(at::DICTIONARIES, out, |out| {
            dictionary(sent, out);
            Ok(())
        })?;
    }
    for (table, policy) in &answer.policies {
        put_message(at::POLICIES, out, |out| {
            put_bytes(field::policy::TABLE, table.as_bytes(), out);
            put_bytes(field::policy::JSON, write_policy(policy)?.as_bytes(), out);
            Ok(())
        })?;
    }
    for entry in &answer.ledger {
        put_message(at::LEDGER, out, |out| conflict(entry, out))?;
    }
    entry_id(at::TOLD, answer.told, out)?;
    put_ids(at::LOST, &answer.lost, out);
    put_number(at::VERSION, answer.version.into(), out);
    Ok(())
}

fn dictionary(sent: &SentDictionary, out: &mut Vec<u8>) {
    use field::dictionary as at;
    put_bytes(at::TABLE, sent.table.as_bytes(), out);
    put_number(at::KEY_COLUMNS, sent.key_columns.into(), out);
    put_numbers(at::FIELDS, sent.fields.iter().map(|field| field.0), out);
    put_bytes(at::CONTENT, &sent.content, out);
}

fn outcome(client_seq: u64, outcome: &Outcome, out: &mut Vec<u8>) -> Result<()> {
    use field::outcome as at;
    put_number(at::CLIENT_SEQ, client_seq, out);
    match outcome {
        Outcome::Applied => put_message(at::APPLIED, out, |_| Ok(())),
        Outcome::Resolved(conflicts) => put_message(at::RESOLVED, out, |out| {
            conflicts.iter().try_for_each(|entry| {
                put_message(field::resolved::CONFLICTS, out, |out| conflict(entry, out))
            })
        }),
        Outcome::Rejected(rejection) => put_message(at::REJECTED, out, |out| {
            put_bytes(field::rejected::CODE, rejection.code.as_bytes(), out);
            put_bytes(field::rejected::MESSAGE, rejection.message.as_bytes(), out);
            Ok(())
        }),
    }
}

fn value(field: u32, value: &Value, out: &mut Vec<u8>) -> Result<()> {
    put_message(field, out, |out| Format::Protobuf.encode_value(value, out))
}

fn conflict(entry: &LedgerEntry, out: &mut Vec<u8>) -> Result<()> {
    // The columns of the ledger, of which the first is field 1: a conflict is a row of that table.
    for (position, cell) in (1..).zip(&entry.to_values()) {
        // A column that is not there is null.
        if !cell.is_null() {
            value(position, cell, out)?;
        }
    }
    Ok(())
}

pub(super) fn blocks(
    field: u32,
    blocks: &[Block],
    packing: Packing<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
    blocks
        .iter()
        .try_for_each(|found| put_message(field, out, |out| block::write(found, packing, out)))
}
