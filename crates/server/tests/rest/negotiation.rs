//! Bodies in other forms.

use std::io::{Read as _, Write as _};

use common::schema::Schema;
use common::serialization::{Format, decode_schema};
use common::{Limits, Metadata, Record, Value};
use serde_json::json;

use crate::support::{Running, run};

fn schema(running: &Running) -> Schema {
    let table = running.get("/v1/tables/notes").ok(200);
    let schema = decode_schema(table["schema"].to_string().as_bytes(), &Limits::default()).unwrap();
    assert_eq!(table["schema_id"], schema.schema_id().to_string());
    schema
}

const PROTOBUF: (&str, &str) = ("accept", "application/x-protobuf");

#[test]
fn rows_come_and_go_as_protocol_buffers() {
    let running = run();
    let schema = schema(&running);
    let values = vec![
        Value::from(9),
        "me".into(),
        "nine".into(),
        Value::Null,
        "s".into(),
        Value::Null,
    ];
    let record = Record::new(Metadata::default(), 1, values.clone());
    let mut body = Vec::new();
    Format::Protobuf
        .encode_rows(&schema, &[record], &mut body)
        .unwrap();
    let sent = [("content-type", "application/x-protobuf")];
    running
        .send("POST", "/v1/tables/notes/rows", &sent, &body)
        .ok(201);
    let got = running.send("GET", "/v1/tables/notes/rows/9", &[PROTOBUF], b"");
    assert_eq!(got.header("content-type"), "application/x-protobuf");
    let rows = Format::Protobuf
        .decode_rows(&schema, &got.body, &Limits::default())
        .unwrap();
    assert_eq!(rows, [values.as_slice()]);
    let page = running.send("GET", "/v1/tables/notes/rows?limit=2", &[PROTOBUF], b"");
    let rows = Format::Protobuf
        .decode_rows(&schema, &page.body, &Limits::default())
        .unwrap();
    assert_eq!(rows.len(), 2);
    assert!(!page.header("tandem-cursor").is_empty());
    assert_eq!(
        running
            .send("GET", "/v1/tables/notes/rows?columns=id", &[PROTOBUF], b"")
            .status,
        406
    );
    assert_eq!(
        running
            .send(
                "GET",
                "/v1/tables/notes/rows/9",
                &[("accept", "text/html")],
                b""
            )
            .status,
        406
    );
    assert_eq!(
        running
            .send(
                "POST",
                "/v1/tables/notes/rows",
                &[("content-type", "text/csv")],
                b"1"
            )
            .status,
        415
    );
    assert_eq!(
        running
            .send("POST", "/v1/tables/notes/rows", &sent, b"garbage")
            .status,
        400
    );
    assert_eq!(
        running.send("POST", "/v1/transaction", &sent, &body).status,
        415
    );
    running.end();
}

#[test]
fn bodies_are_packed_in_both_directions() {
    let running = run();
    let body = json!({ "id": 9, "text": "x".repeat(1_000) }).to_string();
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = zstd::bulk::compress(body.replace('9', "10").as_bytes(), 3).unwrap();
    for (encoding, packed) in [("gzip", gzip), ("zstd", zstd)] {
        let headers = [
            ("content-type", "application/json"),
            ("content-encoding", encoding),
        ];
        running
            .send("POST", "/v1/tables/notes/rows", &headers, &packed)
            .ok(201);
    }
    let plain = running.send(
        "GET",
        "/v1/tables/notes/rows/9",
        &[("accept-encoding", "identity")],
        b"",
    );
    for encoding in ["gzip", "zstd"] {
        let packed = running.send(
            "GET",
            "/v1/tables/notes/rows/9",
            &[("accept-encoding", encoding)],
            b"",
        );
        assert_eq!(packed.header("content-encoding"), encoding);
        assert_eq!(packed.header("vary"), "accept-encoding");
        assert_eq!(packed.header("etag"), format!("W/{}", plain.header("etag")));
        let mut unpacked = Vec::new();
        match encoding {
            "gzip" => flate2::bufread::GzDecoder::new(&packed.body[..])
                .read_to_end(&mut unpacked)
                .unwrap(),
            _ => zstd::stream::read::Decoder::new(&packed.body[..])
                .unwrap()
                .read_to_end(&mut unpacked)
                .unwrap(),
        };
        assert_eq!(unpacked, plain.body);
    }
    // What fits a packet is left as it is.
    let small = running.send(
        "GET",
        "/v1/tables/notes/rows/0",
        &[("accept-encoding", "zstd")],
        b"",
    );
    assert_eq!(small.header("content-encoding"), "");
    running.end();
}
