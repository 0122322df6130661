//! Scopes, what is staged for them and what commits it, by `docs/proto/sync.proto`.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::sync::Arc;

use common::limits::{COLLECTIONS_MAX, COLUMNS_MAX, KEY_COLUMNS_MAX, NAME_BYTES_MAX};
use common::query::Filter;
use common::schema::FieldId;
use common::serialization::Format;
use common::{Error, Limits, RecordId, Result, Seq, Text, Value};

use super::fields::{
    Budget, Fields, Part, expected, once, put_bytes, put_fixed, put_message, put_number,
    put_numbers,
};
use super::{block, field, read, referred, write};
use crate::sync::digest::Digest;
use crate::sync::protocol::{
    Answer, Block, Bound, Commit, Grant, HASHES_MAX, Held, QUESTIONS_MAX, Range, RangeAnswer,
    RangeQuestion, RangeReply, RangeSum, Referred, Request, SCOPES_MAX, Scope, ScopeId, Staged,
    TOKEN_BYTES_MAX, Want,
};
use crate::sync::scope::filter_json;

/// What a filter takes in memory for each byte of its JSON, roughly.
const FILTER_BYTES_FACTOR: usize = 16;

/// Number 0 is a slot like any other, so slots that may be missing are written one higher.
fn put_slot(number: u32, slot: Option<u32>, out: &mut Vec<u8>) {
    if let Some(slot) = slot {
        put_number(number, u64::from(slot) + 1, out);
    }
}

pub(super) fn write_request(request: &Request, out: &mut Vec<u8>) -> Result<()> {
    use field::request as at;
    for scope in &request.scopes {
        put_message(at::SCOPES, out, |out| write_scope(scope, out))?;
    }
    if !request.token.is_empty() {
        put_bytes(at::TOKEN, &request.token, out);
    }
    let Some(questions) = &request.ranges else {
        return Ok(());
    };
    put_message(at::RANGES, out, |out| {
        questions.iter().try_for_each(|question| {
            put_message(field::questions::QUESTIONS, out, |out| {
                put_bound(field::question::AFTER, question.range.after.as_ref(), out)?;
                put_bound(field::question::UPTO, question.range.upto.as_ref(), out)?;
                if let Some(hashes) = &question.rows {
                    let bytes: Vec<u8> = hashes.iter().flat_map(|h| h.to_le_bytes()).collect();
                    put_bytes(field::question::HASHES, &bytes, out);
                }
                Ok(())
            })
        })
    })
}

fn write_scope(scope: &Scope, out: &mut Vec<u8>) -> Result<()> {
    use field::scope as at;
    put_number(at::SLOT, scope.slot.into(), out);
    put_want(at::WANT, &scope.want, out)?;
    match &scope.held {
        Held::Nothing => Ok(()),
        Held::Joined(id) => {
            put_bytes(at::JOINED, &id.0, out);
            Ok(())
        }
        Held::Stale => put_message(at::STALE, out, |_| Ok(())),
        Held::Changed { id, old, version } => put_message(at::CHANGED, out, |out| {
            put_bytes(field::changed::ID, &id.0, out);
            put_number(field::changed::VERSION, (*version).into(), out);
            put_want(field::changed::OLD, old, out)
        }),
    }
}

fn put_want(number: u32, want: &Want, out: &mut Vec<u8>) -> Result<()> {
    if *want == Want::EVERYTHING {
        return Ok(());
    }
    put_message(number, out, |out| {
        use field::want as at;
        if let Some(table) = &want.table {
            put_bytes(at::TABLE, table.as_bytes(), out);
        }
        if want.filter != Filter::True {
            put_bytes(at::FILTER, &filter_json(&want.filter)?, out);
        }
        let Some(columns) = &want.columns else {
            return Ok(());
        };
        put_message(at::COLUMNS, out, |out| {
            for name in columns {
                put_bytes(field::columns::NAMES, name.as_bytes(), out);
            }
            Ok(())
        })
    })
}

fn put_bound(number: u32, bound: Option<&Bound>, out: &mut Vec<u8>) -> Result<()> {
    let Some(bound) = bound else { return Ok(()) };
    put_message(number, out, |out| {
        put_bytes(field::bound::TABLE, bound.table.as_bytes(), out);
        let mut key = Vec::new();
        Format::MsgPack.encode_value(&Value::List(bound.key.values().into()), &mut key)?;
        put_bytes(field::bound::KEY, &key, out);
        Ok(())
    })
}

pub(super) fn write_answer(
    answer: &Answer,
    packing: block::Packing<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
    use field::answer as at;
    for (slot, reason) in &answer.refused {
        put_message(at::REFUSED, out, |out| {
            put_number(field::refused::SLOT, (*slot).into(), out);
            put_bytes(field::refused::REASON, reason.as_bytes(), out);
            Ok(())
        })?;
    }
    if let Some(staged) = &answer.staged {
        put_message(at::STAGED, out, |out| write_staged(staged, out))?;
    }
    if let Some(commit) = &answer.commit {
        put_message(at::COMMIT, out, |out| write_commit(commit, packing, out))?;
    }
    Ok(())
}

fn write_staged(staged: &Staged, out: &mut Vec<u8>) -> Result<()> {
    use field::staged as at;
    if !staged.token.is_empty() {
        put_bytes(at::TOKEN, &staged.token, out);
    }
    put_number(at::RESTART, staged.restart.into(), out);
    put_slot(at::JOINING, staged.joining, out);
    put_number(at::REPLACES, staged.replaces.into(), out);
    for frame in &staged.segments {
        put_bytes(at::SEGMENTS, frame, out);
    }
    for frame in &staged.changes {
        put_bytes(at::CHANGES, frame, out);
    }
    let Some(ranges) = &staged.ranges else {
        return Ok(());
    };
    put_message(at::RANGES, out, |out| {
        ranges.answers.iter().try_for_each(|reply| {
            put_message(field::ranges::REPLIES, out, |out| write_reply(reply, out))
        })
    })
}

fn write_reply(reply: &RangeReply, out: &mut Vec<u8>) -> Result<()> {
    match reply {
        RangeReply::Parts(sums) => put_message(field::reply::PARTS, out, |out| {
            sums.iter().try_for_each(|sum| {
                put_message(field::parts::SUMS, out, |out| {
                    put_bound(field::sum::UPTO, sum.upto.as_ref(), out)?;
                    put_number(field::sum::ROWS, sum.rows, out);
                    put_fixed(field::sum::SUM, sum.sum, out);
                    Ok(())
                })
            })
        }),
        RangeReply::Unknown(positions) => put_message(field::reply::UNKNOWN, out, |out| {
            let positions = positions.iter().copied();
            put_numbers(field::unknown::POSITIONS, positions, out);
            Ok(())
        }),
    }
}

fn write_commit(commit: &Commit, packing: block::Packing<'_>, out: &mut Vec<u8>) -> Result<()> {
    use field::commit as at;
    put_number(at::SEQ, commit.seq.0, out);
    write::blocks(at::BLOCKS, &commit.blocks, packing, out)?;
    put_number(at::JOINED, commit.joined, out);
    for grant in &commit.grants {
        put_message(at::GRANTS, out, |out| {
            put_number(field::grant::SLOT, grant.slot.into(), out);
            put_bytes(field::grant::ID, &grant.id.0, out);
            grant.columns.iter().try_for_each(|(table, fields)| {
                put_message(field::grant::COLUMNS, out, |out| {
                    put_bytes(field::grant_columns::TABLE, table.as_bytes(), out);
                    let fields = fields.iter().map(|field| field.0);
                    put_numbers(field::grant_columns::FIELDS, fields, out);
                    Ok(())
                })
            })
        })?;
    }
    for (slot, digest) in &commit.digests {
        put_message(at::DIGESTS, out, |out| {
            put_number(field::digest::SLOT, (*slot).into(), out);
            put_number(field::digest::ROWS, digest.rows, out);
            put_bytes(field::digest::SUM, &digest.sum.to_le_bytes(), out);
            Ok(())
        })?;
    }
    for found in &commit.referred {
        put_message(at::REFERRED, out, |out| {
            referred::write(found, packing, out)
        })?;
    }
    put_fixed(at::KEYS, commit.keys, out);
    Ok(())
}

fn slot(part: Part<'_>) -> Result<u32> {
    let slot = part.small()?;
    if slot < SCOPES_MAX {
        return Ok(slot);
    }
    Err(expected("the number of a scope"))
}

fn name(part: Part<'_>, budget: &mut Budget) -> Result<Text> {
    let name = part.text()?;
    Limits::default()
        .bytes_max(NAME_BYTES_MAX)
        .check_bytes(name.len())?;
    budget.text(name)
}

pub(super) fn token(part: Part<'_>, budget: &mut Budget) -> Result<Vec<u8>> {
    let bytes = part.bytes()?;
    read::check("bytes in a token", bytes.len(), TOKEN_BYTES_MAX)?;
    Ok(budget.bytes(bytes)?.to_vec())
}

/// What is true of the scopes and questions of every request, whatever it was written in.
pub(super) fn check(request: &Request) -> Result<()> {
    let mut seen = 0;
    for scope in &request.scopes {
        if scope.slot >= SCOPES_MAX || seen & scope.bit() != 0 {
            return Err(expected("each scope once, with a number of its own"));
        }
        seen |= scope.bit();
    }
    read::check("bytes in a token", request.token.len(), TOKEN_BYTES_MAX)?;
    let questions = request.ranges.as_deref().unwrap_or_default();
    read::check("questions", questions.len(), QUESTIONS_MAX)?;
    let hashes = questions
        .iter()
        .filter_map(|question| question.rows.as_ref());
    let most = hashes.map(Vec::len).max().unwrap_or_default();
    read::check("hashes in a question", most, HASHES_MAX)
}

pub(super) fn read(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Scope> {
    use field::scope as at;
    let (mut number, mut want, mut held) = (0, None, None);
    while let Some((field, part)) = fields.next()? {
        match field {
            at::SLOT => number = slot(part)?,
            at::WANT => once(&mut want, read_want(part.message()?, budget)?)?,
            at::JOINED => once(&mut held, Held::Joined(ScopeId(part.bytes16()?)))?,
            at::STALE => {
                part.message()?;
                once(&mut held, Held::Stale)?;
            }
            at::CHANGED => once(&mut held, changed(part.message()?, budget)?)?,
            _ => {}
        }
    }
    Ok(Scope {
        slot: number,
        want: want.unwrap_or(Want::EVERYTHING),
        held: held.unwrap_or(Held::Nothing),
    })
}

fn changed(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Held> {
    use field::changed as at;
    let (mut id, mut old, mut version) = (ScopeId::default(), None, 0);
    while let Some((number, part)) = fields.next()? {
        match number {
            at::ID => id = ScopeId(part.bytes16()?),
            at::OLD => once(&mut old, read_want(part.message()?, budget)?)?,
            at::VERSION => version = part.small()?,
            _ => {}
        }
    }
    Ok(Held::Changed {
        id,
        old: Box::new(old.unwrap_or(Want::EVERYTHING)),
        version,
    })
}

fn read_want(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Want> {
    use field::want as at;
    let mut want = Want::EVERYTHING;
    while let Some((number, part)) = fields.next()? {
        match number {
            at::TABLE => want.table = Some(name(part, budget)?),
            at::FILTER => want.filter = filter(part.bytes()?, budget)?,
            at::COLUMNS => once(&mut want.columns, names(part.message()?, budget)?)?,
            _ => {}
        }
    }
    Ok(want)
}

fn filter(json: &[u8], budget: &mut Budget) -> Result<Filter> {
    budget.spend(json.len().saturating_mul(FILTER_BYTES_FACTOR))?;
    Filter::from_json(json, budget.limits())
}

fn names(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Vec<Text>> {
    let mut found = Vec::new();
    while let Some((number, part)) = fields.next()? {
        if number == field::columns::NAMES {
            read::check("columns", found.len() + 1, COLUMNS_MAX)?;
            budget.element::<Text>()?;
            found.push(name(part, budget)?);
        }
    }
    Ok(found)
}

pub(super) fn questions(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Vec<RangeQuestion>> {
    let mut found = Vec::new();
    while let Some((number, part)) = fields.next()? {
        if number == field::questions::QUESTIONS {
            read::check("questions", found.len() + 1, QUESTIONS_MAX)?;
            budget.element::<RangeQuestion>()?;
            found.push(question(part.message()?, budget)?);
        }
    }
    Ok(found)
}

fn question(mut fields: Fields<'_>, budget: &mut Budget) -> Result<RangeQuestion> {
    use field::question as at;
    let (mut range, mut rows) = (Range::default(), None);
    while let Some((number, part)) = fields.next()? {
        match number {
            at::AFTER => once(&mut range.after, bound(part.message()?, budget)?)?,
            at::UPTO => once(&mut range.upto, bound(part.message()?, budget)?)?,
            at::HASHES => {
                let (hashes, []) = part.bytes()?.as_chunks::<8>() else {
                    return Err(expected("hashes of 8 bytes each"));
                };
                read::check("hashes in a question", hashes.len(), HASHES_MAX)?;
                budget.spend(hashes.len() * 8)?;
                let hashes = hashes.iter().map(|bytes| u64::from_le_bytes(*bytes));
                once(&mut rows, hashes.collect())?;
            }
            _ => {}
        }
    }
    Ok(RangeQuestion { range, rows })
}

fn bound(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Bound> {
    use field::bound as at;
    let (mut table, mut key) = (Text::new(""), None);
    while let Some((number, part)) = fields.next()? {
        match number {
            at::TABLE => table = name(part, budget)?,
            at::KEY => {
                let value = Format::MsgPack.decode_value(part.bytes()?, budget.limits())?;
                let values = value.as_list().ok_or_else(|| expected("a key"))?;
                read::check("key columns", values.len(), KEY_COLUMNS_MAX)?;
                budget.spend(value.heap_bytes() + size_of_val(values))?;
                once(&mut key, RecordId::from(values))?;
            }
            _ => {}
        }
    }
    Ok(Bound {
        table,
        key: key.ok_or_else(|| expected("the key of a row"))?,
    })
}

pub(super) fn refused(mut fields: Fields<'_>, budget: &mut Budget) -> Result<(u32, Text)> {
    use field::refused as at;
    let (mut number, mut reason) = (0, Text::new(""));
    while let Some((field, part)) = fields.next()? {
        match field {
            at::SLOT => number = slot(part)?,
            at::REASON => reason = budget.text(part.text()?)?,
            _ => {}
        }
    }
    Ok((number, reason))
}

fn frame(part: Part<'_>, budget: &mut Budget) -> Result<Arc<[u8]>> {
    // With the counts in front of the bytes.
    budget.element::<(Arc<[u8]>, [usize; 2])>()?;
    Ok(budget.bytes(part.bytes()?)?.into())
}

pub(super) fn staged(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Staged> {
    use field::staged as at;
    let mut found = Staged::default();
    while let Some((number, part)) = fields.next()? {
        match number {
            at::TOKEN => found.token = token(part, budget)?,
            at::RESTART => found.restart = part.bool()?,
            at::JOINING => {
                let slot = part.small()?.checked_sub(1);
                let slot = slot.filter(|slot| *slot < SCOPES_MAX);
                found.joining = Some(slot.ok_or_else(|| expected("the number of a scope"))?);
            }
            at::REPLACES => found.replaces = part.bool()?,
            at::SEGMENTS => found.segments.push(frame(part, budget)?),
            at::CHANGES => found.changes.push(frame(part, budget)?),
            at::RANGES => once(&mut found.ranges, ranges(part.message()?, budget)?)?,
            _ => {}
        }
    }
    Ok(found)
}

fn ranges(mut fields: Fields<'_>, budget: &mut Budget) -> Result<RangeAnswer> {
    let mut found = RangeAnswer::default();
    while let Some((number, part)) = fields.next()? {
        if number == field::ranges::REPLIES {
            read::check("answers", found.answers.len() + 1, QUESTIONS_MAX)?;
            budget.element::<RangeReply>()?;
            found.answers.push(reply(part.message()?, budget)?);
        }
    }
    Ok(found)
}

fn reply(mut fields: Fields<'_>, budget: &mut Budget) -> Result<RangeReply> {
    let mut found = None;
    while let Some((number, part)) = fields.next()? {
        match number {
            field::reply::PARTS => {
                once(
                    &mut found,
                    RangeReply::Parts(sums(part.message()?, budget)?),
                )?;
            }
            field::reply::UNKNOWN => {
                once(
                    &mut found,
                    RangeReply::Unknown(positions(part.message()?, budget)?),
                )?;
            }
            _ => {}
        }
    }
    found.ok_or_else(|| Error::unsupported("an answer about a range is of an unknown kind"))
}

fn positions(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    while let Some((number, part)) = fields.next()? {
        if number == field::unknown::POSITIONS {
            part.numbers(HASHES_MAX, budget, &mut found)?;
        }
    }
    Ok(found)
}

fn sums(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Vec<RangeSum>> {
    let mut found = Vec::new();
    while let Some((number, part)) = fields.next()? {
        if number == field::parts::SUMS {
            budget.element::<RangeSum>()?;
            found.push(sum(part.message()?, budget)?);
        }
    }
    Ok(found)
}

fn sum(mut fields: Fields<'_>, budget: &mut Budget) -> Result<RangeSum> {
    use field::sum as at;
    let mut found = RangeSum {
        upto: None,
        rows: 0,
        sum: 0,
    };
    while let Some((number, part)) = fields.next()? {
        match number {
            at::UPTO => once(&mut found.upto, bound(part.message()?, budget)?)?,
            at::ROWS => found.rows = part.number()?,
            at::SUM => found.sum = part.fixed()?,
            _ => {}
        }
    }
    Ok(found)
}

pub(super) fn commit(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Commit> {
    use field::commit as at;
    let mut found = Commit::default();
    while let Some((number, part)) = fields.next()? {
        match number {
            at::SEQ => found.seq = Seq(part.number()?),
            at::BLOCKS => {
                budget.element::<Block>()?;
                found.blocks.push(block::read(part.message()?, budget)?);
            }
            at::JOINED => found.joined = part.number()?,
            at::GRANTS => {
                budget.element::<Grant>()?;
                found.grants.push(grant(part.message()?, budget)?);
            }
            at::DIGESTS => {
                budget.element::<(u32, Digest)>()?;
                found.digests.push(digest(part.message()?)?);
            }
            at::REFERRED => {
                budget.element::<Referred>()?;
                found
                    .referred
                    .push(referred::read(part.message()?, budget)?);
            }
            at::KEYS => found.keys = part.fixed()?,
            _ => {}
        }
    }
    Ok(found)
}

fn grant(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Grant> {
    use field::grant as at;
    let mut found = Grant {
        slot: 0,
        id: ScopeId::default(),
        columns: Vec::new(),
    };
    while let Some((number, part)) = fields.next()? {
        match number {
            at::SLOT => found.slot = slot(part)?,
            at::ID => found.id = ScopeId(part.bytes16()?),
            at::COLUMNS => {
                read::check("tables", found.columns.len() + 1, COLLECTIONS_MAX)?;
                budget.element::<(Text, Vec<FieldId>)>()?;
                found.columns.push(grant_columns(part.message()?, budget)?);
            }
            _ => {}
        }
    }
    Ok(found)
}

fn grant_columns(mut fields: Fields<'_>, budget: &mut Budget) -> Result<(Text, Vec<FieldId>)> {
    use field::grant_columns as at;
    let (mut table, mut ids) = (Text::new(""), Vec::new());
    while let Some((number, part)) = fields.next()? {
        match number {
            at::TABLE => table = name(part, budget)?,
            at::FIELDS => part.numbers(COLUMNS_MAX, budget, &mut ids)?,
            _ => {}
        }
    }
    Ok((table, ids.into_iter().map(FieldId).collect()))
}

fn digest(mut fields: Fields<'_>) -> Result<(u32, Digest)> {
    use field::digest as at;
    let (mut number, mut found) = (0, Digest::default());
    while let Some((field, part)) = fields.next()? {
        match field {
            at::SLOT => number = slot(part)?,
            at::ROWS => found.rows = part.number()?,
            at::SUM => found.sum = u128::from_le_bytes(part.bytes16()?),
            _ => {}
        }
    }
    Ok((number, found))
}
