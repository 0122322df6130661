//! `tandem migrate`: planned, tried and done on a database file.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use common::schema::{Field, FieldType, Schema};
use common::{Database, row};
use serde_json::{Value, json};
use syncdb::{SyncDb, SyncServer};

use crate::support::{Place, Ran};

fn tasks() -> Schema {
    Schema::build("tasks", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("text", FieldType::Text))
        .field(Field::new("hours", FieldType::Text))
        .finish()
        .unwrap()
}

/// Three versions: a column is renamed, then hours become a number; `on_loss` says what takes the place of those that are none.
fn lineage(on_loss: &Value) -> Value {
    let hours = json!({"name": "hours", "type": "int", "nullable": true});
    json!({
        "first": [tasks()],
        "migrations": [
            {"steps": [{"rename_column": {"table": "tasks", "column": "text", "to": "title"}}]},
            {"steps": [{"change_column":
                {"table": "tasks", "column": "hours", "to": hours, "on_loss": on_loss}}]},
        ],
    })
}

/// A file of version 1 with three rows, and its lineage.
fn place(hours: [&str; 3], lineage: &Value) -> Place {
    let place = Place::with("lineage.json", lineage.to_string());
    let db = Database::new();
    let table = db.create_collection(tasks()).unwrap();
    for (id, hours) in (1..).zip(hours) {
        table
            .insert(row! { "id": id, "text": "write", "hours": hours })
            .unwrap();
    }
    durable::save(&db, place.path("app.tdb")).unwrap();
    place
}

fn refused(place: &Place, line: &str, code: i32, says: &[&str]) -> Ran {
    let before = place.read("app.tdb");
    let ran = place.run(line);
    assert_eq!(ran.code, code, "tandem {line}: {}", ran.err);
    for says in says {
        assert!(ran.err.contains(says), "tandem {line}: {}", ran.err);
    }
    assert_eq!(place.read("app.tdb"), before, "the file is as it was");
    ran
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_difference_of_schemas_is_planned_and_becomes_a_migration() {
    let place = Place::with("before.json", json!(tasks()).to_string());
    let mut after = json!(tasks());
    after["fields"][2]["type"] = json!("int");
    let due = json!({"id": 4, "name": "due", "type": "date", "nullable": true});
    after["fields"].as_array_mut().unwrap().push(due);
    place.write("after.json", json!([after]).to_string());
    let line = "migrate plan --from before.json --to after.json";
    let out = place.ok(line);
    assert!(
        out.contains("lossy       change column `hours` of `tasks` to int: "),
        "{out}"
    );
    assert!(
        out.contains("safe        add column `due` to `tasks`\n"),
        "{out}"
    );
    assert!(
        out.ends_with("(2 steps: 1 safe, 1 lossy, 0 impossible)\n"),
        "{out}"
    );
    let ran = place.run(&format!("{line} --json"));
    assert_eq!(ran.code, 0);
    assert!(ran.err.contains("lossy"), "{}", ran.err);
    let migration = parsed(&ran.out);
    assert_eq!(migration["steps"].as_array().unwrap().len(), 2);
    // It goes into a lineage as it is.
    let lineage = json!({"first": [tasks()], "migrations": [migration]});
    let place = self::place(["1", "2", "3"], &lineage);
    let out = place.ok("migrate run app.tdb --lineage lineage.json");
    assert!(out.contains("tasks: 3 rows made anew\n"), "{out}");
    assert!(
        place
            .ok("query tasks --db app.tdb --format json")
            .contains("\"hours\": 2")
    );
}

#[test]
fn a_plan_that_cannot_be_says_what_to_do() {
    let place = Place::with("before.json", json!(tasks()).to_string());
    let mut after = json!(tasks());
    let owner = json!({"id": 4, "name": "owner", "type": "text"});
    after["fields"].as_array_mut().unwrap().push(owner);
    place.write("after.json", after.to_string());
    let ran = place.run("migrate plan --from before.json --to after.json");
    assert_eq!(ran.code, 1);
    assert!(
        ran.out.contains("impossible  add column `owner`"),
        "{}",
        ran.out
    );
    assert!(ran.err.contains("no migration can be made"), "{}", ran.err);
    let ran = place.run("migrate plan --from before.json --to after.json --json");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("add column `owner`"), "{}", ran.err);
    let out = place.ok("migrate plan --from before.json --to before.json");
    assert_eq!(out, "(0 steps: 0 safe, 0 lossy, 0 impossible)\n");
    let ran = place.run("migrate plan --from before.json --from before.json --to after.json");
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("table `tasks` is declared twice"),
        "{}",
        ran.err
    );
    let broken = [
        (
            "[\n  {\"name\": }\n]",
            "not JSON: expected value at line 2 column 12",
        ),
        (
            "{\n  \"name\": }",
            "not JSON: expected value at line 2 column 11",
        ),
        (
            "[{}]",
            "not a list of schemas: missing field `name` at line 1 column 3",
        ),
        (
            "{}",
            "not a schema: missing field `name` at line 1 column 2",
        ),
    ];
    for (json, says) in broken {
        place.write("broken.json", json);
        let ran = place.run("migrate plan --from before.json --to broken.json");
        assert_eq!(ran.code, 1);
        assert!(
            ran.err.contains(&format!("broken.json: {says}")),
            "{}",
            ran.err
        );
    }
    assert_eq!(
        place
            .run("migrate plan --from before.json --to none.json")
            .code,
        3
    );
}

#[test]
fn a_file_goes_forward_and_back_and_says_where_it_is() {
    let place = place(["1", "2", "3"], &lineage(&json!("refuse")));
    let status = "migrate status app.tdb --lineage lineage.json";
    let out = place.ok(status);
    assert!(
        out.starts_with("app.tdb is of version 1; the latest is 3\n* version 1: tables tasks\n"),
        "{out}"
    );
    assert!(
        out.contains("      rename column `text` of `tasks` to `title`\n"),
        "{out}"
    );
    let out = place.ok("migrate check app.tdb --lineage lineage.json --to 2");
    assert!(out.contains("tasks: keeps 3 rows as they are\n"), "{out}");
    let out = place.ok("migrate check app.tdb --lineage lineage.json");
    assert!(
        out.contains("tasks: 3 rows made anew; 3 rows without any loss\n"),
        "{out}"
    );
    let out = place.ok("migrate run app.tdb --lineage lineage.json");
    assert!(
        out.contains("app.tdb is of version 3 now, of version 1 before ("),
        "{out}"
    );
    let found = parsed(&place.ok(&format!("{status} --json")));
    assert_eq!(
        (&found["version"], &found["latest"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(found["migrated"][0]["to"], 3);
    assert_eq!(found["versions"][1]["steps"].as_array().unwrap().len(), 1);
    let again = place.ok("migrate run app.tdb --lineage lineage.json");
    assert_eq!(again, "app.tdb is of version 3 already: nothing to do\n");
    let again = place.ok("migrate check app.tdb --lineage lineage.json");
    assert_eq!(again, "app.tdb is of version 3 already: nothing to do\n");
    let back = place.ok("migrate run app.tdb --lineage lineage.json --to 1 --json");
    let back = parsed(&back);
    assert_eq!((&back["from"], &back["to"]), (&json!(3), &json!(1)));
    assert_eq!(back["tables"]["tasks"]["way"], "rebuild");
    let rows = place.ok("query tasks --db app.tdb --format json");
    assert!(
        rows.contains("\"text\": \"write\", \"hours\": \"2\""),
        "{rows}"
    );
}

#[test]
fn rows_in_the_way_are_named_and_the_file_stays() {
    let place = place(["1", "many", "3"], &lineage(&json!("refuse")));
    let check = "migrate check app.tdb --lineage lineage.json";
    let ran = refused(
        &place,
        check,
        1,
        &["1 value would be in the way", "on_loss"],
    );
    let sample = "    tasks(2).hours: \"many\" is refused: ";
    assert!(ran.out.contains(sample), "{}", ran.out);
    let ran = refused(&place, &format!("{check} --samples 0 --json"), 1, &[]);
    assert_eq!(parsed(&ran.out)["tables"]["tasks"]["refused"], 1);
    for yes in ["", " --yes"] {
        let run = format!("migrate run app.tdb --lineage lineage.json{yes}");
        let says = [
            "app.tdb: the migration from version 1 to 3",
            "tasks(2).hours",
            "as it was",
        ];
        refused(&place, &run, 1, &says);
    }
}

#[test]
fn what_takes_data_with_it_is_only_done_with_yes() {
    let place = place(["1", "many", "3"], &lineage(&json!("null")));
    let out = place.ok("migrate check app.tdb --lineage lineage.json");
    assert!(
        out.contains("  lossy    hours: 1 value replaced\n"),
        "{out}"
    );
    assert!(out.contains("\"many\" becomes null: "), "{out}");
    let run = "migrate run app.tdb --lineage lineage.json";
    refused(&place, run, 1, &["1 value replaced", "do it with --yes"]);
    let out = place.ok(&format!("{run} --yes"));
    assert!(
        out.contains("3 rows made anew, 1 value replaced\n"),
        "{out}"
    );
    let gone = json!({"first": [tasks()], "migrations": [
        {"steps": [{"remove_column": {"table": "tasks", "column": "hours"}}]}]});
    let place = self::place(["1", "2", "3"], &gone);
    let says = ["remove column `hours` from `tasks` (version 2)", "--yes"];
    refused(&place, run, 1, &says);
    let out = place.ok("migrate check app.tdb --lineage lineage.json");
    assert!(out.contains("loses what is there: remove column"), "{out}");
    place.ok(&format!("{run} --yes"));
}

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    let place = place(["1", "2", "3"], &lineage(&json!("refuse")));
    for command in ["status", "check", "run"] {
        let line = format!("migrate {command} app.tdb --lineage none.json");
        refused(
            &place,
            &line,
            3,
            &["none.json: there is no such file; check the path"],
        );
        let line = format!("migrate {command} none.tdb --lineage lineage.json");
        refused(
            &place,
            &line,
            3,
            &["none.tdb: there is no such database file"],
        );
        place.write("bad.json", "{\n  \"first\": [],\n  \"migration\": []\n}");
        let line = format!("migrate {command} app.tdb --lineage bad.json");
        let says = [
            "bad.json: not a lineage: unknown field `migration`",
            "at line 3 column 13",
        ];
        refused(&place, &line, 1, &says);
        place.write("other.json", json!({"first": []}).to_string());
        let line = format!("migrate {command} app.tdb --lineage other.json");
        refused(
            &place,
            &line,
            1,
            &["app.tdb: ", "not those of any version of the lineage"],
        );
    }
    for command in ["check", "run"] {
        let line = format!("migrate {command} app.tdb --lineage lineage.json --to 7");
        let says = ["lineage.json: version 7 is not in the lineage, which has the versions 1 to 3"];
        refused(&place, &line, 1, &says);
    }
    assert!(!place.path("none.tdb").exists());
    let help = place.ok("migrate run --help");
    assert!(help.contains("Examples:"), "{help}");
}

#[test]
fn scripts_need_the_application() {
    let script = json!({"script": {"table": "tasks", "columns": ["hours"],
        "into": [{"name": "minutes", "type": "int"}], "function": "minutes"}});
    let mut versions = lineage(&json!("null"));
    versions["migrations"][1] = json!({"steps": [script]});
    let place = place(["1", "2", "3"], &versions);
    for command in ["check", "run --yes"] {
        let line = format!("migrate {command} app.tdb --lineage lineage.json");
        let says = [
            "step 1 of the migration to version 3",
            "`minutes`, which only the application has",
        ];
        refused(&place, &line, 1, &says);
    }
    // What is on this side of the script is done all the same.
    place.ok("migrate run app.tdb --lineage lineage.json --to 2");
    let out = place.ok("migrate status app.tdb --lineage lineage.json");
    assert!(
        out.starts_with("app.tdb is of version 2; the latest is 3\n"),
        "{out}"
    );
}

#[test]
fn the_file_of_a_replica_is_not_migrated() {
    let place = place(["1", "2", "3"], &lineage(&json!("refuse")));
    let server = SyncServer::new(durable::open(place.path("app.tdb")).unwrap()).unwrap();
    let phone = SyncDb::client("phone").unwrap();
    phone
        .sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    durable::save(phone.database(), place.path("app.tdb")).unwrap();
    for command in ["check", "run"] {
        let line = format!("migrate {command} app.tdb --lineage lineage.json");
        refused(&place, &line, 1, &["opened with its lineage"]);
    }
}
