//! [`Server`]: what all requests of one server share, beside its tenants.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;

use crate::limits::{Gate, Rate};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::serve::ServeOptions;

/// What all requests of one server share, beside its tenants.
#[derive(Clone)]
pub(crate) struct Server(Arc<Inner>);

struct Inner {
    options: ServeOptions,
    gate: Gate,
    rate: Option<Rate>,
    metrics: Arc<Metrics>,
    live: Arc<Live>,
    /// The OpenAPI document.
    document: OnceLock<Bytes>,
    draining: AtomicBool,
}

impl Server {
    pub(crate) fn new(options: ServeOptions) -> Self {
        let rate = options.requests_per_second_max.map(|per_second| {
            Rate::new(per_second, options.requests_burst_max.unwrap_or(per_second))
        });
        Self(Arc::new(Inner {
            gate: Gate::new(options.running_max, options.waiting_max),
            rate,
            metrics: Arc::new(Metrics::new()),
            live: Arc::new(Live::new(&options)),
            document: OnceLock::new(),
            draining: AtomicBool::new(false),
            options,
        }))
    }

    pub(crate) fn options(&self) -> &ServeOptions {
        &self.0.options
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    pub(crate) fn rate(&self) -> Option<&Rate> {
        self.0.rate.as_ref()
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    pub(crate) fn live(&self) -> &Arc<Live> {
        &self.0.live
    }

    /// Sets the document that describes the server, once.
    pub(crate) fn publish(&self, document: Bytes) {
        self.0.document.get_or_init(|| document);
    }

    pub(crate) fn document(&self) -> Bytes {
        self.0.document.get().cloned().unwrap_or_default()
    }

    /// From now on, who asks is told to go elsewhere with new requests.
    pub(crate) fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }
}
