//! `tandem serve` as a new user tries it: the lines of the README, and options from a file.
#![expect(
    clippy::unwrap_used,
    clippy::zombie_processes,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::support::Place;

/// A server on a free port, its address, and its first key where it shows one.
fn serve(place: &Place, arguments: &[&str]) -> (Child, String, String) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_tandem"))
        .arg("serve")
        .args(arguments)
        .args(["--listen", "127.0.0.1:0", "--until-input-ends"])
        .current_dir(place.path("."))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(server.stdout.take().unwrap());
    let mut key = String::new();
    let address = loop {
        let mut line = String::new();
        assert!(out.read_line(&mut line).unwrap() > 0, "it ended");
        if let Some(shown) = line.strip_prefix("the first API key, shown this once: ") {
            shown.trim().clone_into(&mut key);
        }
        if let Some(address) = line.strip_prefix("listening on http://") {
            break address.trim().to_owned();
        }
    };
    // What it says at the end must find a reader.
    std::thread::spawn(
        move || while out.read_line(&mut String::new()).is_ok_and(|read| read > 0) {},
    );
    (server, address, key)
}

fn end(mut server: Child) {
    drop(server.stdin.take());
    assert!(server.wait().unwrap().success());
}

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
    let (server, address, key) = serve(&place, &[]);
    let answers: Vec<String> = lines
        .iter()
        .map(|line| {
            let line = line.replace("localhost:8080", &address);
            let ran = Command::new("sh")
                .args(["-c", &line])
                .env("KEY", format!("authorization: Bearer {key}"))
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
    end(server);
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
    let (server, _, _) = serve(&place, &["--open", "--config", "some.toml"]);
    end(server);
    assert!(place.path("other.tdb").is_file());
    let (server, _, _) = serve(&place, &["--open", "--config", "all.toml"]);
    end(server);
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

#[cfg(unix)]
#[test]
fn sigterm_lets_running_requests_end_and_saves() {
    let place = Place::new();
    let (mut server, address, _) = serve(&place, &["--open", "--db", "tandem.tdb"]);
    let create = format!(
        "curl -s {address}/v1/tables -d '{{\"name\":\"t\",\"fields\":[{{\"name\":\"id\",\"type\":\"int\"}}]}}'"
    );
    assert!(
        Command::new("sh")
            .args(["-c", &create])
            .status()
            .unwrap()
            .success()
    );
    let kill = Command::new("kill")
        .args(["-TERM", &server.id().to_string()])
        .status()
        .unwrap();
    assert!(kill.success());
    assert!(server.wait().unwrap().success());
    assert!(place.ok("inspect").contains('t'));
}

#[test]
fn with_auth_the_first_key_is_shown_once_and_everybody_else_is_turned_away() {
    let place = Place::new();
    std::fs::write(place.path("tandem.toml"), "").unwrap();
    let begin = || {
        let mut server = Command::new(env!("CARGO_BIN_EXE_tandem"))
            .args(["serve", "--config", "tandem.toml"])
            .args(["--listen", "127.0.0.1:0", "--until-input-ends"])
            .current_dir(place.path("."))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(server.stdout.take().unwrap());
        let mut key = None;
        loop {
            let mut line = String::new();
            assert!(out.read_line(&mut line).unwrap() > 0, "it ended");
            if let Some(shown) = line.strip_prefix("the first API key, shown this once: ") {
                key = Some(shown.trim().to_owned());
            }
            if let Some(url) = line.strip_prefix("listening on ") {
                return (server, out, key, url.trim().to_owned());
            }
        }
    };
    let status = |url: &str, key: Option<&str>| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}"]);
        if let Some(key) = key {
            curl.args(["-H", &format!("authorization: Bearer {key}")]);
        }
        let ran = curl.arg(format!("{url}/v1/status")).output().unwrap();
        String::from_utf8(ran.stdout).unwrap()
    };
    let (mut server, out, key, url) = begin();
    let key = key.unwrap();
    assert_eq!(status(&url, Some(&key)), "200");
    assert_eq!(status(&url, None), "401");
    // The key was kept before it was shown: also when the server does not come to its end.
    server.kill().unwrap();
    server.wait().unwrap();
    drop(out);
    // It is kept, and not shown again.
    let (mut server, out, again, url) = begin();
    assert_eq!(again, None);
    assert_eq!(status(&url, Some(&key)), "200");
    server.kill().unwrap();
    server.wait().unwrap();
    drop(out);
}
