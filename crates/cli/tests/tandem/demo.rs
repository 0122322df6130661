//! `tandem demo`, `tandem serve` and `tandem replica`: processes that agree, and facts that follow the data.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use crate::support::Place;

/// Cities and vectors small enough for a test.
fn place(cities: usize) -> Place {
    let place = Place::new();
    let mut text = "id,name,country,population\n".to_owned();
    for id in 0..cities {
        let population = 20_000 + id * 1_000;
        let _ = writeln!(text, "{id},City {id},FI,{population}");
    }
    place.write("cities.csv", text);
    let mut text = String::new();
    for at in 0..30 {
        let label = if at % 7 == 3 { "odd one" } else { "usual" };
        let _ = writeln!(text, "{at},{},{label}", at % 3);
    }
    place.write("digits.csv", text);
    place
}

fn facts_of(place: &Place) -> Json {
    let out = place.ok("demo --json --cities cities.csv --digits digits.csv");
    assert_eq!(out.lines().count(), 1);
    serde_json::from_str(&out).expect("one JSON object")
}

fn keys(json: &Json) -> Vec<&str> {
    let mut keys: Vec<&str> = json
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

#[test]
fn the_facts_have_their_shape_and_follow_the_data() {
    let facts = facts_of(&place(200));
    assert_eq!(keys(&facts), ["features", "search", "seconds", "sync"]);
    let sync = &facts["sync"];
    assert_eq!(
        keys(sync),
        [
            "conflicts",
            "converged",
            "incremental_bytes",
            "initial_bytes",
            "json_bytes",
            "rows"
        ]
    );
    assert_eq!(
        keys(&facts["search"]),
        ["dimension", "label_accuracy", "recall_at_10", "vectors"]
    );
    assert_eq!(sync["converged"], true);
    // One city is added and one deleted; 252 countries come with the program.
    assert_eq!(sync["rows"], 200 + 252);
    assert_eq!(sync["conflicts"], 1);
    let bytes = |name: &str| sync[name].as_u64().unwrap();
    assert!(bytes("incremental_bytes") > 0 && bytes("initial_bytes") > bytes("incremental_bytes"));
    assert!(bytes("initial_bytes") < bytes("json_bytes"));
    assert_eq!(facts["search"]["vectors"], 30);
    assert_eq!(facts["search"]["dimension"], 2);
    assert_eq!(facts["search"]["recall_at_10"], 1.0);
    let accuracy = facts["search"]["label_accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.5 && accuracy < 1.0, "{accuracy}");
    assert!(facts["seconds"].as_f64().unwrap() > 0.0);
    let features = json!({
        "entities": 200, "events": 220, "numbers": 2, "agrees": true, "training_set_is_same": true,
        "units": 100_000, "units_moved": 0,
    });
    assert_eq!(facts["features"], features);

    let more = facts_of(&place(300));
    assert_eq!(more["sync"]["rows"], 300 + 252);
    assert!(more["sync"]["json_bytes"].as_u64().unwrap() > bytes("json_bytes"));
}

#[test]
fn the_report_tells_the_same_to_people() {
    let out = place(100).ok("demo --cities cities.csv --digits digits.csv");
    for part in [
        "First sync        352 rows in ",
        "Conflict          City 99, population (it was 119000):",
        "anna wrote 120190, ben wrote 122570; ben's stands, by the rule last_write_wins",
        "converged: server, its file, anna and ben hold the same rows",
        "cities: index population, descending",
        "30 handwritten digits of 2 pixels",
        "100.00 % of the true 10 nearest found",
        "People and country of 100 cities",
        "10 cities are counted again",
        "the same bytes as before the count",
        "grown to a half, 0 moved",
    ] {
        assert!(out.contains(part), "{part} is missing in\n{out}");
    }
    assert!(!out.contains('\u{1b}'), "no colours into a pipe");
}

#[test]
fn data_that_does_not_fit_is_named() {
    let place = place(5);
    let refused = |arguments: &str, code: i32, message: &str| {
        let ran = place.run(&format!("demo {arguments}"));
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{}", ran.err);
        assert!(ran.err.starts_with(message), "{}", ran.err);
    };
    refused(
        "--cities nope.csv",
        3,
        "error: nope.csv: there is no such file",
    );
    refused(
        "--cities cities.csv",
        1,
        "error: the demonstration edits some of the cities, and there are only 5",
    );
    place.write("cities.csv", "id,name,country,population\n1,Oulu,FI,many\n");
    refused(
        "--cities cities.csv",
        1,
        "error: cities.csv, line 2, column `population`: expected int, found \"many\"",
    );
    place.write("digits.csv", "1,2,a\n3,b,a\n5,6,a\n7,8,a\n");
    refused(
        "--digits digits.csv",
        1,
        "error: digits.csv, line 2, column `c2`: expected int, found \"b\"",
    );
}

#[test]
fn a_server_and_a_replica_work_by_hand() {
    let place = Place::with("notes.csv", "id,text\n1,hello\n");
    place.ok("import notes.csv");
    let tandem = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command
            .current_dir(place.path("."))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command
    };
    let mut server = tandem()
        .args(["serve", "--open", "--db", "tandem.tdb"])
        .args(["--listen", "127.0.0.1:0", "--until-input-ends"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let url = first.strip_prefix("listening on ").unwrap();
    // The file belongs to the server as long as it runs.
    assert_eq!(place.run("import notes.csv --table more").code, 1);

    let mut replica = tandem()
        .args(["replica", "--name", "phone", "--server", url])
        .spawn()
        .unwrap();
    let orders = [
        r#"{"do": "sync"}"#,
        r#"{"do": "update", "table": "notes", "key": [1], "row": {"text": "hello from the phone"}}"#,
        r#"{"do": "insert", "table": "notes", "row": {"id": 2, "text": 7}}"#,
        r#"{"do": "insert", "table": "notes", "row": {"id": 3, "text": "new"}}"#,
        r#"{"do": "get", "table": "notes", "key": [1]}"#,
        r#"{"do": "dance"}"#,
        r#"{"do": "delete", "table": "notes", "key": [9]}"#,
        r#"{"do": "sync"}"#,
        r#"{"do": "digest"}"#,
    ];
    let mut input = replica.stdin.take().unwrap();
    for order in orders {
        writeln!(input, "{order}").unwrap();
    }
    drop(input);
    let output = replica.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Json> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), orders.len());
    assert_eq!(answers[0]["ok"]["rows_received"], 1);
    assert!(
        answers[2]["error"].as_str().unwrap().contains("text"),
        "{}",
        answers[2]
    );
    assert_eq!(answers[4]["ok"]["text"], "hello from the phone");
    assert!(
        answers[5]["error"]
            .as_str()
            .unwrap()
            .starts_with("not an order: ")
    );
    assert!(answers[6]["error"].is_string());
    assert_eq!(answers[7]["ok"]["converged"], true);
    assert_eq!(answers[7]["ok"]["rows_sent"], 2);
    assert_eq!(answers[8]["ok"]["rows"], 2);
    assert_eq!(
        answers[8]["ok"]["digest"],
        answers[7]["ok"]["digest_server"]
    );

    drop(server.stdin.take());
    assert!(server.wait().unwrap().success());
    let out = place.ok("query notes --order id --format csv");
    assert_eq!(out, "id,text\n1,hello from the phone\n3,new\n");
}

#[test]
fn a_server_that_cannot_listen_or_be_reached_says_so() {
    let place = Place::new();
    let ran = place.run("serve --listen 256.0.0.1:1");
    assert_eq!(ran.code, 3);
    assert!(
        ran.err
            .starts_with("error: 256.0.0.1:1: cannot listen there"),
        "{}",
        ran.err
    );
    let ran = place.run("replica --name a --server ftp://x");
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("does not begin with http://"),
        "{}",
        ran.err
    );
}
