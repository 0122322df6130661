//! Scopes, what is staged for them and what commits it, to the values that JSON is written from.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::serialization::Format;
use common::{Limits, Result, Text, Value};

use super::write::{block, hex, list, number, object, optional_bytes, part};
use crate::sync::protocol::{
    Bound, Commit, Grant, Held, RangeAnswer, RangeQuestion, RangeReply, RangeSum, Referred, Scope,
    Staged, Want,
};
use crate::sync::scope::filter_json;

pub(super) fn scope(scope: &Scope, limits: &Limits) -> Result<Value> {
    let (name, held) = match &scope.held {
        Held::Nothing => ("nothing", object([])),
        Held::Joined(id) => ("joined", hex(&id.0)),
        Held::Stale => ("stale", object([])),
        Held::Changed { id, old, version } => {
            let old = want(old, limits)?;
            let version = Value::from(*version);
            let changed = [("id", hex(&id.0)), ("old", old), ("version", version)];
            ("changed", object(changed))
        }
    };
    Ok(object([
        ("slot", Value::from(scope.slot)),
        ("want", want(&scope.want, limits)?),
        (name, held),
    ]))
}

fn want(want: &Want, limits: &Limits) -> Result<Value> {
    let columns = want.columns.as_ref().map_or(Value::Null, |columns| {
        list(columns, |name| Value::Text(name.clone()))
    });
    let filter = Format::Json.decode_value(&filter_json(&want.filter)?, limits)?;
    Ok(object([
        ("table", Value::from(want.table.clone())),
        ("filter", filter),
        ("columns", columns),
    ]))
}

fn bound(bound: Option<&Bound>) -> Value {
    bound.map_or(Value::Null, |bound| {
        object([
            ("table", Value::Text(bound.table.clone())),
            ("key", list(bound.key.values(), Value::clone)),
        ])
    })
}

pub(super) fn questions(questions: Option<&[RangeQuestion]>) -> Value {
    questions.map_or(Value::Null, |questions| {
        list(questions, |question| {
            let hashes = question.rows.as_ref();
            let hashes = hashes.map_or(Value::Null, |hashes| list(hashes, |hash| number(*hash)));
            object([
                ("after", bound(question.range.after.as_ref())),
                ("upto", bound(question.range.upto.as_ref())),
                ("hashes", hashes),
            ])
        })
    })
}

pub(super) fn refused((slot, reason): &(u32, Text)) -> Value {
    object([
        ("slot", Value::from(*slot)),
        ("reason", Value::Text(reason.clone())),
    ])
}

pub(super) fn staged(staged: Option<&Staged>, limits: &Limits) -> Value {
    let Some(staged) = staged else {
        return Value::Null;
    };
    object([
        ("token", optional_bytes(&staged.token)),
        ("restart", Value::from(staged.restart)),
        ("joining", Value::from(staged.joining.map(i64::from))),
        ("replaces", Value::from(staged.replaces)),
        (
            "segments",
            list(&staged.segments, |frame| part(frame, limits)),
        ),
        (
            "changes",
            list(&staged.changes, |frame| part(frame, limits)),
        ),
        ("ranges", staged.ranges.as_ref().map_or(Value::Null, ranges)),
    ])
}

fn ranges(ranges: &RangeAnswer) -> Value {
    list(&ranges.answers, |reply| match reply {
        RangeReply::Parts(parts) => object([("parts", list(parts, sum))]),
        RangeReply::Unknown(positions) => object([(
            "unknown",
            list(positions, |position| Value::from(*position)),
        )]),
    })
}

fn sum(sum: &RangeSum) -> Value {
    object([
        ("upto", bound(sum.upto.as_ref())),
        ("rows", number(sum.rows)),
        ("sum", number(sum.sum)),
    ])
}

pub(super) fn commit(commit: Option<&Commit>) -> Value {
    let Some(commit) = commit else {
        return Value::Null;
    };
    let digests = list(&commit.digests, |(slot, digest)| {
        object([
            ("slot", Value::from(*slot)),
            ("rows", number(digest.rows)),
            ("sum", Value::from(format!("{:032x}", digest.sum))),
        ])
    });
    object([
        ("seq", number(commit.seq.0)),
        ("blocks", list(&commit.blocks, block)),
        ("joined", number(commit.joined)),
        ("grants", list(&commit.grants, grant)),
        ("digests", digests),
        ("referred", list(&commit.referred, referred)),
        ("keys", number(commit.keys)),
    ])
}

fn referred(referred: &Referred) -> Value {
    let names = list(&referred.prefixes, |prefix| Value::from(*prefix));
    object([
        ("bits", Value::from(referred.bits)),
        ("rows", names),
        ("check", Value::from(referred.check)),
        ("block", block(&referred.block)),
    ])
}

fn grant(grant: &Grant) -> Value {
    let columns = list(&grant.columns, |(table, fields)| {
        object([
            ("table", Value::Text(table.clone())),
            ("fields", list(fields, |field| Value::from(field.0))),
        ])
    });
    object([
        ("slot", Value::from(grant.slot)),
        ("id", hex(&grant.id.0)),
        ("columns", columns),
    ])
}
