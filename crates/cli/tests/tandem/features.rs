//! `tandem features`: views are declared, filled, read and exported; wrong input is named and changes nothing.

use crate::support::Place;

const DEFINITION: &str = r#"{
  "entities": [{"name": "user", "keys": [{"name": "user_id", "type": "int"}]}],
  "views": [{"name": "rides", "entity": "user", "ttl_seconds": 3155760000, "features": [
    {"name": "count", "type": "int", "rules": [{"range": {"min": 0}}]},
    {"name": "fare", "type": "float", "nullable": true},
    {"name": "city", "type": "text", "nullable": true}
  ]}]
}"#;

const RIDES: &str = "user_id,event_time,known,count,Fare,city,note\n\
    7,2024-11-01,2024-11-01T01:00:00Z,3,9.5,Oulu,x\n\
    7,2024-11-05T12:00:00Z,2024-11-06,4,,\"Oulu, Toppila\",\n\
    8,2024-11-02,2024-11-02,1,7,,\n";

const IMPORT: &str = "features import f.tdb rides rides.csv --known-at known --column fare=Fare";

/// A folder with the database `f.tdb`, in which the view `rides` has the events of `rides.csv`.
fn place() -> Place {
    let place = Place::with("f.json", DEFINITION);
    place.write("rides.csv", RIDES);
    place.ok("features apply f.tdb f.json");
    place.ok(IMPORT);
    place
}

fn json(place: &Place, line: &str) -> serde_json::Value {
    serde_json::from_str(&place.ok(line)).expect("the output is JSON")
}

#[test]
fn definitions_are_applied_once() {
    let place = Place::with("f.json", DEFINITION);
    let out = place.ok("features apply f.tdb f.json --dry-run");
    assert!(out.ends_with("this was a dry run\n"), "{out}");
    assert!(!place.path("f.tdb").exists());
    let out = place.ok("features apply f.tdb f.json");
    let user = format!("entity {:24} created\n", "user");
    assert_eq!(
        out,
        format!("{user}view   {:24} created, version 1\n", "rides")
    );
    let before = place.read("f.tdb");
    let applied = json(&place, "features apply f.tdb f.json --json");
    assert_eq!(applied["views"][0]["change"], "unchanged");
    assert_eq!(place.read("f.tdb"), before);
    place.write("f.json", DEFINITION.replace("3155760000", "60"));
    let applied = json(&place, "features apply f.tdb f.json --json");
    assert_eq!(applied["views"][0]["version"], 2);
    let described = json(&place, "features describe f.tdb rides --json");
    assert_eq!(described["definition"]["ttl_seconds"], 60);
    assert_eq!(described["versions"], serde_json::json!([1, 2]));
}

#[test]
fn events_come_in_and_values_out_with_their_status() {
    let place = place();
    let out = place.ok(IMPORT);
    assert_eq!(
        out,
        "columns not used: note\n0 events imported, 3 unchanged, 0 left out, 0 values missing; rides has 3 events of \
         2 entities\n"
    );
    let got = json(
        &place,
        "features get f.tdb rides 7 8 9 --as-of 2024-11-10 --json",
    );
    let status = |at: usize, feature: &str| got[at]["features"][feature]["status"].clone();
    assert_eq!(got[0]["features"]["city"]["value"], "Oulu, Toppila");
    assert_eq!(
        (status(0, "fare"), status(0, "count")),
        ("missing".into(), "present".into())
    );
    assert_eq!(
        (status(1, "fare"), status(2, "fare")),
        ("present".into(), "unknown".into())
    );
    let fare = |line: &str| json(&place, line)[0]["features"]["fare"].clone();
    let early =
        "features get f.tdb rides 7 --as-of 2024-11-10 --known-at 2024-11-05T13:00:00Z --json";
    assert_eq!(fare(early)["value"], 9.5);
    assert_eq!(
        fare("features get f.tdb rides 7 --as-of 2200-12-10 --json")["status"],
        "expired"
    );
    assert!(place.ok("features list f.tdb").contains("rides"));
    let history = place.ok("features history f.tdb rides 7");
    assert!(
        history.contains("2024-11-05T12:00:00Z") && history.ends_with("(2 rows)\n"),
        "{history}"
    );
}

#[test]
fn what_is_wrong_in_a_file_is_refused_left_out_or_missing() {
    let place = place();
    place.write(
        "bad.csv",
        "user_id,event_time,count,fare\n1,2024-11-03,-1,2\n2,2024-11-03,2,much\n3,,2,2\nx,2024-11-03,2,2\n5,2024-11-03,5,5\n",
    );
    let untouched = place.read("f.tdb");
    let ran = place.run("features import f.tdb rides bad.csv");
    assert_eq!(ran.code, 1);
    assert_eq!(place.read("f.tdb"), untouched);
    for says in [
        "bad.csv, line 3, column `fare`: ",
        "bad.csv, line 4, column `event_time`: is empty",
        "bad.csv, line 5, column `user_id`: ",
        "nothing was imported; f.tdb is as it was",
    ] {
        assert!(ran.err.contains(says), "{says}: {}", ran.err);
    }
    place.write(
        "gone.csv",
        "user_id,event_time,deleted\n1,2024-11-03,true\n2,2024-11-03,perhaps\n",
    );
    let ran = place.run("features import f.tdb rides gone.csv --on-invalid missing --json");
    let gone: serde_json::Value = serde_json::from_str(&ran.out).expect("the output is JSON");
    assert_eq!((&gone["events"], &gone["skipped"]), (&1.into(), &1.into()));
    assert_eq!(gone["skipped_first"][0]["line"], 3);
    let got = json(
        &place,
        "features get f.tdb rides 1 --as-of 2024-11-04 --json",
    );
    assert_eq!(got[0]["features"]["count"]["status"], "missing");
    let before = place.read("f.tdb");
    // A rule of the view, which the types of the cells say nothing of.
    place.write(
        "rule.csv",
        "user_id,event_time,count\n1,2024-11-03,1\n2,2024-11-03,-1\n",
    );
    let ran = place.run("features import f.tdb rides rule.csv");
    assert!(ran.err.contains("rule.csv, line 3: "), "{}", ran.err);
    assert_eq!(place.read("f.tdb"), before);

    let skip = json_with_notes(
        &place,
        "features import f.tdb rides bad.csv --on-invalid skip --json",
    );
    assert_eq!((&skip["events"], &skip["skipped"]), (&1.into(), &4.into()));
    let lines: Vec<_> = skip["skipped_first"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["line"].as_u64())
        .collect();
    assert_eq!(lines, [Some(2), Some(3), Some(4), Some(5)]);
    let missing = json_with_notes(
        &place,
        "features import f.tdb rides bad.csv --on-invalid missing --json",
    );
    assert_eq!(
        (&missing["events"], &missing["missing"]),
        (&2.into(), &1.into())
    );
    assert_eq!(missing["missing_first"][0]["line"], 3);
}

fn json_with_notes(place: &Place, line: &str) -> serde_json::Value {
    let ran = place.run(line);
    assert_eq!(ran.code, 0, "{line}: {}", ran.err);
    serde_json::from_str(&ran.out).expect("the output is JSON")
}

#[test]
fn training_sets_join_as_of_each_row_and_are_made_again() {
    let place = place();
    place.write(
        "labels.csv",
        "weight,user_id,at,label\n0.5,7,2024-11-02,yes\n,7,2024-11-06,no\n0.5,9,2024-11-06,no\n",
    );
    let made = json(
        &place,
        "features training-set f.tdb labels.csv --features rides:fare,rides:count --event-time at --output t.csv --json",
    );
    assert_eq!(
        String::from_utf8(place.read("t.csv")).unwrap(),
        "weight,user_id,at,label,fare,count\n0.5,7,2024-11-02,yes,9.5,3.0\n,7,2024-11-06,no,,4.0\n0.5,9,2024-11-06,no,,\n"
    );
    assert_eq!((&made["rows"], &made["complete"]), (&3.into(), &1.into()));
    place.write(
        "late.csv",
        "user_id,event_time,count,fare\n7,2024-11-01T12:00:00Z,9,99\n",
    );
    place.ok("features import f.tdb rides late.csv");
    let id = made["id"].as_str().unwrap();
    place.ok(&format!(
        "features training-set f.tdb --id {id} --output again.parquet"
    ));
    assert_eq!(
        place.ok("query again.parquet --select user_id,fare,count --format csv"),
        "user_id,fare,count\n7,9.5,3.0\n7,,4.0\n9,,\n"
    );
    // As if it had been served then: the event of the 5th was known on the 6th, and that was in time.
    let line = "features training-set f.tdb labels.csv --features rides:count --event-time at --known-at event --output t.jsonl";
    place.ok(line);
    let out = String::from_utf8(place.read("t.jsonl")).unwrap();
    assert!(out.lines().nth(1).unwrap().contains("\"count\":4"), "{out}");
}

#[test]
fn where_a_value_comes_from_is_told_until_it_is_forgotten() {
    let place = place();
    place.ok("features tag f.tdb monday");
    let why = json(
        &place,
        "features why f.tdb rides count 8 --as-of 2024-11-03 --json",
    );
    assert_eq!(
        (&why["value"], &why["run"]["name"]),
        (&1.into(), &"import".into())
    );
    let made_of = why["made_of"].as_array().unwrap();
    let source = made_of
        .iter()
        .find(|related| related["node"]["kind"] == "source")
        .unwrap();
    assert_eq!(source["node"]["name"], "rides.csv");
    assert!(
        source["node"]["version"]
            .as_str()
            .unwrap()
            .starts_with("sha256:")
    );
    let id = source["id"].as_str().unwrap();
    assert!(
        place
            .ok(&format!("features lineage f.tdb {id} --dot"))
            .starts_with("digraph lineage {")
    );
    let event = json(
        &place,
        &format!("features lineage f.tdb {id} --open-lineage"),
    );
    assert_eq!(event["eventType"], "COMPLETE");
    assert!(place.ok("features lineage f.tdb").contains("rides.csv"));

    place.write("more.csv", "user_id,event_time,count\n8,2024-11-03,2\n");
    place.ok("features import f.tdb rides more.csv");
    let count = |when: &str| {
        json(&place, &format!("features get f.tdb rides 8 {when} --json"))[0]["features"]["count"]["value"].clone()
    };
    assert_eq!(
        (count("--tag monday"), count("--as-of 2024-11-04")),
        (1.into(), 2.into())
    );
    let before = place.read("f.tdb");
    let ran = place.run("features forget f.tdb rides 8");
    assert!(
        ran.code == 1
            && ran
                .err
                .contains("2 events of view `rides` would be removed"),
        "{}",
        ran.err
    );
    assert_eq!(place.read("f.tdb"), before);
    assert_eq!(
        place.ok("features forget f.tdb rides 8 --yes"),
        "2 events forgotten; rides has 2\n"
    );
    assert_eq!(count("--as-of 2024-11-04"), serde_json::Value::Null);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of wrong commands")]
fn what_cannot_be_done_is_named_and_changes_nothing() {
    let place = place();
    place.write(
        "wrong.json",
        "{\"views\": [\n  {\"name\": \"x\", \"entity\": 7}]}",
    );
    place.write("other.json", DEFINITION.replacen("\"int\"", "\"text\"", 1));
    place.write("none.csv", "user_id,event_time\n1,2024-11-03\n");
    place.write("labels.csv", "user_id,at\n7,soon\n");
    let before = place.read("f.tdb");
    for (line, code, says) in [
        (
            "features apply f.tdb absent.json",
            3,
            "absent.json: there is no such file",
        ),
        ("features apply f.tdb wrong.json", 1, "wrong.json: "),
        ("features apply f.tdb wrong.json", 1, "line 2 column"),
        (
            "features apply f.tdb other.json",
            1,
            "other.json: entities[0]: ",
        ),
        ("features list absent.tdb", 3, "absent.tdb"),
        (
            "features import absent.tdb rides rides.csv",
            3,
            "absent.tdb: there is no such file",
        ),
        (
            "features import f.tdb rides absent.csv",
            3,
            "absent.csv: there is no such file",
        ),
        (
            "features import f.tdb walks rides.csv",
            1,
            "there is no feature view `walks`; there is rides",
        ),
        (
            "features import f.tdb rides none.csv",
            1,
            "no column is a feature of view `rides`",
        ),
        (
            "features import f.tdb rides rides.csv --event-time t",
            1,
            "there is no column `t`",
        ),
        (
            "features import f.tdb rides rides.csv --column km=note",
            1,
            "view `rides` has no feature `km`",
        ),
        (
            "features import f.tdb rides rides.csv --column km",
            2,
            "expected FEATURE=COLUMN",
        ),
        ("features import f.tdb rides rides.csv --at noon", 2, "noon"),
        (
            "features get f.tdb rides x",
            1,
            "key `x` of `user`: `user_id`: ",
        ),
        ("features get f.tdb rides 7 --as-of soon", 2, "soon"),
        (
            "features get f.tdb rides 7 --tag friday",
            1,
            "there is no tag `friday`",
        ),
        ("features why f.tdb rides km 7", 1, "has no feature `km`"),
        (
            "features lineage f.tdb abc",
            1,
            "there is no lineage node abc",
        ),
        (
            "features export f.tdb rides out.txt",
            1,
            "out.txt: unknown kind of file",
        ),
        (
            "features training-set f.tdb --id abc --output o.csv",
            1,
            "there is no training set abc",
        ),
        (
            "features training-set f.tdb labels.csv --features rides:km --event-time at --output o.csv",
            1,
            "has no feature `km`",
        ),
        (
            "features training-set f.tdb labels.csv --features rides:city --event-time at --output o.csv",
            1,
            "feature `city` of view `rides` is text",
        ),
        (
            "features training-set f.tdb labels.csv --features rides:count --output o.csv",
            1,
            "there is no column `event_time`",
        ),
        (
            "features training-set f.tdb labels.csv --features rides:count --event-time at --output o.csv",
            1,
            "labels.csv: line 2, column `at`: ",
        ),
        (
            "features training-set f.tdb labels.csv --output o.csv",
            2,
            "--features",
        ),
    ] {
        let ran = place.run(line);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (code, ""),
            "{line}: {}",
            ran.err
        );
        assert!(ran.err.contains(says), "{line}: {}", ran.err);
    }
    assert_eq!(place.read("f.tdb"), before);
    assert!(!place.path("o.csv").exists());
}
