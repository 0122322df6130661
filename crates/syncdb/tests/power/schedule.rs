//! The rules by which a scheduler decides.

use common::Timestamp;
use syncdb::payload::Level;
use syncdb::power::{
    Decision, DeviceState, Hold, NetworkType, PowerMode, PowerProfiles, Priority, Reason,
    Scheduler, Thermal, Urgency, Waiting,
};

use super::{at, pocket, run, seconds, until};

/// A scheduler that has just pulled.
fn pulled(device: &DeviceState) -> Scheduler {
    let mut scheduler = Scheduler::default();
    run(
        &mut scheduler,
        device,
        &Waiting::default(),
        (at(0), at(1)),
        true,
    );
    scheduler
}

fn one(made: Timestamp, urgency: impl Into<Urgency>) -> Waiting {
    let mut waiting = Waiting::default();
    waiting.add(made, urgency.into());
    waiting
}

fn why(decision: &Decision) -> Reason {
    match decision {
        Decision::Sync { why, .. } => *why,
        Decision::Wait { .. } => panic!("expected to sync, not {decision:?}"),
    }
}

fn hold(decision: &Decision) -> Hold {
    match decision {
        Decision::Wait { why, .. } => *why,
        Decision::Sync { .. } => panic!("expected to wait, not {decision:?}"),
    }
}

#[test]
fn what_is_written_is_sent_at_once_unless_the_profile_defers() {
    let normal = pocket().battery(0.8);
    let mut scheduler = pulled(&normal);
    let waiting = one(at(10), Priority::Maintenance);
    // A quarter of a second for those right behind it.
    let decision = scheduler.decide(at(10), &normal, &waiting);
    assert_eq!(until(&decision), Some(Timestamp(at(10).0 + 250_000)));
    assert_eq!(
        why(&scheduler.decide(at(11), &normal, &waiting)),
        Reason::Written
    );
    let decision = scheduler.decide(at(11), &pocket(), &waiting);
    assert_eq!(hold(&decision), Hold::Deferred);
}

#[test]
fn each_priority_waits_as_long_as_the_profile_says_and_leaves_before_its_deadline() {
    for (priority, due) in [
        (Priority::High, 30),
        (Priority::Medium, 240),
        (Priority::Low, 1_740),
        (Priority::Maintenance, 3_540),
    ] {
        let mut scheduler = pulled(&pocket());
        let waiting = one(at(10), priority);
        let decision = scheduler.decide(at(10), &pocket(), &waiting);
        assert_eq!(until(&decision), Some(at(10 + due)), "{priority}");
        let decision = scheduler.decide(at(10 + due), &pocket(), &waiting);
        assert_eq!(why(&decision), Reason::Deadline);
    }
}

#[test]
fn a_deadline_of_its_own_forces_a_sync_before_the_one_of_its_priority() {
    let mut scheduler = pulled(&pocket());
    let waiting = one(at(10), Urgency::from(Priority::Maintenance).by(at(50)));
    let decision = scheduler.decide(at(10), &pocket(), &waiting);
    assert_eq!(until(&decision), Some(at(30)));
    // And one that is later than that of its priority changes nothing.
    let waiting = one(at(10), Urgency::from(Priority::High).by(at(5_000)));
    let decision = scheduler.decide(at(10), &pocket(), &waiting);
    assert_eq!(until(&decision), Some(at(40)));
}

#[test]
fn nothing_is_sent_in_the_background_for_its_own_sake() {
    for charge in [0.8, 0.15, 0.05] {
        let device = pocket().battery(charge);
        let mut scheduler = pulled(&device);
        let decision = scheduler.decide(at(86_400), &device, &Waiting::default());
        assert_eq!((hold(&decision), until(&decision)), (Hold::Nothing, None));
    }
    // Connected to power, it costs nothing.
    let plugged = pocket().charging(true);
    let mut scheduler = pulled(&plugged);
    let decision = scheduler.decide(at(1), &plugged, &Waiting::default());
    assert_eq!(until(&decision), Some(at(900)));
}

#[test]
fn in_use_it_pulls_as_often_as_the_profile_says_and_any_sync_is_a_pull() {
    for (device, interval) in [
        (DeviceState::default().charging(true), 60),
        (DeviceState::default().battery(0.8), 300),
        (DeviceState::default().battery(0.2), 900),
        (DeviceState::default().battery(0.1), 1_800),
    ] {
        let mut scheduler = pulled(&device);
        let nothing = Waiting::default();
        let decision = scheduler.decide(at(1), &device, &nothing);
        assert_eq!(until(&decision), Some(at(interval)));
        let decision = scheduler.decide(at(interval), &device, &nothing);
        assert_eq!(why(&decision), Reason::Interval);
        // One that something urgent had called for moves it.
        let urgent = one(at(30), Priority::Critical);
        assert_eq!(
            why(&scheduler.decide(at(30), &device, &urgent)),
            Reason::Urgent
        );
        run(&mut scheduler, &device, &urgent, (at(30), at(31)), true);
        let decision = scheduler.decide(at(31), &device, &nothing);
        assert_eq!(until(&decision), Some(at(30 + interval)));
    }
}

#[test]
fn coming_to_the_foreground_pulls_what_is_old() {
    let mut scheduler = pulled(&pocket());
    let nothing = Waiting::default();
    assert!(!scheduler.decide(at(5_000), &pocket(), &nothing).is_sync());
    let decision = scheduler.decide(at(5_000), &pocket().foreground(true), &nothing);
    assert_eq!(why(&decision), Reason::Interval);
}

#[test]
fn what_waits_goes_along_when_others_keep_the_radio_up() {
    let mut scheduler = pulled(&pocket());
    let waiting = one(at(100), Priority::Maintenance);
    let riding = pocket().radio_in_use(true);
    assert!(!scheduler.decide(at(200), &pocket(), &waiting).is_sync());
    assert_eq!(
        why(&scheduler.decide(at(200), &riding, &waiting)),
        Reason::Window
    );
    // Not again and again, though: the radio of others may be up for hours.
    run(&mut scheduler, &riding, &waiting, (at(200), at(201)), true);
    let more = one(at(205), Priority::Maintenance);
    let decision = scheduler.decide(at(205), &riding, &more);
    assert_eq!(until(&decision), Some(at(261)));
    // And never for nothing.
    assert!(
        !scheduler
            .decide(at(900), &riding, &Waiting::default())
            .is_sync()
    );
}

#[test]
fn time_that_the_system_grants_is_used_for_what_waits_and_for_an_old_pull() {
    let mut scheduler = pulled(&pocket());
    let granted = pocket().granted_until(at(730));
    let waiting = one(at(650), Priority::Low);
    assert_eq!(
        why(&scheduler.decide(at(700), &granted, &waiting)),
        Reason::Window
    );
    assert!(
        !scheduler
            .decide(at(700), &granted, &Waiting::default())
            .is_sync()
    );
    let granted = pocket().granted_until(at(930));
    let decision = scheduler.decide(at(900), &granted, &Waiting::default());
    assert_eq!(why(&decision), Reason::Interval);
    assert!(
        !scheduler
            .decide(at(930), &granted, &Waiting::default())
            .is_sync()
    );
}

#[test]
fn without_a_network_nothing_is_tried_and_what_is_due_leaves_with_the_next_one() {
    let mut scheduler = pulled(&pocket());
    let waiting = one(at(10), Priority::Critical);
    let offline = pocket().network(NetworkType::Offline);
    let decision = scheduler.decide(at(20), &offline, &waiting);
    assert_eq!((hold(&decision), until(&decision)), (Hold::Offline, None));
    let decision = scheduler.decide(at(9_999), &pocket(), &waiting);
    assert_eq!(why(&decision), Reason::Urgent);
}

#[test]
fn attempts_that_fail_are_tried_again_after_longer_and_longer_times() {
    let device = DeviceState::default()
        .battery(0.8)
        .network(NetworkType::Cellular);
    let mut scheduler = Scheduler::default();
    let nothing = Waiting::default();
    let mut now = at(0);
    let mut waited = Vec::new();
    for _ in 0..12 {
        assert!(scheduler.decide(now, &device, &nothing).is_sync());
        run(&mut scheduler, &device, &nothing, (now, now), false);
        let decision = scheduler.decide(now, &device, &nothing);
        assert_eq!(hold(&decision), Hold::BackOff);
        let next = until(&decision).unwrap();
        waited.push(std::time::Duration::from_micros(
            u64::try_from(next.0 - now.0).unwrap(),
        ));
        now = next;
    }
    for (failures, waited) in waited.into_iter().enumerate() {
        let most = (5.0 * f64::from(1 << failures)).min(900.0);
        let waited = waited.as_secs_f64();
        assert!(
            (most / 2.0..=most).contains(&waited),
            "{waited} after {failures}"
        );
    }
}

#[test]
fn back_off_depends_on_chance_so_that_devices_do_not_try_again_together() {
    let device = DeviceState::default();
    let mut times = std::collections::BTreeSet::new();
    for random in 0..100 {
        let mut scheduler = Scheduler::default();
        scheduler.start(at(0), &device, &Waiting::default());
        scheduler.finish(at(0), &syncdb::power::Measured::default(), random);
        times.insert(until(&scheduler.decide(
            at(0),
            &device,
            &Waiting::default(),
        )));
    }
    assert!(times.len() > 95, "{}", times.len());
}

#[test]
fn another_network_ends_a_back_off_and_so_does_having_been_offline() {
    let wifi = DeviceState::default().network(NetworkType::Wifi);
    let cellular = DeviceState::default().network(NetworkType::Cellular);
    let mut scheduler = Scheduler::default();
    let nothing = Waiting::default();
    for _ in 0..6 {
        run(&mut scheduler, &wifi, &nothing, (at(0), at(0)), false);
    }
    assert_eq!(
        hold(&scheduler.decide(at(1), &wifi, &nothing)),
        Hold::BackOff
    );
    assert!(scheduler.decide(at(1), &cellular, &nothing).is_sync());
    let offline = wifi.network(NetworkType::Offline);
    assert_eq!(
        hold(&scheduler.decide(at(1), &offline, &nothing)),
        Hold::Offline
    );
    assert!(scheduler.decide(at(1), &wifi, &nothing).is_sync());
}

#[test]
fn a_success_ends_a_back_off() {
    let device = DeviceState::default();
    let mut scheduler = Scheduler::default();
    let nothing = Waiting::default();
    for _ in 0..6 {
        run(&mut scheduler, &device, &nothing, (at(0), at(0)), false);
    }
    scheduler.request();
    assert_eq!(
        why(&scheduler.decide(at(1), &device, &nothing)),
        Reason::Requested
    );
    run(&mut scheduler, &device, &nothing, (at(1), at(1)), true);
    let decision = scheduler.decide(at(1), &device, &nothing);
    assert_eq!(until(&decision), Some(at(301)));
    run(&mut scheduler, &device, &nothing, (at(301), at(301)), false);
    let again = until(&scheduler.decide(at(301), &device, &nothing)).unwrap();
    assert!(again <= at(306));
}

#[test]
fn a_new_urgent_write_is_tried_at_once_whatever_has_failed() {
    let device = DeviceState::default().battery(0.05);
    let mut scheduler = Scheduler::default();
    let nothing = Waiting::default();
    for _ in 0..10 {
        run(&mut scheduler, &device, &nothing, (at(0), at(30)), false);
    }
    assert_eq!(
        hold(&scheduler.decide(at(40), &device, &nothing)),
        Hold::DailyBudget
    );
    let urgent = one(at(40), Priority::Critical);
    assert_eq!(
        why(&scheduler.decide(at(40), &device, &urgent)),
        Reason::Urgent
    );
    run(&mut scheduler, &device, &urgent, (at(40), at(70)), false);
    // It has been tried, and is tried again some seconds later.
    let decision = scheduler.decide(at(70), &device, &urgent);
    assert_eq!(until(&decision), Some(at(74)));
}

#[test]
fn what_fails_may_take_only_so_much_of_a_day() {
    let device = DeviceState::default().battery(0.15);
    let mut scheduler = Scheduler::default();
    let nothing = Waiting::default();
    for minute in 0..6 {
        run(
            &mut scheduler,
            &device,
            &nothing,
            (at(minute * 60), at(minute * 60 + 30)),
            false,
        );
    }
    let decision = scheduler.decide(at(20_000), &device, &nothing);
    assert_eq!(hold(&decision), Hold::DailyBudget);
    assert_eq!(until(&decision), Some(at(30 + 86_400)));
    // What is due is tried once all the same, and what a person asks for.
    let waiting = one(at(20_000), Priority::Medium);
    let decision = scheduler.decide(at(20_240), &device, &waiting);
    assert_eq!(why(&decision), Reason::Deadline);
    scheduler.request();
    assert_eq!(
        why(&scheduler.decide(at(20_001), &device, &nothing)),
        Reason::Requested
    );
    // The next day begins anew.
    let mut scheduler = scheduler.clone();
    run(
        &mut scheduler,
        &device,
        &nothing,
        (at(90_000), at(90_001)),
        false,
    );
    assert_eq!(
        hold(&scheduler.decide(at(90_002), &device, &nothing)),
        Hold::BackOff
    );
}

/// A phone on a mobile network, which was without any a minute ago.
fn back_from_a_gap() -> (DeviceState, Scheduler) {
    let device = pocket();
    let mut scheduler = pulled(&device);
    let offline = device.network(NetworkType::Offline);
    scheduler.decide(at(40), &offline, &Waiting::default());
    (device, scheduler)
}

#[test]
fn on_a_network_that_comes_and_goes_what_waits_leaves_while_it_is_there() {
    for (priority, kept_back) in [
        (Priority::High, 250_000),
        (Priority::Medium, 250_000),
        (Priority::Low, 810_000_000),
        (Priority::Maintenance, 1_620_000_000),
    ] {
        let (device, mut scheduler) = back_from_a_gap();
        let waiting = one(at(100), priority);
        let early = Timestamp(at(100).0 + kept_back);
        let decision = scheduler.decide(at(100), &device, &waiting);
        assert_eq!(until(&decision), Some(early), "{priority}");
        let decision = scheduler.decide(early, &device, &waiting);
        assert_eq!(why(&decision), Reason::Deadline);
    }
    // By its own deadline too.
    let (device, mut scheduler) = back_from_a_gap();
    let waiting = one(
        at(100),
        Urgency::from(Priority::Maintenance).by(at(100 + 600)),
    );
    let decision = scheduler.decide(at(100), &device, &waiting);
    assert_eq!(until(&decision), Some(at(100 + 270)));
}

#[test]
fn a_network_is_trusted_until_one_is_lost_and_again_a_day_later() {
    let medium = one(at(100), Priority::Medium);
    let mut scheduler = pulled(&pocket());
    let decision = scheduler.decide(at(100), &pocket(), &medium);
    assert_eq!(until(&decision), Some(at(340)), "none was ever lost");
    let (device, mut scheduler) = back_from_a_gap();
    let wifi = device.network(NetworkType::Wifi);
    let decision = scheduler.decide(at(100), &wifi, &medium);
    assert_eq!(until(&decision), Some(at(340)), "wifi stays where it is");
    let mut failed = pulled(&device);
    let nothing = Waiting::default();
    run(&mut failed, &device, &nothing, (at(40), at(46)), false);
    let decision = failed.decide(at(101), &device, &medium);
    assert_eq!(why(&decision), Reason::Deadline, "one that carries nothing");
    let tomorrow = 40 + 86_400;
    let medium = one(at(tomorrow), Priority::Medium);
    let decision = scheduler.decide(at(tomorrow), &device, &medium);
    assert_eq!(until(&decision), Some(at(tomorrow + 240)));
}

#[test]
fn what_left_early_in_vain_is_due_again_before_its_deadline_whatever_has_failed() {
    let (device, mut scheduler) = back_from_a_gap();
    let waiting = one(at(100), Priority::Medium);
    // All of the day's share goes into it.
    let mut now = at(101);
    for _ in 0..8 {
        assert!(scheduler.decide(now, &device, &waiting).is_sync());
        let end = Timestamp(now.0 + at(6).0 - at(0).0);
        run(&mut scheduler, &device, &waiting, (now, end), false);
        now = until(&scheduler.decide(end, &device, &waiting)).unwrap();
    }
    assert!(now < at(200), "it is tried again and again at first");
    run(&mut scheduler, &device, &waiting, (at(190), at(330)), false);
    let decision = scheduler.decide(at(331), &device, &waiting);
    assert_eq!(until(&decision), Some(at(340)));
    assert_eq!(
        why(&scheduler.decide(at(340), &device, &waiting)),
        Reason::Deadline
    );
    // A link that is dead although the host reports it is tried no more for what is early.
    run(
        &mut scheduler,
        &device,
        &Waiting::default(),
        (at(340), at(346)),
        false,
    );
    let decision = scheduler.decide(at(401), &device, &one(at(400), Priority::Medium));
    assert_eq!(until(&decision), Some(at(640)));
}

#[test]
fn what_does_not_move_is_tried_less_and_less_often() {
    let device = pocket();
    let mut scheduler = pulled(&device);
    // Something that the host never finishes.
    let stuck = one(at(10), Priority::High);
    let mut now = at(100);
    let mut gaps = Vec::new();
    for _ in 0..12 {
        run(&mut scheduler, &device, &stuck, (now, now), true);
        let next = until(&scheduler.decide(now, &device, &stuck)).unwrap();
        gaps.push((next.0 - now.0) / 1_000_000);
        now = next;
    }
    assert_eq!(gaps.first(), Some(&10));
    assert_eq!(gaps.last(), Some(&1_800));
    assert!(gaps.is_sorted());
}

#[test]
fn while_a_sync_runs_no_other_one_begins() {
    let device = DeviceState::default();
    let mut scheduler = Scheduler::default();
    let urgent = one(at(0), Priority::Critical);
    scheduler.start(at(0), &device, &urgent);
    assert_eq!(
        hold(&scheduler.decide(at(1), &device, &urgent)),
        Hold::Running
    );
}

#[test]
fn a_clock_that_is_set_back_holds_nothing_up() {
    let device = DeviceState::default().battery(0.8);
    let mut scheduler = Scheduler::default();
    let waiting = one(at(100_000), Priority::Low);
    run(
        &mut scheduler,
        &device,
        &waiting,
        (at(100_000), at(100_001)),
        false,
    );
    // A day earlier.
    assert!(scheduler.decide(at(13_600), &device, &waiting).is_sync());
    let saving = pocket();
    assert!(scheduler.decide(at(13_600), &saving, &waiting).is_sync());
    run(
        &mut scheduler,
        &device,
        &Waiting::default(),
        (at(13_600), at(13_601)),
        true,
    );
    let decision = scheduler.decide(at(13_601), &device, &Waiting::default());
    assert_eq!(until(&decision), Some(at(13_900)));
}

#[test]
fn bytes_that_cost_money_are_packed_as_small_as_it_gets_unless_the_profile_saves() {
    let mut scheduler = Scheduler::default();
    let plugged = DeviceState::default().charging(true);
    let saving = DeviceState::default().battery(0.15);
    for (device, level, name) in [
        (plugged, Level::Fast, "plugged_in"),
        (plugged.metered(true), Level::Small, "plugged_in"),
        // Where energy is short, a hundredth of the bytes is not worth a fifth of the processor's time.
        (saving, Level::Fast, "low"),
        (saving.metered(true), Level::Fast, "low"),
    ] {
        let Decision::Sync {
            budget, profile, ..
        } = scheduler.decide(at(0), &device, &Waiting::default())
        else {
            panic!("the first pull");
        };
        assert_eq!((budget.level, profile.as_str()), (level, name));
    }
}

#[test]
fn a_scheduler_that_was_kept_goes_on_where_it_was() {
    let device = DeviceState::default();
    let mut scheduler = Scheduler::new(PowerProfiles::default());
    scheduler.choose(Some("low")).unwrap();
    assert!(scheduler.choose(Some("festival")).is_err());
    let nothing = Waiting::default();
    for _ in 0..3 {
        run(&mut scheduler, &device, &nothing, (at(0), at(3)), false);
    }
    let json = serde_json::to_string(&scheduler).unwrap();
    let mut kept: Scheduler = serde_json::from_str(&json).unwrap();
    for time in [4, 100, 1_000, 100_000] {
        let expected = scheduler.decide(at(time), &device, &nothing);
        assert_eq!(kept.decide(at(time), &device, &nothing), expected);
    }
    assert_eq!(kept.totals(), scheduler.totals());
    assert_eq!(kept.profile(&device).name, "low");
    kept.choose(None).unwrap();
    assert_eq!(kept.profile(&device).name, "normal");
}

#[test]
fn a_warm_device_saves() {
    let mut scheduler = pulled(&pocket());
    let warm = DeviceState::default()
        .charging(true)
        .thermal(Thermal::Critical);
    assert_eq!(warm.mode(), PowerMode::Critical);
    let waiting = one(at(10), Priority::High);
    assert!(!scheduler.decide(at(20), &warm, &waiting).is_sync());
    assert_eq!(
        seconds(60),
        scheduler.profile(&warm).waits.of(Priority::High)
    );
}
