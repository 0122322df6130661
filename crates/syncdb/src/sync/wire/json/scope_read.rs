//! Scopes, what is staged for them and what commits it, from the values that JSON was read into.

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

use common::limits::{COLUMNS_MAX, KEY_COLUMNS_MAX};
use common::query::Filter;
use common::serialization::Format;
use common::{Limits, RecordId, Result, Text, Value};

use super::read::{
    Object, block, block_without_keys, blocks, field_ids, hex, list, name, number, optional_bytes,
    seq, small, text,
};
use crate::sync::digest::Digest;
use crate::sync::protocol::{
    Bound, Commit, Grant, HASHES_MAX, Held, QUESTIONS_MAX, REFERENCE_BITS_MAX, Range, RangeAnswer,
    RangeQuestion, RangeReply, RangeSum, Referred, SCOPES_MAX, Scope, ScopeId, Staged, Want,
};
use crate::sync::wire::encode_blocks;
use crate::sync::wire::fields::expected;
use crate::sync::wire::read::check;

fn slot(value: &Value) -> Result<u32> {
    let slot = small(value)?;
    if slot < SCOPES_MAX {
        return Ok(slot);
    }
    Err(expected("the number of a scope"))
}

fn id(value: &Value) -> Result<ScopeId> {
    hex(value).map(|id| ScopeId(id.to_be_bytes()))
}

pub(super) fn scope(value: &Value, limits: &Limits) -> Result<Scope> {
    let scope = Object::of(value)?;
    let held = [
        scope.optional("nothing", |_| Ok(Held::Nothing))?,
        scope.optional("joined", id)?.map(Held::Joined),
        scope.optional("stale", |_| Ok(Held::Stale))?,
        scope.optional("changed", |value| {
            let changed = Object::of(value)?;
            let id = changed.read("id", id)?;
            let old = Box::new(changed.read("old", |value| want(value, limits))?);
            let version = changed.optional("version", small)?.unwrap_or_default();
            Ok(Held::Changed { id, old, version })
        })?,
    ];
    let mut held = held.into_iter().flatten();
    let (Some(held), None) = (held.next(), held.next()) else {
        return Err(expected("one of nothing, joined, stale, changed"));
    };
    Ok(Scope {
        slot: scope.read("slot", slot)?,
        want: scope.read("want", |value| want(value, limits))?,
        held,
    })
}

fn want(value: &Value, limits: &Limits) -> Result<Want> {
    let want = Object::of(value)?;
    let columns = want.optional("columns", |value| {
        let names = list(value)?;
        check("columns", names.len(), COLUMNS_MAX)?;
        names.iter().map(name).collect()
    })?;
    Ok(Want {
        table: want.optional("table", name)?,
        filter: want.read("filter", |value| filter(value, limits))?,
        columns,
    })
}

fn filter(value: &Value, limits: &Limits) -> Result<Filter> {
    let mut json = Vec::new();
    Format::Json.encode_value(value, &mut json)?;
    Filter::from_json(&json, limits)
}

fn bound(value: &Value) -> Result<Bound> {
    let bound = Object::of(value)?;
    let key = bound.read("key", list)?;
    check("key columns", key.len(), KEY_COLUMNS_MAX)?;
    Ok(Bound {
        table: bound.read("table", name)?,
        key: RecordId::from(key),
    })
}

pub(super) fn questions(value: &Value) -> Result<Vec<RangeQuestion>> {
    let questions = list(value)?;
    check("questions", questions.len(), QUESTIONS_MAX)?;
    let question = |value| {
        let question = Object::of(value)?;
        let rows = question.optional("hashes", |value| {
            let hashes = list(value)?;
            check("hashes in a question", hashes.len(), HASHES_MAX)?;
            hashes.iter().map(number).collect()
        })?;
        Ok(RangeQuestion {
            range: Range {
                after: question.optional("after", bound)?,
                upto: question.optional("upto", bound)?,
            },
            rows,
        })
    };
    questions.iter().map(question).collect()
}

pub(super) fn refused(value: &Value) -> Result<(u32, Text)> {
    let refused = Object::of(value)?;
    Ok((refused.read("slot", slot)?, refused.read("reason", text)?))
}

pub(super) fn staged(value: &Value) -> Result<Staged> {
    let staged = Object::of(value)?;
    Ok(Staged {
        token: staged.read("token", optional_bytes)?,
        restart: staged.read("restart", super::read::bool)?,
        joining: staged.optional("joining", slot)?,
        replaces: staged.read("replaces", super::read::bool)?,
        segments: staged.each("segments", frame)?,
        changes: staged.each("changes", frame)?,
        ranges: staged.optional("ranges", |value| {
            let answers = list(value)?;
            check("answers", answers.len(), QUESTIONS_MAX)?;
            let answers = answers.iter().map(reply).collect::<Result<_>>()?;
            Ok(RangeAnswer { answers })
        })?,
    })
}

fn frame(value: &Value) -> Result<Arc<[u8]>> {
    match value {
        Value::Bytes(bytes) => Ok(bytes.clone()),
        value => encode_blocks(&blocks(value)?).map(Arc::from),
    }
}

fn reply(value: &Value) -> Result<RangeReply> {
    let reply = Object::of(value)?;
    let parts = reply.optional("parts", |value| list(value)?.iter().map(sum).collect())?;
    let unknown = reply.optional("unknown", |value| list(value)?.iter().map(small).collect())?;
    match (parts, unknown) {
        (Some(parts), None) => Ok(RangeReply::Parts(parts)),
        (None, Some(unknown)) => Ok(RangeReply::Unknown(unknown)),
        _ => Err(expected("one of parts, unknown")),
    }
}

fn sum(value: &Value) -> Result<RangeSum> {
    let sum = Object::of(value)?;
    Ok(RangeSum {
        upto: sum.optional("upto", bound)?,
        rows: sum.read("rows", number)?,
        sum: sum.read("sum", number)?,
    })
}

pub(super) fn commit(value: &Value) -> Result<Commit> {
    let commit = Object::of(value)?;
    let digest = |value| {
        let digest = Object::of(value)?;
        let found = Digest {
            rows: digest.read("rows", number)?,
            sum: digest.read("sum", hex)?,
        };
        Ok((digest.read("slot", slot)?, found))
    };
    Ok(Commit {
        seq: commit.read("seq", seq)?,
        blocks: commit.each("blocks", block)?,
        joined: commit.read("joined", number)?,
        grants: commit.each("grants", grant)?,
        digests: commit.each("digests", digest)?,
        referred: commit
            .optional("referred", all_referred)?
            .unwrap_or_default(),
        keys: commit.optional("keys", number)?.unwrap_or_default(),
    })
}

fn all_referred(value: &Value) -> Result<Vec<Referred>> {
    list(value)?.iter().map(referred).collect()
}

fn referred(value: &Value) -> Result<Referred> {
    let referred = Object::of(value)?;
    let found = Referred {
        bits: referred.read("bits", small)?,
        prefixes: referred.each("rows", small)?,
        check: referred.read("check", small)?,
        block: referred.read("block", block_without_keys)?,
    };
    let fits = |prefix: &u32| u64::from(*prefix) >> found.bits == 0;
    if !(1..=REFERENCE_BITS_MAX).contains(&found.bits)
        || !found.prefixes.is_sorted()
        || !found.prefixes.iter().all(fits)
        || found.prefixes.len() != found.block.rows()
    {
        return Err(expected(
            "ascending references of as many bits as announced, one a row",
        ));
    }
    Ok(found)
}

fn grant(value: &Value) -> Result<Grant> {
    let grant = Object::of(value)?;
    let columns = |value| {
        let columns = Object::of(value)?;
        Ok((
            columns.read("table", name)?,
            columns.read("fields", field_ids)?,
        ))
    };
    Ok(Grant {
        slot: grant.read("slot", slot)?,
        id: grant.read("id", id)?,
        columns: grant.each("columns", columns)?,
    })
}
