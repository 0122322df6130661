//! [`Query`]: what is asked of a database, as data.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use serde::{Deserialize, Serialize};

use super::aggregate::Aggregate;
use super::cursor::Cursor;
use super::filter::{Filter, FilterRegistry};
use super::order::OrderBy;
use super::path::Path;
use super::plan::Plan;
use super::prepare::PreparedQuery;
use super::result::QueryResult;
use crate::core::base::{Record, Text};
use crate::core::database::View;
use crate::error::{Error, Result};
use crate::limits::{COLUMNS_MAX, KEY_COLUMNS_MAX, Limits, QUERY_JOINS_MAX};

/// One column of the result.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Selected {
    /// Where the value is.
    pub path: Path,
    /// Name in the result; the path's text when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text>,
}

impl Selected {
    /// The name in the result.
    pub fn output_name(&self) -> Text {
        match &self.name {
            Some(name) => name.clone(),
            None if self.path.parts.is_empty() => self.path.column.clone(),
            None => Text::from(self.path.to_string()),
        }
    }
}

/// What becomes of rows that find no partner in a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinKind {
    /// They are left out.
    #[default]
    Inner,
    /// They stay, with nulls in the other table's columns.
    Left,
}

/// Another table whose rows stand beside those so far, where all pairs of columns are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// Name of the other table.
    pub table: Text,
    /// Another name for it in this query, needed when the same table stands twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<Text>,
    /// What becomes of rows without a partner.
    #[serde(default)]
    pub kind: JoinKind,
    /// A path in the rows so far, and a column of the other table, for each pair. Null equals nothing.
    pub on: Vec<(Path, Text)>,
}

/// What is asked of a database: rows of a table (or of several joined), filtered, ordered, cut into pages,
/// projected or aggregated. Plain data; it is [prepared](Query::prepare) against a view and run there.
///
/// ```
/// use common::query::{Filter, OrderBy, Query};
/// use common::schema::{Field, FieldType, IndexSpec, Schema};
/// use common::{row, Database};
/// let db = Database::new();
/// let cities = db.create_collection(
///     Schema::build("cities", ["id"])
///         .field(Field::new("id", FieldType::Int))
///         .field(Field::new("name", FieldType::Text))
///         .field(Field::new("country", FieldType::Text))
///         .index(IndexSpec::hash(["country"]))
///         .finish()?,
/// )?;
/// for (id, name, country) in [(1, "Oulu", "FI"), (2, "Turku", "FI"), (3, "Umeå", "SE")] {
///     cities.insert(row! { "id": id, "name": name, "country": country })?;
/// }
/// let query = Query::from("cities")
///     .filter(Filter::eq("country", "FI"))
///     .order_by(OrderBy::descending("name"))
///     .select(["name"]);
/// let result = query.run(&db.snapshot().view())?;
/// let names: Vec<&str> = result.rows.iter().filter_map(|row| row[0].as_text()).collect();
/// assert_eq!(names, ["Turku", "Oulu"]);
/// assert_eq!(
///     result.plan.to_string(),
///     "cities: index country (country), 1 key, about 2 rows\n  filter: country == 'FI'\n  sort: name descending"
/// );
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Name of the table.
    pub from: Text,
    /// Other tables beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<Join>,
    /// Which rows, of all tables together.
    #[serde(default)]
    pub filter: Filter,
    /// Columns of the result; empty for all. Not together with aggregates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub select: Vec<Selected>,
    /// Rows with equal values here become one row of the result. They come first in it, under their text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_by: Vec<Path>,
    /// What is computed of each group, or of all rows when nothing is grouped by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aggregates: Vec<Aggregate>,
    /// Which groups, by the names of the result's columns.
    #[serde(default, skip_serializing_if = "is_true")]
    pub having: Filter,
    /// Order of the rows, ties by primary key; unspecified when empty. With groups, by the names of the
    /// result's columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<OrderBy>,
    /// Most rows in the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Rows left out at the beginning.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offset: usize,
    /// Begins after the last row of an earlier page; needs an order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Cursor>,
}

fn is_true(filter: &Filter) -> bool {
    *filter == Filter::True
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that serde calls"
)]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Query {
    /// All rows of a table.
    pub fn from(table: impl Into<Text>) -> Self {
        Self {
            from: table.into(),
            ..Self::default()
        }
    }

    /// Keeps only rows that also match `filter`.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = self.filter.and(filter);
        self
    }

    /// Puts the columns of `table` beside the rows where `path == table.column`; others are left out.
    #[must_use]
    pub fn join(
        self,
        table: impl Into<Text>,
        path: impl Into<Path>,
        column: impl Into<Text>,
    ) -> Self {
        self.join_with(Join {
            table: table.into(),
            alias: None,
            kind: JoinKind::Inner,
            on: vec![(path.into(), column.into())],
        })
    }

    /// As [`Query::join`], but rows without a partner stay, with nulls.
    #[must_use]
    pub fn left_join(
        self,
        table: impl Into<Text>,
        path: impl Into<Path>,
        column: impl Into<Text>,
    ) -> Self {
        self.join_with(Join {
            table: table.into(),
            alias: None,
            kind: JoinKind::Left,
            on: vec![(path.into(), column.into())],
        })
    }

    /// Adds a join with all its options.
    #[must_use]
    pub fn join_with(mut self, join: Join) -> Self {
        self.joins.push(join);
        self
    }

    /// Adds columns to the result, which has all columns otherwise.
    #[must_use]
    pub fn select<P: Into<Path>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.select.extend(paths.into_iter().map(|path| Selected {
            path: path.into(),
            name: None,
        }));
        self
    }

    /// Adds a column to the result under a name.
    #[must_use]
    pub fn select_as(mut self, path: impl Into<Path>, name: impl Into<Text>) -> Self {
        self.select.push(Selected {
            path: path.into(),
            name: Some(name.into()),
        });
        self
    }

    /// Makes one row of all rows with equal values at these paths.
    #[must_use]
    pub fn group_by<P: Into<Path>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.group_by.extend(paths.into_iter().map(Into::into));
        self
    }

    /// Adds an aggregate.
    #[must_use]
    pub fn aggregate(mut self, aggregate: Aggregate) -> Self {
        self.aggregates.push(aggregate);
        self
    }

    /// Keeps only groups that match; paths are names of the result's columns.
    #[must_use]
    pub fn having(mut self, filter: Filter) -> Self {
        self.having = self.having.and(filter);
        self
    }

    /// Adds to the order.
    #[must_use]
    pub fn order_by(mut self, order: OrderBy) -> Self {
        self.order.push(order);
        self
    }

    /// At most this many rows.
    #[must_use]
    pub fn limit(mut self, rows: usize) -> Self {
        self.limit = Some(rows);
        self
    }

    /// Leaves out this many rows at the beginning. Costs time for each; [`Query::after`] does not.
    #[must_use]
    pub fn offset(mut self, rows: usize) -> Self {
        self.offset = rows;
        self
    }

    /// Begins after the last row of an earlier page.
    #[must_use]
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// Decodes the JSON form and checks it against the limits.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when the bytes are no query, [`crate::ErrorKind::LimitExceeded`] beyond a limit.
    pub fn from_json(json: &[u8], limits: &Limits) -> Result<Self> {
        limits.check_total(json.len())?;
        let query: Self = serde_json::from_slice(json)
            .map_err(|error| Error::invalid(format!("not a query: {error}")).caused_by(error))?;
        query.check()?;
        Ok(query)
    }

    /// Checks the query's size; preparing does it too.
    ///
    /// # Errors
    /// [`crate::ErrorKind::LimitExceeded`].
    pub fn check(&self) -> Result<()> {
        self.filter.check()?;
        self.having.check()?;
        for (what, found, limit) in [
            ("joins", self.joins.len(), QUERY_JOINS_MAX),
            ("selected columns", self.select.len(), COLUMNS_MAX),
            ("aggregates", self.aggregates.len(), COLUMNS_MAX),
            ("grouping columns", self.group_by.len(), KEY_COLUMNS_MAX),
            ("ordering columns", self.order.len(), KEY_COLUMNS_MAX),
        ] {
            if found > limit {
                return Err(Error::limit_exceeded(format!(
                    "a query has at most {limit} {what}, this one has {found}"
                )));
            }
        }
        for join in &self.joins {
            if join.on.len() > KEY_COLUMNS_MAX {
                return Err(Error::limit_exceeded(format!(
                    "a join has at most {KEY_COLUMNS_MAX} pairs of columns, this one {}",
                    join.on.len()
                )));
            }
        }
        Ok(())
    }

    /// Whether the result's rows are records as stored: one table, all columns, no groups.
    pub fn gives_records(&self) -> bool {
        self.joins.is_empty() && self.select.is_empty() && !self.is_grouped()
    }

    /// Whether the result's rows are groups.
    pub fn is_grouped(&self) -> bool {
        !self.aggregates.is_empty() || !self.group_by.is_empty()
    }

    /// Finds tables and columns and compiles the filter, to run the query many times.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for unknown tables and columns, with those there are;
    /// [`crate::ErrorKind::Invalid`] for what does not fit together; [`crate::ErrorKind::LimitExceeded`].
    pub fn prepare(&self, view: &View<'_>) -> Result<PreparedQuery> {
        self.prepare_with(view, &FilterRegistry::default())
    }

    /// As [`Query::prepare`], with the application's conditions.
    ///
    /// # Errors
    /// As [`Query::prepare`].
    pub fn prepare_with(
        &self,
        view: &View<'_>,
        registry: &FilterRegistry,
    ) -> Result<PreparedQuery> {
        PreparedQuery::new(self, view, registry)
    }

    /// Runs the query.
    ///
    /// # Errors
    /// As [`Query::prepare`]; [`crate::ErrorKind::LimitExceeded`] when an integer sum overflows.
    pub fn run(&self, view: &View<'_>) -> Result<QueryResult> {
        self.prepare(view)?.run(view)
    }

    /// Runs a query whose rows are records as stored and returns just these, without copying them.
    ///
    /// # Errors
    /// As [`Query::run`]; [`crate::ErrorKind::Invalid`] for a query with joins, selected columns or groups.
    pub fn records(&self, view: &View<'_>) -> Result<Vec<Record>> {
        self.prepare(view)?.records(view)
    }

    /// How the query would be run.
    ///
    /// # Errors
    /// As [`Query::prepare`].
    pub fn explain(&self, view: &View<'_>) -> Result<Plan> {
        self.prepare(view)?.explain(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::limits::FILTER_NODES_MAX;

    #[test]
    fn json_form_is_stable() {
        let query = Query::from("a")
            .filter(Filter::eq("x", 1))
            .left_join("b", "x", "id")
            .group_by(["x"])
            .aggregate(Aggregate::sum("y").named("s"))
            .having(Filter::gt("s", 0))
            .order_by(OrderBy::descending("s").nulls_last())
            .limit(10)
            .offset(2);
        let json = serde_json::to_string(&query).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"from":"a","joins":[{"table":"b","kind":"left","on":[["x","id"]]}],"#,
                r#""filter":{"compare":{"path":"x","op":"eq","value":1}},"group_by":["x"],"#,
                r#""aggregates":[{"function":"sum","path":"y","name":"s"}],"#,
                r#""having":{"compare":{"path":"s","op":"gt","value":0}},"#,
                r#""order":[{"path":"s","direction":"descending","nulls":"last"}],"limit":10,"offset":2}"#
            )
        );
        let limits = Limits::default();
        assert_eq!(Query::from_json(json.as_bytes(), &limits).unwrap(), query);
        let least = Query::from_json(br#"{"from":"a"}"#, &limits).unwrap();
        assert_eq!(least, Query::from("a"));
        let error = Query::from_json(br#"{"from":"a","limits":1}"#, &limits).unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::Invalid,
            "a misspelt part is no part"
        );
    }

    #[test]
    fn limits_hold_at_the_limit_and_fail_one_past_it() {
        let fits = |query: &Query| match query.check() {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::LimitExceeded);
                false
            }
        };
        let check = |limit: usize, make: &dyn Fn(usize) -> Query| {
            assert!(fits(&make(limit)));
            assert!(!fits(&make(limit + 1)));
        };
        let all = || Query::from("a");
        check(QUERY_JOINS_MAX, &|n| {
            (0..n).fold(all(), |q, _| q.join("b", "x", "id"))
        });
        check(COLUMNS_MAX, &|n| all().select(vec!["x"; n]));
        check(KEY_COLUMNS_MAX, &|n| all().group_by(vec!["x"; n]));
        check(KEY_COLUMNS_MAX, &|n| {
            (0..n).fold(all(), |q, _| q.order_by(OrderBy::ascending("x")))
        });
        check(FILTER_NODES_MAX, &|n| {
            all().filter(Filter::Or(vec![Filter::True; n - 1]))
        });
        check(KEY_COLUMNS_MAX, &|n| {
            all().join_with(Join {
                table: "b".into(),
                alias: None,
                kind: JoinKind::Inner,
                on: vec![("x".into(), "id".into()); n],
            })
        });
    }
}
