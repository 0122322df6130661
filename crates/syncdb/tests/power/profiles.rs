//! Profiles from TOML, and which one is in force.

use common::{ErrorKind, Limits};
use syncdb::payload::Level;
use syncdb::power::{
    DeviceState, NetworkType, PROFILES_BYTES_MAX, PROFILES_MAX, PowerMode, PowerProfile,
    PowerProfiles, Priority, Thermal, When,
};

fn read(text: &str) -> common::Result<PowerProfiles> {
    PowerProfiles::from_toml(text.as_bytes(), &Limits::default())
}

/// The message of what is refused.
fn refused(text: &str) -> String {
    let error = read(text).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    error.to_string()
}

#[test]
fn the_built_in_profiles_are_what_they_are_said_to_be() {
    let expected = [
        (PowerMode::PluggedIn, 60.0, 100, Level::Fast, 4, false),
        (PowerMode::Normal, 300.0, 50, Level::Balanced, 2, false),
        (PowerMode::Low, 900.0, 25, Level::Fast, 1, true),
        (PowerMode::Critical, 1_800.0, 10, Level::Fast, 1, true),
    ];
    for (mode, interval, mutations, level, concurrent, defers) in expected {
        let profile = PowerProfile::of_mode(mode);
        profile.check().unwrap();
        assert!((profile.interval_seconds - interval).abs() < 1e-9);
        assert_eq!(profile.budget.mutations_max, mutations);
        assert_eq!(profile.budget.level, level);
        assert_eq!(profile.budget.concurrent_max, concurrent);
        assert_eq!(profile.defers(Priority::High), defers);
        assert!(!profile.defers(Priority::Critical));
        assert_eq!(PowerMode::by_name(&profile.name), Some(mode));
    }
}

#[test]
fn every_key_is_read() {
    let profiles = read(
        r#"
        [[profile]]
        name = "trip"
        base = "critical"
        interval_seconds = 0.1
        background_interval_seconds = 600
        mutations_max = 7
        bytes_max = 4096
        level = "fast"
        concurrent_max = 3
        defer_from = "low"
        backoff_seconds = 1.5
        backoff_seconds_max = 100
        failing_seconds_per_day = 0
        [profile.waits_seconds]
        high = 1
        medium = 2
        low = 3
        maintenance = 4
        [profile.when]
        battery_below = 0.5
        charging = false
        saver = false
        thermal_from = "fair"
        network = ["cellular", "three_g"]
        metered = true
        foreground = false
        "#,
    )
    .unwrap();
    let trip = profiles.by_name("trip").unwrap();
    let json = serde_json::to_value(trip).unwrap();
    let expected = serde_json::json!({
        "name": "trip", "interval_seconds": 0.1, "background_interval_seconds": 600.0,
        "budget": {"mutations_max": 7, "bytes_max": 4096, "level": "fast", "concurrent_max": 3},
        "defer_from": "low", "backoff_seconds": 1.5, "backoff_seconds_max": 100.0,
        "failing_seconds_per_day": 0.0,
        "waits": {"high": 1.0, "medium": 2.0, "low": 3.0, "maintenance": 4.0},
    });
    assert_eq!(json, expected);
    let fits = DeviceState::default()
        .battery(0.5)
        .thermal(Thermal::Fair)
        .network(NetworkType::ThreeG)
        .metered(true)
        .foreground(false);
    assert_eq!(profiles.in_force(&fits).name, "trip");
    // Each condition by itself keeps it away.
    for other in [
        fits.battery(0.51),
        fits.charging(true),
        fits.saver(true),
        fits.thermal(Thermal::Nominal),
        fits.network(NetworkType::Wifi),
        fits.metered(false),
        fits.foreground(true),
    ] {
        assert_ne!(profiles.in_force(&other).name, "trip", "{other:?}");
    }
}

#[test]
fn a_built_in_name_takes_the_place_of_the_built_in_profile() {
    let profiles = read("[[profile]]\nname = \"normal\"\ndefer = true\n").unwrap();
    let normal = profiles.in_force(&DeviceState::default());
    assert_eq!(normal.name, "normal");
    assert!(normal.defers(Priority::High));
    assert!((normal.interval_seconds - 300.0).abs() < 1e-9);
    let low = read("[[profile]]\nname = \"low\"\ndefer = false\n").unwrap();
    assert!(!low.of_mode(PowerMode::Low).defers(Priority::Low));
    assert_eq!(read("").unwrap(), PowerProfiles::default());
}

#[test]
fn errors_name_the_line_and_the_key() {
    let begin = "# mine\n[[profile]]\nname = \"x\"\n";
    for (line, says) in [
        ("interval_seconds = 0", "`interval_seconds`"),
        ("interval_seconds = nan", "`interval_seconds`"),
        ("interval_seconds = \"often\"", "interval_seconds"),
        (
            "background_interval_seconds = -1",
            "`background_interval_seconds`",
        ),
        ("mutations_max = 1001", "`mutations_max`"),
        ("mutations_max = -1", "-1"),
        ("bytes_max = 0", "`bytes_max`"),
        ("level = \"best\"", "best"),
        ("concurrent_max = 0", "`concurrent_max`"),
        ("defer_from = \"urgent\"", "urgent"),
        ("backoff_seconds = inf", "`backoff_seconds`"),
        ("backoff_seconds_max = 1e9", "`backoff_seconds_max`"),
        (
            "failing_seconds_per_day = 86401",
            "`failing_seconds_per_day`",
        ),
        ("waits_seconds.high = 0", "`waits_seconds.high`"),
        ("waits_seconds.critical = 5", "critical"),
        ("when.battery_below = 1.5", "`when.battery_below`"),
        ("when.network = [\"5g\"]", "5g"),
        ("colour = \"green\"", "colour"),
        ("base = \"high\"", "high"),
        ("= 3", ""),
    ] {
        let message = refused(&format!("{begin}{line}\n"));
        assert!(message.contains("line 4"), "{line}: {message}");
        assert!(message.contains(says), "{line}: {message}");
    }
    let message = refused(&format!("{begin}defer = false\ndefer_from = \"low\"\n"));
    assert!(
        message.contains("line 5") && message.contains("`defer`"),
        "{message}"
    );
    let message = refused(&format!("{begin}{begin}"));
    assert!(
        message.contains("line 6") && message.contains("`x`"),
        "{message}"
    );
    let message = refused("[[profile]]\nname = \"normal\"\nwhen.charging = true\n");
    assert!(
        message.contains("line 2") && message.contains("built in"),
        "{message}"
    );
    let message = refused("[[profile]]\nname = \"\"\n");
    assert!(message.contains("line 2"), "{message}");
    assert!(refused("[[profile]]\n").contains("name"));
    assert!(refused("profiles = 3\n").contains("line 1"));
}

#[test]
fn files_are_bounded() {
    let many = |number: usize| {
        let tables = (0..number).map(|at| format!("[[profile]]\nname = \"p{at}\"\n"));
        tables.collect::<Vec<_>>().concat()
    };
    read(&many(PROFILES_MAX)).unwrap();
    let error = read(&many(PROFILES_MAX + 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    read(&"#".repeat(PROFILES_BYTES_MAX)).unwrap();
    let error = read(&"#".repeat(PROFILES_BYTES_MAX + 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    let strict = Limits::default().total_bytes_max(10);
    let error = PowerProfiles::from_toml(b"# eleven by", &strict).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(PowerProfiles::from_toml(&[0xff], &Limits::default()).is_err());
    assert!(read(&"[".repeat(60_000)).is_err());
    assert!(read(&format!("x = {}", "[".repeat(60_000))).is_err());
}

#[test]
fn profiles_can_be_made_without_a_file() {
    let mut profiles = PowerProfiles::default();
    let mut mine = PowerProfile::of_mode(PowerMode::Low);
    mine.name = "mine".into();
    profiles.add(mine.clone(), None).unwrap();
    assert_eq!(
        profiles.in_force(&DeviceState::default().battery(0.2)).name,
        "low"
    );
    profiles.add(mine.clone(), Some(When::default())).unwrap();
    assert_eq!(profiles.in_force(&DeviceState::default()).name, "mine");
    mine.budget.mutations_max = 0;
    let error = profiles.add(mine, None).unwrap_err();
    assert!(error.to_string().contains("mutations_max"), "{error}");
}

#[test]
fn the_seeds_of_the_fuzz_target_and_the_guide_say_what_they_mean() {
    macro_rules! seed {
        ($name:literal) => {
            include_str!(concat!(
                "../../../../dev/fuzz/corpus/power_profiles/",
                $name
            ))
        };
    }
    let all = seed!("all_keys.toml");
    let guide = include_str!("../../../../docs/power.md");
    assert!(guide.contains(all), "docs/power.md lists the same keys");
    let festival = read(all).unwrap().by_name("festival").unwrap().clone();
    assert_eq!(festival.budget.mutations_max, 100);
    read(seed!("built_in.toml")).unwrap();
    assert!(refused(seed!("refused.toml")).contains("line 3"));
}
