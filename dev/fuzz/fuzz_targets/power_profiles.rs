//! TOML to power profiles: never a panic, and what is accepted is within its bounds and found again by its name.
#![no_main]

use common::Limits;
use libfuzzer_sys::fuzz_target;
use syncdb::power::{DeviceState, PowerMode, PowerProfiles};

fuzz_target!(|data: &[u8]| {
    let Ok(profiles) = PowerProfiles::from_toml(data, &Limits::default()) else {
        return;
    };
    for mode in PowerMode::ALL {
        profiles
            .of_mode(mode)
            .check()
            .expect("every part is within its bounds");
    }
    let found = profiles.in_force(&DeviceState::default());
    assert_eq!(profiles.by_name(&found.name), Some(found));
    let json = serde_json::to_vec(&profiles).expect("profiles can be kept");
    let again: PowerProfiles = serde_json::from_slice(&json).expect("what was kept can be read");
    assert_eq!(again, profiles);
});
