//! [`Account`]: what syncing has cost, attempt by attempt and in all.

use std::time::Duration;

use common::Timestamp;
use serde::{Deserialize, Serialize};

use super::device::NetworkType;
use super::priority::{between, later};
use super::radio::RadioModel;

/// One attempt to sync, as the host saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When the first byte was to be sent.
    pub started: Timestamp,
    /// When the last answer had been taken in, or the attempt was given up.
    pub ended: Timestamp,
    /// What the device was connected to; unknown: a mobile network.
    pub network: Option<NetworkType>,
    /// Processor time that the host measured around its calls.
    pub cpu: Duration,
    /// Bytes of all requests.
    pub bytes_up: u64,
    /// Bytes of all answers.
    pub bytes_down: u64,
    /// Whether the sync came to its end.
    pub succeeded: bool,
    /// Whether the radio was up for another reason.
    pub radio_in_use: bool,
}

/// What one attempt cost.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct SyncCost {
    /// Whether the radio had to be woken for it.
    pub woke: bool,
    /// Seconds during which the radio transferred or waited for an answer.
    pub connected_seconds: f64,
    /// Processor time, in seconds.
    pub cpu_seconds: f64,
    /// Bytes of all requests.
    pub bytes_up: u64,
    /// Bytes of all answers.
    pub bytes_down: u64,
    /// Estimated energy of the radio, in millijoules: promotion, transfer, and the tail as far as no earlier attempt
    /// has paid for it.
    pub radio_mj: f64,
    /// Estimated energy of the processor, in millijoules.
    pub processor_mj: f64,
}

/// What syncing has cost in all: the metrics of power.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PowerTotals {
    /// Attempts that came to their end.
    pub syncs: u64,
    /// Attempts that did not.
    pub failed: u64,
    /// How often the radio was woken.
    pub wake_ups: u64,
    /// Seconds during which the radio transferred or waited for an answer.
    pub connected_seconds: f64,
    /// Processor time, in seconds.
    pub cpu_seconds: f64,
    /// Bytes of all requests.
    pub bytes_up: u64,
    /// Bytes of all answers.
    pub bytes_down: u64,
    /// Estimated energy of the radio, in millijoules.
    pub radio_mj: f64,
    /// Estimated energy of the processor, in millijoules.
    pub processor_mj: f64,
}

impl PowerTotals {
    fn add(&mut self, cost: &SyncCost, succeeded: bool) {
        if succeeded {
            self.syncs += 1;
        } else {
            self.failed += 1;
        }
        self.wake_ups += u64::from(cost.woke);
        self.connected_seconds += cost.connected_seconds;
        self.cpu_seconds += cost.cpu_seconds;
        self.bytes_up += cost.bytes_up;
        self.bytes_down += cost.bytes_down;
        self.radio_mj += cost.radio_mj;
        self.processor_mj += cost.processor_mj;
    }
}

/// What syncing has cost, and what the radio is doing, by a [`RadioModel`].
///
/// ```
/// use std::time::Duration;
/// use common::Timestamp;
/// use syncdb::power::{Account, Attempt, NetworkType, RadioModel};
/// let mut account = Account::new(RadioModel::default());
/// let second = |at: i64| Timestamp(at * 1_000_000);
/// let attempt = |started, ended| Attempt {
///     started: second(started),
///     ended: second(ended),
///     network: Some(NetworkType::Cellular),
///     cpu: Duration::from_millis(2),
///     bytes_up: 300,
///     bytes_down: 900,
///     succeeded: true,
///     radio_in_use: false,
/// };
/// assert!(account.record(&attempt(10, 11)).woke);
/// assert!(!account.record(&attempt(15, 16)).woke, "the radio was still up");
/// assert!(account.record(&attempt(40, 41)).woke);
/// assert_eq!(account.totals().wake_ups, 2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Account {
    model: RadioModel,
    totals: PowerTotals,
    /// Until when the radio stays up after what it did last.
    up_until: Option<Timestamp>,
    network: Option<NetworkType>,
}

impl Account {
    /// An account of nothing.
    pub fn new(model: RadioModel) -> Self {
        Self {
            model,
            ..Self::default()
        }
    }

    /// What has been spent so far.
    pub const fn totals(&self) -> &PowerTotals {
        &self.totals
    }

    /// Whether the radio is still up after the last attempt.
    pub fn is_up(&self, now: Timestamp, network: Option<NetworkType>) -> bool {
        self.network == network && self.up_until.is_some_and(|until| now < until)
    }

    /// Adds an attempt, and says what it cost.
    pub fn record(&mut self, attempt: &Attempt) -> SyncCost {
        let network = attempt.network.unwrap_or(NetworkType::Cellular);
        let radio = self.model.radio(network);
        let connected = between(attempt.started, attempt.ended);
        let was_up = self.is_up(attempt.started, attempt.network) || attempt.radio_in_use;
        let until = later(attempt.ended, radio.tail());
        // Of the tail only what lies behind the end of the last one is new; the transfer itself took the place of the rest.
        let known = self
            .up_until
            .filter(|_| self.is_up(attempt.started, attempt.network));
        let saved = known.map_or(Duration::ZERO, |known| between(attempt.started, known));
        let tail = radio.tail_mj(radio.tail()) - radio.tail_mj(saved);
        let mut radio_mj =
            radio.transfer_mj(connected, attempt.bytes_up, attempt.bytes_down) + tail;
        if !was_up {
            radio_mj += radio.promotion_mj();
        }
        let cost = SyncCost {
            woke: !was_up,
            connected_seconds: connected.as_secs_f64(),
            cpu_seconds: attempt.cpu.as_secs_f64(),
            bytes_up: attempt.bytes_up,
            bytes_down: attempt.bytes_down,
            radio_mj,
            processor_mj: self.model.processor_mj(attempt.cpu),
        };
        self.up_until = Some(until);
        self.network = attempt.network;
        self.totals.add(&cost, attempt.succeeded);
        cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(started_ms: i64, ended_ms: i64) -> Attempt {
        Attempt {
            started: Timestamp::from_millis(started_ms),
            ended: Timestamp::from_millis(ended_ms),
            network: Some(NetworkType::Cellular),
            cpu: Duration::from_millis(3),
            bytes_up: 0,
            bytes_down: 0,
            succeeded: true,
            radio_in_use: false,
        }
    }

    #[test]
    fn two_transfers_in_one_tail_cost_what_the_radio_was_up_for() {
        let model = RadioModel::default();
        let radio = model.radio(NetworkType::Cellular);
        let mut account = Account::new(model);
        account.record(&attempt(0, 1_000));
        account.record(&attempt(5_000, 6_000));
        // Two seconds of transfer, four seconds of tail between them, one whole tail at the end, one promotion.
        let expected = 2.0 * radio.active_mw
            + 4.0 * radio.tail_mw
            + radio.tail_mj(Duration::MAX)
            + radio.promotion_mj();
        let found = account.totals().radio_mj;
        assert!(
            (found - expected).abs() < 1e-6,
            "{found} and not {expected}"
        );
        assert_eq!(account.totals().wake_ups, 1);
    }

    #[test]
    fn another_network_is_another_radio() {
        let mut account = Account::default();
        account.record(&attempt(0, 100));
        let wifi = Attempt {
            network: Some(NetworkType::Wifi),
            ..attempt(200, 300)
        };
        assert!(account.record(&wifi).woke);
        // What somebody else woke costs no wake-up.
        let riding = Attempt {
            radio_in_use: true,
            succeeded: false,
            ..attempt(90_000, 90_100)
        };
        assert!(!account.record(&riding).woke);
        let totals = account.totals();
        assert_eq!((totals.syncs, totals.failed, totals.wake_ups), (2, 1, 2));
        assert!((totals.cpu_seconds - 0.009).abs() < 1e-9);
        assert!((totals.processor_mj - 9.0).abs() < 1e-9);
    }
}
