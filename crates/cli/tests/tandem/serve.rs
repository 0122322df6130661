//! `tandem serve` as a new user tries it: the lines of the README, and options from a file.

use std::process::Command;

use crate::serving::Serving;
use crate::support::Place;

#[test]
fn the_lines_of_the_readme_do_what_it_says() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let section = readme.split("## A server and `curl`").nth(1).unwrap();
    let block = section.split("```").nth(1).unwrap();
    let lines: Vec<&str> = block
        .lines()
        .filter(|line| line.starts_with("curl"))
        .collect();
    assert_eq!(lines.len(), 5);
    let place = Place::new();
    let server = Serving::start(&place, &[]);
    let answers: Vec<String> = lines
        .iter()
        .map(|line| {
            let line = line.replace("localhost:8080", server.address());
            let ran = Command::new("sh")
                .args(["-c", &line])
                .env("KEY", format!("authorization: Bearer {}", server.key()))
                .output()
                .unwrap();
            assert!(ran.status.success(), "{line}");
            String::from_utf8(ran.stdout).unwrap()
        })
        .collect();
    assert!(answers[0].contains("\"name\":\"cities\""), "{}", answers[0]);
    assert!(
        answers[1].contains("\"/v1/tables/cities/rows/2\""),
        "{}",
        answers[1]
    );
    assert!(
        answers[2].starts_with(r#"{"rows":[{"name":"Oulu"}],"cursor":null,"seq":"#),
        "{}",
        answers[2]
    );
    assert!(answers[3].contains("217000"), "{}", answers[3]);
    assert!(
        answers[4].lines().any(|line| line == "tandem_rows 2"),
        "{}",
        answers[4]
    );
    server.end();
    // What was written is in the folder.
    let asked = [
        "query",
        "--db",
        "tandem-data",
        "cities",
        "--where",
        "people == 217000",
        "--format",
        "csv",
    ];
    let ran = place.run_with(&asked);
    assert!(ran.out.contains("Oulu"), "{ran:?}");
}

#[test]
fn options_come_from_a_file_and_flags_go_first() {
    let place = Place::new();
    let printed = place.ok("serve --print-config");
    place.write("all.toml", &printed);
    place.write(
        "some.toml",
        "[server]\ndb = \"other.tdb\"\nlisten = \"256.0.0.1:1\"\n\n[log]\nformat = \"json\"\n",
    );
    // The flag for the address goes before what the file says.
    Serving::start(&place, &["--open", "--config", "some.toml"]).end();
    assert!(place.path("other.tdb").is_file());
    Serving::start(&place, &["--open", "--config", "all.toml"]).end();
    assert!(place.path("tandem-data").is_dir());
    place.write("wrong.toml", "[limits]\nbody_bytes = 1\n");
    let ran = place.run("serve --config wrong.toml");
    assert!(
        ran.err
            .contains("wrong.toml: line 2, `body_bytes`: unknown field"),
        "{}",
        ran.err
    );
    let ran = place.run("serve --served-from 2");
    assert!(
        ran.err.contains("`served_from` is a version of a lineage"),
        "{}",
        ran.err
    );
}

#[test]
fn an_open_server_that_others_reach_is_refused_before_a_word() {
    let place = Place::new();
    let ran = place.run("serve --open --listen 0.0.0.0:0");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("open_anywhere"), "{}", ran.err);
}

#[cfg(unix)]
#[test]
fn sigterm_lets_running_requests_end_and_saves() {
    let place = Place::new();
    let server = Serving::start(&place, &["--open", "--db", "tandem.tdb"]);
    let table = r#"{"name":"t","fields":[{"name":"id","type":"int"}]}"#;
    let (status, _) = server.curl("/v1/tables", "", &["-d", table]);
    assert_eq!(status, 201);
    server.signal("TERM");
    server.ended();
    assert!(place.ok("inspect").contains('t'));
}

#[test]
fn with_auth_the_first_key_is_shown_once_and_everybody_else_is_turned_away() {
    let place = Place::new();
    place.write("tandem.toml", "");
    let begin = || Serving::start(&place, &["--config", "tandem.toml"]);
    let status = |server: &Serving, key: &str| server.curl("/v1/status", key, &[]).0;
    let server = begin();
    let key = server.key().to_owned();
    assert_eq!(status(&server, &key), 200);
    assert_eq!(status(&server, ""), 401);
    // The key was kept before it was shown: also when the server does not come to its end.
    server.kill();
    // It is kept, and not shown again.
    let server = begin();
    assert_eq!(server.keys, []);
    assert_eq!(status(&server, &key), 200);
    server.kill();
}

/// A backup is made of a server that runs, and restored by the command.
#[test]
fn a_backup_made_over_http_is_restored_to_the_same_rows() {
    let place = Place::new();
    place.write("tandem.toml", "[storage]\nbackups = \"backups\"\n");
    let server = Serving::start(&place, &["--config", "tandem.toml"]);
    let ask = |path: &str, more: &[&str]| server.curl(path, server.key(), more);
    let table =
        r#"{"name":"cities","fields":[{"name":"id","type":"int"},{"name":"name","type":"text"}]}"#;
    assert_eq!(ask("/v1/tables", &["-d", table]).0, 201);
    let rows = r#"[{"id":1,"name":"Oulu"},{"id":2,"name":"Turku"}]"#;
    assert_eq!(ask("/v1/tables/cities/rows", &["-d", rows]).0, 201);
    let made = ask("/v1/admin/backups", &["-d", r#"{"name":"monday"}"#]);
    assert_eq!(made.0, 201, "{}", made.1);
    let late = r#"{"id":3,"name":"Vaasa"}"#;
    assert_eq!(ask("/v1/tables/cities/rows", &["-d", late]).0, 201);
    place.ok("restore backups/default/monday restored");
    server.end();
    let rows = |folder: &str| place.ok(&format!("query --db {folder} cities --format csv"));
    assert_eq!(rows("restored"), "id,name\n1,Oulu\n2,Turku\n");
    assert_eq!(rows("tandem-data"), "id,name\n1,Oulu\n2,Turku\n3,Vaasa\n");
}
