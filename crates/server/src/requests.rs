//! Requests that are answered once however often they are made: the table `sync_requests`, in the same commit as what they
//! write.

use axum::http::{HeaderName, StatusCode};
use axum::response::IntoResponse;
use common::query::{Filter, OrderBy, Query};
use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::{
    Collection, Database, Error, ErrorKind, Record, RecordId, Result, Timestamp, Transaction,
    Value, Violation,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::call::{Answered, Call};
use crate::negotiate::Reply;
use crate::problem::Problem;

const TABLE: &str = "sync_requests";
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest key.
const KEY_BYTES_MAX: usize = 255;
/// How long an answer is kept.
const KEPT_MICROSECONDS: i64 = 24 * 3_600 * 1_000_000;
/// Most answers that are kept; the oldest go first.
const KEPT_MAX: usize = 10_000;
/// Longest answer that is kept, in bytes. In the place of a longer one there is the number of the commit, the first time as
/// well, so that both answers are the same and the memory for all of them is bounded.
const KEPT_BYTES_MAX: usize = 16 << 10;
/// How many old answers go with each new one.
const FORGOTTEN_AT_ONCE: usize = 8;

fn table(db: &Database) -> Result<Collection> {
    if let Ok(found) = db.collection(TABLE) {
        return Ok(found);
    }
    let text = |name: &str| Field::new(name, FieldType::Text);
    let bytes = |name: &str| Field::new(name, FieldType::Bytes);
    let schema = Schema::build(TABLE, ["principal", "key"])
        .field(text("principal"))
        .field(text("key"))
        .field(bytes("request"))
        .field(Field::new("at", FieldType::Timestamp))
        .field(Field::new("status", FieldType::Int))
        .field(text("media"))
        .field(text("etag").nullable())
        .field(text("location").nullable())
        .field(bytes("body"))
        .index(IndexSpec::ordered(["at"]))
        .finish()?;
    db.open_collection(schema)
}

/// The key that a request has, and what tells it from another one with the same key.
struct Asked {
    table: Collection,
    id: RecordId,
    digest: Vec<u8>,
}

impl Asked {
    fn of(call: &Call) -> Result<Option<Self>, Problem> {
        let Some(key) = call.header(&IDEMPOTENCY_KEY)? else {
            return Ok(None);
        };
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(Problem::invalid(format!(
                "an idempotency key has 1 to {KEY_BYTES_MAX} bytes, this one {}",
                key.len()
            )));
        }
        let mut digest = Sha256::new();
        for part in [
            call.method.as_str().as_bytes(),
            call.path.as_bytes(),
            &call.body,
        ] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let name = call.caller.principal.name.clone().unwrap_or_default();
        Ok(Some(Self {
            table: table(call.database())?,
            id: RecordId::composite([Value::from(name), Value::from(key)]),
            digest: digest.finalize().to_vec(),
        }))
    }

    /// The answer that was given before.
    fn answered(&self, tx: &Transaction<'_>, now: Timestamp) -> Result<Option<Reply>, Problem> {
        let Some(record) = tx.get(&self.table, self.id.clone())? else {
            return Ok(None);
        };
        let (digest, at, reply) = read(&record)?;
        if at.0 < now.0.saturating_sub(KEPT_MICROSECONDS) {
            return Ok(None);
        }
        if digest != self.digest {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "conflict",
                "the idempotency key was used for another request; choose a new one",
            ));
        }
        Ok(Some(reply))
    }

    /// Keeps an answer, and drops a few that are old.
    fn keep(&self, tx: &mut Transaction<'_>, now: Timestamp, reply: &Reply) -> Result<()> {
        let mut query = Query::from(TABLE)
            .order_by(OrderBy::ascending("at"))
            .limit(FORGOTTEN_AT_ONCE);
        if self.table.len() < KEPT_MAX {
            let oldest = now.0.saturating_sub(KEPT_MICROSECONDS);
            query = query.filter(Filter::lt("at", Value::Timestamp(Timestamp(oldest))));
        }
        for old in query.records(&tx.view())? {
            tx.delete(&self.table, old.id())?;
        }
        let [principal, key] = self.id.values() else {
            return Err(Error::invalid("an idempotency key has two parts"));
        };
        let text = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
        let row = [
            principal.clone(),
            key.clone(),
            Value::from(&self.digest[..]),
            Value::Timestamp(now),
            Value::from(i64::from(reply.status.as_u16())),
            Value::from(reply.media.as_str()),
            text(&reply.etag),
            text(&reply.location),
            Value::from(&reply.body[..]),
        ];
        tx.upsert_values(&self.table, row).map(drop)
    }
}

fn read(record: &Record) -> Result<(Vec<u8>, Timestamp, Reply)> {
    let text = |at: usize| record.get(at).and_then(Value::as_text).map(str::to_owned);
    let bytes = |at: usize| record.get(at).and_then(Value::as_bytes).map(<[u8]>::to_vec);
    let read = || {
        let status = record.get(4).and_then(Value::as_int);
        let status = status.and_then(|status| u16::try_from(status).ok());
        let reply = Reply {
            status: status.and_then(|status| StatusCode::from_u16(status).ok())?,
            media: text(5)?,
            etag: text(6),
            location: text(7),
            body: bytes(8)?,
        };
        Some((
            bytes(2)?,
            record.get(3).and_then(Value::as_timestamp)?,
            reply,
        ))
    };
    read().ok_or_else(|| Error::corrupt(format!("table `{TABLE}` was written by something else")))
}

/// Makes the writes of a request in one transaction. A request with an idempotency key that was answered before is given the
/// same answer, and writes nothing.
pub(crate) fn commit(
    call: &Call,
    work: impl FnOnce(&mut Transaction<'_>) -> Result<Reply, Problem>,
) -> Answered {
    // Opening the table may create it, which a transaction cannot wait for.
    let asked = Asked::of(call)?;
    let db = call.database();
    let mut tx = db.begin();
    let now = db.clock().now();
    if let Some(asked) = &asked
        && let Some(reply) = asked.answered(&tx, now)?
    {
        return Ok(reply.into_response());
    }
    let mut reply = work(&mut tx)?;
    if let Some(asked) = &asked {
        if reply.body.len() > KEPT_BYTES_MAX {
            let short = Reply::json(reply.status, &json!({ "seq": tx.seq().0 }))?;
            (reply.media, reply.body) = (short.media, short.body);
        }
        asked.keep(&mut tx, now, &reply)?;
    }
    tx.commit().map_err(|error| broken(&error))?;
    Ok(reply.into_response())
}

/// What a commit breaks, without the keys of the rows that it meets: those may be hidden from the caller.
fn broken(error: &Error) -> Problem {
    let mut problem = Problem::of(error);
    if error.kind() != ErrorKind::Conflict || problem.violations.is_empty() {
        return problem;
    }
    for violation in &mut problem.violations {
        let message = match violation.rule.as_str() {
            "unique" => "is another row's value in a unique index",
            _ => "is against a reference between tables",
        };
        message.clone_into(&mut violation.message);
    }
    let found: Vec<String> = problem
        .violations
        .iter()
        .map(Violation::to_string)
        .collect();
    problem.detail = format!(
        "the change breaks {} rule(s): {}",
        found.len(),
        found.join("; ")
    );
    problem
}
