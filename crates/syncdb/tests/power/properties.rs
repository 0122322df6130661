//! What holds for every device, every link and every course of events.

use common::Timestamp;
use proptest::prelude::*;
use syncdb::power::{
    Decision, DeviceState, Measured, NetworkType, Priority, Scheduler, Thermal, Urgency, Waiting,
};

use super::at;

fn priority() -> impl Strategy<Value = Priority> {
    prop::sample::select(Priority::ALL.as_slice())
}

fn network() -> impl Strategy<Value = NetworkType> {
    prop::sample::select(vec![
        NetworkType::Wired,
        NetworkType::Wifi,
        NetworkType::Edge,
        NetworkType::ThreeG,
        NetworkType::Cellular,
    ])
}

prop_compose! {
    /// Any device that has a network.
    fn device()(
        battery in prop::option::of(0.0..=1.0_f64),
        flags in prop::array::uniform5(prop::option::of(any::<bool>())),
        thermal in prop::option::of(prop::sample::select(vec![
            Thermal::Nominal, Thermal::Fair, Thermal::Serious, Thermal::Critical,
        ])),
        network in prop::option::of(network()),
        granted in prop::option::of(0_i64..4_000),
    ) -> DeviceState {
        let [charging, saver, metered, foreground, radio_in_use] = flags;
        DeviceState {
            battery, charging, saver, thermal, network, metered, foreground, radio_in_use,
            granted_until: granted.map(at),
        }
    }
}

/// What happens to a device.
#[derive(Debug, Clone)]
enum Event {
    Write(Priority, Option<u16>),
    Become(DeviceState),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (priority(), prop::option::weighted(0.2, 4_u16..4_000)).prop_map(|(p, d)| Event::Write(p, d)),
        1 => device().prop_map(Event::Become),
    ]
}

/// Something that was written, and what became of it.
#[derive(Debug, Clone, Copy)]
struct Written {
    made: Timestamp,
    urgency: Urgency,
    /// When an attempt first began to send it.
    tried: Option<Timestamp>,
    /// When the last attempt before its deadline began.
    tried_last: Option<Timestamp>,
    left: Option<Timestamp>,
}

impl Written {
    fn deadline(&self, scheduler: &Scheduler, device: &DeviceState) -> Timestamp {
        let wait = scheduler.profile(device).waits.of(self.urgency.priority);
        let by_priority = Timestamp(self.made.0 + i64::try_from(wait.as_micros()).unwrap());
        self.urgency
            .deadline
            .map_or(by_priority, |own| own.min(by_priority))
    }
}

struct World {
    scheduler: Scheduler,
    device: DeviceState,
    now: Timestamp,
    written: Vec<Written>,
    syncs: u32,
}

/// How long an attempt takes, in microseconds.
const TAKES: i64 = 200_000;

impl World {
    fn waiting(&self) -> Waiting {
        let mut waiting = Waiting::default();
        for written in self.written.iter().filter(|written| written.left.is_none()) {
            waiting.add(written.made, written.urgency);
        }
        waiting
    }

    /// Lets time pass, with every sync that the scheduler wants; `succeeds` says which attempts do.
    fn pass(&mut self, until: Timestamp, succeeds: &mut dyn FnMut() -> bool) {
        for _ in 0..100_000 {
            let waiting = self.waiting();
            match self.scheduler.decide(self.now, &self.device, &waiting) {
                Decision::Sync { .. } => {
                    self.syncs += 1;
                    self.scheduler.start(self.now, &self.device, &waiting);
                    let succeeded = succeeds();
                    let ended = Timestamp(self.now.0 + TAKES);
                    for written in &mut self.written {
                        written.tried = written.tried.or(Some(self.now));
                        if self.now <= written.deadline(&self.scheduler, &self.device) {
                            written.tried_last = Some(self.now);
                        }
                        if succeeded {
                            written.left = written.left.or(Some(ended));
                        }
                    }
                    self.now = ended;
                    let measured = Measured {
                        succeeded,
                        ..Measured::default()
                    };
                    let random = u64::from(self.syncs);
                    self.scheduler.finish(ended, &measured, random);
                }
                Decision::Wait {
                    until: Some(next), ..
                } if next < until => {
                    assert!(next > self.now, "a time that is past");
                    self.now = next;
                }
                Decision::Wait { .. } => {
                    self.now = self.now.max(until);
                    return;
                }
            }
        }
        panic!("the scheduler does not come to rest");
    }
}

fn world(device: DeviceState) -> World {
    World {
        scheduler: Scheduler::default(),
        device,
        now: at(0),
        written: Vec::new(),
        syncs: 0,
    }
}

fn write(world: &mut World, priority: Priority, deadline: Option<u16>) {
    let mut urgency = Urgency::from(priority);
    if let Some(seconds) = deadline {
        urgency = urgency.by(Timestamp(world.now.0 + i64::from(seconds) * 1_000_000));
    }
    world.written.push(Written {
        made: world.now,
        urgency,
        tried: None,
        tried_last: None,
        left: None,
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the device is like and whatever has failed before, something urgent is tried within a second.
    #[test]
    fn something_urgent_is_tried_within_a_second(
        events in prop::collection::vec((event(), 0_i64..600_000), 0..40),
        last in device(),
        outcomes in any::<u64>(),
    ) {
        let mut world = world(DeviceState::default());
        let mut chance = outcomes;
        let mut succeeds = move || {
            chance = chance.rotate_left(7).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            chance >> 62 == 0
        };
        for (event, millis) in events {
            match event {
                Event::Write(priority, deadline) => write(&mut world, priority, deadline),
                Event::Become(device) => world.device = device,
            }
            let until = Timestamp(world.now.0 + millis * 1_000);
            world.pass(until, &mut succeeds);
        }
        world.device = last;
        write(&mut world, Priority::Critical, None);
        let until = Timestamp(world.now.0 + 1_000_000);
        world.pass(until, &mut succeeds);
        for written in world.written.iter().filter(|w| w.urgency.priority == Priority::Critical) {
            let tried = written.tried.expect("it was tried");
            prop_assert!(tried.0 - written.made.0 <= 1_000_000, "{written:?}");
        }
    }

    /// As long as there is a network and it works, no deadline is missed, and nothing waits for ever.
    #[test]
    fn no_deadline_is_missed_while_a_network_works(
        events in prop::collection::vec((event(), 0_i64..900_000), 1..60),
        first in device(),
    ) {
        let mut world = world(first);
        for (event, millis) in events {
            match event {
                Event::Write(priority, deadline) => write(&mut world, priority, deadline),
                Event::Become(device) => world.device = device,
            }
            let until = Timestamp(world.now.0 + millis * 1_000);
            world.pass(until, &mut || true);
        }
        let until = Timestamp(world.now.0 + 3_700 * 1_000_000);
        world.pass(until, &mut || true);
        for written in &world.written {
            let deadline = written.deadline(&world.scheduler, &world.device);
            let left = written.left.expect("it has left");
            prop_assert!(left <= deadline, "{written:?} by {deadline:?}");
        }
    }

    /// On a link on which most attempts fail, each deadline of a minute and more has seen at least two before it passed, and
    /// what fails is bounded.
    #[test]
    fn a_bad_link_is_tried_twice_before_a_deadline_and_not_without_end(
        writes in prop::collection::vec((priority(), 0_i64..900_000), 1..20),
        device in device(),
    ) {
        let mut world = world(device);
        for (priority, millis) in writes {
            if priority != Priority::Critical {
                write(&mut world, priority, None);
            }
            let until = Timestamp(world.now.0 + millis * 1_000);
            world.pass(until, &mut || false);
        }
        for written in &world.written {
            let deadline = written.deadline(&world.scheduler, &world.device);
            if deadline <= world.now {
                prop_assert!(written.tried.is_some_and(|tried| tried.0 + 10_000_000 < deadline.0));
            }
        }
        for written in &world.written {
            let deadline = written.deadline(&world.scheduler, &world.device);
            if deadline <= world.now {
                // However long others have been stuck, its own deadline calls for an attempt shortly before it passes.
                prop_assert!(written.tried_last.is_some_and(|tried| tried.0 + 61_000_000 > deadline.0));
            }
        }
        // What waits after that is tried at most every ten seconds for two minutes around a deadline, and then by back-off.
        let (begin, syncs) = (world.now, world.syncs);
        world.pass(Timestamp(begin.0 + 86_400 * 1_000_000), &mut || false);
        prop_assert!(world.syncs - syncs < 1_000, "{}", world.syncs - syncs);
    }

    /// A number of deferred writes leave with one sync.
    #[test]
    fn what_is_deferred_leaves_together(number in 1_usize..50) {
        let pocket = super::pocket();
        let mut world = world(pocket);
        world.pass(at(1), &mut || true);
        for _ in 0..number {
            write(&mut world, Priority::Low, None);
        }
        world.pass(at(4_000), &mut || true);
        prop_assert_eq!(world.syncs, 1);
        prop_assert!(world.written.iter().all(|written| written.left.is_some()));
    }
}
