//! Traces of requests: a collector gets them by OTLP, and one that is dead holds nobody up.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;

use crate::serving::Serving;
use crate::support::Place;

/// One request to the collector: its head and its body.
struct Export {
    head: String,
    body: Vec<u8>,
}

/// A collector on a free port: what it gets comes out of the channel.
fn collector() -> (u16, Receiver<Export>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (got, exports) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, got) = (stream.unwrap(), got.clone());
            std::thread::spawn(move || {
                // Passed on before it is answered: who has the answer may look at once.
                while let Some(export) = receive(&stream) {
                    if got.send(export).is_err() || answer(&stream).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, exports)
}

/// The next request of a connection.
fn receive(stream: &TcpStream) -> Option<Export> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse().unwrap())
    });
    let mut body = vec![0; length.unwrap()];
    reader.read_exact(&mut body).ok()?;
    Some(Export { head, body })
}

fn answer(mut stream: &TcpStream) -> std::io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n",
    )
}

fn configure(place: &Place, port: u16, more: &str) {
    place.write(
        "tandem.toml",
        format!(
            "[telemetry]\ntraces = \"http://127.0.0.1:{port}/v1/traces\"\nservice_name = \"shop\"\n{more}\n\n[log]\nlevel = \"error\"\n"
        ),
    );
}

/// The value of a span's attribute, as text.
fn attribute(span: &Span, name: &str) -> Option<String> {
    let attribute = span.attributes.iter().find(|found| found.key == name)?;
    Some(match attribute.value.clone()?.value? {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

#[test]
fn a_collector_gets_the_span_of_a_request_and_no_secret() {
    let place = Place::new();
    let (port, exports) = collector();
    configure(&place, port, "export_every_seconds = 0.05");
    let server = Serving::start(&place, &["--config", "tandem.toml"]);
    let key = server.key().to_owned();
    let table = r#"{"name":"canary-table","fields":[{"name":"id","type":"text"},{"name":"text","type":"text"}]}"#;
    assert_eq!(server.curl("/v1/tables", &key, &["-d", table]).0, 201);
    let path = "/v1/tables/canary-table/rows/canary-key?columns=canary-column";
    let parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(server.curl(path, &key, &["-H", parent]).0, 404);
    let row = r#"{"text":"canary-text"}"#;
    let put = ["-X", "CANARY-METHOD", "-d", row];
    assert_eq!(
        server.curl("/v1/tables/canary-table/rows/1", &key, &put).0,
        405
    );
    server.end();
    let mut spans = Vec::new();
    // The end of the server has sent what was left.
    for Export { head, body } in exports.try_iter() {
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        assert!(
            head.to_lowercase()
                .contains("content-type: application/x-protobuf"),
            "{head}"
        );
        for secret in [key.as_str(), "canary", "CANARY", "Bearer", "curl"] {
            let is_there = body
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(
                !is_there,
                "{secret} is in {}",
                String::from_utf8_lossy(&body)
            );
        }
        let export = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
        for of_resource in export.resource_spans {
            let resource = format!("{:?}", of_resource.resource.unwrap());
            assert!(resource.contains("shop"), "{resource}");
            for scope in of_resource.scope_spans {
                spans.extend(scope.spans);
            }
        }
    }
    let named = |name: &str| {
        let mut found = spans.iter().filter(|span| span.name == name);
        let span = found.next();
        assert!(
            span.is_some() && found.next().is_none(),
            "{name}: {spans:?}"
        );
        span.unwrap()
    };
    let created = named("POST /v1/tables");
    assert_eq!(
        attribute(created, "http.response.status_code").unwrap(),
        "201"
    );
    assert!(created.parent_span_id.is_empty());
    let read = named("GET /v1/tables/{table}/rows/{key}");
    assert_eq!(read.kind(), SpanKind::Server);
    assert_eq!(
        read.trace_id,
        hex::decode("0af7651916cd43dd8448eb211c80319c").unwrap()
    );
    assert_eq!(
        read.parent_span_id,
        hex::decode("b7ad6b7169203331").unwrap()
    );
    assert!(read.end_time_unix_nano >= read.start_time_unix_nano);
    let known = [
        "http.request.method",
        "http.route",
        "http.response.status_code",
    ];
    let values = known.map(|name| attribute(read, name).unwrap());
    assert_eq!(values, ["GET", "/v1/tables/{table}/rows/{key}", "404"]);
    named("other /v1/tables/{table}/rows/{key}");
    for span in &spans {
        let other = span.attributes.iter().find(|found| {
            let all = ["level", "busy_ns", "idle_ns"];
            !known.contains(&found.key.as_str()) && !all.contains(&found.key.as_str())
        });
        assert!(other.is_none() && span.events.is_empty(), "{span:?}");
    }
}

/// The collector takes connections and says nothing: an export waits for as long as it may, which is a day.
#[test]
fn a_dead_collector_holds_no_request_up() {
    let place = Place::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    configure(
        &place,
        port,
        "export_every_seconds = 0.001\nexport_seconds = 86400.0\nqueue_max = 1",
    );
    let server = Serving::start(&place, &["--config", "tandem.toml", "--open"]);
    assert_eq!(server.curl("/v1/status", "", &[]).0, 200);
    // It is in the hands of the collector now, and stays there.
    let (_held, _) = silent.accept().unwrap();
    for _ in 0..50 {
        assert_eq!(server.curl("/v1/status", "", &[]).0, 200);
    }
    server.end();
}

#[test]
fn a_collector_without_a_proper_address_is_an_error_at_the_start() {
    let place = Place::new();
    for (traces, says) in [
        ("collector:4318", "neither http:// nor https://"),
        (
            "http://user:password@collector:4318",
            "has a password in it",
        ),
        ("ftp://collector", "neither http:// nor https://"),
        ("http://", "not an address"),
    ] {
        place.write(
            "tandem.toml",
            format!("[telemetry]\ntraces = \"{traces}\"\n"),
        );
        let ran = place.run("serve --config tandem.toml");
        assert!(
            ran.code != 0 && ran.err.contains(says),
            "{traces}: {}",
            ran.err
        );
        assert!(!ran.err.contains("password@"), "{}", ran.err);
    }
    place.write("tandem.toml", "[telemetry]\nsampled = 1.5\n");
    let ran = place.run("serve --config tandem.toml");
    assert!(
        ran.err.contains("[telemetry] `sampled` is 1.5"),
        "{}",
        ran.err
    );
}
