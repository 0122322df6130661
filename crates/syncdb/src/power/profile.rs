//! [`PowerProfile`]: how much syncing may take, as data; [`PowerProfiles`]: which one is in force.

mod read;

use std::time::Duration;

use common::{Error, Result, Text, Timestamp};
use serde::{Deserialize, Serialize};

use super::budget::{MUTATIONS_MAX, REQUEST_BYTES_MAX, SyncBudget};
use super::device::{DeviceState, NetworkType, PowerMode, Thermal};
use super::priority::{Priority, between};
use crate::payload::Level;

/// Most profiles in one file, and beside the built-in ones.
pub const PROFILES_MAX: usize = 64;
/// Most bytes of a file with profiles.
pub const PROFILES_BYTES_MAX: usize = 64 << 10;
/// Longest name of a profile, in bytes of UTF-8.
pub const PROFILE_NAME_BYTES_MAX: usize = 64;
/// Longest interval, wait and back-off: 31 days, in seconds.
pub const SECONDS_MAX: f64 = 31.0 * 86_400.0;
/// How long an urgent write may wait, in every profile.
pub const CRITICAL_WAIT: Duration = Duration::from_secs(1);

/// How long what was written may wait, by priority, in seconds. What is [`Priority::Critical`] waits for a second at most,
/// whatever the profile.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Waits {
    /// Of [`Priority::High`]. Default 60.
    pub high: f64,
    /// Of [`Priority::Medium`]. Default 300.
    pub medium: f64,
    /// Of [`Priority::Low`]. Default 1,800.
    pub low: f64,
    /// Of [`Priority::Maintenance`]. Default 3,600.
    pub maintenance: f64,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            high: 60.0,
            medium: 300.0,
            low: 1_800.0,
            maintenance: 3_600.0,
        }
    }
}

impl Waits {
    /// How long something of this priority may wait.
    pub fn of(&self, priority: Priority) -> Duration {
        seconds(match priority {
            Priority::Critical => return CRITICAL_WAIT,
            Priority::High => self.high,
            Priority::Medium => self.medium,
            Priority::Low => self.low,
            Priority::Maintenance => self.maintenance,
        })
    }
}

/// A number of seconds as a time; what is none, or too many, as the nearest that is.
pub(crate) fn seconds(seconds: f64) -> Duration {
    if seconds.is_nan() {
        return Duration::ZERO;
    }
    Duration::from_secs_f64(seconds.clamp(0.0, SECONDS_MAX))
}

/// How much syncing may take, as data. [`PowerProfile::of_mode`] has the four built-in ones.
///
/// ```
/// use syncdb::power::{PowerMode, PowerProfile, Priority};
/// let low = PowerProfile::of_mode(PowerMode::Low);
/// assert!(low.defers(Priority::Medium) && !low.defers(Priority::Critical));
/// assert!(!PowerProfile::of_mode(PowerMode::Normal).defers(Priority::Maintenance));
/// let careful = PowerProfile { interval_seconds: 7_200.0, ..low };
/// assert!(careful.check().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowerProfile {
    /// Its name, 1 to 64 bytes.
    pub name: Text,
    /// Seconds between two pulls while the application is in use. Any sync is a pull.
    pub interval_seconds: f64,
    /// Seconds between two pulls in the background; `None`: nothing is sent there for its own sake, there is no heartbeat.
    pub background_interval_seconds: Option<f64>,
    /// What one sync may take.
    pub budget: SyncBudget,
    /// The most urgent priority whose writes wait for each other; `None`: whatever is written is sent at once. What is
    /// [`Priority::Critical`] is sent at once all the same.
    pub defer_from: Option<Priority>,
    /// How long what was written may wait.
    pub waits: Waits,
    /// Seconds until the second attempt after one that failed; each later one waits twice as long, less up to a half by
    /// chance.
    pub backoff_seconds: f64,
    /// Seconds that an attempt waits at most because others have failed.
    pub backoff_seconds_max: f64,
    /// Seconds a day that may be spent on attempts that fail. Beyond, only what is urgent, due, or asked for is tried.
    pub failing_seconds_per_day: f64,
}

impl PowerProfile {
    /// The built-in profile of a mode.
    pub fn of_mode(mode: PowerMode) -> Self {
        let budget = SyncBudget::default();
        let defer_from = Some(Priority::High);
        let profile = Self {
            name: Text::new(mode.name()),
            interval_seconds: 300.0,
            background_interval_seconds: None,
            budget: budget
                .mutations_max(50)
                .bytes_max(256 << 10)
                .level(Level::Balanced)
                .concurrent_max(2),
            defer_from: None,
            waits: Waits::default(),
            backoff_seconds: 5.0,
            backoff_seconds_max: 900.0,
            failing_seconds_per_day: 600.0,
        };
        let budget = profile.budget.clone();
        match mode {
            PowerMode::Normal => profile,
            PowerMode::PluggedIn => Self {
                interval_seconds: 60.0,
                background_interval_seconds: Some(900.0),
                budget: budget
                    .mutations_max(100)
                    .bytes_max(REQUEST_BYTES_MAX)
                    .level(Level::Fast)
                    .concurrent_max(4),
                backoff_seconds: 2.0,
                backoff_seconds_max: 300.0,
                failing_seconds_per_day: 3_600.0,
                ..profile
            },
            PowerMode::Low => Self {
                interval_seconds: 900.0,
                budget: budget
                    .mutations_max(25)
                    .bytes_max(64 << 10)
                    .level(Level::Fast)
                    .concurrent_max(1),
                defer_from,
                backoff_seconds: 30.0,
                backoff_seconds_max: 1_800.0,
                failing_seconds_per_day: 180.0,
                ..profile
            },
            PowerMode::Critical => Self {
                interval_seconds: 1_800.0,
                budget: budget
                    .mutations_max(10)
                    .bytes_max(32 << 10)
                    .level(Level::Fast)
                    .concurrent_max(1),
                defer_from,
                backoff_seconds: 60.0,
                backoff_seconds_max: 3_600.0,
                failing_seconds_per_day: 90.0,
                ..profile
            },
        }
    }

    /// Whether what has this priority waits for others.
    pub fn defers(&self, priority: Priority) -> bool {
        priority != Priority::Critical && self.defer_from.is_some_and(|from| priority >= from)
    }

    /// Whether an operation of this priority that was deferred at `made` may run by now without waiting for a sync.
    ///
    /// ```
    /// use common::Timestamp;
    /// use syncdb::power::{PowerMode, PowerProfile, Priority};
    /// let low = PowerProfile::of_mode(PowerMode::Low);
    /// let at = |seconds: i64| Timestamp(seconds * 1_000_000);
    /// assert!(!low.may_run(at(59), at(0), Priority::High));
    /// assert!(low.may_run(at(60), at(0), Priority::High));
    /// ```
    pub fn may_run(&self, now: Timestamp, made: Timestamp, priority: Priority) -> bool {
        !self.defers(priority) || between(made, now) >= self.waits.of(priority)
    }

    /// Whether every part is within its bounds.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`], naming the part.
    pub fn check(&self) -> Result<()> {
        let name = self.name.len();
        if name == 0 || name > PROFILE_NAME_BYTES_MAX {
            return Err(Error::invalid(format!(
                "`name` of a profile has 1 to {PROFILE_NAME_BYTES_MAX} bytes, not {name}"
            )));
        }
        let waits = &self.waits;
        let times = [
            ("interval_seconds", self.interval_seconds),
            (
                "background_interval_seconds",
                self.background_interval_seconds.unwrap_or(1.0),
            ),
            ("backoff_seconds", self.backoff_seconds),
            ("backoff_seconds_max", self.backoff_seconds_max),
            ("waits_seconds.high", waits.high),
            ("waits_seconds.medium", waits.medium),
            ("waits_seconds.low", waits.low),
            ("waits_seconds.maintenance", waits.maintenance),
        ];
        for (part, value) in times {
            check_seconds(part, value)?;
        }
        if !(0.0..=86_400.0).contains(&self.failing_seconds_per_day) {
            return Err(Error::invalid(format!(
                "`failing_seconds_per_day` is 0 to 86400, not {}",
                self.failing_seconds_per_day
            )));
        }
        let budget = &self.budget;
        check_whole("mutations_max", budget.mutations_max, MUTATIONS_MAX)?;
        check_whole("bytes_max", budget.bytes_max, REQUEST_BYTES_MAX)?;
        let concurrent = usize::try_from(budget.concurrent_max).unwrap_or(usize::MAX);
        check_whole("concurrent_max", concurrent, 1_024)
    }
}

fn check_seconds(part: &str, value: f64) -> Result<()> {
    if (0.01..=SECONDS_MAX).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "`{part}` is 0.01 to {SECONDS_MAX} seconds, not {value}"
    )))
}

fn check_whole(part: &str, value: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "`{part}` is 1 to {most}, not {value}"
    )))
}

/// When a profile is in force: all that is given must hold. What the host does not know is taken as [`DeviceState`] says.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// The charge is at this or below, 0 to 1.
    pub battery_below: Option<f64>,
    /// Whether the device is connected to power.
    pub charging: Option<bool>,
    /// Whether the user asked to save energy.
    pub saver: Option<bool>,
    /// The device is at least so warm.
    pub thermal_from: Option<Thermal>,
    /// The device is connected to one of these; empty: to anything.
    pub network: Vec<NetworkType>,
    /// Whether bytes cost money.
    pub metered: Option<bool>,
    /// Whether the application is in use.
    pub foreground: Option<bool>,
}

impl When {
    /// Whether it holds.
    pub fn holds(&self, device: &DeviceState) -> bool {
        let is = |wanted: Option<bool>, found: Option<bool>, assumed: bool| {
            wanted.is_none_or(|wanted| wanted == found.unwrap_or(assumed))
        };
        let network = device.network.unwrap_or(NetworkType::Cellular);
        self.battery_below
            .is_none_or(|below| device.battery.unwrap_or(1.0) <= below)
            && self
                .thermal_from
                .is_none_or(|from| device.thermal.unwrap_or_default() >= from)
            && (self.network.is_empty() || self.network.contains(&network))
            && is(self.charging, device.charging, false)
            && is(self.saver, device.saver, false)
            && is(self.metered, device.metered, false)
            && is(self.foreground, device.foreground, true)
    }
}

/// A profile beside the built-in ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Custom {
    profile: PowerProfile,
    /// `None`: only when the host asks for it by name.
    when: Option<When>,
}

/// The built-in profiles, those that took their place, and further ones with the conditions under which they are in force.
///
/// ```
/// use common::Limits;
/// use syncdb::power::{DeviceState, NetworkType, PowerProfiles};
/// let text = r#"
///     [[profile]]
///     name = "festival"
///     base = "low"
///     interval_seconds = 3600
///     [profile.when]
///     network = ["cellular", "edge"]
///     battery_below = 0.5
/// "#;
/// let profiles = PowerProfiles::from_toml(text.as_bytes(), &Limits::default())?;
/// let phone = DeviceState::default().battery(0.4);
/// assert_eq!(profiles.in_force(&phone.network(NetworkType::Cellular)).name, "festival");
/// assert_eq!(profiles.in_force(&phone.network(NetworkType::Wifi)).name, "normal");
/// let error = PowerProfiles::from_toml(b"[[profile]]\nname = \"x\"\nmutations_max = 0", &Limits::default());
/// assert!(error.unwrap_err().to_string().contains("line 3"));
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowerProfiles {
    built_in: [PowerProfile; 4],
    custom: Vec<Custom>,
}

impl Default for PowerProfiles {
    fn default() -> Self {
        Self {
            built_in: PowerMode::ALL.map(PowerProfile::of_mode),
            custom: Vec::new(),
        }
    }
}

impl PowerProfiles {
    /// Adds a profile, or puts it in the place of the one of its name, built-in ones among them. `when` says when it is in
    /// force; of several, the first that was added. Without it, a built-in one keeps its condition and any other is in force
    /// when the host asks for it by name.
    ///
    /// # Errors
    /// As [`PowerProfile::check`]; for a built-in name with a condition; [`common::ErrorKind::LimitExceeded`] for more than
    /// [`PROFILES_MAX`].
    pub fn add(&mut self, profile: PowerProfile, when: Option<When>) -> Result<()> {
        profile.check()?;
        if let Some(built_in) = self
            .built_in
            .iter_mut()
            .find(|known| known.name == profile.name)
        {
            if when.is_some() {
                return Err(Error::invalid(format!(
                    "profile `{}` is built in and has its condition; give yours another name",
                    profile.name
                )));
            }
            *built_in = profile;
            return Ok(());
        }
        let custom = Custom { profile, when };
        let name = &custom.profile.name;
        if let Some(known) = self
            .custom
            .iter_mut()
            .find(|known| known.profile.name == *name)
        {
            *known = custom;
        } else if self.custom.len() < PROFILES_MAX {
            self.custom.push(custom);
        } else {
            return Err(Error::limit_exceeded(format!(
                "there are {PROFILES_MAX} profiles already; take one away before you add `{name}`"
            )));
        }
        Ok(())
    }

    /// The profile of this name.
    pub fn by_name(&self, name: &str) -> Option<&PowerProfile> {
        let custom = self.custom.iter().map(|custom| &custom.profile);
        custom
            .chain(&self.built_in)
            .find(|profile| profile.name == *name)
    }

    /// The profile of a mode, built in or in its place.
    pub fn of_mode(&self, mode: PowerMode) -> &PowerProfile {
        let [plugged_in, normal, low, critical] = &self.built_in;
        match mode {
            PowerMode::PluggedIn => plugged_in,
            PowerMode::Normal => normal,
            PowerMode::Low => low,
            PowerMode::Critical => critical,
        }
    }

    /// The profile for a device in this state: the first one whose condition holds, else that of [`DeviceState::mode`].
    pub fn in_force(&self, device: &DeviceState) -> &PowerProfile {
        let holds = |custom: &&Custom| custom.when.as_ref().is_some_and(|when| when.holds(device));
        match self.custom.iter().find(holds) {
            Some(custom) => &custom.profile,
            None => self.of_mode(device.mode()),
        }
    }
}
