//! Each kind of query takes the way it should, and `explain` says so.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use common::query::{Aggregate, Filter, OrderBy, Plan, Query};
use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::{Database, row};

fn database() -> Database {
    let db = Database::new();
    let cities = db
        .create_collection(
            Schema::build("cities", ["id"])
                .field(Field::new("id", FieldType::Int))
                .field(Field::new("name", FieldType::Text))
                .field(Field::new("country", FieldType::Text).nullable())
                .field(Field::new("population", FieldType::Int).nullable())
                .field(Field::new("area", FieldType::Float).nullable())
                .field(Field::new("mayor", FieldType::Text).nullable())
                .index(IndexSpec::hash(["country"]))
                .index(IndexSpec::ordered(["population"]))
                .index(IndexSpec::ordered(["name"]))
                .index(IndexSpec::ordered(["country", "population"]))
                .finish()
                .unwrap(),
        )
        .unwrap();
    let countries = db
        .create_collection(
            Schema::build("countries", ["code"])
                .field(Field::new("code", FieldType::Text))
                .field(Field::new("continent", FieldType::Text))
                .index(IndexSpec::hash(["continent"]))
                .finish()
                .unwrap(),
        )
        .unwrap();
    for i in 0..1_000 {
        let country = format!("c{}", i % 20);
        cities
            .insert(row! {
                "id": i, "name": format!("city {}", i % 500), "country": country.as_str(),
                "population": (i * 7_919) % 100_000, "area": i % 10,
            })
            .unwrap();
        if i < 20 {
            countries
                .insert(row! { "code": country, "continent": "x" })
                .unwrap();
        }
    }
    db
}

fn plan(query: &Query) -> Plan {
    let db = database();
    let snapshot = db.snapshot();
    let plan = query.explain(&snapshot.view()).unwrap();
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    plan
}

#[track_caller]
fn check(query: &Query, expected: &str) {
    assert_eq!(plan(query).to_string(), expected);
}

fn cities(filter: &str) -> Query {
    Query::from("cities").filter(Filter::parse(filter).unwrap())
}

#[test]
fn the_primary_key_comes_first() {
    check(
        &cities("id == 5 and country == 'c5'"),
        "cities: primary key, 1 key\n  filter: id == 5 and country == 'c5'",
    );
    check(
        &cities("id in (1, 2, 2, 3)"),
        "cities: primary key, 3 keys\n  filter: id in (1, 2, 2, 3)",
    );
    check(
        &cities("id == 1 or id == 2"),
        "cities: primary key, 2 keys\n  filter: id == 1 or id == 2",
    );
}

#[test]
fn equality_uses_an_index() {
    check(
        &cities("country == 'c5'"),
        "cities: index country (country), 1 key, about 50 rows\n  filter: country == 'c5'",
    );
    check(
        &cities("country in ('c5', 'c6')"),
        "cities: index country (country), 2 keys, about 100 rows\n  filter: country in ('c5', 'c6')",
    );
    check(
        &cities("country == 'c5' and population == 39595"),
        "cities: index population (population), 1 key, about 1 row\n  \
         filter: country == 'c5' and population == 39595",
    );
    check(
        &cities("country is null"),
        "cities: index country (country), 1 key, about 0 rows\n  filter: country is null",
    );
}

#[test]
fn ranges_and_prefixes_use_an_ordered_index() {
    check(
        &cities("population between 100 and 2000"),
        "cities: index population, population >= 100 and population <= 2000, ascending, about 19 rows\n  \
         filter: population between 100 and 2000",
    );
    check(
        &cities("name like 'city 12%'"),
        "cities: index name, name >= 'city 12' and name < 'city 13', ascending, about 22 rows\n  \
         filter: name like 'city 12%'",
    );
    check(
        &cities("country == 'c5' and population < 5000"),
        "cities: index country_population, country == 'c5' and population < 5000, ascending, \
         about 1 row\n  filter: country == 'c5' and population < 5000",
    );
}

#[test]
fn what_no_index_narrows_is_scanned() {
    check(
        &cities("area == 5"),
        "cities: scan, about 1000 rows\n  filter: area == 5",
    );
    check(
        &cities("population > 10"),
        "cities: scan, about 1000 rows\n  filter: population > 10",
    );
    check(
        &cities("country == 'c1' or area == 3"),
        "cities: scan, about 1000 rows\n  filter: country == 'c1' or area == 3",
    );
    check(&Query::from("cities"), "cities: scan, about 1000 rows");
    check(
        &cities("population > 5 and population < 4"),
        "cities: nothing, the filter contradicts itself\n  filter: population > 5 and population < 4",
    );
}

#[test]
fn the_first_rows_in_order_come_from_an_index() {
    let by = || OrderBy::descending("population");
    check(
        &Query::from("cities").order_by(by()).limit(10),
        "cities: index population, descending, about 1000 rows\n  in order: population descending",
    );
    check(
        &cities("country == 'c5'").order_by(by()).limit(10),
        "cities: index country_population, country == 'c5', descending, about 50 rows\n  \
         filter: country == 'c5'\n  in order: population descending",
    );
    check(
        &Query::from("cities")
            .order_by(by())
            .order_by(OrderBy::ascending("id"))
            .limit(10),
        "cities: index population, descending, about 1000 rows\n  \
         in order: population descending, id ascending",
    );
    check(
        &Query::from("cities")
            .order_by(OrderBy::ascending("population").nulls_last())
            .limit(10),
        "cities: scan, about 1000 rows\n  keep the first 11: population ascending",
    );
    check(
        &Query::from("cities")
            .order_by(OrderBy::ascending("country"))
            .limit(10),
        "cities: scan, about 1000 rows\n  keep the first 11: country ascending",
    );
    check(
        &Query::from("cities").order_by(by()),
        "cities: index population, descending, about 1000 rows\n  in order: population descending",
    );
    // A long range is not counted to its end when only some of its rows are wanted.
    check(
        &cities("population > 10").order_by(by()).limit(1),
        "cities: index population, population > 10, descending, about 1000 rows\n  \
         filter: population > 10\n  in order: population descending",
    );
    // Rare rows are gathered and sorted rather than met by chance in index order.
    check(
        &cities("name == 'city 7' and area == 7")
            .order_by(by())
            .limit(2),
        "cities: index name (name), 1 key, about 2 rows\n  filter: name == 'city 7' and area == 7\n  \
         keep the first 3: population descending",
    );
}

#[test]
fn joins_use_the_key_or_an_index_of_the_other_table() {
    check(
        &cities("cities.id == 5").join("countries", "country", "code"),
        "cities: primary key, 1 key\n  filter: cities.id == 5\n  join: countries by primary key",
    );
    check(
        &Query::from("countries")
            .filter(Filter::eq("code", "c5"))
            .left_join("cities", "code", "country"),
        "countries: primary key, 1 key\n  filter: code == 'c5'\n  left join: cities by index country",
    );
    check(
        &cities("area > 5").join("countries", "name", "continent"),
        "cities: scan, about 1000 rows\n  filter: area > 5\n  join: countries by index continent",
    );
    check(
        &Query::from("countries")
            .join("cities", "code", "mayor")
            .limit(1),
        "countries: scan, about 20 rows\n  join: cities by hash table",
    );
}

#[test]
fn groups_are_shown() {
    check(
        &cities("country == 'c5'").aggregate(Aggregate::count()),
        "cities: index country (country), 1 key, about 50 rows\n  filter: country == 'c5'\n  group",
    );
}
