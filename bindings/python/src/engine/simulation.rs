//! A network that exists in memory only, and fails by seed.

use std::sync::Arc;
use std::time::Duration;

use common::utils::time::Clock;
use common::{Error, Text, Timestamp};
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use syncdb::netsim::{Connection, Fault, LinkOptions, Network, NodeClock, NodeId, Profile};

use super::config::{options_of, plain};
use super::db::PySyncDb;
use super::error::{OrRaise, exception, here};
use super::record::SyncReport;
use super::sync::{budget_of, run_with, transport_of};
use crate::interchange::time_to_python;

/// A thousand years.
const JUMP_MICROS_MAX: f64 = 3.2e16;

/// A network in memory: bad in every way a real one is, and the same each time for the same seed. Nothing sleeps: it has a clock of
/// its own, which each exchange moves.
///
/// A link is the name of a profile (`"wifi"`, `"4g"`, `"3g"`, `"edge"`, `"train_tunnel"`, `"offline"`), or a dict with some of
/// `latency_ms`, `jitter_ms`, `loss`, `duplicate`, `reorder`, `reorder_ms`, `cut`, `damage`, `bandwidth_kbit` and `outage`.
#[pyclass(frozen, name = "Network", module = "syncdb.simulation")]
pub(super) struct PyNetwork {
    network: Network,
    nodes: Mutex<Vec<(String, NodeId)>>,
}

fn link_of(link: &Bound<'_, PyAny>) -> PyResult<LinkOptions> {
    if let Ok(name) = link.cast::<PyString>() {
        let profile = name.to_cow()?.parse::<Profile>().or_raise(link.py())?;
        return Ok(profile.options());
    }
    options_of(link, "link")
}

impl PyNetwork {
    fn node(&self, py: Python<'_>, name: &str) -> PyResult<NodeId> {
        let nodes = self.nodes.lock();
        let found = nodes.iter().find(|(known, _)| known == name);
        let found = found.map(|(_, id)| *id);
        drop(nodes);
        found
            .ok_or_else(|| Error::not_found(format!("there is no node `{name}`; add it first")))
            .or_raise(py)
    }
}

#[pymethods]
impl PyNetwork {
    #[new]
    #[pyo3(signature = (seed, nodes=None))]
    fn new(py: Python<'_>, seed: u64, nodes: Option<Vec<String>>) -> PyResult<Self> {
        let network = Self {
            network: Network::new(seed),
            nodes: Mutex::default(),
        };
        for name in nodes.into_iter().flatten() {
            network.add_node(py, name)?;
        }
        Ok(network)
    }

    /// Adds a node, linked to every other one by a perfect link.
    fn add_node(&self, py: Python<'_>, name: String) -> PyResult<()> {
        let mut nodes = self.nodes.lock();
        if nodes.iter().any(|(known, _)| *known == name) {
            drop(nodes);
            let error = Error::conflict(format!("there is a node `{name}` already"));
            return Err(exception(py, &error));
        }
        let id = self.network.add_node(name.as_str());
        nodes.push((name, id));
        Ok(())
    }

    /// Sets what the link between two nodes does, in both directions or, with `one_way`, from the first to the second.
    #[pyo3(signature = (a, b, link, *, one_way=false))]
    fn set_link(&self, a: &str, b: &str, link: &Bound<'_, PyAny>, one_way: bool) -> PyResult<()> {
        let py = link.py();
        let (a, b) = (self.node(py, a)?, self.node(py, b)?);
        let options = link_of(link)?;
        let set = if one_way {
            self.network.set_link_one_way(a, b, options)
        } else {
            self.network.set_link(a, b, options)
        };
        set.or_raise(py)
    }

    /// Nothing passes between two nodes until `heal`.
    fn partition(&self, py: Python<'_>, a: &str, b: &str) -> PyResult<()> {
        self.network.partition(self.node(py, a)?, self.node(py, b)?);
        Ok(())
    }

    /// Ends a partition.
    fn heal(&self, py: Python<'_>, a: &str, b: &str) -> PyResult<()> {
        self.network.heal(self.node(py, a)?, self.node(py, b)?);
        Ok(())
    }

    /// Does one certain thing to the next message from `a` to `b`: `"pass"`, `"lose"`, `"duplicate"`, or with a number `"cut"` (after so
    /// many bytes), `"flip"` (that bit), `"delay"` (by so many milliseconds).
    #[pyo3(signature = (a, b, fault, number=0))]
    fn inject(&self, py: Python<'_>, a: &str, b: &str, fault: &str, number: u32) -> PyResult<()> {
        let fault = match fault {
            "pass" => Fault::Pass,
            "lose" => Fault::Lose,
            "duplicate" => Fault::Duplicate,
            "cut" => Fault::Cut(number as usize),
            "flip" => Fault::Flip(number as usize),
            "delay" => Fault::Delay(Duration::from_millis(u64::from(number))),
            other => {
                let error = Error::invalid(format!(
                    "there is no fault `{other}`; use pass, lose, duplicate, cut, flip or delay"
                ));
                return Err(exception(py, &error));
            }
        };
        self.network
            .inject(self.node(py, a)?, self.node(py, b)?, fault);
        Ok(())
    }

    /// A connection of a client's node to the server's, where a `SyncServer` (or a callable from bytes to bytes) answers.
    #[pyo3(signature = (client, server_node, server, *, principal=None, timeout_seconds=30.0))]
    fn connect(
        &self,
        client: &str,
        server_node: &str,
        server: &Bound<'_, PyAny>,
        principal: Option<&str>,
        timeout_seconds: f64,
    ) -> PyResult<PyConnection> {
        let py = server.py();
        let (client, node) = (self.node(py, client)?, self.node(py, server_node)?);
        let mut transport = transport_of(server, principal)?;
        let timeout = Duration::try_from_secs_f64(timeout_seconds)
            .map_err(|_| Error::invalid("timeout_seconds is a number of seconds from 0"))
            .or_raise(py)?;
        let handler: Handler = Box::new(move |request: &[u8]| transport.exchange(request));
        let connection = self.network.connect(client, node, handler);
        Ok(PyConnection(Mutex::new(connection.timeout(timeout))))
    }

    /// The clock of a node: give it to the `SyncDb` or `SyncServer` there, so that runs of one seed are the same.
    fn clock(&self, py: Python<'_>, node: &str) -> PyResult<PyClock> {
        Ok(PyClock(self.network.clock(self.node(py, node)?)))
    }

    /// Seconds since the beginning, by the network's clock.
    #[getter]
    fn now(&self) -> f64 {
        self.network.now().as_secs_f64()
    }

    /// Lets time pass.
    fn advance(&self, py: Python<'_>, seconds: f64) -> PyResult<()> {
        let time = Duration::try_from_secs_f64(seconds)
            .map_err(|_| Error::invalid("time passes by a number of seconds from 0"));
        self.network.advance(time.or_raise(py)?);
        Ok(())
    }

    /// What was sent from one node to another and what became of it, as a dict; of all links without names.
    #[pyo3(signature = (a=None, b=None))]
    fn statistics<'py>(
        &self,
        py: Python<'py>,
        a: Option<&str>,
        b: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let statistics = match (a, b) {
            (Some(a), Some(b)) => self
                .network
                .statistics(self.node(py, a)?, self.node(py, b)?),
            _ => self.network.total(),
        };
        plain(py, &statistics)
    }

    /// Keeps what happens, for `trace`: so many lines at most.
    fn keep_trace(&self, entries_max: usize) {
        self.network.keep_trace(entries_max);
    }

    /// Puts a line of the caller's into the trace.
    fn note(&self, py: Python<'_>, node: &str, line: &str) -> PyResult<()> {
        self.network.note(self.node(py, node)?, Text::new(line));
        Ok(())
    }

    /// What happened, line by line.
    fn trace(&self) -> Vec<String> {
        let trace = self.network.trace();
        trace.iter().map(ToString::to_string).collect()
    }

    /// A number of all that happened: equal for runs that were the same.
    #[getter]
    fn fingerprint(&self) -> u64 {
        self.network.fingerprint()
    }
}

/// What a node of a simulated network believes the time to be.
#[pyclass(frozen, name = "Clock", module = "syncdb.simulation")]
pub(super) struct PyClock(Arc<NodeClock>);

impl PyClock {
    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::<NodeClock>::clone(&self.0)
    }
}

#[pymethods]
impl PyClock {
    /// Moves it by so many seconds at once, forwards or backwards.
    fn jump(&self, seconds: f64) -> PyResult<()> {
        let micros = seconds * 1e6;
        if !micros.is_finite() || micros.abs() > JUMP_MICROS_MAX {
            return Err(PyValueError::new_err(
                "a clock jumps by at most a thousand years",
            ));
        }
        #[expect(clippy::cast_possible_truncation, reason = "it was checked")]
        self.0.jump(micros as i64);
        Ok(())
    }

    /// Lets it run too fast (negative: too slow), in parts per million.
    fn set_drift_ppm(&self, ppm: i32) {
        self.0.set_drift_ppm(ppm);
    }

    /// What it shows.
    #[getter]
    fn now<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        time_to_python(py, Timestamp(self.0.now()))
    }
}

type Handler = Box<dyn FnMut(&[u8]) -> common::Result<Vec<u8>> + Send>;

/// A connection over a simulated network, which replicas sync by.
#[pyclass(frozen, name = "Connection", module = "syncdb.simulation")]
pub(super) struct PyConnection(Mutex<Connection<Handler>>);

#[pymethods]
impl PyConnection {
    /// Syncs a replica; an exchange that is lost raises `ClosedError`, or is made again up to `retries` times. The next sync goes on
    /// where this one ended.
    #[pyo3(signature = (db, *, retries=0, progress=None, budget=None))]
    fn sync(
        &self,
        db: &Bound<'_, PySyncDb>,
        retries: u32,
        progress: Option<Py<PyAny>>,
        budget: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<SyncReport> {
        let py = db.py();
        let (replica, kept) = (db.get().db(py)?, db.get().kept());
        let budget = budget_of(budget)?;
        let mut failures = 0;
        let report = here(py, progress, |watch| {
            let mut exchange = |request: &[u8]| {
                use syncdb::Transport as _;
                // Not waited for: whoever answers may be the one who asks.
                let connection = self.0.try_lock();
                let mut connection = connection.ok_or_else(|| {
                    Error::conflict(
                        "the connection makes another exchange; connect once for each replica",
                    )
                })?;
                connection.exchange(request)
            };
            run_with(
                (&replica, &kept),
                &budget,
                &mut exchange,
                watch,
                &mut |_| {
                    failures += 1;
                    Ok(failures <= retries)
                },
            )
        })?;
        Ok(SyncReport(report))
    }
}
