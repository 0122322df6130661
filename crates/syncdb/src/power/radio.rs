//! [`RadioModel`]: what it costs to wake a radio, use it, and wait for it to sleep again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::device::NetworkType;

/// Power and times of one kind of network, as a machine of four states: it sleeps, is *promoted*, transfers, and stays in
/// its *tail* before it sleeps again. A transfer within the tail needs no promotion.
///
/// The figures for wifi, 3G and LTE are those that Huang, Qian, Gerber, Mao, Sen and Spatscheck measured on phones (*A Close
/// Examination of Performance and Power Characteristics of 4G LTE Networks*, at `MobiSys` 2012); they are old, and their relation is
/// what matters: on mobile networks the tail outweighs any small transfer. For EDGE the tail of 6 s that Balasubramanian,
/// Balasubramanian and Venkataramani found (*Energy Consumption in Mobile Phones*, IMC 2009) is combined with the power
/// figures of 3G, which is an assumption. A cable is taken to cost nothing beyond the processor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Radio {
    /// Milliseconds of the promotion.
    pub promotion_ms: f64,
    /// Milliwatts during the promotion.
    pub promotion_mw: f64,
    /// Milliwatts while connected, whatever is transferred.
    pub active_mw: f64,
    /// Milliwatts more for each megabit a second that is sent; as many millijoules for each megabit.
    pub up_mw_per_mbit: f64,
    /// Milliwatts more for each megabit a second that is received.
    pub down_mw_per_mbit: f64,
    /// Milliseconds of the tail.
    pub tail_ms: f64,
    /// Milliwatts in the tail.
    pub tail_mw: f64,
}

impl Radio {
    /// How long the tail lasts.
    pub fn tail(&self) -> Duration {
        Duration::from_secs_f64((self.tail_ms / 1e3).clamp(0.0, 3_600.0))
    }

    /// Millijoules of a transfer that took `connected`, without promotion and tail.
    pub fn transfer_mj(&self, connected: Duration, bytes_up: u64, bytes_down: u64) -> f64 {
        let [up, down] = [bytes_up, bytes_down].map(megabits);
        self.active_mw * connected.as_secs_f64()
            + self.up_mw_per_mbit * up
            + self.down_mw_per_mbit * down
    }

    /// Millijoules of waking up.
    pub fn promotion_mj(&self) -> f64 {
        self.promotion_mw * self.promotion_ms / 1e3
    }

    /// Millijoules of so much of the tail.
    pub fn tail_mj(&self, time: Duration) -> f64 {
        self.tail_mw * time.min(self.tail()).as_secs_f64()
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate of energy")]
fn megabits(bytes: u64) -> f64 {
    bytes as f64 * 8.0 / 1e6
}

/// The radios of a device, and its processor.
///
/// ```
/// use syncdb::power::{NetworkType, RadioModel};
/// let model = RadioModel::default();
/// let lte = model.radio(NetworkType::Cellular);
/// let wifi = model.radio(NetworkType::Wifi);
/// assert!(lte.tail_mj(lte.tail()) > 100.0 * wifi.tail_mj(wifi.tail()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RadioModel {
    /// A wireless local network.
    pub wifi: Radio,
    /// A mobile network of the second generation.
    pub edge: Radio,
    /// A mobile network of the third generation.
    pub three_g: Radio,
    /// A mobile network of the fourth or fifth generation.
    pub cellular: Radio,
    /// Milliwatts of one busy core, above idle. Default 1,000: an assumption; set it for your device.
    pub processor_mw: f64,
}

const WIFI: Radio = Radio {
    promotion_ms: 79.1,
    promotion_mw: 124.4,
    active_mw: 132.86,
    up_mw_per_mbit: 283.17,
    down_mw_per_mbit: 137.01,
    tail_ms: 238.1,
    tail_mw: 119.3,
};

const THREE_G: Radio = Radio {
    promotion_ms: 582.1,
    promotion_mw: 659.4,
    active_mw: 817.88,
    up_mw_per_mbit: 868.98,
    down_mw_per_mbit: 122.12,
    tail_ms: 8_088.2,
    tail_mw: 601.3,
};

const LTE: Radio = Radio {
    promotion_ms: 260.1,
    promotion_mw: 1_210.7,
    active_mw: 1_288.04,
    up_mw_per_mbit: 438.39,
    down_mw_per_mbit: 51.97,
    tail_ms: 11_576.0,
    tail_mw: 1_060.0,
};

const NONE: Radio = Radio {
    promotion_ms: 0.0,
    promotion_mw: 0.0,
    active_mw: 0.0,
    up_mw_per_mbit: 0.0,
    down_mw_per_mbit: 0.0,
    tail_ms: 0.0,
    tail_mw: 0.0,
};

impl Default for RadioModel {
    fn default() -> Self {
        Self {
            wifi: WIFI,
            edge: Radio {
                tail_ms: 6_000.0,
                ..THREE_G
            },
            three_g: THREE_G,
            cellular: LTE,
            processor_mw: 1_000.0,
        }
    }
}

impl RadioModel {
    /// The radio behind a network.
    pub const fn radio(&self, network: NetworkType) -> Radio {
        match network {
            NetworkType::Offline | NetworkType::Wired => NONE,
            NetworkType::Wifi => self.wifi,
            NetworkType::Edge => self.edge,
            NetworkType::ThreeG => self.three_g,
            NetworkType::Cellular => self.cellular,
        }
    }

    /// Millijoules of so much time of the processor.
    pub fn processor_mj(&self, time: Duration) -> f64 {
        self.processor_mw * time.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_transfer_costs_less_than_the_tail_behind_it() {
        let lte = RadioModel::default().radio(NetworkType::Cellular);
        let transfer = lte.transfer_mj(Duration::from_millis(100), 2_000, 8_000);
        assert!((139.0..140.0).contains(&transfer), "{transfer}");
        let tail = lte.tail_mj(Duration::MAX);
        assert!((12_270.0..12_271.0).contains(&tail), "{tail}");
        assert!((314.0..316.0).contains(&lte.promotion_mj()));
    }

    #[test]
    fn a_cable_costs_nothing() {
        let wired = RadioModel::default().radio(NetworkType::Wired);
        assert_eq!(wired.tail(), Duration::ZERO);
        assert!(
            wired
                .transfer_mj(Duration::from_secs(9), 1 << 20, 1 << 20)
                .abs()
                < 1e-9
        );
    }
}
