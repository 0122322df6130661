//! Protocol types to values.

use common::schema::FieldId;
use common::serialization::encode_schema;
use common::{Result, Value};

use crate::sync::digest::Digest;
use crate::sync::protocol::{
    Action, Answer, Block, BlockKind, Mutation, News, Op, Outcome, Position, Request,
};

/// Numbers above 2^63 - 1 travel as negative ones.
fn number(value: u64) -> Value {
    Value::Int(value.cast_signed())
}

fn list(values: impl IntoIterator<Item = Value>) -> Value {
    Value::List(values.into_iter().collect())
}

pub(super) fn request(request: &Request) -> Vec<Value> {
    let position = match request.position {
        Position::Start => list([]),
        Position::At { epoch, seq } => list([number(epoch.0), number(seq.0)]),
        Position::Blocks { epoch, seq, next } => {
            list([number(epoch.0), number(seq.0), Value::from(next)])
        }
    };
    let mut tables = Tables::default();
    let mutations = list(request.mutations.iter().map(|m| mutation(m, &mut tables)));
    vec![
        Value::Text(request.replica.0.clone()),
        number(request.number),
        position,
        Value::from(&request.schemas.0[..]),
        number(request.acknowledged),
        number(request.now.0),
        tables.names(),
        mutations,
    ]
}

/// Names of tables, stated once and then by number.
#[derive(Default)]
struct Tables(Vec<common::Text>);

impl Tables {
    fn number(&mut self, name: &common::Text) -> Value {
        let known = self.0.iter().position(|known| known == name);
        let position = known.unwrap_or_else(|| {
            self.0.push(name.clone());
            self.0.len() - 1
        });
        number(position as u64)
    }

    fn names(self) -> Value {
        list(self.0.into_iter().map(Value::Text))
    }
}

fn mutation(mutation: &Mutation, tables: &mut Tables) -> Value {
    list([
        number(mutation.client_seq),
        number(mutation.base.0),
        number(mutation.stamp.0),
        list(mutation.ops.iter().map(|op| {
            let table = tables.number(&op.table);
            operation(op, table)
        })),
    ])
}

/// The bytes of a mutation that its identity is made of.
pub(crate) fn mutation_value(m: &Mutation) -> Value {
    let mut tables = Tables::default();
    let value = mutation(m, &mut tables);
    list([tables.names(), value])
}

fn operation(op: &Op, table: Value) -> Value {
    let (kind, columns) = match &op.action {
        Action::Insert(columns) => (0, columns.as_slice()),
        Action::Update(columns) => (1, columns.as_slice()),
        Action::Delete => (2, [].as_slice()),
    };
    list([
        Value::Int(kind),
        table,
        list(op.key.values().iter().cloned()),
        fields(columns.iter().map(|(field, _)| *field)),
        list(columns.iter().map(|(_, value)| value.clone())),
    ])
}

fn fields(fields: impl Iterator<Item = FieldId>) -> Value {
    list(fields.map(|field| Value::from(field.0)))
}

pub(super) fn answer(answer: &Answer) -> Result<Vec<Value>> {
    let schemas = match &answer.schemas {
        None => Value::Null,
        Some(schemas) => {
            let texts: Result<Vec<Value>> = schemas
                .iter()
                .map(|schema| encode_schema(schema).map(Value::from))
                .collect();
            Value::from(texts?)
        }
    };
    let outcomes = answer
        .outcomes
        .iter()
        .map(|(client_seq, found)| list([number(*client_seq), outcome(found)]));
    Ok(vec![
        number(answer.number),
        number(answer.epoch.0),
        number(answer.now.0),
        schemas,
        number(answer.next),
        list(outcomes),
        news(&answer.news),
    ])
}

/// An outcome as it is sent and stored.
pub(crate) fn outcome(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Applied => list([Value::Int(0)]),
        Outcome::Resolved(conflicts) => list([
            Value::Int(1),
            list(conflicts.iter().map(|entry| list(entry.to_values()))),
        ]),
        Outcome::Rejected(rejection) => list([
            Value::Int(2),
            Value::Text(rejection.code.clone()),
            Value::Text(rejection.message.clone()),
        ]),
    }
}

fn news(news: &News) -> Value {
    match news {
        News::Changes {
            truth,
            blocks: changes,
            seq,
            more,
            digest,
        } => list([
            Value::Int(0),
            blocks(truth),
            blocks(changes),
            number(seq.0),
            Value::Bool(*more),
            digest.map_or(Value::Null, |Digest { rows, sum }| {
                list([number(rows), Value::from(&sum.to_le_bytes()[..])])
            }),
        ]),
        News::Snapshot {
            seq,
            first,
            total,
            blocks,
        } => list([
            Value::Int(1),
            number(seq.0),
            Value::from(*first),
            Value::from(*total),
            list(blocks.iter().map(|block| Value::Bytes(block.clone()))),
        ]),
    }
}

pub(super) fn blocks(blocks: &[Block]) -> Value {
    list(blocks.iter().map(|block| {
        let kind = match block.kind {
            BlockKind::Put => 0,
            BlockKind::Patch => 1,
            BlockKind::Gone => 2,
        };
        list([
            Value::Text(block.table.clone()),
            Value::Int(kind),
            fields(block.fields.iter().copied()),
            list(
                block
                    .columns
                    .iter()
                    .map(|column| list(column.iter().cloned())),
            ),
        ])
    }))
}
