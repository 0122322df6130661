//! [`Script`]: what happens in a day, the same for every profile.

use std::time::Duration;

use bench::random::Random;
use syncdb::netsim;
use syncdb::power::{NetworkType, Priority};

/// Something that happens to the phone, or at the server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Event {
    /// The user edits a task.
    Edit { task: i64, priority: Priority },
    /// The application notes something by itself.
    Reading { priority: Priority },
    /// Somebody else edits a task.
    Elsewhere { task: i64 },
    /// The application defers an operation of its own.
    Defer { priority: Priority },
    /// The application comes to the front, or goes.
    Foreground(bool),
    /// The phone meets another network.
    Network(Link),
    /// Something else wakes the radio, or lets it go.
    Radio(bool),
}

/// A network that the phone meets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Link {
    pub(crate) network: NetworkType,
    pub(crate) profile: netsim::Profile,
}

/// What happens in a day, in order of time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Script(pub(crate) Vec<(Duration, Event)>);

pub(crate) const DAY: Duration = Duration::from_hours(24);
/// Tasks that are there in the beginning.
pub(crate) const TASKS: i64 = 2_000;

const fn link(network: NetworkType, profile: netsim::Profile) -> Link {
    Link { network, profile }
}

/// Where the phone is, from which minute of the day on.
const PLACES: [(u64, Link); 15] = [
    (0, link(NetworkType::Wifi, netsim::Profile::Wifi)),
    // Out of the house, by train, into the office.
    (445, link(NetworkType::Cellular, netsim::Profile::FourG)),
    (
        460,
        link(NetworkType::Cellular, netsim::Profile::TrainTunnel),
    ),
    (490, link(NetworkType::Offline, netsim::Profile::Offline)),
    (500, link(NetworkType::Wifi, netsim::Profile::Wifi)),
    // Lunch, and a cellar.
    (725, link(NetworkType::Cellular, netsim::Profile::FourG)),
    (750, link(NetworkType::Offline, netsim::Profile::Offline)),
    (757, link(NetworkType::Cellular, netsim::Profile::FourG)),
    (780, link(NetworkType::Wifi, netsim::Profile::Wifi)),
    // Home, and out into the country, where the network is old.
    (
        1_050,
        link(NetworkType::Cellular, netsim::Profile::TrainTunnel),
    ),
    (1_080, link(NetworkType::ThreeG, netsim::Profile::ThreeG)),
    (1_140, link(NetworkType::Edge, netsim::Profile::Edge)),
    (1_200, link(NetworkType::Offline, netsim::Profile::Offline)),
    (1_215, link(NetworkType::ThreeG, netsim::Profile::ThreeG)),
    (1_260, link(NetworkType::Wifi, netsim::Profile::Wifi)),
];

impl Script {
    /// The day of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut events: Vec<(Duration, Event)> = PLACES
            .iter()
            .map(|(minute, link)| (Duration::from_mins(*minute), Event::Network(*link)))
            .collect();
        sessions(&mut random, &mut events);
        background(&mut random, &mut events);
        events.retain(|(at, _)| *at < DAY);
        // Events of the same moment stay in the order in which they were made up.
        events.sort_by_key(|(at, _)| *at);
        Self(events)
    }
}

fn seconds(random: &mut Random, from: u64, below: u64) -> Duration {
    let more = random.below(usize::try_from((below - from) * 1_000).unwrap_or_default());
    Duration::from_millis(from * 1_000 + more as u64)
}

fn task(random: &mut Random) -> i64 {
    i64::try_from(random.skewed(usize::try_from(TASKS).unwrap_or_default())).unwrap_or_default()
}

/// From seven in the morning to eleven at night the application is in use for a few minutes about every half an hour. Somebody
/// who writes a note saves it several times: of three edits, two are of the task of the edit before.
fn sessions(random: &mut Random, events: &mut Vec<(Duration, Event)>) {
    let mut at = Duration::from_hours(7);
    let mut current = task(random);
    while at < Duration::from_hours(23) {
        events.push((at, Event::Foreground(true)));
        let end = at + seconds(random, 60, 480);
        let mut next = at + seconds(random, 3, 20);
        while next < end {
            let priority = match random.below(100) {
                0..=1 => Priority::Critical,
                2..=11 => Priority::High,
                12..=84 => Priority::Medium,
                _ => Priority::Low,
            };
            if random.below(3) == 0 {
                current = task(random);
            }
            let edit = Event::Edit {
                task: current,
                priority,
            };
            events.push((next, edit));
            next += seconds(random, 5, 40);
        }
        events.push((end, Event::Foreground(false)));
        at = end + seconds(random, 600, 2_700);
    }
}

/// What happens whether anybody looks or not.
fn background(random: &mut Random, events: &mut Vec<(Duration, Event)>) {
    let every = |random: &mut Random,
                 events: &mut Vec<(Duration, Event)>,
                 from: u64,
                 below: u64,
                 make: &mut dyn FnMut(&mut Random) -> Event| {
        let mut at = seconds(random, 0, below);
        while at < DAY {
            events.push((at, make(random)));
            at += seconds(random, from, below);
        }
    };
    // A reading about every five minutes, and what the application notes about itself every half an hour.
    let low = Event::Reading {
        priority: Priority::Low,
    };
    every(random, events, 240, 360, &mut |_| low);
    let upkeep = Event::Reading {
        priority: Priority::Maintenance,
    };
    every(random, events, 1_500, 2_100, &mut |_| upkeep);
    every(random, events, 60, 300, &mut |random| Event::Elsewhere {
        task: task(random),
    });
    every(random, events, 3_600, 10_800, &mut |random| Event::Defer {
        priority: if random.below(4) == 0 {
            Priority::Medium
        } else {
            Priority::Maintenance
        },
    });
    // Other applications use the radio for some seconds about every twenty minutes.
    let mut at = seconds(random, 0, 1_200);
    while at < DAY {
        events.push((at, Event::Radio(true)));
        events.push((at + seconds(random, 5, 20), Event::Radio(false)));
        at += seconds(random, 600, 1_800);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_names_a_day() {
        let script = Script::new(7);
        assert_eq!(script, Script::new(7));
        assert_ne!(script, Script::new(8));
        let count = |is: &dyn Fn(&Event) -> bool| script.0.iter().filter(|(_, e)| is(e)).count();
        let edits = count(&|event| matches!(event, Event::Edit { .. }));
        let urgent = count(
            &|event| matches!(event, Event::Edit { priority, .. } if *priority == Priority::Critical),
        );
        let readings = count(&|event| matches!(event, Event::Reading { .. }));
        assert!((200..600).contains(&edits), "{edits}");
        assert!(urgent > 0);
        assert!((280..380).contains(&readings), "{readings}");
    }
}
