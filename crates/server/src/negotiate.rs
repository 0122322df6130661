//! In which form bodies come and go: media types, and conditions on what is there.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use common::schema::Schema;
use common::serialization::Format;
use common::{Error, Record, Seq};
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::limits::ANSWER_BYTES_MAX;
use crate::problem::Problem;

pub(crate) const JSON: &str = "application/json";
pub(crate) const PROTOBUF: &str = "application/x-protobuf";
const PROTOBUF_TOO: &str = "application/protobuf";
/// Rows that are put into bytes at a time, between two looks at the limit.
const CHUNK_ROWS: usize = 256;

/// What a body of JSON says: an object, and nothing that could be read as the parts of one in order.
pub(crate) fn object<T: DeserializeOwned>(body: &[u8]) -> common::Result<T> {
    let begin = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if begin.is_some_and(|begin| *begin == b'[') {
        return Err(Error::invalid(
            "the body of the request is a list; expected an object",
        ));
    }
    serde_json::from_slice(body)
        .map_err(|error| Error::invalid(format!("the body of the request: {error}")))
}

/// Whether a header names a media type, with or without parameters.
pub(crate) fn names(headers: &HeaderMap, name: HeaderName, media: &str) -> bool {
    let values = headers.get_all(name).iter();
    let mut types = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next());
    types.any(|found| found.trim().eq_ignore_ascii_case(media))
}

/// A form of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    Json,
    Protobuf,
}

impl Media {
    /// The form of a request's body: JSON where nothing is said.
    pub(crate) fn of_body(call: &Call) -> Result<Self, Problem> {
        let Some(kind) = call.header(&header::CONTENT_TYPE)? else {
            return Ok(Self::Json);
        };
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let is = |media: &str| kind.eq_ignore_ascii_case(media);
        // What `curl --data` says of any body.
        if is(JSON) || is("application/merge-patch+json") || is("application/x-www-form-urlencoded")
        {
            return Ok(Self::Json);
        }
        if is(PROTOBUF) || is(PROTOBUF_TOO) {
            return Ok(Self::Protobuf);
        }
        Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported",
            format!("a body is {JSON} or {PROTOBUF}, not `{kind}`"),
        ))
    }

    /// The form of the answer that the caller takes: JSON where they take any.
    pub(crate) fn of_answer(call: &Call) -> Result<Self, Problem> {
        let headers = &call.headers;
        let takes = |media: &str| names(headers, header::ACCEPT, media);
        if takes(PROTOBUF) || takes(PROTOBUF_TOO) {
            return Ok(Self::Protobuf);
        }
        let any = ["*/*", "application/*", JSON];
        if !headers.contains_key(header::ACCEPT) || any.into_iter().any(takes) {
            return Ok(Self::Json);
        }
        Err(not_acceptable("this answer"))
    }

    /// For answers that are JSON only.
    pub(crate) fn json_only(call: &Call) -> Result<(), Problem> {
        match Self::of_body(call)? {
            Self::Json => Ok(()),
            Self::Protobuf => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported",
                format!("this body is {JSON}; {PROTOBUF} is for rows"),
            )),
        }
    }
}

pub(crate) fn not_acceptable(what: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_ACCEPTABLE,
        "unsupported",
        format!("{what} is {JSON}, and rows of a table in all its columns are {PROTOBUF} as well"),
    )
}

/// An answer as it is kept for those who ask again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) media: String,
    pub(crate) etag: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(status: StatusCode, value: &impl serde::Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(value).map_err(|error| {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Problem::new(status, "invalid", format!("the answer is no JSON: {error}"))
        })?;
        Ok(Self::of(status, JSON, body))
    }

    pub(crate) fn of(status: StatusCode, media: &str, body: Vec<u8>) -> Self {
        Self {
            status,
            media: media.to_owned(),
            etag: None,
            location: None,
            body,
        }
    }

    /// One row.
    pub(crate) fn row(
        status: StatusCode,
        media: Media,
        schema: &Schema,
        record: &Record,
    ) -> Result<Self, Problem> {
        let mut body = encode(media, schema, std::slice::from_ref(record))?;
        if media == Media::Json {
            // A line of its own in the format of many rows.
            body.pop();
        }
        Ok(Self::of(status, media.name(), body))
    }

    #[must_use]
    pub(crate) fn etag(mut self, seq: Seq) -> Self {
        self.etag = Some(etag(seq));
        self
    }

    #[must_use]
    pub(crate) fn location(mut self, path: String) -> Self {
        self.location = Some(path);
        self
    }
}

impl Media {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Protobuf => PROTOBUF,
        }
    }
}

/// Rows in a form: as Protocol Buffers one message, as JSON an object a line.
///
/// # Errors
/// A problem when they are more than [`ANSWER_BYTES_MAX`] bytes.
pub(crate) fn encode(
    media: Media,
    schema: &Schema,
    records: &[Record],
) -> Result<Vec<u8>, Problem> {
    let mut out = Vec::new();
    let check = |out: &Vec<u8>| {
        if out.len() <= ANSWER_BYTES_MAX {
            return Ok(());
        }
        Err(Problem::too_large(format!(
            "the answer has more than {ANSWER_BYTES_MAX} bytes; ask for fewer rows with `limit`, or fewer columns"
        )))
    };
    match media {
        Media::Json => {
            for chunk in records.chunks(CHUNK_ROWS) {
                Format::Json.encode_rows(schema, chunk, &mut out)?;
                check(&out)?;
            }
        }
        Media::Protobuf => {
            let bytes: usize = records.iter().map(Record::heap_bytes).sum();
            if bytes > 2 * ANSWER_BYTES_MAX {
                out.resize(ANSWER_BYTES_MAX + 1, 0);
            } else {
                Format::Protobuf.encode_rows(schema, records, &mut out)?;
            }
            check(&out)?;
        }
    }
    Ok(out)
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, value: Option<String>| {
            let value = value.and_then(|value| HeaderValue::from_str(&value).ok());
            if let Some(value) = value {
                headers.insert(name, value);
            }
        };
        set(header::ETAG, self.etag);
        set(header::LOCATION, self.location);
        headers.remove(header::CONTENT_TYPE);
        if self.status != StatusCode::NO_CONTENT
            && let Ok(media) = HeaderValue::from_str(&self.media)
        {
            headers.insert(header::CONTENT_TYPE, media);
        }
        response
    }
}

/// The tag of a row: the commit of its last change, which no other state of the row shares.
pub(crate) fn etag(seq: Seq) -> String {
    format!("\"{}\"", seq.0)
}

/// What a request says that there must be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Condition {
    /// `If-Match`, and `If-None-Match`.
    matches: Option<Tags>,
    matches_none: Option<Tags>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    Any,
    Of(Vec<String>),
}

impl Tags {
    fn parse(name: &HeaderName, text: &str) -> Result<Self, Problem> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let tags = text.split(',').map(|tag| {
            let tag = tag.trim();
            let bare = tag.strip_prefix("W/").unwrap_or(tag);
            if bare.len() >= 2 && bare.starts_with('"') && bare.ends_with('"') {
                Ok(bare.to_owned())
            } else {
                Err(Problem::invalid(format!(
                    "header `{name}` is `*` or tags in quotes, as `ETag` gives them, not {tag}"
                )))
            }
        });
        tags.collect::<Result<_, _>>().map(Self::Of)
    }

    fn has(&self, there: Option<Seq>) -> bool {
        match (self, there) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Of(tags), Some(seq)) => tags.contains(&etag(seq)),
        }
    }
}

impl Condition {
    /// The conditions in a request's head.
    pub(crate) fn of(call: &Call) -> Result<Self, Problem> {
        let tags = |name: HeaderName| {
            let text = call.header(&name)?;
            text.map(|text| Tags::parse(&name, text)).transpose()
        };
        Ok(Self {
            matches: tags(header::IF_MATCH)?,
            matches_none: tags(header::IF_NONE_MATCH)?,
        })
    }

    /// That the row is as it was at a commit.
    pub(crate) fn at(seq: Option<u64>) -> Self {
        Self {
            matches: seq.map(|seq| Tags::Of(vec![etag(Seq(seq))])),
            matches_none: None,
        }
    }

    /// Whether the caller has what is there already.
    pub(crate) fn is_known(&self, there: Seq) -> bool {
        self.matches_none
            .as_ref()
            .is_some_and(|tags| tags.has(Some(there)))
    }

    /// Checks what is there, before it is changed.
    pub(crate) fn check(&self, there: Option<Seq>) -> Result<(), Problem> {
        let is_other = self.matches.as_ref().is_some_and(|tags| !tags.has(there));
        if is_other
            || self
                .matches_none
                .as_ref()
                .is_some_and(|tags| tags.has(there))
        {
            let now = there.map_or_else(
                || "there is none".to_owned(),
                |seq| format!("its tag is {}", etag(seq)),
            );
            return Err(Problem::precondition(format!(
                "the row is not as the request expects it: {now}; read it again"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_for_what_they_name() {
        let parse = |text: &str| Tags::parse(&header::IF_MATCH, text).unwrap();
        let seven = Some(Seq(7));
        for (text, there, has) in [
            ("*", seven, true),
            ("*", None, false),
            ("\"7\"", seven, true),
            ("\"6\", W/\"7\"", seven, true),
            ("\"6\"", seven, false),
            ("\"7\"", None, false),
        ] {
            assert_eq!(parse(text).has(there), has, "{text} {there:?}");
        }
        assert!(Tags::parse(&header::IF_MATCH, "7").is_err());
        assert!(Tags::parse(&header::IF_MATCH, "\"").is_err());
    }
}
