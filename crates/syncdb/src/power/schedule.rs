//! [`Scheduler`]: when to sync, from the time, the state of the device and what waits.

use std::fmt;
use std::time::Duration;

use common::{Error, Result, Text, Timestamp};
use serde::{Deserialize, Serialize};

use super::account::{Account, Attempt, PowerTotals, SyncCost};
use super::budget::SyncBudget;
use super::device::{DeviceState, NetworkType};
use super::priority::{Priority, between, later};
use super::profile::{PowerProfile, PowerProfiles, seconds};
use super::radio::RadioModel;
use super::waiting::{LINGER, Trust, Waiting};
use crate::payload::Level;

/// What is urgent or due and could not be sent is tried again so soon at the latest, at first.
const FORCED_RETRY: Duration = Duration::from_secs(2);
/// What has been tried and still waits, although the sync succeeded, is tried again after so long, at first.
const RETRY: Duration = Duration::from_secs(10);
/// Least time between two syncs that only make use of a radio that others woke.
const WINDOW_GAP: Duration = Duration::from_mins(1);
/// How long past the time at which it was due something is tried again that often.
const FORCING: Duration = Duration::from_secs(90);
/// Longest time between attempts at what does not move.
const UNMOVED_MAX: Duration = Duration::from_mins(30);
/// After so many failures in a row it is not by chance that nothing arrives.
const DEAD_FROM: u32 = 4;
const DAY: Duration = Duration::from_hours(24);

/// Why a sync is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Something of [`Priority::Critical`] waits.
    Urgent,
    /// The host asked: a user who pulls to refresh, or a message that there is something new.
    Requested,
    /// What waits is due: its deadline is near, or the network comes and goes and may not be there when it is.
    Deadline,
    /// Something was written, and the profile sends at once.
    Written,
    /// Others keep the radio up, or the system granted time: what waits goes along.
    Window,
    /// The last pull is as old as the profile allows.
    Interval,
}

impl Reason {
    /// As a sentence says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Urgent => "something urgent waits",
            Self::Requested => "the host asked for it",
            Self::Deadline => "a deadline is near",
            Self::Written => "something was written",
            Self::Window => "the radio is up anyway",
            Self::Interval => "the last pull is old",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why no sync is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Nothing waits, and the last pull is not old.
    Nothing,
    /// A sync runs.
    Running,
    /// There is no network.
    Offline,
    /// What waits may wait longer, so that more goes at once.
    Deferred,
    /// The last attempt failed.
    BackOff,
    /// Attempts that failed have taken all that a day may spend on them.
    DailyBudget,
}

impl Hold {
    /// As a sentence says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "there is nothing to do",
            Self::Running => "a sync runs",
            Self::Offline => "there is no network",
            Self::Deferred => "what waits may wait longer",
            Self::BackOff => "the last attempt failed",
            Self::DailyBudget => "failed attempts have taken the day's share",
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Sync now, within the budget, and run what was deferred: the radio will be up.
    Sync {
        /// What it may take.
        budget: SyncBudget,
        /// Name of the profile in force.
        profile: Text,
        /// Why.
        why: Reason,
    },
    /// Ask again then, and whenever the device's state changes or something is written.
    Wait {
        /// When; `None`: only then.
        until: Option<Timestamp>,
        /// Why.
        why: Hold,
    },
}

impl Decision {
    /// Whether a sync is to run.
    pub const fn is_sync(&self) -> bool {
        matches!(self, Self::Sync { .. })
    }
}

/// What the host measured of a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Measured {
    /// Whether it came to its end.
    pub succeeded: bool,
    /// Processor time of the calls.
    pub cpu: Duration,
    /// Bytes of all requests.
    pub bytes_up: u64,
    /// Bytes of all answers.
    pub bytes_down: u64,
}

/// When to sync: a state machine without a clock.
///
/// Ask [`Scheduler::decide`] when something was written, when the device's state changes, and when the time comes that it
/// named. Call [`Scheduler::start`] before a sync and [`Scheduler::finish`] after it, whether it succeeded or not. A
/// scheduler can be kept as JSON over a restart; one that was not kept begins without failures, and pulls at once.
///
/// ```
/// use common::Timestamp;
/// use syncdb::power::{
///     Decision, DeviceState, Measured, NetworkType, PowerProfiles, Priority, Reason, Scheduler, Waiting,
/// };
/// let at = |seconds: i64| Timestamp(seconds * 1_000_000);
/// let phone = DeviceState::default().battery(0.15).network(NetworkType::Cellular).foreground(false);
/// let mut scheduler = Scheduler::new(PowerProfiles::default());
///
/// let mut waiting = Waiting::default();
/// waiting.add(at(0), Priority::Medium.into());
/// // An edit may wait for five minutes; it leaves a minute before that.
/// let decision = scheduler.decide(at(0), &phone, &waiting);
/// assert!(matches!(decision, Decision::Wait { until: Some(until), .. } if until == at(240)));
///
/// // Something urgent leaves now, and takes the edit along.
/// waiting.add(at(20), Priority::Critical.into());
/// let decision = scheduler.decide(at(20), &phone, &waiting);
/// assert!(matches!(decision, Decision::Sync { why: Reason::Urgent, .. }));
/// scheduler.start(at(20), &phone, &waiting);
/// let measured = Measured { succeeded: true, bytes_up: 300, bytes_down: 200, ..Measured::default() };
/// let cost = scheduler.finish(at(21), &measured, 7);
/// assert!(cost.woke && cost.radio_mj > 10_000.0, "the tail of LTE");
/// assert!(!scheduler.decide(at(21), &phone, &Waiting::default()).is_sync());
/// ```
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Scheduler {
    profiles: PowerProfiles,
    /// Name of the profile that the host asked for.
    chosen: Option<Text>,
    account: Account,
    requested: bool,
    /// When the last sync that succeeded had begun.
    pulled: Option<Timestamp>,
    last: Option<LastAttempt>,
    /// Attempts that failed since the last that succeeded.
    failures: u32,
    retry_at: Option<Timestamp>,
    failing: Failing,
    /// When there was last no network, or an attempt failed.
    lost: Option<Timestamp>,
    #[serde(skip)]
    running: Option<Running>,
}

/// The last attempt.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct LastAttempt {
    started: Timestamp,
    ended: Timestamp,
    network: Option<NetworkType>,
    /// The earliest of what waited, to see whether it moves.
    earliest: Option<Timestamp>,
    /// How many attempts in a row it has not moved.
    unmoved: u32,
}

/// What was spent on attempts that failed.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
struct Failing {
    since: Timestamp,
    seconds: f64,
}

#[derive(Debug, Clone)]
struct Running {
    started: Timestamp,
    device: DeviceState,
    earliest: Option<Timestamp>,
}

impl Scheduler {
    /// A scheduler that has seen nothing yet.
    pub fn new(profiles: PowerProfiles) -> Self {
        Self {
            profiles,
            ..Self::default()
        }
    }

    /// Sets the model by which energy is estimated, and begins the account anew.
    #[must_use]
    pub fn radio_model(mut self, model: RadioModel) -> Self {
        self.account = Account::new(model);
        self
    }

    /// The profiles.
    pub const fn profiles(&self) -> &PowerProfiles {
        &self.profiles
    }

    /// What syncing has cost so far.
    pub const fn totals(&self) -> &PowerTotals {
        self.account.totals()
    }

    /// Uses the profile of this name whatever the device's state; `None`: the one that fits.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when there is none of this name.
    pub fn choose(&mut self, name: Option<&str>) -> Result<()> {
        if let Some(name) = name
            && self.profiles.by_name(name).is_none()
        {
            return Err(Error::not_found(format!("there is no profile `{name}`")));
        }
        self.chosen = name.map(Text::new);
        Ok(())
    }

    /// The profile in force.
    pub fn profile(&self, device: &DeviceState) -> &PowerProfile {
        let chosen = self.chosen.as_ref();
        let chosen = chosen.and_then(|name| self.profiles.by_name(name));
        chosen.unwrap_or_else(|| self.profiles.in_force(device))
    }

    /// Asks for a sync: somebody pulls to refresh, or a message said that there is something new. It runs as soon as there
    /// is a network, whatever has failed before.
    pub const fn request(&mut self) {
        self.requested = true;
    }

    /// What to do now. Being offline ends a back-off: whatever comes next is another connection.
    pub fn decide(&mut self, now: Timestamp, device: &DeviceState, waiting: &Waiting) -> Decision {
        let wait = |why| Decision::Wait { until: None, why };
        if self.running.is_some() {
            return wait(Hold::Running);
        }
        if !device.is_online() {
            self.retry_at = None;
            self.lost = Some(now);
            return wait(Hold::Offline);
        }
        let this = &*self;
        let profile = this.profile(device);
        let wants = this.wants(now, device, waiting, profile);
        let allowed = wants
            .into_iter()
            .flatten()
            .map(|(reason, at)| {
                let (from, hold) = this.hold(now, device, waiting, profile, reason, at);
                (
                    at.max(from),
                    reason,
                    if from > at { hold } else { Hold::Deferred },
                )
            })
            .min_by_key(|(at, reason, _)| (*at.max(&now), *reason));
        match allowed {
            None => wait(Hold::Nothing),
            Some((at, why, _)) if at <= now => {
                let mut budget = profile.budget.clone();
                // A profile that saves energy takes what its own level leaves: to pack harder takes a hundredth off.
                if device.metered == Some(true) && profile.defer_from.is_none() {
                    budget.level = Level::Small;
                }
                Decision::Sync {
                    budget,
                    profile: profile.name.clone(),
                    why,
                }
            }
            Some((at, _, hold)) => Decision::Wait {
                until: Some(at),
                why: if hold == Hold::Deferred && waiting.is_empty() {
                    Hold::Nothing
                } else {
                    hold
                },
            },
        }
    }

    /// What calls for a sync, and when.
    fn wants(
        &self,
        now: Timestamp,
        device: &DeviceState,
        waiting: &Waiting,
        profile: &PowerProfile,
    ) -> [Option<(Reason, Timestamp)>; 9] {
        let at_once = Priority::ALL
            .into_iter()
            .filter(|priority| !profile.defers(*priority))
            .filter_map(|priority| waiting.oldest_of(priority))
            .min();
        let waits = |priority| profile.waits.of(priority);
        let before = Timestamp(i64::MIN);
        let due = if waiting.is_set_back(now) {
            Some(now)
        } else {
            waiting.due_after(before, Trust::Holds, waits)
        };
        // What was tried before and is stuck does not hide when the next is due.
        let last = self.last(now);
        let since = last.map_or(before, |last| last.started);
        let fresh = waiting.due_after(since, Trust::Holds, waits);
        // What is sent early in vain is due once more shortly before its deadline. A link that is dead although the host
        // reports it takes no more than the day's share with what is early.
        let is_dead = self.failures >= DEAD_FROM && self.spent_until(now, profile).is_some();
        let keeps_back = profile.defer_from.is_some();
        let early = |after| match self.trust(now, device) {
            Trust::ComesAndGoes if keeps_back && !is_dead => {
                waiting.due_after(after, Trust::ComesAndGoes, waits)
            }
            _ => None,
        };
        let (early, early_fresh) = (early(before), early(since));
        // What was noted under a clock that has been set back since is as good as never.
        let linger = at_once.map(|made| later(made.min(now), LINGER));
        let granted = device.granted_until.is_some_and(|until| now < until);
        let riding = (granted || device.radio_in_use == Some(true)) && !waiting.is_empty();
        let gap = last.map_or(now, |last| later(last.ended, WINDOW_GAP));
        let interval = if device.foreground != Some(false) || granted {
            Some(profile.interval_seconds)
        } else {
            profile.background_interval_seconds
        };
        let pulled = self.pulled.filter(|pulled| *pulled <= now);
        let pull =
            interval.map(|interval| pulled.map_or(now, |pulled| later(pulled, seconds(interval))));
        [
            waiting.is_urgent().then_some((Reason::Urgent, now)),
            self.requested.then_some((Reason::Requested, now)),
            due.map(|at| (Reason::Deadline, at)),
            fresh.map(|at| (Reason::Deadline, at)),
            early.map(|at| (Reason::Deadline, at)),
            early_fresh.map(|at| (Reason::Deadline, at)),
            linger.map(|at| (Reason::Written, at)),
            riding.then_some((Reason::Window, gap)),
            pull.map(|at| (Reason::Interval, at)),
        ]
    }

    /// From when on a sync for this reason may run, after what was tried before, and what holds it until then.
    fn hold(
        &self,
        now: Timestamp,
        device: &DeviceState,
        waiting: &Waiting,
        profile: &PowerProfile,
        reason: Reason,
        at: Timestamp,
    ) -> (Timestamp, Hold) {
        let Some(last) = self.last(now) else {
            return (now.min(at), Hold::Nothing);
        };
        // On another network nothing has failed yet.
        let retry_at = self.retry_at.filter(|_| last.network == device.network);
        let back_off = retry_at.unwrap_or(last.ended);
        let unmoved = RETRY
            .saturating_mul(1 << last.unmoved.min(16))
            .min(UNMOVED_MAX);
        let again = later(last.ended, unmoved);
        let soon = |from: Timestamp| {
            if retry_at.is_some() {
                let forced =
                    FORCED_RETRY.saturating_mul(1 << self.failures.saturating_sub(1).min(1));
                (from.min(later(last.ended, forced)), Hold::BackOff)
            } else {
                (again, Hold::BackOff)
            }
        };
        let spent = self.spent_until(now, profile);
        let patient = |from: Timestamp| match spent {
            Some(until) if until > from => (until, Hold::DailyBudget),
            _ => (from, Hold::BackOff),
        };
        let is_new = waiting.newest() > Some(last.started);
        match reason {
            Reason::Requested => (at, Hold::Nothing),
            Reason::Urgent if waiting.latest_of(Priority::Critical) > Some(last.started) => {
                (at, Hold::Nothing)
            }
            Reason::Urgent => soon(back_off),
            Reason::Deadline if at > last.started => (at, Hold::Nothing),
            Reason::Deadline if now < later(at, FORCING) => soon(back_off),
            Reason::Deadline => patient(back_off.max(again)),
            Reason::Written | Reason::Window if !is_new => patient(back_off.max(again)),
            Reason::Written | Reason::Window | Reason::Interval => patient(back_off),
        }
    }

    /// Whether the device's network will be there when a deadline comes. A mobile network is known by the last day.
    fn trust(&self, now: Timestamp, device: &DeviceState) -> Trust {
        let is_mobile = !matches!(device.network, Some(NetworkType::Wifi | NetworkType::Wired));
        let lost = self.lost.filter(|lost| *lost <= now);
        if is_mobile && lost.is_some_and(|lost| between(lost, now) < DAY) {
            Trust::ComesAndGoes
        } else {
            Trust::Holds
        }
    }

    /// The last attempt, unless the clock has been set back since.
    fn last(&self, now: Timestamp) -> Option<LastAttempt> {
        self.last.filter(|last| last.started <= now)
    }

    /// When there may be attempts again, if those that failed have taken what a day may spend on them.
    fn spent_until(&self, now: Timestamp, profile: &PowerProfile) -> Option<Timestamp> {
        let failing = &self.failing;
        let is_spent = failing.seconds >= profile.failing_seconds_per_day && failing.seconds > 0.0;
        let until = later(failing.since, DAY);
        (is_spent && failing.since <= now && now < until).then_some(until)
    }

    /// Notes that a sync begins.
    pub fn start(&mut self, now: Timestamp, device: &DeviceState, waiting: &Waiting) {
        self.requested = false;
        self.running = Some(Running {
            started: now,
            device: *device,
            earliest: waiting.earliest(),
        });
    }

    /// Notes that the sync has ended, and says what it cost. `random` is any number, by which devices that failed together do
    /// not try again together. Without a sync that had begun, nothing is noted.
    pub fn finish(&mut self, now: Timestamp, measured: &Measured, random: u64) -> SyncCost {
        let Some(running) = self.running.take() else {
            return SyncCost::default();
        };
        let Running {
            started,
            device,
            earliest,
        } = running;
        let cost = self.account.record(&Attempt {
            started,
            ended: now,
            network: device.network,
            cpu: measured.cpu,
            bytes_up: measured.bytes_up,
            bytes_down: measured.bytes_down,
            succeeded: measured.succeeded,
            radio_in_use: device.radio_in_use == Some(true),
        });
        let stays = |last: &LastAttempt| earliest.is_some() && last.earliest == earliest;
        let unmoved = match self.last.filter(stays) {
            Some(last) if measured.succeeded => last.unmoved.saturating_add(1),
            _ => 0,
        };
        self.last = Some(LastAttempt {
            started,
            ended: now,
            network: device.network,
            earliest,
            unmoved,
        });
        if measured.succeeded {
            self.failures = 0;
            self.retry_at = None;
            self.pulled = Some(started);
            return cost;
        }
        self.lost = Some(now);
        let profile = self.profile(&device);
        let least = seconds(profile.backoff_seconds);
        let most = seconds(profile.backoff_seconds_max);
        let delay = least.saturating_mul(1 << self.failures.min(20)).min(most);
        let delay = jittered(delay, random);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(later(now, delay));
        if between(self.failing.since, now) >= DAY || self.failing.since > now {
            self.failing = Failing {
                since: now,
                seconds: 0.0,
            };
        }
        self.failing.seconds += cost.connected_seconds;
        cost
    }
}

/// A time between the half of `delay` and `delay`.
fn jittered(delay: Duration, random: u64) -> Duration {
    // A multiplier spreads numbers that differ in a few low bits only.
    let spread = random.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    let half = delay / 2;
    let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
    half + Duration::from_nanos((nanos >> 31).saturating_mul(spread).min(nanos))
}
