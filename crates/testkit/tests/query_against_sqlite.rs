//! Queries give what SQLite gives: random tables with nulls, integers, floats and texts; random filters,
//! orders, limits, aggregates and joins; with and without indexes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use common::query::{Aggregate, CompareOp, Filter, Join, JoinKind, OrderBy, Path, Query};
use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::{Database, Value};
use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// One row: id, i, f, t, u.
type Cells = (Option<i64>, Option<i64>, Option<String>, Option<i64>);

const COLUMNS: [&str; 5] = ["id", "i", "f", "t", "u"];

fn cells() -> impl Strategy<Value = Cells> {
    (
        prop::option::weighted(0.8, -3..4_i64),
        // Halves, so that sums are exact whatever the order.
        prop::option::weighted(0.8, -6..7_i64),
        prop::option::weighted(0.8, "[abB%_]{0,3}"),
        prop::option::weighted(0.8, 0..4_i64),
    )
}

fn values(id: usize, (i, f, t, u): &Cells) -> Vec<Value> {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let float = f.map(|halves| halves as f64 / 2.0);
    vec![
        Value::Int(i64::try_from(id).unwrap()),
        i.map_or(Value::Null, Value::from),
        float.map_or(Value::Null, Value::from),
        t.as_ref().map_or(Value::Null, |t| Value::from(t.as_str())),
        u.map_or(Value::Null, Value::from),
    ]
}

fn ours(tables: &[(&str, &[Cells])], indexed: bool) -> Database {
    let db = Database::new();
    for (name, rows) in tables {
        let mut schema = Schema::build(*name, ["id"])
            .field(Field::new("id", FieldType::Int))
            .field(Field::new("i", FieldType::Int).nullable())
            .field(Field::new("f", FieldType::Float).nullable())
            .field(Field::new("t", FieldType::Text).nullable())
            .field(Field::new("u", FieldType::Int).nullable());
        if indexed {
            schema = schema
                .index(IndexSpec::hash(["i"]))
                .index(IndexSpec::ordered(["f"]))
                .index(IndexSpec::ordered(["t"]))
                .index(IndexSpec::ordered(["u", "i"]));
        }
        let table = db.create_collection(schema.finish().unwrap()).unwrap();
        for (id, cells) in rows.iter().enumerate() {
            table.insert_values(values(id, cells)).unwrap();
        }
    }
    db
}

fn theirs(tables: &[(&str, &[Cells])]) -> Connection {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch("PRAGMA case_sensitive_like = ON").unwrap();
    for (name, rows) in tables {
        db.execute_batch(&format!(
            "CREATE TABLE {name} (id INTEGER PRIMARY KEY, i INTEGER, f REAL, t TEXT, u INTEGER)"
        ))
        .unwrap();
        for (id, cells) in rows.iter().enumerate() {
            let row: Vec<String> = values(id, cells).iter().map(sql_value).collect();
            db.execute_batch(&format!("INSERT INTO {name} VALUES ({})", row.join(", ")))
                .unwrap();
        }
    }
    db
}

fn sql_value(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        other => format!("{other:?}"),
    }
}

fn sql_list(values: &[Value]) -> String {
    values.iter().map(sql_value).collect::<Vec<_>>().join(", ")
}

fn sql(filter: &Filter) -> String {
    let text = |text: &str| sql_value(&Value::from(text));
    let join = |parts: &[Filter], between: &str, none: &str| {
        if parts.is_empty() {
            return none.to_owned();
        }
        let parts: Vec<String> = parts
            .iter()
            .map(|part| format!("({})", sql(part)))
            .collect();
        parts.join(between)
    };
    match filter {
        Filter::True => "1".into(),
        Filter::Compare { path, op, value } => {
            format!("{path} {} {}", op.symbol(), sql_value(value))
        }
        Filter::In { path, values } => format!("{path} IN ({})", sql_list(values)),
        Filter::Between { path, low, high } => {
            format!("{path} BETWEEN {} AND {}", sql_value(low), sql_value(high))
        }
        Filter::Like { path, pattern } => format!("{path} LIKE {} ESCAPE '\\'", text(pattern)),
        Filter::StartsWith { path, prefix } => {
            format!(
                "substr({path}, 1, {}) = {}",
                prefix.chars().count(),
                text(prefix)
            )
        }
        Filter::Contains { path, value } => format!("instr({path}, {}) > 0", sql_value(value)),
        Filter::IsNull { path } => format!("{path} IS NULL"),
        Filter::And(parts) => join(parts, " AND ", "1"),
        Filter::Or(parts) => join(parts, " OR ", "0"),
        Filter::Not(part) => format!("NOT ({})", sql(part)),
        other => panic!("{other} has no SQL"),
    }
}

fn order_sql(order: &[OrderBy], ties: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for by in order {
        let mut part = by.path.to_string();
        part.push_str(match by.direction {
            common::query::Direction::Ascending => " ASC",
            common::query::Direction::Descending => " DESC",
        });
        part.push_str(match by.nulls {
            common::query::NullPlacement::Least => "",
            common::query::NullPlacement::First => " NULLS FIRST",
            common::query::NullPlacement::Last => " NULLS LAST",
        });
        parts.push(part);
    }
    if !parts.is_empty() {
        parts.push(ties.into());
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!(" ORDER BY {}", parts.join(", "))
    }
}

/// The rows that SQLite gives.
fn ask(db: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let mut statement = db
        .prepare(sql)
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let columns = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    let mut found = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let cell = |column| match row.get_ref(column).unwrap() {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(int) => Value::Int(int),
            ValueRef::Real(float) => Value::Float(float),
            ValueRef::Text(text) => Value::from(std::str::from_utf8(text).unwrap()),
            ValueRef::Blob(bytes) => Value::from(bytes),
        };
        found.push((0..columns).map(cell).collect());
    }
    found
}

/// The rows that we give.
fn run(db: &Database, query: &Query) -> Vec<Vec<Value>> {
    let result = query.run(&db.snapshot().view()).unwrap();
    assert_eq!(result.returned, result.rows.len());
    result.rows.iter().map(|row| row.to_vec()).collect()
}

fn sorted(mut rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    rows.sort();
    rows
}

fn op() -> impl Strategy<Value = CompareOp> {
    prop_oneof![
        Just(CompareOp::Eq),
        Just(CompareOp::Ne),
        Just(CompareOp::Lt),
        Just(CompareOp::Le),
        Just(CompareOp::Gt),
        Just(CompareOp::Ge)
    ]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => (-4..5_i64).prop_map(Value::from),
        2 => (-8..9_i32).prop_map(|n| Value::from(f64::from(n) / 2.0)),
        1 => Just(Value::Null),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    let numeric = || prop_oneof!["id", "i", "f", "u"];
    let text = || "[abB]{0,2}".prop_map(Value::from);
    let leaf = prop_oneof![
        4 => (numeric(), op(), number()).prop_map(|(path, op, value)| Filter::Compare {
            path: path.into(), op, value
        }),
        2 => (op(), text()).prop_map(|(op, value)| Filter::Compare { path: "t".into(), op, value }),
        2 => (numeric(), prop::collection::vec(number(), 0..4)).prop_map(|(p, v)| Filter::is_in(p, v)),
        1 => prop::collection::vec(text(), 0..3).prop_map(|v| Filter::is_in("t", v)),
        2 => (numeric(), number(), number()).prop_map(|(p, a, b)| Filter::between(p, a, b)),
        2 => "[abB%_]{0,3}|a\\\\%".prop_map(|p| Filter::like("t", p)),
        1 => "[abB]{0,2}".prop_map(|p| Filter::starts_with("t", p)),
        1 => "[abB]{1,2}".prop_map(|p| Filter::contains("t", p)),
        2 => prop_oneof!["i", "f", "t", "u"].prop_map(Filter::is_null),
        1 => Just(Filter::True),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::And),
            2 => prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::Or),
            1 => inner.prop_map(Filter::negate),
        ]
    })
}

fn order() -> impl Strategy<Value = Vec<OrderBy>> {
    let by = (
        prop_oneof!["id", "i", "f", "t", "u"],
        any::<bool>(),
        0..5_u8,
    )
        .prop_map(|(path, up, nulls)| {
            let by = if up {
                OrderBy::ascending(path)
            } else {
                OrderBy::descending(path)
            };
            match nulls {
                0 => by.nulls_first(),
                1 => by.nulls_last(),
                _ => by,
            }
        });
    prop::collection::vec(by, 0..3)
}

fn rows() -> impl Strategy<Value = Vec<Cells>> {
    prop::collection::vec(cells(), 0..40)
}

/// Enough to meet every form of condition many times within seconds; the seed changes with each run.
fn config() -> ProptestConfig {
    ProptestConfig::with_cases(96)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn rows_in_order_page_by_page(
        rows in rows(), filter in filter(), order in order(),
        limit in prop::option::of(0..12_usize), offset in 0..4_usize,
    ) {
        let tables = [("a", rows.as_slice())];
        let sqlite = theirs(&tables);
        let mut statement = format!("SELECT * FROM a WHERE {}", sql(&filter));
        statement += &order_sql(&order, "id");
        let whole = ask(&sqlite, &statement);
        let from = |from: usize| &whole[from.min(whole.len())..];
        for indexed in [false, true] {
            let db = ours(&tables, indexed);
            let snapshot = db.snapshot();
            let view = snapshot.view();
            let mut query = Query::from("a").filter(filter.clone());
            query.order.clone_from(&order);
            let found = run(&db, &query);
            if order.is_empty() {
                prop_assert_eq!(sorted(found), sorted(whole.clone()), "{}", statement);
            } else {
                prop_assert_eq!(&found, &whole, "{} {}", statement, query.explain(&view).unwrap());
            }
            let Some(limit) = limit else { continue };
            let page = query.clone().limit(limit).offset(offset);
            let expected: Vec<_> = from(offset).iter().take(limit).cloned().collect();
            let plan = page.explain(&view).unwrap();
            let found = run(&db, &page);
            if order.is_empty() {
                // Any rows will do.
                prop_assert_eq!(found.len(), expected.len());
                prop_assert!(found.iter().all(|row| whole.contains(row)));
                continue;
            }
            prop_assert_eq!(&found, &expected, "{} limit {} offset {}: {}", statement, limit, offset, plan);
            // The pages, one after another, are the whole.
            if limit > 0 {
                let mut all = Vec::new();
                let mut page = query.limit(limit);
                for _ in 0..=whole.len() {
                    let result = page.run(&view).unwrap();
                    all.extend(result.rows.iter().map(|row| row.to_vec()));
                    let Some(cursor) = result.cursor else { break };
                    let token = cursor.token();
                    page.after = Some(common::query::Cursor::parse(&token, &common::Limits::default()).unwrap());
                }
                prop_assert_eq!(&all, &whole, "pages of {}: {}", limit, plan);
            }
        }
    }

    #[test]
    fn aggregates_and_groups(rows in rows(), filter in filter(), by in 0..4_usize, least in 0..4_i64) {
        let tables = [("a", rows.as_slice())];
        let sqlite = theirs(&tables);
        let groups: &[&str] = [&[][..], &["i"], &["t"], &["u", "i"]][by];
        let aggregates = [
            Aggregate::count(), Aggregate::count_of("i"), Aggregate::count_distinct("t"), Aggregate::sum("i"),
            Aggregate::sum("f"), Aggregate::min("t"), Aggregate::max("f"), Aggregate::avg("u"),
        ];
        let mut query = Query::from("a").filter(filter.clone()).group_by(groups.iter().copied());
        query.aggregates = aggregates.to_vec();
        let mut statement = String::from("SELECT ");
        for group in groups {
            write!(statement, "{group}, ").unwrap();
        }
        statement += "count(*) AS n, count(i), count(DISTINCT t), sum(i), sum(f), min(t), max(f), avg(u) FROM a";
        write!(statement, " WHERE {}", sql(&filter)).unwrap();
        if !groups.is_empty() {
            write!(statement, " GROUP BY {} HAVING n >= {least}", groups.join(", ")).unwrap();
            query = query.having(Filter::ge("count", least));
        }
        let expected = sorted(ask(&sqlite, &statement));
        for indexed in [false, true] {
            let db = ours(&tables, indexed);
            prop_assert_eq!(sorted(run(&db, &query)), expected.clone(), "{}", statement);
            if !groups.is_empty() {
                let ordered = query.clone().order_by(OrderBy::descending("count")).limit(3);
                let first = format!("{statement} ORDER BY n DESC, {} LIMIT 3", groups.join(", "));
                prop_assert_eq!(run(&db, &ordered), ask(&sqlite, &first), "{}", first);
            }
        }
    }

    #[test]
    fn joins_on_one_column_or_two(
        a in prop::collection::vec(cells(), 0..16), b in prop::collection::vec(cells(), 0..16),
        left in any::<bool>(), on in 0..5_usize, filter in filter(), least in -3..3_i64,
    ) {
        let tables = [("a", a.as_slice()), ("b", b.as_slice())];
        let sqlite = theirs(&tables);
        // By primary key, by index, across number types, by two columns, by text.
        let pairs: &[(&str, &str)] =
            [&[("u", "id")][..], &[("i", "i")], &[("f", "i")], &[("u", "u"), ("i", "i")], &[("t", "t")]][on];
        let join = Join {
            table: "b".into(),
            alias: None,
            kind: if left { JoinKind::Left } else { JoinKind::Inner },
            on: pairs.iter().map(|(l, r)| (Path::from(*l), (*r).into())).collect(),
        };
        let condition: Vec<String> = pairs.iter().map(|(l, r)| format!("a.{l} = b.{r}")).collect();
        // A condition on each table; the left one also by random filter, whose columns name no table.
        let renamed = rename(&filter);
        let both = renamed.clone().and(Filter::ge("b.i", least).or(Filter::is_null("b.t")));
        let query = Query::from("a").join_with(join).filter(both.clone());
        let kind = if left { "LEFT JOIN" } else { "JOIN" };
        let statement = format!(
            "SELECT a.*, b.* FROM a {kind} b ON {} WHERE {}", condition.join(" AND "), sql(&both)
        );
        let expected = ask(&sqlite, &statement);
        let selected = query
            .clone()
            .select(["b.t", "a.id"])
            .order_by(OrderBy::descending("b.t"))
            .order_by(OrderBy::ascending("a.id"))
            .limit(5);
        let first = statement.replace("a.*, b.*", "b.t, a.id") + " ORDER BY b.t DESC, a.id, b.id LIMIT 5";
        let expected_first = ask(&sqlite, &first);
        for indexed in [false, true] {
            let db = ours(&tables, indexed);
            prop_assert_eq!(sorted(run(&db, &query)), sorted(expected.clone()), "{}", statement);
            prop_assert_eq!(run(&db, &selected), expected_first.clone(), "{}", first);
        }
    }
}

/// The filter with `a.` in front of every column.
fn rename(filter: &Filter) -> Filter {
    let mut text = filter.to_string();
    for column in COLUMNS {
        // Columns stand at the beginning, after a space or a bracket; no text literal has such a word.
        for before in ["(", " "] {
            text = text.replace(
                &format!("{before}{column} "),
                &format!("{before}a.{column} "),
            );
        }
        if text.starts_with(&format!("{column} ")) {
            text = format!("a.{text}");
        }
    }
    Filter::parse(&text).unwrap()
}
