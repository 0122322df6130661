//! Bodies that were made smaller on their way: zstd and gzip, in both directions.

use std::io::{Read, Write as _};

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use common::{Error, Result};

use crate::problem::Problem;
use crate::serve::ServeOptions;

/// Answers below this many bytes fit a packet anyway.
const ANSWER_BYTES_MIN: u64 = 1_024;
/// How many times longer than it came a body may become, once it is longer than [`ALWAYS_INFLATED`].
const RATIO_MAX: usize = 200;
const ALWAYS_INFLATED: usize = 1 << 20;
/// Bytes of one piece of a body that is unpacked.
const PIECE_BYTES: usize = 64 << 10;
/// Largest window of zstd, as a power of two: what a decoder allocates on the word of a stranger.
const WINDOW_LOG_MAX: u32 = 23;
const ZSTD_LEVEL: i32 = 1;

/// How bytes were made smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Zstd,
    Gzip,
}

impl Encoding {
    const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The bytes as they were, at most `bytes_max` of them.
    ///
    /// # Errors
    /// [`common::ErrorKind::LimitExceeded`] as soon as there are more; [`common::ErrorKind::Invalid`] for what is damaged.
    pub(crate) fn inflate(self, bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>> {
        let by_ratio = bytes.len().saturating_mul(RATIO_MAX).max(ALWAYS_INFLATED);
        let max = bytes_max.min(by_ratio);
        let damaged = |error: std::io::Error| {
            Error::invalid(format!("the body is no {}: {error}", self.name()))
        };
        let read = match self {
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(bytes).map_err(damaged)?;
                decoder.window_log_max(WINDOW_LOG_MAX).map_err(damaged)?;
                read_at_most(decoder, max)
            }
            Self::Gzip => read_at_most(flate2::bufread::MultiGzDecoder::new(bytes), max),
        };
        read.map_err(damaged)?.ok_or_else(|| {
            Error::limit_exceeded(format!(
                "the body has more than {max} bytes when it is unpacked"
            ))
        })
    }

    fn deflate(self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Zstd => zstd::bulk::compress(bytes, ZSTD_LEVEL),
            Self::Gzip => {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes)?;
                encoder.finish()
            }
        }
    }

    /// What the caller takes, the better one first.
    pub(crate) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(header::ACCEPT_ENCODING).iter();
        let parts: Vec<&str> = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        let takes = |encoding: &Self| {
            parts.iter().any(|part| {
                let mut part = part.split(';').map(str::trim);
                let is = part
                    .next()
                    .is_some_and(|name| name.eq_ignore_ascii_case(encoding.name()));
                let weight = part
                    .next()
                    .and_then(|q| q.strip_prefix("q=")?.trim().parse::<f32>().ok());
                is && weight.is_none_or(|weight| weight > 0.0)
            })
        };
        [Self::Zstd, Self::Gzip].into_iter().find(takes)
    }
}

/// All that a reader gives; nothing when that is more than `max` bytes. It comes in pieces, and into one only when all of it is there:
/// allocators keep as much of what was freed as the largest that they have seen, and a bomb is never so large.
fn read_at_most(mut reader: impl Read, max: usize) -> std::io::Result<Option<Vec<u8>>> {
    let mut pieces = Vec::new();
    let mut len = 0;
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = (reader.by_ref().take(PIECE_BYTES as u64)).read_to_end(&mut piece)?;
        len += read;
        if len > max {
            return Ok(None);
        }
        pieces.push(piece);
        if read < PIECE_BYTES {
            return Ok(Some(pieces.concat()));
        }
    }
}

/// Unpacks the body of a request.
pub(crate) async fn inflated(options: &ServeOptions, mut request: Request, next: Next) -> Response {
    let Some(name) = request.headers_mut().remove(header::CONTENT_ENCODING) else {
        return next.run(request).await;
    };
    let encoding = match name.as_bytes().to_ascii_lowercase().as_slice() {
        b"identity" => return next.run(request).await,
        b"zstd" => Encoding::Zstd,
        b"gzip" | b"x-gzip" => Encoding::Gzip,
        _ => return unknown_encoding(request).await,
    };
    let (body_max, inflated_max) = (options.body_bytes_max, options.inflated_bytes_max);
    let (mut head, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, body_max).await else {
        let detail = format!("the body did not come whole, or has more than {body_max} bytes");
        return Problem::too_large(detail).and_end();
    };
    let unpacked =
        tokio::task::spawn_blocking(move || encoding.inflate(&bytes, inflated_max)).await;
    match unpacked {
        Ok(Ok(bytes)) => {
            head.headers.remove(header::CONTENT_LENGTH);
            next.run(Request::from_parts(head, Body::from(bytes))).await
        }
        Ok(Err(error)) => Problem::of(&error).into_response(),
        Err(_) => Problem::invalid("the body cannot be unpacked").into_response(),
    }
}

async fn unknown_encoding(request: Request) -> Response {
    let problem = Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported",
        "a body is packed by zstd or gzip, or not at all",
    );
    let mut response = problem.refuse(request).await;
    let known = HeaderValue::from_static("zstd, gzip");
    response
        .headers_mut()
        .insert(header::ACCEPT_ENCODING, known);
    response
}

/// Packs an answer, where that is worth it, as the one who asked takes it.
pub(crate) async fn deflate(accepted: Option<Encoding>, response: Response) -> Response {
    let Some(encoding) = accepted.filter(|_| is_worth_it(&response)) else {
        return response;
    };
    let (mut head, body) = response.into_parts();
    // The whole of it is in memory already.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let plain = Bytes::clone(&bytes);
    let packed = tokio::task::spawn_blocking(move || encoding.deflate(&bytes)).await;
    let Ok(Ok(packed)) = packed else {
        return Response::from_parts(head, Body::from(plain));
    };
    let headers = &mut head.headers;
    headers.insert(
        header::CONTENT_ENCODING,
        HeaderValue::from_static(encoding.name()),
    );
    headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.remove(header::CONTENT_LENGTH);
    // Other bytes of the same row: the tag still names the row.
    let weak = headers.get(header::ETAG).and_then(|tag| {
        let tag = tag.to_str().ok().filter(|tag| tag.starts_with('"'))?;
        HeaderValue::from_str(&format!("W/{tag}")).ok()
    });
    if let Some(weak) = weak {
        headers.insert(header::ETAG, weak);
    }
    Response::from_parts(head, Body::from(packed))
}

/// Frames of sync are packed in a better way, and a stream must not be waited for.
fn is_worth_it(response: &Response) -> bool {
    let headers = response.headers();
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let packs = [
        "application/json",
        "application/problem+json",
        "application/x-protobuf",
        "application/openmetrics",
        "text/",
    ];
    let exact = response.body().size_hint().exact();
    exact.is_some_and(|bytes| bytes >= ANSWER_BYTES_MIN)
        && !headers.contains_key(header::CONTENT_ENCODING)
        && kind.is_some_and(|kind| packs.iter().any(|packs| kind.starts_with(packs)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::ErrorKind;

    #[test]
    fn what_was_packed_is_unpacked() {
        let bytes = b"{\"id\":1}".repeat(1_000);
        for encoding in [Encoding::Zstd, Encoding::Gzip] {
            let packed = encoding.deflate(&bytes).unwrap();
            assert!(packed.len() < bytes.len() / 10);
            assert_eq!(encoding.inflate(&packed, bytes.len()).unwrap(), bytes);
            let error = encoding.inflate(&packed, bytes.len() - 1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::LimitExceeded);
            let cut = packed.get(..packed.len() / 2).unwrap();
            assert_eq!(
                encoding.inflate(cut, bytes.len()).unwrap_err().kind(),
                ErrorKind::Invalid
            );
            assert_eq!(
                encoding.inflate(b"plain", 100).unwrap_err().kind(),
                ErrorKind::Invalid
            );
        }
    }

    #[test]
    fn a_bomb_is_stopped_by_its_ratio_and_by_its_size() {
        for encoding in [Encoding::Zstd, Encoding::Gzip] {
            let packed = encoding.deflate(&vec![0; 64 << 20]).unwrap();
            let error = encoding.inflate(&packed, usize::MAX).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::LimitExceeded);
            let error = encoding.inflate(&packed, 8 << 20).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        }
    }

    #[test]
    fn the_better_encoding_is_taken_unless_it_is_refused() {
        let accepted = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(text));
            Encoding::accepted(&headers)
        };
        assert_eq!(accepted("gzip, zstd"), Some(Encoding::Zstd));
        assert_eq!(accepted("zstd;q=0, GZIP;q=0.5"), Some(Encoding::Gzip));
        assert_eq!(accepted("br"), None);
    }
}
