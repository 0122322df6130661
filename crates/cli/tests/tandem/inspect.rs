//! `tandem inspect`: what is in a file, and that it is whole.

use crate::support::Place;

fn place() -> Place {
    let place = Place::with("cities.csv", "id,name\n1,Oulu\n2,\n");
    place.ok("import cities.csv --index name");
    place
}

#[test]
fn columns_indexes_rows_and_digests_are_shown() {
    let place = place();
    let out = place.ok("inspect --json");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["file"], "tandem.tdb");
    assert_eq!(report["bytes"], place.read("tandem.tdb").len());
    assert_eq!(report["verified"], true);
    assert_eq!(report["position"], 1);
    let table = &report["tables"][0];
    assert_eq!(table["name"], "cities");
    assert_eq!(table["rows"], 2);
    assert!(table["bytes_per_row"].as_u64().unwrap() > 0);
    assert_eq!(table["columns"][0]["key"], true);
    assert_eq!(table["columns"][1]["type"], "text");
    assert_eq!(table["columns"][1]["nullable"], true);
    assert_eq!(table["indexes"][0]["name"], "name");
    assert_eq!(table["indexes"][0]["keys"], 2);

    let out = place.ok("inspect cities");
    assert!(
        out.contains("all checksums verified\nposition 1; log: 0 changes"),
        "{out}"
    );
    assert!(out.contains("\ncities: 2 rows, "), "{out}");
    assert!(
        out.contains("\n  name                     text, may be empty\n"),
        "{out}"
    );
    assert!(
        out.contains("\n  index name               ordered on name, 2 keys, "),
        "{out}"
    );
}

#[test]
fn equal_rows_have_equal_digests_whatever_their_history() {
    let digest = |place: &Place, db: &str| {
        let out = place.ok(&format!("inspect --db {db} cities --json"));
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        report["tables"][0]["digest"].as_str().unwrap().to_owned()
    };
    let place = place();
    place.write("cities.csv", "id,name\n2,\n");
    place.ok("import cities.csv --db b.tdb --text name");
    assert_ne!(digest(&place, "tandem.tdb"), digest(&place, "b.tdb"));
    place.write("cities.csv", "name,id\nOulu,1\n");
    place.ok("import cities.csv --db b.tdb");
    assert_eq!(digest(&place, "tandem.tdb"), digest(&place, "b.tdb"));
    assert_eq!(digest(&place, "b.tdb").len(), 64);
}

#[test]
fn a_printed_schema_makes_the_same_table() {
    let place = place();
    let schema = place.ok("inspect --schema cities");
    place.write("schema.json", &schema);
    place.ok("import cities.csv --db b.tdb --schema schema.json");
    assert_eq!(place.ok("inspect --db b.tdb --schema cities"), schema);
}

#[test]
fn damaged_missing_and_foreign_files_are_named() {
    let place = place();
    let mut bytes = place.read("tandem.tdb");
    let last = bytes.len() - 30;
    bytes[last] ^= 1;
    place.write("damaged.tdb", &bytes);
    place.write("foreign.tdb", "id,name\n");
    for (file, code) in [("damaged.tdb", 4), ("foreign.tdb", 4), ("missing.tdb", 3)] {
        let ran = place.run(&format!("inspect --db {file}"));
        assert_eq!(ran.code, code, "{}", ran.err);
        assert!(
            ran.err.starts_with(&format!("error: {file}: ")),
            "{}",
            ran.err
        );
    }
    let ran = place.run("inspect towns");
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (
            1,
            "error: tandem.tdb: there is no table `towns`; the tables are [cities]\n"
        )
    );
}

#[test]
fn a_frame_of_the_sync_protocol_is_shown_as_json() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/wire/v1/");
    let frame = std::fs::read(format!("{golden}commit.bin")).unwrap();
    let place = Place::with("answer.bin", &frame);
    let out = place.ok("inspect --frame answer.bin");
    let expected = std::fs::read_to_string(format!("{golden}commit.json")).unwrap();
    assert_eq!(out, expected);
    place.write("cut.bin", &frame[..frame.len() - 1]);
    let ran = place.run("inspect --frame cut.bin");
    assert_eq!(ran.code, 4);
    assert!(ran.err.contains("cut.bin"), "{}", ran.err);
}
