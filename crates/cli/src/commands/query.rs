//! `tandem query`: rows that answer a question.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use common::query::{self as ask, Aggregate, Filter, Join, JoinKind, OrderBy, Selected};
use common::{Database, Error, Result, Text};
use serde::Serialize;

use super::query_text::{parts, words};
use crate::commands::import::delimiter;
use crate::show::{self, Format};
use crate::source::load;
use crate::terminal::{Paint, is_coloured, output};
use ::import::{Options, is_readable, stem};

/// Ask a table of a database file, or a CSV, JSON lines, Parquet or Arrow file itself
///
/// Nothing is written. Conditions are written as in `country == 'FI' and population between 10000 and 50000`;
/// also `in (..)`, `like 'O%'`, `is null`, `contains`, `starts with`, `not`, `or` and parentheses.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem query cities --where \"country == 'FI'\" --order -population --limit 10\n  \
    tandem query cities.csv --select name,population --where \"name like 'Spring%'\" --format csv\n  \
    tandem query cities --group-by country --aggregate 'count, sum(population) as people' --order -people\n  \
    tandem query cities --join 'countries on country = code' --select cities.name,countries.name\n  \
    tandem query cities.csv --file countries.csv --join 'countries on country = code'\n  \
    tandem query cities --where 'id == 643492' --explain")]
pub(crate) struct Query {
    /// Table to ask; or a file, whose table has the file's name. May be left out if there is one table only
    #[arg(value_name = "TABLE|FILE")]
    from: Option<String>,
    /// Database file
    #[arg(long, default_value = "tandem.tdb")]
    db: PathBuf,
    /// Further files to ask, each as a table of its name
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Which rows
    #[arg(long = "where", short = 'w', value_name = "CONDITION")]
    filter: Option<String>,
    /// Columns of the result; all if not given
    #[arg(long, short, value_name = "COLUMN [as NAME],..")]
    select: Option<String>,
    /// Order of the result; `-` in front of a column for the greatest first
    #[arg(long, short, value_name = "COLUMN,..", allow_hyphen_values = true)]
    order: Option<String>,
    /// Most rows of the result
    #[arg(long, short)]
    limit: Option<usize>,
    /// Rows left out at the beginning
    #[arg(long, default_value_t = 0)]
    offset: usize,
    /// Rows with equal values here become one row
    #[arg(long, short, value_name = "COLUMN,..")]
    group_by: Option<String>,
    /// What is computed of each group: count, count(x), count(distinct x), sum(x), min(x), max(x), avg(x)
    #[arg(long, short, value_name = "FUNCTION [as NAME],..")]
    aggregate: Option<String>,
    /// Which groups
    #[arg(long, value_name = "CONDITION")]
    having: Option<String>,
    /// Another table beside it: `TABLE [as NAME] on COLUMN = COLUMN [and ..]`; `left` in front keeps rows without
    /// a partner
    #[arg(long = "join", short, value_name = "JOIN")]
    joins: Vec<String>,
    /// Show how the question is answered, and how long it takes, instead of the rows
    #[arg(long)]
    explain: bool,
    /// How rows are written
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Short for --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Character between the fields of a CSV file; found out if not given
    #[arg(long, value_parser = delimiter)]
    delimiter: Option<u8>,
    /// The first line of a CSV file is a row already; columns are named c1, c2, ..
    #[arg(long)]
    no_header: bool,
}

/// What `--explain --json` prints.
#[derive(Serialize)]
struct Explained<'a> {
    plan: &'a ask::Plan,
    read: usize,
    returned: usize,
    seconds: f64,
}

impl Query {
    pub(crate) fn run(self) -> Result<()> {
        let (database, table) = self.open()?;
        let query = self.query(table)?;
        let snapshot = database.snapshot();
        let start = Instant::now();
        let result = query.run(&snapshot.view())?;
        let seconds = start.elapsed().as_secs_f64();
        let format = if self.json { Format::Json } else { self.format };
        let mut out = std::io::BufWriter::new(output());
        if !self.explain {
            let paint = Paint(is_coloured());
            show::rows(&mut out, format, &result.columns, &result.rows, paint)?;
        } else if format == Format::Json {
            let explained = Explained {
                plan: &result.plan,
                read: result.scanned,
                returned: result.returned,
                seconds,
            };
            let text = serde_json::to_string_pretty(&explained)
                .map_err(|error| Error::invalid(error.to_string()))?;
            writeln!(out, "{text}")?;
        } else {
            writeln!(out, "{}", result.plan)?;
            writeln!(
                out,
                "{} read, {} in the result, {:.3} ms",
                result.scanned,
                result.returned,
                seconds * 1_000.0
            )?;
        }
        out.flush()?;
        Ok(())
    }

    /// The database to ask and the table meant.
    fn open(&self) -> Result<(Database, Text)> {
        let file = self
            .from
            .as_deref()
            .filter(|from| is_readable(Path::new(from)));
        let database = match file {
            Some(_) => Database::new(),
            None => durable::open(&self.db).map_err(|error| {
                if self.db.exists() {
                    return error;
                }
                let remedy = "create one with `tandem import FILE`, name one with --db, or ask a file itself \
                              with `tandem query FILE.csv`";
                Error::new(error.kind(), format!("{error}; {remedy}"))
            })?,
        };
        for path in file
            .map(Path::new)
            .into_iter()
            .chain(self.files.iter().map(PathBuf::as_path))
        {
            self.read(path, &database)?;
        }
        let table = match (file, &self.from) {
            (Some(file), _) => stem(Path::new(file)).into(),
            (None, Some(table)) => table.as_str().into(),
            (None, None) => only_table(&database)?,
        };
        Ok((database, table))
    }

    /// A file as a table of its name.
    fn read(&self, path: &Path, database: &Database) -> Result<()> {
        let options = Options {
            table: stem(path),
            number_rows: true,
            lenient: true,
            delimiter: self.delimiter,
            no_header: self.no_header,
            ..Options::default()
        };
        let loaded = load(path, &options)?;
        if let Some(refusal) = loaded.refusals.first() {
            let remedy = refusal.remedy.as_deref().unwrap_or("correct the row");
            return Err(Error::invalid(format!(
                "{}, {refusal} ({} such rows in all); {remedy}",
                path.display(),
                loaded.refused
            )));
        }
        let collection = database
            .create_collection(loaded.schema)
            .map_err(|error| error.at(path.display()))?;
        database.transaction(|transaction| {
            for (_, values) in loaded.rows {
                transaction.insert_values(&collection, values)?;
            }
            Ok(())
        })
    }

    fn query(&self, table: Text) -> Result<ask::Query> {
        let mut query = ask::Query::from(table);
        for join in &self.joins {
            query = query.join_with(parse_join(join).map_err(|e| e.at("--join"))?);
        }
        if let Some(filter) = &self.filter {
            query = query.filter(Filter::parse(filter).map_err(|e| e.at("--where"))?);
        }
        if let Some(select) = &self.select {
            query.select = list(select, parse_selected).map_err(|e| e.at("--select"))?;
        }
        if let Some(group) = &self.group_by {
            query.group_by = list(group, ask::Path::parse).map_err(|e| e.at("--group-by"))?;
        }
        if let Some(aggregate) = &self.aggregate {
            query.aggregates = list(aggregate, parse_aggregate).map_err(|e| e.at("--aggregate"))?;
        }
        if let Some(having) = &self.having {
            query = query.having(Filter::parse(having).map_err(|e| e.at("--having"))?);
        }
        if let Some(order) = &self.order {
            // The columns of a grouped result are known by name, as in `count(name)`; others are paths.
            let grouped = query.is_grouped();
            query.order =
                list(order, |text| parse_order(text, grouped)).map_err(|e| e.at("--order"))?;
        }
        query.limit = self.limit;
        query.offset = self.offset;
        Ok(query)
    }
}

fn only_table(database: &Database) -> Result<Text> {
    let collections = database.collections();
    match collections.as_slice() {
        [only] => Ok(only.name().into()),
        all => {
            let names: Vec<&str> = all.iter().map(common::Collection::name).collect();
            Err(Error::invalid(format!(
                "name the table to ask; the tables are [{}]",
                names.join(", ")
            )))
        }
    }
}

fn list<T>(text: &str, parse: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    parts(text).into_iter().map(parse).collect()
}

fn parse_selected(text: &str) -> Result<Selected> {
    let (path, name) = with_name(text)?;
    Ok(Selected {
        path: ask::Path::parse(path)?,
        name,
    })
}

/// Splits `something as name`.
fn with_name(text: &str) -> Result<(&str, Option<Text>)> {
    match words(text).as_slice() {
        [.., as_word, name] if as_word.1.eq_ignore_ascii_case("as") => {
            let before = text.get(..as_word.0).unwrap_or_default().trim();
            let name = ask::Path::parse(name.1)?;
            Ok((before, Some(name.column)))
        }
        _ => Ok((text, None)),
    }
}

fn parse_order(text: &str, by_name: bool) -> Result<OrderBy> {
    let (text, descending) = match text.strip_prefix('-') {
        Some(rest) => (rest.trim(), true),
        None => match words(text).as_slice() {
            [.., last] if last.1.eq_ignore_ascii_case("desc") => {
                (text.get(..last.0).unwrap_or_default().trim(), true)
            }
            [_, .., last] if last.1.eq_ignore_ascii_case("asc") => {
                (text.get(..last.0).unwrap_or_default().trim(), false)
            }
            _ => (text, false),
        },
    };
    let path = match ask::Path::parse(text) {
        Err(_) if by_name && text.contains('(') => ask::Path::column(text),
        path => path?,
    };
    Ok(if descending {
        OrderBy::descending(path)
    } else {
        OrderBy::ascending(path)
    })
}

fn parse_aggregate(text: &str) -> Result<Aggregate> {
    let (call, name) = with_name(text)?;
    let wrong = || {
        Error::invalid(format!(
            "`{call}` is no aggregate; expected count, count(x), count(distinct x), sum(x), min(x), max(x) or \
             avg(x)"
        ))
    };
    let aggregate = match call.split_once('(') {
        None if call.eq_ignore_ascii_case("count") => Aggregate::count(),
        None => return Err(wrong()),
        Some((function, rest)) => {
            let inner = rest.trim_end().strip_suffix(')').ok_or_else(wrong)?.trim();
            let distinct = words(inner)
                .first()
                .filter(|word| word.1.eq_ignore_ascii_case("distinct"))
                .and_then(|word| inner.get(word.1.len()..))
                .map(str::trim)
                .filter(|rest| !rest.is_empty());
            let path = |text: &str| ask::Path::parse(text);
            match (function.trim().to_lowercase().as_str(), distinct) {
                ("count", _) if matches!(inner, "" | "*") => Aggregate::count(),
                ("count", Some(column)) => Aggregate::count_distinct(path(column)?),
                ("count_distinct", None) => Aggregate::count_distinct(path(inner)?),
                ("count", None) => Aggregate::count_of(path(inner)?),
                ("sum", None) => Aggregate::sum(path(inner)?),
                ("min", None) => Aggregate::min(path(inner)?),
                ("max", None) => Aggregate::max(path(inner)?),
                ("avg" | "mean", None) => Aggregate::avg(path(inner)?),
                _ => return Err(wrong()),
            }
        }
    };
    Ok(match name {
        Some(name) => aggregate.named(name),
        None => aggregate,
    })
}

fn parse_join(text: &str) -> Result<Join> {
    let wrong = || {
        Error::invalid(format!(
            "`{text}` is no join; expected `[left] TABLE [as NAME] on COLUMN = COLUMN [and ..]`, such as \
             `countries on country = code`"
        ))
    };
    let all = words(text);
    let is = |word: &(usize, &str), expected: &str| word.1.eq_ignore_ascii_case(expected);
    let (kind, rest) = match all.as_slice() {
        [first, rest @ ..] if is(first, "left") && rest.len() > 1 => (JoinKind::Left, rest),
        rest => (JoinKind::Inner, rest),
    };
    let (table, alias, conditions) = match rest {
        [table, on, first, ..] if is(on, "on") => (table, None, first.0),
        [table, as_word, alias, on, first, ..] if is(as_word, "as") && is(on, "on") => {
            (table, Some(ask::Path::parse(alias.1)?.column), first.0)
        }
        _ => return Err(wrong()),
    };
    let name = ask::Path::parse(table.1)?.column;
    let conditions = text.get(conditions..).unwrap_or_default();
    let mut pairs: Vec<String> = vec![String::new()];
    for (_, word) in words(conditions) {
        if word.eq_ignore_ascii_case("and") {
            pairs.push(String::new());
        } else if let Some(last) = pairs.last_mut() {
            last.push_str(word);
        }
    }
    let visible = alias.clone().unwrap_or_else(|| name.clone());
    let on = pairs.iter().map(|pair| {
        let (left, right) = pair.split_once('=').ok_or_else(wrong)?;
        let right = right.strip_prefix('=').unwrap_or(right);
        let (left, right) = (
            ask::Path::parse(left.trim())?,
            ask::Path::parse(right.trim())?,
        );
        // Either side may name the other table: `countries.code = country` means the same.
        let of_other = |path: &ask::Path| match path.parts.as_slice() {
            [ask::Part::Key(column)] if path.column == visible => Some(column.clone()),
            _ => None,
        };
        Ok(match (of_other(&left), of_other(&right)) {
            (_, Some(column)) => (left, column),
            (Some(column), None) => (right, column),
            (None, None) => (left, right.column),
        })
    });
    let on = on.collect::<Result<Vec<_>>>()?;
    Ok(Join {
        table: name,
        alias,
        kind,
        on,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_are_read_in_every_spelling() {
        let read = |text: &str| parse_aggregate(text).map(|a| (a.function, a.name.to_string()));
        assert_eq!(
            read("count").unwrap(),
            (ask::AggregateFunction::Count, "count".into())
        );
        assert_eq!(read("COUNT(*)").unwrap().1, "count");
        assert_eq!(
            read("count(distinct name) as n").unwrap(),
            (ask::AggregateFunction::CountDistinct, "n".into())
        );
        assert_eq!(read("count(distinct)").unwrap().1, "count(distinct)");
        assert_eq!(read("sum( population )").unwrap().1, "sum(population)");
        for wrong in ["sum", "sum(", "median(x)", "sum(distinct x)", ""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn joins_are_read_from_either_side() {
        let join = parse_join("left countries as c on country == c.code and `a b`=x").unwrap();
        assert_eq!(
            (join.table.as_str(), join.alias.as_deref(), join.kind),
            ("countries", Some("c"), JoinKind::Left)
        );
        let on: Vec<String> = join
            .on
            .iter()
            .map(|(path, column)| format!("{path}={column}"))
            .collect();
        assert_eq!(on, ["country=code", "`a b`=x"]);
        let join = parse_join("countries on countries.code = country").unwrap();
        assert_eq!(join.on, [(ask::Path::column("country"), "code".into())]);
        for wrong in [
            "",
            "countries",
            "countries on",
            "countries on a",
            "left on a = b c",
        ] {
            assert!(parse_join(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn orders_are_read_in_every_spelling() {
        for text in [
            "-population",
            "- population",
            "population desc",
            "population DESC",
        ] {
            assert_eq!(
                parse_order(text, false).unwrap(),
                OrderBy::descending("population")
            );
        }
        assert_eq!(
            parse_order("population asc", false).unwrap(),
            OrderBy::ascending("population")
        );
        assert_eq!(
            parse_order("-sum(x)", true).unwrap(),
            OrderBy::descending(ask::Path::column("sum(x)"))
        );
        assert!(parse_order("sum(x)", false).is_err());
    }
}
