//! [`Metrics`]: what a monitor is told, in the text format of Prometheus.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use syncdb::Status;

/// Media type of the text format.
pub(crate) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Bounds of the latency histogram, in seconds.
const SECONDS: [f64; 12] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0,
];

/// A route as it is written in the router, never a path as it was sent: of those there is no end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

/// A gauge of a number that is never negative.
type Count = Gauge<u64, AtomicU64>;

/// What a monitor is told.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    latency: Family<RouteLabels, Histogram, fn() -> Histogram>,
    connections: Gauge,
    opened: Counter,
    timed_out: Counter,
    /// Of the tenant who asks; of others it is not theirs to know.
    rows: Count,
    seq: Count,
    clients: Count,
    conflicts: Count,
    /// Who asks after another waits until the first has been told.
    telling: Mutex<()>,
}

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("tandem");
        let requests = Family::default();
        let latency: Family<RouteLabels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(histogram);
        let (connections, opened, timed_out) =
            (Gauge::default(), Counter::default(), Counter::default());
        let (rows, seq, clients, conflicts) = (
            Count::default(),
            Count::default(),
            Count::default(),
            Count::default(),
        );
        registry.register("requests", "Requests answered", Family::clone(&requests));
        registry.register(
            "request_seconds",
            "Time from the head of a request to that of its answer",
            latency.clone(),
        );
        registry.register(
            "connections",
            "Connections that are open",
            connections.clone(),
        );
        registry.register("connections_opened", "Connections accepted", opened.clone());
        registry.register(
            "connections_timed_out",
            "Connections closed because their peer stood still",
            timed_out.clone(),
        );
        registry.register("rows", "Rows in all synced tables", rows.clone());
        registry.register("seq", "Last commit", seq.clone());
        registry.register(
            "clients",
            "Replicas that have pushed something",
            clients.clone(),
        );
        registry.register("conflicts", "Conflicts in the ledger", conflicts.clone());
        Self {
            registry,
            requests,
            latency,
            connections,
            opened,
            timed_out,
            rows,
            seq,
            clients,
            conflicts,
            telling: Mutex::new(()),
        }
    }

    /// Counts an answer.
    pub(crate) fn answered(
        &self,
        route: &'static str,
        method: &Method,
        status: StatusCode,
        took: Duration,
    ) {
        let method = method_name(method);
        let labels = RouteLabels { route, method };
        self.latency
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        let status = status.as_u16();
        self.requests
            .get_or_create(&RequestLabels {
                route,
                method,
                status,
            })
            .inc();
    }

    /// Counts a connection for as long as what is returned lives.
    pub(crate) fn connection(self: &Arc<Self>) -> OpenConnection {
        self.opened.inc();
        self.connections.inc();
        OpenConnection(Arc::clone(self))
    }

    pub(crate) fn timed_out(&self) {
        self.timed_out.inc();
    }

    /// Everything as of now, for one who may know this of their tenant.
    pub(crate) fn text(&self, status: &Status) -> Result<String, std::fmt::Error> {
        let _one_at_a_time = self.telling.lock();
        self.rows.set(status.rows);
        self.seq.set(status.seq);
        self.clients.set(status.clients);
        self.conflicts.set(status.conflicts);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// A connection that counts as open.
pub(crate) struct OpenConnection(Arc<Metrics>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

/// Anybody can make up a method.
pub(crate) fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
