//! [`LinkOptions`]: what a link does to the messages that it carries.

use std::fmt;
use std::str::FromStr;

use common::{Error, Result};
use serde::{Deserialize, Serialize};

/// Longest latency, jitter, hold-back and outage, in milliseconds: one hour.
const MILLIS_MAX: u32 = 3_600_000;

/// What one direction of a link does to messages. The default carries everything at once and unharmed.
///
/// Probabilities lie between 0 and 1 and are drawn for each message by itself.
///
/// ```
/// use syncdb::netsim::LinkOptions;
/// let link = LinkOptions::default().latency_ms(80).jitter_ms(30).loss(0.02).bandwidth_kbit(1_000);
/// assert!(link.check().is_ok());
/// assert!(LinkOptions::default().loss(1.5).check().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkOptions {
    /// Milliseconds that every message takes. Default 0, at most 3,600,000.
    pub latency_ms: u32,
    /// Milliseconds that a message takes longer at most, evenly distributed. Default 0, at most 3,600,000.
    pub jitter_ms: u32,
    /// Probability that a message does not arrive. Default 0; 1 is no connection.
    pub loss: f64,
    /// Probability that a message arrives twice. Default 0.
    pub duplicate: f64,
    /// Probability that a message is held back and later ones may pass it. Default 0. Others never overtake.
    pub reorder: f64,
    /// Milliseconds that a message is held back at most. Default 1,000, at most 3,600,000.
    pub reorder_ms: u32,
    /// Probability that a message ends early, at any of its bytes. Default 0.
    pub cut: f64,
    /// Probability that one bit of a message is another one. Default 0.
    pub damage: f64,
    /// Kilobits that the link carries in a second; messages wait for those before them. Default `None`: any number.
    /// At least 1.
    pub bandwidth_kbit: Option<u32>,
    /// Times at which the link carries nothing. Default: none.
    pub outage: Option<Outage>,
}

/// A link that is dead again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// Milliseconds from the beginning of one outage to that of the next, at least 1, at most 3,600,000. The first one
    /// begins after as long as the link lives between two.
    pub every_ms: u32,
    /// Milliseconds that an outage lasts, at most `every_ms`.
    pub for_ms: u32,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self {
            latency_ms: 0,
            jitter_ms: 0,
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_ms: 1_000,
            cut: 0.0,
            damage: 0.0,
            bandwidth_kbit: None,
            outage: None,
        }
    }
}

impl LinkOptions {
    /// Sets how long every message takes.
    #[must_use]
    pub const fn latency_ms(mut self, millis: u32) -> Self {
        self.latency_ms = millis;
        self
    }

    /// Sets how much longer a message takes at most.
    #[must_use]
    pub const fn jitter_ms(mut self, millis: u32) -> Self {
        self.jitter_ms = millis;
        self
    }

    /// Sets the probability of loss.
    #[must_use]
    pub const fn loss(mut self, probability: f64) -> Self {
        self.loss = probability;
        self
    }

    /// Sets the probability of arriving twice.
    #[must_use]
    pub const fn duplicate(mut self, probability: f64) -> Self {
        self.duplicate = probability;
        self
    }

    /// Sets the probability of being held back, and for how long at most.
    #[must_use]
    pub const fn reorder(mut self, probability: f64, millis: u32) -> Self {
        self.reorder = probability;
        self.reorder_ms = millis;
        self
    }

    /// Sets the probability of ending early.
    #[must_use]
    pub const fn cut(mut self, probability: f64) -> Self {
        self.cut = probability;
        self
    }

    /// Sets the probability of a wrong bit.
    #[must_use]
    pub const fn damage(mut self, probability: f64) -> Self {
        self.damage = probability;
        self
    }

    /// Sets how much the link carries.
    #[must_use]
    pub const fn bandwidth_kbit(mut self, kilobits_per_second: u32) -> Self {
        self.bandwidth_kbit = Some(kilobits_per_second);
        self
    }

    /// Sets when the link is dead.
    #[must_use]
    pub const fn outage(mut self, every_ms: u32, for_ms: u32) -> Self {
        self.outage = Some(Outage { every_ms, for_ms });
        self
    }

    /// Whether every option is within its bounds.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`], naming the option.
    pub fn check(&self) -> Result<()> {
        let probabilities = [
            ("loss", self.loss),
            ("duplicate", self.duplicate),
            ("reorder", self.reorder),
            ("cut", self.cut),
            ("damage", self.damage),
        ];
        for (name, probability) in probabilities {
            if !(0.0..=1.0).contains(&probability) {
                return Err(Error::invalid(format!(
                    "`{name}` is a probability from 0 to 1, not {probability}"
                )));
            }
        }
        let outage = self.outage.unwrap_or(Outage {
            every_ms: 1,
            for_ms: 0,
        });
        let times = [
            ("latency_ms", self.latency_ms),
            ("jitter_ms", self.jitter_ms),
            ("reorder_ms", self.reorder_ms),
            ("outage.every_ms", outage.every_ms),
        ];
        for (name, millis) in times {
            if millis > MILLIS_MAX {
                return Err(Error::invalid(format!(
                    "`{name}` is at most {MILLIS_MAX}, not {millis}"
                )));
            }
        }
        if outage.every_ms == 0 || outage.for_ms > outage.every_ms {
            return Err(Error::invalid(format!(
                "an outage of {} ms every {} ms does not fit",
                outage.for_ms, outage.every_ms
            )));
        }
        if self.bandwidth_kbit == Some(0) {
            return Err(Error::invalid(
                "`bandwidth_kbit` is at least 1; no connection is `loss` 1",
            ));
        }
        Ok(())
    }

    /// Whether the link carries nothing `micros` microseconds after the beginning.
    pub(super) fn is_out(&self, micros: i64) -> bool {
        self.outage.is_some_and(|outage| {
            let every = i64::from(outage.every_ms) * 1_000;
            let alive = every - i64::from(outage.for_ms) * 1_000;
            micros.rem_euclid(every.max(1)) >= alive
        })
    }
}

/// The links that an application meets most often. The figures are round ones for a usual day, not the best case.
///
/// ```
/// use syncdb::netsim::Profile;
/// let profile: Profile = "3g".parse()?;
/// assert_eq!(profile.options().latency_ms, 75);
/// assert!(Profile::ALL.iter().all(|profile| profile.options().check().is_ok()));
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Profile {
    /// At home: 3 ms each way, 50 Mbit/s, hardly a loss.
    #[serde(rename = "wifi")]
    Wifi,
    /// 25 ms each way, 12 Mbit/s, 0.5 % lost.
    #[serde(rename = "4g")]
    FourG,
    /// 75 ms each way, 1.5 Mbit/s, 1 % lost.
    #[serde(rename = "3g")]
    ThreeG,
    /// 200 ms each way and up to 300 ms more, 200 kbit/s, 3 % lost, messages pass each other.
    #[serde(rename = "edge")]
    Edge,
    /// 4G that is gone for 20 seconds of every 90, and loses more around them.
    #[serde(rename = "train_tunnel")]
    TrainTunnel,
    /// No connection.
    #[serde(rename = "offline")]
    Offline,
}

impl Profile {
    /// All profiles, the best link first.
    pub const ALL: [Self; 6] = [
        Self::Wifi,
        Self::FourG,
        Self::ThreeG,
        Self::Edge,
        Self::TrainTunnel,
        Self::Offline,
    ];

    /// The profile's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wifi => "wifi",
            Self::FourG => "4g",
            Self::ThreeG => "3g",
            Self::Edge => "edge",
            Self::TrainTunnel => "train_tunnel",
            Self::Offline => "offline",
        }
    }

    /// What such a link does, for each direction.
    pub const fn options(self) -> LinkOptions {
        let link = LinkOptions {
            latency_ms: 3,
            jitter_ms: 2,
            loss: 0.000_5,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_ms: 1_000,
            cut: 0.0,
            damage: 0.0,
            bandwidth_kbit: Some(50_000),
            outage: None,
        };
        match self {
            Self::Wifi => link,
            Self::FourG => link
                .latency_ms(25)
                .jitter_ms(15)
                .loss(0.005)
                .bandwidth_kbit(12_000),
            Self::ThreeG => link
                .latency_ms(75)
                .jitter_ms(60)
                .loss(0.01)
                .bandwidth_kbit(1_500),
            Self::Edge => link
                .latency_ms(200)
                .jitter_ms(300)
                .loss(0.03)
                .reorder(0.05, 2_000)
                .bandwidth_kbit(200),
            Self::TrainTunnel => link
                .latency_ms(40)
                .jitter_ms(80)
                .loss(0.03)
                .cut(0.01)
                .bandwidth_kbit(6_000)
                .outage(90_000, 20_000),
            Self::Offline => link.loss(1.0),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|profile| profile.name() == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|profile| profile.name()).collect();
            Error::not_found(format!(
                "there is no link profile `{name}`; the profiles are {}",
                names.join(", ")
            ))
        })
    }
}
