//! When to sync: from the time, the state of the device and what waits.

use std::time::Duration;

use common::utils::id_generator::{Rng as _, SystemRng};
use common::{Limits, Timestamp};
use parking_lot::Mutex;
use pyo3::prelude::*;
use syncdb::power::{
    Decision, DeviceState, Measured, PowerProfile, PowerProfiles, Priority, Scheduler, Urgency,
    Waiting, When,
};

use super::config::{name_of, named, options_of, plain};
use super::error::OrRaise;
use super::record::SyncReport;
use super::value::timestamp_of;
use crate::interchange::time_to_python;

/// What waits to be sent, by priority and deadline. `SyncDb.waiting` counts it; hosts with a queue of their own add to it.
#[pyclass(frozen, name = "Waiting", module = "syncdb.engine.power")]
pub(super) struct PyWaiting(Mutex<Waiting>);

impl PyWaiting {
    pub(super) fn new(waiting: Waiting) -> Self {
        Self(Mutex::new(waiting))
    }
}

#[pymethods]
impl PyWaiting {
    #[new]
    fn empty() -> Self {
        Self::new(Waiting::default())
    }

    /// Adds something that was written at `made`.
    #[pyo3(signature = (made, priority="medium", deadline=None))]
    fn add(
        &self,
        made: &Bound<'_, PyAny>,
        priority: &str,
        deadline: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let mut urgency: Urgency = named::<Priority>(made.py(), priority, "priority")?.into();
        urgency.deadline = deadline.map(timestamp_of).transpose()?;
        self.0.lock().add(timestamp_of(made)?, urgency);
        Ok(())
    }

    /// How many operations wait.
    #[getter]
    fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// Whether something of the priority `"critical"` is among them.
    #[getter]
    fn is_urgent(&self) -> bool {
        self.0.lock().is_urgent()
    }

    fn __bool__(&self) -> bool {
        !self.0.lock().is_empty()
    }

    fn __repr__(&self) -> String {
        format!("Waiting({} operations)", self.operations())
    }
}

/// What to do now: to sync within a budget, or to wait.
#[pyclass(frozen, name = "Decision", module = "syncdb.engine.power", get_all)]
pub(super) struct PyDecision {
    /// Whether a sync is to run.
    is_sync: bool,
    /// Why, or why not: `"urgent"`, `"written"`, `"interval"`, ...; `"deferred"`, `"offline"`, `"back_off"`, ...
    why: String,
    /// What the sync may take, as a dict for `sync(budget=...)`; `None` when none is to run.
    budget: Option<Py<PyAny>>,
    /// Name of the profile in force, for a sync.
    profile: Option<String>,
    /// When to ask again at the latest; `None`: when something changes.
    until: Option<Py<PyAny>>,
}

#[pymethods]
impl PyDecision {
    fn __bool__(&self) -> bool {
        self.is_sync
    }

    fn __repr__(&self) -> String {
        let what = if self.is_sync { "sync" } else { "wait" };
        format!("Decision({what}: {})", self.why)
    }
}

/// When to sync: a state machine without a clock.
///
/// Ask `decide` when something was written, when the device's state changes and when the time comes that it named; call `start`
/// before a sync and `finish` after it. A device is a dict with some of `battery` (0 to 1), `charging`, `saver`, `thermal`,
/// `network` (`"offline"`, `"wired"`, `"wifi"`, `"edge"`, `"three_g"`, `"cellular"`), `metered`, `foreground`, `radio_in_use`. Times are
/// datetimes with a time zone. `toml` holds further profiles.
#[pyclass(frozen, name = "Scheduler", module = "syncdb.engine.power")]
pub(super) struct PyScheduler(Mutex<Scheduler>);

/// A profile, and when it is in force.
type WithCondition<'py> = (Bound<'py, PyAny>, Option<Bound<'py, PyAny>>);

fn device_of(device: Option<&Bound<'_, PyAny>>) -> PyResult<DeviceState> {
    device.map_or_else(
        || Ok(DeviceState::default()),
        |device| options_of(device, "device"),
    )
}

#[pymethods]
impl PyScheduler {
    #[new]
    #[pyo3(signature = (*, profiles=None, toml=None))]
    fn new(
        py: Python<'_>,
        profiles: Option<Vec<WithCondition<'_>>>,
        toml: Option<&str>,
    ) -> PyResult<Self> {
        let mut known = match toml {
            Some(text) => {
                PowerProfiles::from_toml(text.as_bytes(), &Limits::default()).or_raise(py)?
            }
            None => PowerProfiles::default(),
        };
        for (profile, when) in profiles.into_iter().flatten() {
            let profile: PowerProfile = options_of(&profile, "profile")?;
            let when: Option<When> = when.map(|when| options_of(&when, "when")).transpose()?;
            known.add(profile, when).or_raise(py)?;
        }
        Ok(Self(Mutex::new(Scheduler::new(known))))
    }

    /// What to do now.
    #[pyo3(signature = (now, waiting, device=None))]
    fn decide(
        &self,
        now: &Bound<'_, PyAny>,
        waiting: &Bound<'_, PyWaiting>,
        device: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyDecision> {
        let py = now.py();
        let (now, device) = (timestamp_of(now)?, device_of(device)?);
        let waiting = waiting.get().0.lock().clone();
        let decision = self.0.lock().decide(now, &device, &waiting);
        Ok(match decision {
            Decision::Sync {
                budget,
                profile,
                why,
            } => PyDecision {
                is_sync: true,
                why: name_of(py, &why)?,
                budget: Some(plain(py, &budget)?.unbind()),
                profile: Some(profile.to_string()),
                until: None,
            },
            Decision::Wait { until, why } => PyDecision {
                is_sync: false,
                why: name_of(py, &why)?,
                budget: None,
                profile: None,
                until: until
                    .map(|at: Timestamp| time_to_python(py, at).map(Bound::unbind))
                    .transpose()?,
            },
        })
    }

    /// Notes that a sync begins.
    #[pyo3(signature = (now, waiting, device=None))]
    fn start(
        &self,
        now: &Bound<'_, PyAny>,
        waiting: &Bound<'_, PyWaiting>,
        device: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let (now, device) = (timestamp_of(now)?, device_of(device)?);
        let waiting = waiting.get().0.lock().clone();
        self.0.lock().start(now, &device, &waiting);
        Ok(())
    }

    /// Notes that the sync has ended: with its report, or with `None` when it failed. Returns what it cost as a dict, with
    /// `radio_mj` and `processor_mj` estimated.
    #[pyo3(signature = (now, report, *, cpu_seconds=0.0, random=None))]
    fn finish<'py>(
        &self,
        now: &Bound<'py, PyAny>,
        report: Option<&Bound<'py, SyncReport>>,
        cpu_seconds: f64,
        random: Option<u64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = now.py();
        let cpu = Duration::try_from_secs_f64(cpu_seconds).unwrap_or_default();
        let measured = match report {
            Some(report) => report.get().0.measured(cpu),
            None => Measured {
                cpu,
                ..Measured::default()
            },
        };
        let random = random.unwrap_or_else(|| {
            let mut bytes = [0; 8];
            SystemRng.fill(&mut bytes);
            u64::from_le_bytes(bytes)
        });
        let now = timestamp_of(now)?;
        let cost = self.0.lock().finish(now, &measured, random);
        plain(py, &cost)
    }

    /// Asks for a sync as soon as there is a network: somebody pulls to refresh.
    fn request(&self) {
        self.0.lock().request();
    }

    /// Uses the profile of this name whatever the device's state; `None`: the one that fits.
    #[pyo3(signature = (name))]
    fn choose(&self, py: Python<'_>, name: Option<&str>) -> PyResult<()> {
        self.0.lock().choose(name).or_raise(py)
    }

    /// The profile in force, as a dict.
    #[pyo3(signature = (device=None))]
    fn profile<'py>(
        &self,
        py: Python<'py>,
        device: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let device = device_of(device)?;
        let profile = self.0.lock().profile(&device).clone();
        plain(py, &profile)
    }

    /// What syncing has cost so far, as a dict.
    #[getter]
    fn totals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let totals = *self.0.lock().totals();
        plain(py, &totals)
    }
}
