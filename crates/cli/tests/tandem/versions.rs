//! `tandem serve --lineage`: processes of two versions of an application at one server, over restarts of it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use serde_json::{Value as Json, json};

use crate::support::Place;

fn lineages(place: &Place) {
    let first = json!([{
        "name": "people", "version": 1, "key_columns": 1,
        "fields": [
            {"id": 1, "name": "id", "type": "int"},
            {"id": 2, "name": "name", "type": "text"},
        ],
    }]);
    let split = json!({"steps": [{"split_column": {
        "table": "people", "column": "name", "separator": " ",
        "into": [{"name": "first", "type": "text"}, {"name": "last", "type": "text"}],
        "on_loss": {"value": ""},
    }}]});
    place.write("v1.json", json!({"first": first}).to_string());
    let second = json!({"first": first, "migrations": [split]});
    place.write("v2.json", second.to_string());
}

fn tandem(place: &Place, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(arguments)
        .current_dir(place.path("."))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start(place: &Place, more: &[&str]) -> Self {
        let mut arguments = vec!["serve", "--open", "--db", "tandem.tdb"];
        arguments.extend(["--listen", "127.0.0.1:0", "--until-input-ends"]);
        arguments.extend(more);
        let mut process = tandem(place, &arguments);
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let url = first.strip_prefix("listening on ").unwrap().to_owned();
        Self { process, url }
    }

    fn end(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }

    /// What a replica of an application with this lineage answers to orders.
    fn replica(&self, place: &Place, name: &str, lineage: &str, orders: &[Json]) -> Vec<Json> {
        let arguments = [
            "replica",
            "--name",
            name,
            "--server",
            &self.url,
            "--lineage",
            lineage,
        ];
        let mut replica = tandem(place, &arguments);
        let mut input = replica.stdin.take().unwrap();
        for order in orders {
            writeln!(input, "{order}").unwrap();
        }
        drop(input);
        let output = replica.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

#[test]
fn processes_of_two_versions_share_a_server_and_a_retired_one_is_told_why() {
    let place = Place::new();
    lineages(&place);
    let sync = json!({"do": "sync"});
    let get = json!({"do": "get", "table": "people", "key": [1]});
    let server = Server::start(&place, &["--lineage", "v2.json"]);
    let insert = json!({"do": "insert", "table": "people", "row": {"id": 1, "name": "Aino Salo"}});
    let old = server.replica(&place, "old", "v1.json", &[insert, sync.clone()]);
    assert_eq!(old[1]["ok"]["converged"], true, "{old:?}");
    let update = json!({"do": "update", "table": "people", "key": [1], "row": {"last": "Virta"}});
    let orders = [sync.clone(), update, sync.clone(), get.clone()];
    let new = server.replica(&place, "new", "v2.json", &orders);
    assert_eq!(new[3]["ok"]["first"], "Aino", "{new:?}");
    server.end();

    // Told nothing, it serves as it did.
    let server = Server::start(&place, &[]);
    let old = server.replica(&place, "old again", "v1.json", &[sync.clone(), get]);
    assert_eq!(old[1]["ok"]["name"], "Aino Virta", "{old:?}");
    server.end();

    let server = Server::start(&place, &["--lineage", "v2.json", "--served-from", "2"]);
    let old = server.replica(&place, "third", "v1.json", std::slice::from_ref(&sync));
    let error = old[0]["error"].as_str().unwrap();
    assert!(
        error.contains("from 2 on") && error.contains("update"),
        "{error}"
    );
    server.end();
    let out = place.ok("query people --format csv");
    assert_eq!(out, "id,first,last\n1,Aino,Virta\n");
}

#[test]
fn what_cannot_be_served_is_said_before_anything_listens() {
    let place = Place::new();
    lineages(&place);
    let ran = place.run("serve --lineage v2.json --served-from 3");
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("in this order"), "{}", ran.err);
    let ran = place.run("serve --lineage none.json");
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("none.json"), "{}", ran.err);
    // The lineage may stand in a file of options, so this is no matter of the command line alone.
    let ran = place.run("serve --served-from 2");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("name that with --lineage"), "{}", ran.err);
}
