//! Traces of requests for a collector, by OTLP over HTTP.

use std::fmt;
use std::io::Read as _;
use std::time::Duration;

use axum::http::{HeaderMap, Uri};
use common::{Error, Result};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider,
};
use tracing::level_filters::LevelFilter;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;
use ureq::Agent;

use super::TARGET;
use crate::client::trusting;
use crate::config::TelemetrySection;

/// Most bytes of a collector's answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// How long the last spans may take at the end of the process.
const LAST_EXPORT: Duration = Duration::from_secs(2);

/// Where spans wait for the collector, and the thread that sends them.
#[derive(Clone)]
pub(super) struct Traces(SdkTracerProvider);

impl Traces {
    /// As the options say; `None` when they name no collector. Nothing is sent yet, so a collector that is not there is no error.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for an address that is none, or has a password in it, and for numbers out of bounds;
    /// [`common::ErrorKind::Io`] when the system names no certificates to trust.
    pub(super) fn begin(options: &TelemetrySection) -> Result<Option<Self>> {
        let Some(url) = &options.traces else {
            return Ok(None);
        };
        let timeout = options.export_timeout()?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(url, timeout)?)
            .with_endpoint(url)
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(timeout)
            .build()
            .map_err(|error| Error::invalid(format!("[telemetry] `traces`: {error}")))?;
        // A full queue drops spans: whoever asks never waits for a collector.
        let batch = BatchConfigBuilder::default()
            .with_max_queue_size(options.queue_max()?)
            .with_scheduled_delay(options.export_every()?)
            .build();
        let processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batch)
            .build();
        let resource = Resource::builder_empty().with_service_name(options.service_name.clone());
        let sampler = Sampler::TraceIdRatioBased(options.sampled()?);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_resource(resource.build())
            .build();
        Ok(Some(Self(provider)))
    }

    /// What gives the spans of requests, and nothing else, to the collector: neither lines of the log nor places in the source.
    pub(super) fn layer<S>(&self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let of_requests = filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET)
            .with_max_level_hint(LevelFilter::INFO);
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("tandem"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(of_requests)
            .boxed()
    }

    /// Sends what waits, as far as that is quickly done.
    pub(super) fn end(&self) {
        // A collector that is not there has had its chance.
        let _ = self.0.shutdown_with_timeout(LAST_EXPORT);
    }
}

/// Has a span be of the trace that the request says it is part of.
pub(super) fn join(span: &Span, headers: &HeaderMap) {
    let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    if parent.span().span_context().is_valid() {
        // It fails where no traces are kept.
        let _ = span.set_parent(parent);
    }
}

/// Sends over a connection that the thread of the exporter waits for; requests of callers are on other threads.
struct Client(Agent);

impl Client {
    fn new(url: &str, timeout: Duration) -> Result<Self> {
        let wrong = |what: &str| Error::invalid(format!("[telemetry] `traces`: {what}"));
        let uri: Uri = url.parse().map_err(|_| {
            wrong("not an address; expected one as in http://127.0.0.1:4318/v1/traces")
        })?;
        if uri
            .authority()
            .is_some_and(|name| name.as_str().contains('@'))
        {
            return Err(wrong(
                "the address has a password in it, and addresses get into logs; set OTEL_EXPORTER_OTLP_HEADERS in the environment",
            ));
        }
        let mut config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None);
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => config = config.tls_config(trusting(None)?),
            _ => {
                return Err(wrong(
                    "the address begins with neither http:// nor https://",
                ));
            }
        }
        Ok(Self(config.build().into()))
    }

    fn send(&self, request: Request<Bytes>) -> std::result::Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, body.to_vec());
        let (head, body) = self.0.run(request)?.into_parts();
        let mut bytes = Vec::new();
        body.into_reader()
            .take(ANSWER_BYTES_MAX)
            .read_to_end(&mut bytes)?;
        Ok(Response::from_parts(head, bytes.into()))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl HttpClient for Client {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> std::pin::Pin<
        Box<dyn Future<Output = std::result::Result<Response<Bytes>, HttpError>> + Send + 'b>,
    >
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(std::future::ready(self.send(request)))
    }
}
