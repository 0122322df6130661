//! [`DeviceState`]: what the host says about the device.

use common::Timestamp;
use serde::{Deserialize, Serialize};

/// What the device is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkType {
    /// Nothing: no sync is tried.
    Offline,
    /// A cable.
    Wired,
    /// A wireless local network.
    Wifi,
    /// A mobile network of the second generation: GPRS, EDGE.
    Edge,
    /// A mobile network of the third generation.
    ThreeG,
    /// A mobile network of the fourth or fifth generation.
    Cellular,
}

/// How warm the device is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Thermal {
    /// As usual.
    #[default]
    Nominal,
    /// Warm, and nothing need be done about it yet.
    Fair,
    /// Too warm: the profile is at most [`PowerMode::Low`].
    Serious,
    /// About to be shut down: the profile is [`PowerMode::Critical`].
    Critical,
}

/// What the host says about the device. What it does not know it leaves out; each field says what is assumed then.
///
/// ```
/// use syncdb::power::{DeviceState, NetworkType, PowerMode};
/// let phone = DeviceState::default().battery(0.15).network(NetworkType::Cellular).foreground(false);
/// assert_eq!(phone.mode(), PowerMode::Low);
/// assert_eq!(phone.charging(true).mode(), PowerMode::PluggedIn);
/// assert_eq!(DeviceState::default().mode(), PowerMode::Normal);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceState {
    /// Charge of the battery, 0 to 1. Unknown: enough.
    pub battery: Option<f64>,
    /// Whether the device is connected to power. Unknown: it is not.
    pub charging: Option<bool>,
    /// Whether the user asked the system to save energy. Unknown: no.
    pub saver: Option<bool>,
    /// How warm the device is. Unknown: as usual.
    pub thermal: Option<Thermal>,
    /// What the device is connected to. Unknown: a mobile network.
    pub network: Option<NetworkType>,
    /// Whether bytes cost money. Unknown: no.
    pub metered: Option<bool>,
    /// Whether the application is in use. Unknown: yes.
    pub foreground: Option<bool>,
    /// Whether something else keeps the radio up just now. Unknown: no.
    pub radio_in_use: Option<bool>,
    /// Until when the system lets the application work in the background, when it granted that: a wake-up that is paid
    /// for already. Unknown: there is no such grant.
    pub granted_until: Option<Timestamp>,
}

macro_rules! setters {
    ($($field:ident: $type:ty;)*) => {$(
        #[doc = concat!("Sets [`DeviceState::", stringify!($field), "`].")]
        pub const fn $field(mut self, value: $type) -> Self {
            self.$field = Some(value);
            self
        }
    )*};
}

impl DeviceState {
    setters! {
        battery: f64;
        charging: bool;
        saver: bool;
        thermal: Thermal;
        network: NetworkType;
        metered: bool;
        foreground: bool;
        radio_in_use: bool;
        granted_until: Timestamp;
    }

    /// Whether there is a network, as far as the host knows.
    pub fn is_online(&self) -> bool {
        self.network != Some(NetworkType::Offline)
    }

    /// Which of the built-in profiles fits: by charge, but for a device that is warm or whose user asked to save energy.
    pub fn mode(&self) -> PowerMode {
        let by_charge = PowerMode::from_battery(
            self.battery.unwrap_or(1.0),
            self.charging.unwrap_or_default(),
        );
        let mut at_most = PowerMode::PluggedIn;
        if self.saver == Some(true) && self.charging != Some(true) {
            at_most = PowerMode::Low;
        }
        match self.thermal {
            Some(Thermal::Serious) => at_most = PowerMode::Low,
            Some(Thermal::Critical) => at_most = PowerMode::Critical,
            None | Some(Thermal::Nominal | Thermal::Fair) => {}
        }
        by_charge.max(at_most)
    }
}

/// Which of the built-in profiles is in force; the one that saves most is the greatest.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum PowerMode {
    /// Energy costs nothing.
    PluggedIn,
    /// The battery has charge enough: what is written is sent at once.
    #[default]
    Normal,
    /// The battery is at 20 % or below: what can wait waits.
    Low,
    /// The battery is at 10 % or below.
    Critical,
}

impl PowerMode {
    /// All modes, the one that saves least first.
    pub const ALL: [Self; 4] = [Self::PluggedIn, Self::Normal, Self::Low, Self::Critical];

    /// The mode of a battery's charge, 0 to 1. Connected to power, it is [`PowerMode::PluggedIn`] at any charge; a charge
    /// that is no number counts as empty.
    ///
    /// ```
    /// use syncdb::power::PowerMode;
    /// assert_eq!(PowerMode::from_battery(0.2, false), PowerMode::Low);
    /// assert_eq!(PowerMode::from_battery(0.1, false), PowerMode::Critical);
    /// assert_eq!(PowerMode::from_battery(0.1, true), PowerMode::PluggedIn);
    /// ```
    pub fn from_battery(charge: f64, charging: bool) -> Self {
        if charging {
            Self::PluggedIn
        } else if charge > 0.2 {
            Self::Normal
        } else if charge > 0.1 {
            Self::Low
        } else {
            Self::Critical
        }
    }

    /// The mode's name, which is that of its profile.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PluggedIn => "plugged_in",
            Self::Normal => "normal",
            Self::Low => "low",
            Self::Critical => "critical",
        }
    }

    /// The mode of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warm_device_and_a_careful_user_save_at_any_charge() {
        let full = DeviceState::default().battery(1.0);
        assert_eq!(full.mode(), PowerMode::Normal);
        assert_eq!(full.saver(true).mode(), PowerMode::Low);
        assert_eq!(full.saver(true).charging(true).mode(), PowerMode::PluggedIn);
        let plugged = full.charging(true);
        assert_eq!(plugged.thermal(Thermal::Fair).mode(), PowerMode::PluggedIn);
        assert_eq!(plugged.thermal(Thermal::Serious).mode(), PowerMode::Low);
        assert_eq!(
            plugged.thermal(Thermal::Critical).mode(),
            PowerMode::Critical
        );
        // What saves more than that stays.
        let empty = DeviceState::default()
            .battery(0.05)
            .thermal(Thermal::Serious);
        assert_eq!(empty.mode(), PowerMode::Critical);
        assert_eq!(
            PowerMode::from_battery(f64::NAN, false),
            PowerMode::Critical
        );
    }

    #[test]
    fn only_a_host_that_says_so_is_offline() {
        assert!(DeviceState::default().is_online());
        assert!(
            !DeviceState::default()
                .network(NetworkType::Offline)
                .is_online()
        );
    }
}
