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

/// For how long a link has to be there on end to carry something: longer than any exchange of the day takes.
const ENOUGH: Duration = Duration::from_secs(1);

impl Link {
    /// Whether it is there for long enough at some time between the two.
    fn carries(self, from: Duration, until: Duration) -> bool {
        let options = self.profile.options();
        if options.loss >= 1.0 {
            return false;
        }
        let Some(outage) = options.outage else {
            return from + ENOUGH <= until;
        };
        // Each cycle begins with the time for which the link is there.
        let every = Duration::from_millis(u64::from(outage.every_ms));
        let there = every.saturating_sub(Duration::from_millis(u64::from(outage.for_ms)));
        let mut at = from;
        while at + ENOUGH <= until {
            let cycles = at.as_micros() / every.as_micros().max(1);
            let cycle = every.saturating_mul(u32::try_from(cycles).unwrap_or(u32::MAX));
            if at + ENOUGH <= cycle + there {
                return true;
            }
            at = cycle + every;
        }
        false
    }
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

    /// Whether the links carry anything at some time between the two. It is read off the script alone, whatever a scheduler or
    /// a phone makes of it.
    pub(crate) fn carries(&self, from: Duration, until: Duration) -> bool {
        let links = self.0.iter().filter_map(|(at, event)| match event {
            Event::Network(link) => Some((*at, *link)),
            _ => None,
        });
        let mut last = None;
        let end = links.clone().map(|(at, _)| at).chain([DAY]).skip(1);
        for ((begin, link), end) in links.zip(end) {
            last = Some(link);
            if link.carries(begin.max(from), end.min(until)) {
                return true;
            }
        }
        // What was written late has its deadline on the day after, which goes on as this one ended.
        last.is_some_and(|link| link.carries(DAY.max(from), until))
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
    fn a_script_knows_when_its_links_carry_something() {
        let script = Script::new(1);
        let minute = |minutes: u64, seconds: u64| Duration::from_secs(minutes * 60 + seconds);
        // At home, and from the train into the tunnel.
        assert!(script.carries(minute(10, 0), minute(10, 1)));
        assert!(!script.carries(minute(10, 0), minute(10, 0)));
        // In cycles of 90 seconds it is gone for the last 20: from minute 1,051 and 10 seconds on.
        assert!(script.carries(minute(1_051, 9), minute(1_051, 20)));
        assert!(!script.carries(minute(1_051, 10), minute(1_051, 30)));
        assert!(script.carries(minute(1_051, 10), minute(1_051, 31)));
        // Where there is none, and at its edges.
        assert!(!script.carries(minute(1_200, 0), minute(1_215, 0)));
        assert!(script.carries(minute(1_199, 59), minute(1_215, 0)));
        assert!(script.carries(minute(1_200, 0), minute(1_215, 1)));
        // The evening's link stays.
        assert!(script.carries(minute(1_440, 0), minute(1_450, 0)));
    }

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
