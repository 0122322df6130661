//! `tandem sync`: a file in step with a server, edited without a connection.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdout};

use crate::serving::Serving;
use crate::support::Place;

fn lines_of(child: &mut Child) -> Lines<BufReader<ChildStdout>> {
    BufReader::new(child.stdout.take().unwrap()).lines()
}

fn serve(place: &Place) -> Serving {
    Serving::start(place, &["--open", "--db", "tandem.tdb"])
}

/// Gives orders to a replica, by way of its input.
fn order(place: &Place, db: &str, orders: &[&str]) -> String {
    let mut child = place.spawn(&format!("replica --db {db}"));
    let mut input = child.stdin.take().unwrap();
    for order in orders {
        writeln!(input, "{order}").unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn place() -> Place {
    let place = Place::with("notes.csv", "id,text\n1,hello\n2,world\n");
    place.ok("import notes.csv");
    place
}

#[test]
fn a_file_is_pulled_edited_offline_and_pushed() {
    let place = place();
    let serving = serve(&place);
    let sync = |db: &str| place.ok(&format!("sync {} --db {db}", serving.url));
    let said = sync("phone.tdb");
    assert_eq!(
        said,
        "2 rows received, 0 edits sent; phone.tdb is in step\n"
    );
    let rows = |db: &str| place.ok(&format!("query notes --db {db} --order id --format csv"));
    assert_eq!(rows("phone.tdb"), "id,text\n1,hello\n2,world\n");
    let said = order(
        &place,
        "phone.tdb",
        &[
            r#"{"do": "update", "table": "notes", "key": [1], "row": {"text": "from the phone"}}"#,
            r#"{"do": "insert", "table": "notes", "row": {"id": 3, "text": "new"}}"#,
            r#"{"do": "sync"}"#,
        ],
    );
    assert!(said.contains("name one with --server"), "{said}");
    assert_eq!(
        sync("phone.tdb"),
        "0 rows received, 2 edits sent; phone.tdb is in step\n"
    );
    sync("tablet.tdb");
    assert_eq!(
        rows("tablet.tdb"),
        "id,text\n1,from the phone\n2,world\n3,new\n"
    );
    let only = [
        "sync",
        &serving.url,
        "--db",
        "part.tdb",
        "--only",
        "notes: id >= 2",
    ];
    assert_eq!(place.run_with(&only).code, 0);
    assert_eq!(rows("part.tdb"), "id,text\n2,world\n3,new\n");
    let json = place.ok(&format!("sync {} --db phone.tdb --json", serving.url));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["converged"], true);
    let gone = serving.url.clone();
    serving.end();
    // Nobody is there any more: the file keeps what is to be sent.
    order(
        &place,
        "phone.tdb",
        &[r#"{"do": "delete", "table": "notes", "key": [2]}"#],
    );
    let ran = place.run(&format!("sync {gone} --db phone.tdb"));
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("/v1/live"), "{}", ran.err);
    assert_eq!(rows("phone.tdb"), "id,text\n1,from the phone\n3,new\n");
    let again = serve(&place);
    let said = place.ok(&format!("sync {} --db phone.tdb", again.url));
    assert_eq!(
        said,
        "0 rows received, 1 edits sent; phone.tdb is in step\n"
    );
    again.end();
}

#[test]
fn what_is_wrong_is_said_before_a_file_is_touched() {
    let place = place();
    for (line, code, what) in [
        (
            "sync ftp://x --db new.tdb",
            1,
            "does not begin with http://",
        ),
        (
            "sync http://127.0.0.1:1 --db tandem.tdb",
            1,
            "is of no replica",
        ),
        (
            "sync http://127.0.0.1:1 --db new.tdb --token a\u{7f}b",
            1,
            "token or API key",
        ),
        (
            "sync http://127.0.0.1:1 --db new.tdb --only notes:id~~1",
            1,
            "--only",
        ),
        (
            "sync https://127.0.0.1:1 --db new.tdb --authorities notes.csv",
            1,
            "no certificate",
        ),
        ("sync", 2, "<URL>"),
    ] {
        let ran = place.run(line);
        assert_eq!(ran.code, code, "{line}: {}", ran.err);
        assert!(ran.err.contains(what), "{line}: {}", ran.err);
        assert!(!place.path("new.tdb").exists(), "{line}");
    }
}

#[test]
fn a_watched_file_takes_what_others_change_and_sends_what_is_ordered() {
    let place = place();
    let serving = serve(&place);
    let mut watching = place.spawn(&format!(
        "sync {} --db phone.tdb --watch --orders",
        serving.url
    ));
    let mut lines = lines_of(&mut watching);
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(
        next(),
        "2 rows received, 0 edits sent; phone.tdb is in step"
    );
    let url = serving.url.as_str();
    place.ok(&format!("sync {url} --db tablet.tdb"));
    let edit =
        r#"{"do": "update", "table": "notes", "key": [1], "row": {"text": "by the tablet"}}"#;
    order(&place, "tablet.tdb", &[edit]);
    place.ok(&format!("sync {url} --db tablet.tdb"));
    // Nobody asked for it: the server said so.
    assert_eq!(
        next(),
        "1 rows received, 0 edits sent; phone.tdb is in step"
    );
    let mut input = watching.stdin.take().unwrap();
    writeln!(
        input,
        r#"{{"do": "insert", "table": "notes", "row": {{"id": 9, "text": "x"}}}}"#
    )
    .unwrap();
    let mut said = [next(), next()];
    said.sort();
    assert_eq!(
        said[0],
        "0 rows received, 1 edits sent; phone.tdb is in step"
    );
    assert!(said[1].starts_with(r#"{"ok":"#), "{}", said[1]);
    drop(input);
    assert!(watching.wait().unwrap().success());
    let rows = place.ok("query notes --db phone.tdb --order id --format csv");
    assert_eq!(rows, "id,text\n1,by the tablet\n2,world\n9,x\n");
    serving.end();
}
