//! `tandem query`: exact output, plans that use indexes, wrong questions.

use crate::support::Place;

const CITIES: &str = "id,name,country,population,founded\n\
    1,Oulu,FI,214633,1605-02-01\n\
    2,Turku,FI,201863,\n\
    3,\"Umeå\",SE,91916,1588-01-01\n\
    4,Tartu,EE,97759,1030-01-01\n";
const COUNTRIES: &str = "code,name\nFI,Finland\nSE,Sweden\n";

fn place() -> Place {
    let place = Place::with("cities.csv", CITIES);
    place.write("countries.csv", COUNTRIES);
    place.ok("import cities.csv --index country --index population");
    place.ok("import countries.csv");
    place
}

fn ok(place: &Place, arguments: &[&str]) -> String {
    let ran = place.run_with(arguments);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}");
    ran.out
}

#[test]
fn a_table_for_people() {
    let out = ok(
        &place(),
        &["query", "cities", "--order", "-population", "--limit", "3"],
    );
    assert_eq!(
        out,
        "id  name   country  population  founded\n\
         --  -----  -------  ----------  ----------\n \
          1  Oulu   FI           214633  1605-02-01\n \
          2  Turku  FI           201863  null\n \
          4  Tartu  EE            97759  1030-01-01\n\
         (3 rows)\n"
    );
}

#[test]
fn json_and_csv_for_programs() {
    let place = place();
    let question = [
        "query",
        "cities",
        "--where",
        "population < 100000",
        "--order",
        "name",
        "--select",
        "name,founded",
    ];
    let out = ok(&place, &[&question[..], &["--json"]].concat());
    assert_eq!(
        out,
        "[\n  {\"name\": \"Tartu\", \"founded\": \"1030-01-01\"},\n  {\"name\": \"Umeå\", \"founded\": \"1588-01-01\"}\n]\n"
    );
    let out = ok(&place, &[&question[..], &["--format", "csv"]].concat());
    assert_eq!(out, "name,founded\nTartu,1030-01-01\nUmeå,1588-01-01\n");
    let out = ok(&place, &["query", "cities", "--where", "id == 9", "--json"]);
    assert_eq!(out, "[]\n");
}

#[test]
fn groups_aggregates_and_names() {
    let out = ok(
        &place(),
        &[
            "query",
            "cities",
            "--group-by",
            "country",
            "--aggregate",
            "count, sum(population) as people, count(founded)",
            "--having",
            "people > 95000",
            "--order",
            "-people",
            "--format",
            "csv",
        ],
    );
    assert_eq!(
        out,
        "country,count,people,count(founded)\nFI,2,416496,1\nEE,1,97759,1\n"
    );
}

#[test]
fn joins_across_tables_and_files() {
    let place = place();
    let question = [
        "--join",
        "left countries on country = code",
        "--select",
        "cities.name as city,countries.name as land",
        "--order",
        "id",
        "--format",
        "csv",
    ];
    let expected = "city,land\nOulu,Finland\nTurku,Finland\nUmeå,Sweden\nTartu,\n";
    assert_eq!(
        ok(&place, &[&["query", "cities"], &question[..]].concat()),
        expected
    );
    let files = ["query", "cities.csv", "--file", "countries.csv"];
    assert_eq!(ok(&place, &[&files[..], &question[..]].concat()), expected);
}

#[test]
fn explain_shows_the_index_and_what_was_read() {
    let place = place();
    let out = ok(
        &place,
        &["query", "cities", "--where", "country == 'FI'", "--explain"],
    );
    assert!(
        out.starts_with("cities: index country (country), 1 key, about 2 rows\n"),
        "{out}"
    );
    assert!(out.contains("\n2 read, 2 in the result, "), "{out}");
    let out = ok(
        &place,
        &[
            "query",
            "cities",
            "--where",
            "name like 'T%'",
            "--explain",
            "--json",
        ],
    );
    let explained: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(explained["plan"]["access"], "scan");
    assert_eq!(explained["read"], 4);
    assert_eq!(explained["returned"], 2);
}

#[test]
fn a_file_is_asked_without_a_database() {
    let place = Place::with("scores.csv", "n,score\n1,5\n1,x\n2,7\n");
    let out = ok(&place, &["query", "scores.csv", "--format", "csv"]);
    // One odd cell makes the column text, and no column can be the key.
    assert_eq!(out, "row,n,score\n1,1,5\n2,1,x\n3,2,7\n");
    assert!(!place.path("tandem.tdb").exists());
    place.write("bad.csv", "n,score\n1\n");
    let ran = place.run("query bad.csv");
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.err,
        "error: bad.csv, line 2: the row has 1 field, the first line has 2 fields (1 such rows in all); add the \
         missing fields, empty ones for values that are not known\n"
    );
}

#[test]
fn wrong_questions_say_what_is_wrong() {
    let place = place();
    let refused = |arguments: &[&str], code: i32, message: &str| {
        let ran = place.run_with(&[&["query"], arguments].concat());
        assert_eq!((ran.code, ran.out.as_str()), (code, ""));
        assert!(ran.err.starts_with(message), "{}", ran.err);
    };
    refused(
        &["towns"],
        1,
        "error: there is no table `towns`; the tables are [cities, countries]",
    );
    refused(
        &[],
        1,
        "error: name the table to ask; the tables are [cities, countries]",
    );
    refused(
        &["cities", "--where", "population >"],
        1,
        "error: --where: line 1, column 13: ",
    );
    refused(&["cities", "--where", "size == 1"], 1, "error: ");
    refused(&["cities", "--select", "size"], 1, "error: ");
    refused(&["cities", "--order", "-size"], 1, "error: ");
    refused(
        &["cities", "--aggregate", "median(population)"],
        1,
        "error: --aggregate: `median(population)` is no aggregate;",
    );
    refused(
        &["cities", "--join", "countries"],
        1,
        "error: --join: `countries` is no join;",
    );
    refused(
        &["cities", "--db", "nope.tdb"],
        3,
        "error: nope.tdb: there is no such database file; check the path",
    );
    refused(
        &["nope.csv"],
        3,
        "error: nope.csv: there is no such file; check the path",
    );
    refused(
        &["cities", "--format", "xml"],
        2,
        "error: invalid value 'xml'",
    );
}

#[test]
fn control_characters_of_the_data_do_not_reach_the_terminal() {
    let place = Place::with("e.csv", "id,text\n1,\"\u{1b}[31mred\nline\"\n");
    let out = ok(&place, &["query", "e.csv"]);
    assert!(out.contains("1  \u{fffd}[31mred\u{fffd}line\n"), "{out:?}");
}
