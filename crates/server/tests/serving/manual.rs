//! The commands of `docs/serving.md`, run as a reader would run them.

use std::process::Command;

use serde_json::Value as Json;

use crate::running::Running;

/// A block of the page: its language and its text.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, String)> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(_), Some(block)) => blocks.push(block),
            (Some(language), None) => open = Some((language, String::new())),
            (None, Some((language, text))) => open = Some((language, text + line + "\n")),
            (None, None) => {}
        }
    }
    blocks
}

/// Whether all that the page shows is in an answer.
fn shows(shown: &Json, answer: &Json) -> bool {
    match (shown, answer) {
        (Json::Object(shown), Json::Object(answer)) => shown
            .iter()
            .all(|(key, value)| answer.get(key).is_some_and(|answer| shows(value, answer))),
        (Json::Array(shown), Json::Array(answer)) => {
            shown.len() == answer.len()
                && shown
                    .iter()
                    .zip(answer)
                    .all(|(shown, answer)| shows(shown, answer))
        }
        (shown, answer) => shown == answer,
    }
}

#[test]
fn the_commands_of_the_page_answer_what_it_says() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/serving.md");
    let page = std::fs::read_to_string(page).unwrap();
    let server = Running::new();
    let mut answer = String::new();
    let mut compared = 0;
    for (language, text) in blocks(&page) {
        match language {
            "sh" => {
                let run = Command::new("sh")
                    .args(["-e", "-c", &text])
                    .env("TANDEM", server.url(""))
                    .output()
                    .unwrap();
                assert!(
                    run.status.success(),
                    "{text}: {}",
                    String::from_utf8_lossy(&run.stderr)
                );
                answer = String::from_utf8(run.stdout).unwrap();
                assert!(!answer.contains("\"status\":4"), "{text}: {answer}");
            }
            "json" => {
                let shown: Json = serde_json::from_str(&text).unwrap();
                let answer: Json = serde_json::from_str(&answer).unwrap();
                assert!(shows(&shown, &answer), "{text} is not in {answer}");
                compared += 1;
            }
            other => panic!("a block of {other}"),
        }
    }
    assert!(compared > 12);
}
