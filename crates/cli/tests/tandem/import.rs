//! `tandem import`: types are found out, wrong input is named and changes nothing.

use crate::support::{Place, Ran};

const GOOD: &str =
    "id,name,opened,share,open\n1,Oulu,2026-11-22,0.5,true\n2,Turku,2026-11-23,1,false\n";

/// A folder with a database that has the table `places` of two rows.
fn place_with_database() -> (Place, Vec<u8>) {
    let place = Place::with("places.csv", GOOD);
    place.ok("import places.csv --table places");
    let database = place.read("tandem.tdb");
    (place, database)
}

/// Imports `content` beside an existing database and expects this refusal, exit code and the same database.
fn refused(content: &str, arguments: &str, code: i32, message: &str) {
    let (place, before) = place_with_database();
    place.write("new.csv", content);
    let Ran {
        code: found,
        out,
        err,
    } = place.run(&format!("import new.csv {arguments}"));
    assert_eq!(err, message);
    assert_eq!((found, out.as_str()), (code, ""));
    assert_eq!(
        place.read("tandem.tdb"),
        before,
        "the database file changed"
    );
}

#[test]
fn types_are_found_out_and_printed() {
    let place = Place::with("places.csv", GOOD);
    let out = place.ok("import places.csv --table places --db my.tdb");
    assert_eq!(
        out,
        "new table places\n  \
           id                       int, key\n  \
           name                     text\n  \
           opened                   date\n  \
           share                    float\n  \
           open                     bool\n\
         2 rows imported; places now has 2 (410 bytes in my.tdb)\n"
            .replace("410", &place.read("my.tdb").len().to_string())
    );
}

#[test]
fn a_second_file_is_added_to_the_table() {
    let (place, _) = place_with_database();
    place.write(
        "more.csv",
        "name,id,share,open,opened\nEspoo,3,2,no,2020-01-01\n",
    );
    let out = place.ok("import more.csv --table places --json");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["created"], false);
    assert_eq!(report["imported"], 1);
    assert_eq!(report["rows"], 3);
    assert_eq!(report["schema"]["fields"][0]["name"], "id");
}

#[test]
fn json_lines_keep_lists_and_the_order_of_columns() {
    let place = Place::with(
        "e.jsonl",
        "{\"z\":1,\"a\":[1,2.5]}\n\n{\"z\":2,\"at\":\"2026-11-22T08:00:00Z\"}\n",
    );
    let out = place.ok("import e.jsonl");
    assert!(
        out.starts_with(
            "new table e\n  \
               z                        int, key\n  \
               a                        list of float, may be empty\n  \
               at                       timestamp, may be empty\n\
             2 rows imported"
        ),
        "{out}"
    );
}

#[test]
fn packed_files_and_files_without_a_header_are_read() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata");
    let place = Place::new();
    let out = place.ok(&format!("import {data}/countries.csv.gz"));
    assert!(out.contains("252 rows imported"), "{out}");
    assert!(
        out.contains("  code                     text, key\n"),
        "NA is a country: {out}"
    );
    let out = place.ok(&format!(
        "import {data}/digits.csv.gz --no-header --number-rows --json"
    ));
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["imported"], 1_797);
    assert_eq!(report["schema"]["fields"].as_array().unwrap().len(), 66);
    assert_eq!(report["schema"]["fields"][0]["name"], "row");
}

#[test]
fn parquet_files_keep_their_types() {
    use common::schema::{Field, FieldType, Schema};
    use common::serialization::Format;
    use common::{Date, Metadata, Record, Value};
    let schema = Schema::build("any", ["code"])
        .field(Field::new("n", FieldType::Int).nullable())
        .field(Field::new("code", FieldType::Text))
        .field(Field::new("day", FieldType::Date))
        .finish()
        .unwrap();
    let record = |code: &str, n: Option<i64>| {
        let values = vec![Value::from(code), Value::from(n), Value::Date(Date(20_779))];
        Record::new(Metadata::default(), 1, values)
    };
    let mut bytes = Vec::new();
    let rows = [record("01", Some(7)), record("02", None)];
    Format::Parquet
        .encode_rows(&schema, &rows, &mut bytes)
        .unwrap();
    let place = Place::with("rows.parquet", &bytes);
    let out = place.ok("import rows.parquet --table t");
    assert!(
        out.starts_with(
            "new table t\n  \
               code                     text, key\n  \
               n                        int, may be empty\n  \
               day                      date\n\
             2 rows imported"
        ),
        "{out}"
    );
    assert_eq!(
        place.ok("query rows.parquet --order code --format csv"),
        "code,n,day\n01,7,2026-11-22\n02,,2026-11-22\n"
    );
    // Against a table that exists, types and columns are checked as for any other file.
    let ran = place.run("import rows.parquet --table t");
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .contains("column `code`: key 01 is in table `t` already"),
        "{}",
        ran.err
    );
    let before = place.read("tandem.tdb");
    bytes.truncate(bytes.len() / 2);
    place.write("rows.parquet", &bytes);
    let ran = place.run("import rows.parquet --table u");
    assert_eq!(ran.code, 4);
    assert!(ran.err.starts_with("error: rows.parquet: "), "{}", ran.err);
    assert_eq!(place.read("tandem.tdb"), before);
}

#[test]
fn a_missing_file_is_named_and_nothing_is_created() {
    let place = Place::new();
    let ran = place.run("import nope.csv --table t");
    assert_eq!(ran.code, 3);
    assert_eq!(
        ran.err,
        "error: nope.csv: there is no such file; check the path (No such file or directory (os error 2))\n"
    );
    assert_eq!(std::fs::read_dir(place.path(".")).unwrap().count(), 0);
}

#[test]
fn an_unknown_kind_of_file_is_refused() {
    let place = Place::with("data.xlsx", "x");
    let ran = place.run("import data.xlsx");
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .starts_with("error: data.xlsx: unknown kind of file; files that can be read end in")
    );
    assert!(!place.path("tandem.tdb").exists());
}

#[test]
fn a_row_with_too_few_or_too_many_fields_is_named() {
    refused(
        "id,name\n1,Oulu\n2\n",
        "--table t",
        1,
        "error: new.csv, line 3: the row has 1 field, the first line has 2 fields\n\
         remedy: add the missing fields, empty ones for values that are not known\n\
         nothing was imported; tandem.tdb is as it was\n",
    );
    refused(
        "id,name\n1,Oulu, Finland\n",
        "--table t",
        1,
        "error: new.csv, line 2: the row has 3 fields, the first line has 2 fields\n\
         remedy: put text that contains the delimiter in quotes\n\
         nothing was imported; tandem.tdb is as it was\n",
    );
}

#[test]
fn a_quote_that_is_never_closed_is_named() {
    refused(
        "id,name\n1,\"Oulu\n2,Turku\n",
        "--table t",
        1,
        "error: new.csv, line 2: a quote (\") is opened and never closed\n\
         remedy: close it, or double it if it is part of the text\n\
         nothing was imported; tandem.tdb is as it was\n",
    );
}

#[test]
fn a_cell_of_another_type_than_the_rest_is_named() {
    refused(
        "id,n\n1,10\n2,abc\n3,30\n",
        "--table t",
        1,
        "error: new.csv, line 3, column `n`: expected int, found \"abc\": it is not a number in digits \
         (2 of the column's 3 cells are int)\n\
         remedy: correct the cell; or give --null with its text to read it as empty, --text n to keep the \
         whole column as text, or --on-error skip to leave the row out\n\
         nothing was imported; tandem.tdb is as it was\n",
    );
}

#[test]
fn a_cell_of_another_type_than_the_table_is_named() {
    refused(
        "id,name,opened,share,open\n3,Espoo,yesterday,0.5,true\n4,Lahti,2026-11-22,1,perhaps\n",
        "--table places",
        1,
        "error: new.csv, line 2, column `opened`: expected date: \"yesterday\" is not a day such as 2026-11-22\n  \
         new.csv, line 3, column `open`: expected bool, found \"perhaps\": expected true/false, t/f, yes/no, \
         y/n, on/off or 1/0\n\
         remedy: correct the cell; or give --null with its text to read it as empty, or --on-error skip to \
         leave the row out\n\
         nothing was imported; tandem.tdb is as it was\n",
    );
}

#[test]
fn unknown_missing_and_repeated_columns_are_named() {
    refused(
        "id,name,opened,share,open,extra\n3,Espoo,2026-11-22,0.5,true,x\n",
        "--table places",
        1,
        "error: new.csv: line 1: table `places` has no column `extra`; its columns are id, name, opened, \
         share, open. Rename or remove the column, or import into a new table\n",
    );
    refused(
        "id,opened,share,open\n3,2026-11-22,0.5,true\n",
        "--table places",
        1,
        "error: new.csv: line 1: column `name` of table `places` is missing, and it has neither a default \
         nor allows null; add it to the file\n",
    );
    refused(
        "id,name,name\n1,a,b\n",
        "--table t",
        1,
        "error: new.csv: line 1: two columns are named `name`; rename one of them\n",
    );
    refused(
        "id,name\n1,a\n",
        "--table t --key code",
        1,
        "error: new.csv: there is no column `code`; the columns are id, name\n",
    );
}

#[test]
fn keys_that_stand_twice_are_named() {
    refused(
        "id,name\n7,a\n8,b\n7,c\n",
        "--table t",
        1,
        "error: new.csv, line 4, column `id`: key 7 stands in line 2 already\n\
         remedy: remove one of the two rows, choose another key with --key COLUMN,.., or --on-error skip to \
         keep the first\n\
         nothing was imported; tandem.tdb is as it was\n",
    );
    refused(
        "id,name,opened,share,open\n2,Espoo,2026-11-22,0.5,true\n",
        "--table places",
        1,
        "error: new.csv, line 2, column `id`: key 2 is in table `places` already\n\
         remedy: remove the row from the file, or --on-error skip to keep the row that is there\n\
         nothing was imported; tandem.tdb is as it was\n",
    );
    refused(
        "name,n\na,1\na,2\n",
        "--table t",
        1,
        "error: new.csv: no column can be the key: none is named `id`, and the first one has empty or \
         repeated values; choose one or more with --key COLUMN,.., or number the rows with --number-rows\n",
    );
}

#[test]
fn text_that_is_not_utf_8_is_named() {
    let (place, before) = place_with_database();
    place.write("new.csv", b"id,name\n1,Jyv\xe4skyl\xe4\n");
    let ran = place.run("import new.csv --table t");
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (
            1,
            "error: new.csv, line 2, column `name`: the text is not UTF-8\n\
             remedy: save the file in the encoding UTF-8\n\
             nothing was imported; tandem.tdb is as it was\n"
        )
    );
    assert_eq!(place.read("tandem.tdb"), before);
}

#[test]
fn rows_that_break_a_rule_of_the_schema_are_named() {
    let (place, before) = place_with_database();
    place.write(
        "schema.json",
        r#"{"name": "any", "version": 1, "key_columns": 1, "fields": [
            {"id": 1, "name": "id", "type": "int"},
            {"id": 2, "name": "n", "type": "int", "rules": [{"range": {"min": {"$int": 0}, "max": null}}]}]}"#
            .replace("{\"$int\": 0}", "0"),
    );
    place.write("new.csv", "id,n\n1,5\n2,-5\n");
    let ran = place.run("import new.csv --table t --schema schema.json");
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.starts_with("error: new.csv, line 3, column `n`: "),
        "{}",
        ran.err
    );
    assert_eq!(place.read("tandem.tdb"), before);
    place.write("schema.json", "{\"name\": 1}");
    let ran = place.run("import new.csv --table t --schema schema.json");
    assert_eq!(ran.code, 1);
    assert!(ran.err.starts_with("error: schema.json: "), "{}", ran.err);
}

#[test]
fn skipping_leaves_bad_rows_out_and_says_so() {
    let place = Place::with("new.csv", "id,n\n1,10\n2,abc\n3,30\n3,40\n");
    let ran = place.run("import new.csv --table t --on-error skip");
    assert_eq!(ran.code, 0);
    assert!(
        ran.err
            .starts_with("left out 2 rows:\n  new.csv, line 3, column `n`:"),
        "{}",
        ran.err
    );
    assert!(
        ran.out.contains("2 rows imported, 2 left out; t now has 2"),
        "{}",
        ran.out
    );
}

#[test]
fn options_make_odd_files_readable() {
    let place = Place::with("new.csv", "id,n\n1,10\n2,NA\n3,30\n");
    assert!(
        place
            .ok("import new.csv --table a --null NA")
            .contains("int, may be empty\n3 rows")
    );
    assert!(
        place
            .ok("import new.csv --table b --text n")
            .contains("n                        text\n")
    );
    assert!(
        place
            .ok("import new.csv --table c --key n,id --null x --text n")
            .contains("n                        text, key\n")
    );
}

#[test]
fn a_damaged_database_file_is_named_and_left_as_it_is() {
    let (place, mut damaged) = place_with_database();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    place.write("tandem.tdb", &damaged);
    let ran = place.run("import places.csv --table again");
    assert_eq!(ran.code, 4);
    assert!(ran.err.contains("tandem.tdb: "), "{}", ran.err);
    assert_eq!(place.read("tandem.tdb"), damaged);
}

#[test]
fn a_database_in_use_is_named() {
    let place = Place::with("places.csv", GOOD);
    let _lock = durable::WriterLock::acquire(&place.path("tandem.tdb")).unwrap();
    let ran = place.run("import places.csv");
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("tandem.tdb: is being written by process "),
        "{}",
        ran.err
    );
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    let place = Place::new();
    assert_eq!(place.run("import").code, 2);
    assert_eq!(place.run("imporrt x.csv").code, 2);
    assert_eq!(place.run("import x.csv --on-error maybe").code, 2);
}
