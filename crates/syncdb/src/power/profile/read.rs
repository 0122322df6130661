//! Profiles from TOML.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::ops::Range;

use common::{Error, Limits, Result, Text};
use serde::Deserialize;
use toml::Spanned;

use super::{
    NetworkType, PROFILES_BYTES_MAX, PROFILES_MAX, PowerProfile, PowerProfiles, SECONDS_MAX,
    Thermal, When,
};
use crate::payload::Level;
use crate::power::budget::{MUTATIONS_MAX, REQUEST_BYTES_MAX};
use crate::power::device::PowerMode;
use crate::power::priority::Priority;

/// How much of a line a message repeats.
const LINE_CHARS_SHOWN: usize = 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    profile: Vec<Table>,
}

/// One `[[profile]]`. Each value knows where it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: Spanned<Text>,
    base: Option<Spanned<PowerMode>>,
    interval_seconds: Option<Spanned<f64>>,
    background_interval_seconds: Option<Spanned<f64>>,
    mutations_max: Option<Spanned<u64>>,
    bytes_max: Option<Spanned<u64>>,
    level: Option<Level>,
    concurrent_max: Option<Spanned<u64>>,
    defer: Option<bool>,
    defer_from: Option<Spanned<Priority>>,
    backoff_seconds: Option<Spanned<f64>>,
    backoff_seconds_max: Option<Spanned<f64>>,
    failing_seconds_per_day: Option<Spanned<f64>>,
    #[serde(default)]
    waits_seconds: WaitsTable,
    when: Option<WhenTable>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct WaitsTable {
    high: Option<Spanned<f64>>,
    medium: Option<Spanned<f64>>,
    low: Option<Spanned<f64>>,
    maintenance: Option<Spanned<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhenTable {
    battery_below: Option<Spanned<f64>>,
    charging: Option<bool>,
    saver: Option<bool>,
    thermal_from: Option<Thermal>,
    #[serde(default)]
    network: Vec<NetworkType>,
    metered: Option<bool>,
    foreground: Option<bool>,
}

impl PowerProfiles {
    /// Reads profiles from TOML: one `[[profile]]` each, on top of the built-in ones. `docs/power.md` lists the keys.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for text that is none, an unknown key, or a value out of its bounds; the message
    /// names the line and the key. [`common::ErrorKind::LimitExceeded`] for more than [`PROFILES_BYTES_MAX`] bytes or
    /// [`PROFILES_MAX`] profiles.
    pub fn from_toml(bytes: &[u8], limits: &Limits) -> Result<Self> {
        limits.check_total(bytes.len())?;
        if bytes.len() > PROFILES_BYTES_MAX {
            return Err(Error::limit_exceeded(format!(
                "a file with profiles has at most {PROFILES_BYTES_MAX} bytes, this one {}",
                bytes.len()
            )));
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Error::invalid(format!("profiles are UTF-8: {error}")))?;
        let source = Source(text);
        let file: File = toml::from_str(text)
            .map_err(|error| source.error(&error.span().unwrap_or(0..0), error.message()))?;
        if file.profile.len() > PROFILES_MAX {
            return Err(Error::limit_exceeded(format!(
                "a file has at most {PROFILES_MAX} profiles, this one {}",
                file.profile.len()
            )));
        }
        let mut profiles = Self::default();
        let mut names: Vec<Text> = Vec::new();
        for table in file.profile {
            let span = table.name.span();
            if names.contains(table.name.as_ref()) {
                let message = format!("`name`: there are two profiles `{}`", table.name.as_ref());
                return Err(source.error(&span, &message));
            }
            names.push(table.name.as_ref().clone());
            let (profile, when) = source.profile(table, &profiles)?;
            let added = profiles.add(profile, when);
            added.map_err(|error| source.error(&span, &error.to_string()))?;
        }
        Ok(profiles)
    }
}

/// The text, to say where something stands.
struct Source<'a>(&'a str);

impl Source<'_> {
    #[cold]
    fn error(&self, at: &Range<usize>, message: &str) -> Error {
        let before = self.0.get(..at.start).unwrap_or(self.0);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let text = self.0.lines().nth(line - 1).unwrap_or_default().trim();
        // A value of another type is known by its line only.
        let text: String = text.chars().take(LINE_CHARS_SHOWN).collect();
        Error::invalid(format!("line {line}, `{text}`: {}", message.trim()))
    }

    /// A number of seconds.
    fn seconds(&self, key: &str, value: &Spanned<f64>) -> Result<f64> {
        let seconds = *value.as_ref();
        if (0.01..=SECONDS_MAX).contains(&seconds) {
            return Ok(seconds);
        }
        let message = format!("`{key}` is 0.01 to {SECONDS_MAX} seconds, not {seconds}");
        Err(self.error(&value.span(), &message))
    }

    fn whole(&self, key: &str, value: &Spanned<u64>, most: usize) -> Result<usize> {
        let found = usize::try_from(*value.as_ref()).unwrap_or(usize::MAX);
        if (1..=most).contains(&found) {
            return Ok(found);
        }
        let message = format!("`{key}` is 1 to {most}, not {}", value.as_ref());
        Err(self.error(&value.span(), &message))
    }

    fn profile(&self, table: Table, known: &PowerProfiles) -> Result<(PowerProfile, Option<When>)> {
        let name = table.name.as_ref();
        let own = PowerMode::by_name(name);
        let base = table.base.map(Spanned::into_inner);
        // What takes the place of a built-in profile begins with that.
        let base = base.or(own).unwrap_or_default();
        let mut profile = known.of_mode(base).clone();
        profile.name = name.clone();
        let waits = &table.waits_seconds;
        let times = [
            (
                "interval_seconds",
                &table.interval_seconds,
                &mut profile.interval_seconds,
            ),
            (
                "backoff_seconds",
                &table.backoff_seconds,
                &mut profile.backoff_seconds,
            ),
            (
                "backoff_seconds_max",
                &table.backoff_seconds_max,
                &mut profile.backoff_seconds_max,
            ),
            ("waits_seconds.high", &waits.high, &mut profile.waits.high),
            (
                "waits_seconds.medium",
                &waits.medium,
                &mut profile.waits.medium,
            ),
            ("waits_seconds.low", &waits.low, &mut profile.waits.low),
            (
                "waits_seconds.maintenance",
                &waits.maintenance,
                &mut profile.waits.maintenance,
            ),
        ];
        for (key, given, part) in times {
            if let Some(given) = given {
                *part = self.seconds(key, given)?;
            }
        }
        if let Some(given) = &table.background_interval_seconds {
            let seconds = self.seconds("background_interval_seconds", given)?;
            profile.background_interval_seconds = Some(seconds);
        }
        if let Some(given) = &table.failing_seconds_per_day {
            let seconds = *given.as_ref();
            if !(0.0..=86_400.0).contains(&seconds) {
                let message = format!("`failing_seconds_per_day` is 0 to 86400, not {seconds}");
                return Err(self.error(&given.span(), &message));
            }
            profile.failing_seconds_per_day = seconds;
        }
        let budget = &mut profile.budget;
        if let Some(given) = &table.mutations_max {
            budget.mutations_max = self.whole("mutations_max", given, MUTATIONS_MAX)?;
        }
        if let Some(given) = &table.bytes_max {
            budget.bytes_max = self.whole("bytes_max", given, REQUEST_BYTES_MAX)?;
        }
        if let Some(given) = &table.concurrent_max {
            let concurrent = self.whole("concurrent_max", given, 1_024)?;
            budget.concurrent_max = u32::try_from(concurrent).unwrap_or(u32::MAX);
        }
        budget.level = table.level.unwrap_or(budget.level);
        match (table.defer, table.defer_from) {
            (Some(false), Some(from)) => {
                let message = "`defer_from` says what waits and `defer` that nothing does";
                return Err(self.error(&from.span(), message));
            }
            (Some(false), None) => profile.defer_from = None,
            (Some(true), None) => {
                profile.defer_from = profile.defer_from.or(Some(Priority::High));
            }
            (_, Some(from)) => profile.defer_from = Some(from.into_inner()),
            (None, None) => {}
        }
        let when = table.when.map(|when| self.when(when)).transpose()?;
        Ok((profile, when))
    }

    fn when(&self, table: WhenTable) -> Result<When> {
        if let Some(below) = &table.battery_below
            && !(0.0..=1.0).contains(below.as_ref())
        {
            let message = format!("`when.battery_below` is 0 to 1, not {}", below.as_ref());
            return Err(self.error(&below.span(), &message));
        }
        Ok(When {
            battery_below: table.battery_below.map(Spanned::into_inner),
            charging: table.charging,
            saver: table.saver,
            thermal_from: table.thermal_from,
            network: table.network,
            metered: table.metered,
            foreground: table.foreground,
        })
    }
}
