//! When to sync, and how much it may take: from the state of the device and what waits.
//!
//! Nothing here reads a clock, starts a thread or opens a socket: time, the state of the device and chance come in as
//! arguments.

mod account;
mod budget;
mod device;
mod priority;
mod profile;
mod radio;
mod schedule;
mod waiting;

pub use account::{Account, Attempt, PowerTotals, SyncCost};
pub use budget::{MUTATIONS_MAX, REQUEST_BYTES_MAX, SyncBudget};
pub use device::{DeviceState, NetworkType, PowerMode, Thermal};
pub use priority::{Priority, Urgency};
pub use profile::{
    CRITICAL_WAIT, PROFILE_NAME_BYTES_MAX, PROFILES_BYTES_MAX, PROFILES_MAX, PowerProfile,
    PowerProfiles, SECONDS_MAX, Waits, When,
};
pub use radio::{Radio, RadioModel};
pub use schedule::{Decision, Hold, Measured, Reason, Scheduler};
pub use waiting::Waiting;

pub(crate) use waiting::Claim;
