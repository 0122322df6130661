//! Ids that need no coordination: UUIDs, ordered 26-character ids, and ids with a prefix.
//!
//! Time and randomness come in from outside, so that a simulation can repeat every id it made.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use uuid::Uuid;

use super::time::{Clock, SystemClock, quoted};
use crate::error::{Error, Result};

/// Implemented outside this crate when a host owns randomness: a simulator, a hardware generator.
///
/// Calls come from several threads at once. Ids are only as unguessable as these bytes.
pub trait Rng: Send + Sync {
    /// Fills `bytes` with random ones.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's generator, asked for every id: a forked process never repeats its parent's ids.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SystemRng;

impl Rng for SystemRng {
    /// # Panics
    /// When the operating system has no randomness to give. An id made without any would not be unique,
    /// and no caller could go on with it.
    fn fill(&self, bytes: &mut [u8]) {
        if let Err(cause) = getrandom::fill(bytes) {
            panic!("the operating system gives no random bytes: {cause}");
        }
    }
}

/// Bytes of another generator, fetched some thousand at a time: for many ids, each of which would be a system call.
///
/// Call [`BufferedRng::forget`] in a child process after a fork, otherwise it repeats its parent's bytes.
///
/// ```
/// use common::utils::id_generator::{BufferedRng, Rng, SystemRng};
/// let rng = BufferedRng::new(SystemRng);
/// let (mut first, mut second) = ([0; 16], [0; 16]);
/// rng.fill(&mut first);
/// rng.fill(&mut second);
/// assert_ne!(first, second);
/// ```
#[derive(Debug)]
pub struct BufferedRng<R> {
    source: R,
    ahead: Mutex<Ahead>,
}

/// Random bytes of which the first `used` are spent.
#[derive(Debug)]
struct Ahead {
    bytes: [u8; AHEAD_BYTES],
    used: usize,
}

const AHEAD_BYTES: usize = 4096;

impl<R: Rng> BufferedRng<R> {
    /// A buffer before `source`; nothing is fetched yet.
    pub const fn new(source: R) -> Self {
        Self {
            source,
            ahead: Mutex::new(Ahead {
                bytes: [0; AHEAD_BYTES],
                used: AHEAD_BYTES,
            }),
        }
    }

    /// Throws away what was fetched ahead.
    pub fn forget(&self) {
        self.ahead.lock().used = AHEAD_BYTES;
    }
}

impl<R: Rng> Rng for BufferedRng<R> {
    /// # Panics
    /// When the source does.
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() > AHEAD_BYTES {
            return self.source.fill(bytes);
        }
        let mut ahead = self.ahead.lock();
        if AHEAD_BYTES - ahead.used < bytes.len() {
            self.source.fill(&mut ahead.bytes);
            ahead.used = 0;
        }
        let used = ahead.used;
        if let Some(fresh) = ahead.bytes.get_mut(used..used + bytes.len()) {
            bytes.copy_from_slice(fresh);
            // What was given out is nobody else's to find.
            fresh.fill(0);
        }
        ahead.used = used + bytes.len();
    }
}

/// A repeatable sequence from a seed (`SplitMix64`); for tests and simulations, never for secrets.
///
/// One thread sees the same bytes for the same seed; several threads share out one sequence.
#[derive(Debug, Default)]
pub struct SeededRng(AtomicU64);

impl SeededRng {
    /// The sequence of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next 64 bits.
    pub fn next_u64(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Rng for SeededRng {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            for (to, from) in chunk.iter_mut().zip(self.next_u64().to_le_bytes()) {
                *to = from;
            }
        }
    }
}

/// An id of 128 bits whose order is the order of creation: 48 bits of milliseconds, then 80 bits that start
/// random and count up within a millisecond.
///
/// As text it has 26 characters of Crockford's base 32, whose alphabetical order is the same order. The
/// layout is that of a ULID. Reading accepts lower case and the look-alikes `I`, `L` (1) and `O` (0).
///
/// ```
/// use common::utils::id_generator::OrderedId;
/// let id: OrderedId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
/// assert_eq!(id.unix_millis(), 1_469_922_850_259);
/// assert_eq!(id.to_string(), "01ARZ3NDEKTSV4RRFFQ69G5FAV");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderedId(u128);

/// Characters of an [`OrderedId`] as text.
pub const ORDERED_ID_CHARS: usize = 26;
/// Longest prefix of a [`PrefixedId`], in characters.
pub const PREFIX_CHARS_MAX: usize = 32;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl OrderedId {
    /// From its 128 bits.
    pub const fn from_u128(bits: u128) -> Self {
        Self(bits)
    }

    /// Its 128 bits; big-endian bytes of them sort as the id does.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// When it was made, in milliseconds since 1970.
    pub const fn unix_millis(self) -> u64 {
        (self.0 >> 80) as u64
    }

    fn text(self) -> [u8; ORDERED_ID_CHARS] {
        let mut text = [b'0'; ORDERED_ID_CHARS];
        let mut rest = self.0;
        for to in text.iter_mut().rev() {
            let digit = usize::try_from(rest & 31).unwrap_or_default();
            *to = ALPHABET.get(digit).copied().unwrap_or(b'0');
            rest >>= 5;
        }
        text
    }
}

impl fmt::Display for OrderedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text();
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for OrderedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn digit(character: char) -> Option<u8> {
    let upper = match character.to_ascii_uppercase() {
        'O' => b'0',
        'I' | 'L' => b'1',
        other => u8::try_from(other).ok()?,
    };
    let found = ALPHABET.iter().position(|&known| known == upper)?;
    u8::try_from(found).ok()
}

impl FromStr for OrderedId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse =
            |why: String| Error::invalid(format!("{} is not an ordered id: {why}", quoted(text)));
        let mut bits = 0_u128;
        let mut count = 0;
        for (at, character) in text.chars().enumerate() {
            let Some(value) = digit(character) else {
                return Err(refuse(format!(
                    "{character:?} at character {} is not a digit of base 32",
                    at + 1
                )));
            };
            if at == 0 && value > 7 {
                return Err(refuse(
                    "it needs more than 128 bits, the first character must be 0 to 7".to_owned(),
                ));
            }
            count = at + 1;
            if count > ORDERED_ID_CHARS {
                break;
            }
            bits = (bits << 5) | u128::from(value);
        }
        if count != ORDERED_ID_CHARS {
            return Err(refuse(format!(
                "expected {ORDERED_ID_CHARS} characters, found {}",
                text.chars().count()
            )));
        }
        Ok(Self(bits))
    }
}

/// The bytes, most significant first; version and variant bits are whatever the id has there.
impl From<OrderedId> for Uuid {
    fn from(id: OrderedId) -> Self {
        Self::from_u128(id.0)
    }
}

impl Serialize for OrderedId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OrderedId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Owned, because a self-describing format may hand out text that it had to unescape.
        SmolStr::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// An ordered id that says what it names: `user_01ARZ3NDEKTSV4RRFFQ69G5FAV`.
///
/// The prefix has 1 to 32 characters: lower-case ASCII letters, digits and inner underscores, a letter first.
///
/// ```
/// use common::utils::id_generator::{IdGenerator, PrefixedId};
/// let id = IdGenerator::system().prefixed("user").unwrap();
/// let text = id.to_string();
/// assert_eq!(PrefixedId::parse_as("user", &text).unwrap(), id);
/// assert!(PrefixedId::parse_as("order", &text).unwrap_err().message().contains("`order_`"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrefixedId {
    prefix: SmolStr,
    id: OrderedId,
}

impl PrefixedId {
    /// Puts `prefix` in front of `id`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when the prefix breaks the rule above.
    pub fn new(prefix: &str, id: OrderedId) -> Result<Self> {
        check_prefix(prefix)?;
        Ok(Self {
            prefix: prefix.into(),
            id,
        })
    }

    /// Reads an id that must have exactly this prefix.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when the text is no prefixed id, or has another prefix.
    pub fn parse_as(prefix: &str, text: &str) -> Result<Self> {
        check_prefix(prefix)?;
        let found: Self = text.parse()?;
        if found.prefix != prefix {
            return Err(Error::invalid(format!(
                "{} begins with `{}_`, expected `{prefix}_`",
                quoted(text),
                found.prefix
            )));
        }
        Ok(found)
    }

    /// What stands before the last underscore.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What stands after it.
    pub fn id(&self) -> OrderedId {
        self.id
    }
}

impl fmt::Display for PrefixedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.prefix, self.id)
    }
}

impl FromStr for PrefixedId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (prefix, id) = text.rsplit_once('_').ok_or_else(|| {
            Error::invalid(format!(
                "{} has no prefix: expected `name_` before the id",
                quoted(text)
            ))
        })?;
        let id = id.parse().map_err(|error: Error| error.at(quoted(text)))?;
        Self::new(prefix, id)
    }
}

fn check_prefix(prefix: &str) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::invalid(format!(
            "{} cannot be the prefix of an id: {why}",
            quoted(prefix)
        )))
    };
    if prefix.is_empty() || prefix.len() > PREFIX_CHARS_MAX {
        return refuse("it must have 1 to 32 characters");
    }
    if !prefix.starts_with(|c: char| c.is_ascii_lowercase()) {
        return refuse("it must begin with a lower-case letter");
    }
    if !prefix
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    {
        return refuse("it may hold only lower-case letters, digits and underscores");
    }
    if prefix.ends_with('_') {
        return refuse("it may not end in an underscore, which separates it from the id");
    }
    Ok(())
}

/// Makes ids; one generator may be shared by all threads.
///
/// [`IdGenerator::ordered`] and [`IdGenerator::uuid_v7`] are strictly increasing per generator and kind, also
/// when the clock stands still or steps back: the generator then stays at the highest time it has seen and
/// counts. Two generators do not coordinate; their ids differ by 79 (ordered) or 73 (v7) random bits for
/// each millisecond.
///
/// ```
/// use common::utils::id_generator::IdGenerator;
/// let ids = IdGenerator::system();
/// let (first, second) = (ids.ordered(), ids.ordered());
/// assert!(first < second && first.to_string() < second.to_string());
/// assert_eq!(ids.uuid_v7().get_version_num(), 7);
/// ```
pub struct IdGenerator {
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    ordered: Mutex<Sequence<80>>,
    v7: Mutex<Sequence<74>>,
}

impl IdGenerator {
    /// A generator that asks `clock` for the time and `rng` for random bytes.
    pub fn new(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self {
            clock,
            rng,
            ordered: Mutex::default(),
            v7: Mutex::default(),
        }
    }

    /// A generator on the operating system's clock and randomness.
    pub fn system() -> Self {
        Self::new(Arc::new(SystemClock), Arc::new(SystemRng))
    }

    /// A UUID of 122 random bits.
    pub fn uuid_v4(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.rng.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// A UUID that begins with the time in milliseconds; each is greater than the one before.
    pub fn uuid_v7(&self) -> Uuid {
        let (millis, tail) = self.v7.lock().next(self.now_millis(), &*self.rng);
        // 12 bits follow the version, 62 follow the variant; the builder writes those two over the gaps.
        let (high, low) = (tail >> 62, tail & ((1 << 62) - 1));
        let bits = (u128::from(millis) << 80) | (high << 64) | low;
        uuid::Builder::from_u128(bits)
            .with_version(uuid::Version::SortRand)
            .with_variant(uuid::Variant::RFC4122)
            .into_uuid()
    }

    /// An ordered id; each is greater than the one before.
    pub fn ordered(&self) -> OrderedId {
        let (millis, tail) = self.ordered.lock().next(self.now_millis(), &*self.rng);
        OrderedId((u128::from(millis) << 80) | tail)
    }

    /// An ordered id with a prefix.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when the prefix breaks the rule of [`PrefixedId`].
    pub fn prefixed(&self, prefix: &str) -> Result<PrefixedId> {
        PrefixedId::new(prefix, self.ordered())
    }

    fn now_millis(&self) -> u64 {
        u64::try_from(self.clock.now().div_euclid(1_000)).unwrap_or(0)
    }
}

impl fmt::Debug for IdGenerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdGenerator").finish_non_exhaustive()
    }
}

/// 48 bits of milliseconds and a counter of `BITS` bits that starts at random in each millisecond.
#[derive(Debug, Default)]
struct Sequence<const BITS: u32> {
    millis: u64,
    tail: u128,
    begun: bool,
}

impl<const BITS: u32> Sequence<BITS> {
    const MILLIS_MAX: u64 = (1 << 48) - 1;
    const TAIL_MAX: u128 = (1 << BITS) - 1;

    fn next(&mut self, now: u64, rng: &dyn Rng) -> (u64, u128) {
        let now = now.min(Self::MILLIS_MAX);
        if now > self.millis || !self.begun {
            self.begun = true;
            self.millis = now;
            self.tail = Self::start(rng);
        } else if self.tail < Self::TAIL_MAX {
            self.tail += 1;
        } else {
            // The millisecond is used up: borrow the next one, which keeps the order. In the year 10889
            // there is no next one; the counter would have to run through 2^73 ids first.
            self.millis = (self.millis + 1).min(Self::MILLIS_MAX);
            self.tail = Self::start(rng);
        }
        (self.millis, self.tail)
    }

    /// A random start in the lower half, so that the upper half is room to count.
    fn start(rng: &dyn Rng) -> u128 {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes);
        u128::from_le_bytes(bytes) & (Self::TAIL_MAX >> 1)
    }
}

/// Reads a UUID in its usual form, `67e55044-10b1-426f-9247-bb680e5fe0c8`, in either case.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for anything else, the forms without hyphens, in braces and with `urn:` included.
pub fn parse_uuid(text: &str) -> Result<Uuid> {
    let refuse = || {
        Error::invalid(format!(
            "{} is not a UUID such as 67e55044-10b1-426f-9247-bb680e5fe0c8",
            quoted(text)
        ))
    };
    if text.len() != uuid::fmt::Hyphenated::LENGTH {
        return Err(refuse());
    }
    Uuid::try_parse(text).map_err(|cause| refuse().caused_by(cause))
}

#[cfg(test)]
mod tests {
    use super::{Rng, *};
    use crate::utils::time::ManualClock;
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::time::Duration;

    fn at(micros: i64) -> (Arc<ManualClock>, IdGenerator) {
        let clock = Arc::new(ManualClock::new(micros));
        let ids = IdGenerator::new(clock.clone(), Arc::new(SeededRng::new(7)));
        (clock, ids)
    }

    #[test]
    fn order_survives_a_clock_that_stands_still_or_goes_back() {
        let (clock, ids) = at(1_000_000_000);
        let mut ordered = vec![ids.ordered()];
        let mut v7 = vec![ids.uuid_v7()];
        for step in 0..10_000_i64 {
            match step % 4 {
                0 => clock.set(clock.now() - 5_000),
                1 => {
                    clock.advance(Duration::from_micros(6_001));
                }
                _ => {}
            }
            ordered.push(ids.ordered());
            v7.push(ids.uuid_v7());
        }
        assert!(ordered.is_sorted_by(|a, b| a < b && a.to_string() < b.to_string()));
        assert!(v7.is_sorted_by(|a, b| a < b));
        assert_eq!(ordered[0].unix_millis(), 1_000_000);
        assert_eq!(v7[0].get_version_num(), 7);
        assert_eq!(v7[0].get_variant(), uuid::Variant::RFC4122);
        let (seconds, nanos) = v7[0].get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos), (1_000, 0));
    }

    #[test]
    fn a_buffer_gives_every_byte_of_its_source_once() {
        let buffered = BufferedRng::new(SeededRng::new(5));
        let direct = SeededRng::new(5);
        let mut fetched = [0; AHEAD_BYTES];
        direct.fill(&mut fetched);
        let mut given = vec![0; AHEAD_BYTES - 8];
        for chunk in given.chunks_mut(24) {
            buffered.fill(chunk);
        }
        assert_eq!(given, fetched[..AHEAD_BYTES - 8]);

        direct.fill(&mut fetched);
        let mut next = [0; 16];
        buffered.fill(&mut next);
        assert_eq!(next, fetched[..16], "too few were left");

        buffered.forget();
        direct.fill(&mut fetched);
        buffered.fill(&mut next);
        assert_eq!(next, fetched[..16], "the rest was thrown away");

        let (mut long, mut expected) = (vec![0; 5000], vec![0; 5000]);
        direct.fill(&mut expected);
        buffered.fill(&mut long);
        assert_eq!(long, expected, "more than the buffer holds");
    }

    #[test]
    fn a_used_up_millisecond_borrows_the_next() {
        let mut sequence = Sequence::<74> {
            millis: 5,
            tail: Sequence::<74>::TAIL_MAX - 1,
            begun: true,
        };
        let rng = SeededRng::new(1);
        assert_eq!(sequence.next(5, &rng), (5, Sequence::<74>::TAIL_MAX));
        let (millis, tail) = sequence.next(5, &rng);
        assert_eq!(millis, 6);
        // The clock catches up with the borrowed millisecond: it goes on counting there.
        assert_eq!(sequence.next(6, &rng), (6, tail + 1));
        assert_eq!(sequence.next(7, &rng).0, 7);
    }

    #[test]
    fn clocks_before_1970_and_after_10889_give_ids_at_the_ends() {
        let (clock, ids) = at(i64::MIN);
        let first = ids.ordered();
        assert_eq!(first.unix_millis(), 0);
        clock.set(i64::MAX);
        let last = ids.ordered();
        assert_eq!(last.unix_millis(), (1 << 48) - 1);
        assert!(last < ids.ordered());
    }

    #[test]
    fn eight_threads_never_share_an_id() {
        let ids = IdGenerator::system();
        let made: Vec<Vec<(u128, u128)>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        (0..100_000)
                            .map(|_| (ids.ordered().as_u128(), ids.uuid_v7().as_u128()))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        for thread in &made {
            assert!(thread.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
        }
        let ordered: HashSet<u128> = made.iter().flatten().map(|pair| pair.0).collect();
        let v7: HashSet<u128> = made.iter().flatten().map(|pair| pair.1).collect();
        assert_eq!((ordered.len(), v7.len()), (800_000, 800_000));
    }

    #[test]
    fn the_same_seed_and_time_make_the_same_ids() {
        let ids: Vec<String> = (0..2)
            .map(|_| {
                let (_, ids) = at(1_795_336_200_000_000);
                format!("{} {} {}", ids.ordered(), ids.uuid_v4(), ids.uuid_v7())
            })
            .collect();
        assert_eq!(ids[0], ids[1]);
    }

    #[test]
    fn broken_ids_say_what_is_broken() {
        for (text, why) in [
            ("", "expected 26 characters, found 0"),
            (
                "01ARZ3NDEKTSV4RRFFQ69G5FA",
                "expected 26 characters, found 25",
            ),
            (
                "01ARZ3NDEKTSV4RRFFQ69G5FAVX",
                "expected 26 characters, found 27",
            ),
            ("01ARZ3NDEKTSV4RRFFQ69G5FAU", "'U' at character 26"),
            ("81ARZ3NDEKTSV4RRFFQ69G5FAV", "more than 128 bits"),
            ("01ARZ3NDEKTSV4RRFFQ69G5FÄV", "'Ä' at character 25"),
        ] {
            let error = text.parse::<OrderedId>().unwrap_err();
            assert!(error.message().contains(why), "{text:?}: {error}");
        }
        let lenient: OrderedId = "olarz3ndektsv4rrffq69g5fav".parse().unwrap();
        assert_eq!(lenient.to_string(), "01ARZ3NDEKTSV4RRFFQ69G5FAV");
        for text in [
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "_01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "User_01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "a__01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "user_",
            "user_1",
        ] {
            assert!(text.parse::<PrefixedId>().is_err(), "{text:?}");
        }
        let inner: PrefixedId = "order_item_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        assert_eq!(inner.prefix(), "order_item");
        assert!(check_prefix(&"a".repeat(32)).is_ok() && check_prefix(&"a".repeat(33)).is_err());
        assert!(parse_uuid("67e5504410b1426f9247bb680e5fe0c8").is_err());
        assert!(parse_uuid("67E55044-10b1-426f-9247-bb680e5fe0c8").is_ok());
    }

    proptest! {
        #[test]
        fn text_keeps_id_and_order(a: u128, b: u128) {
            let (a, b) = (OrderedId(a), OrderedId(b));
            prop_assert_eq!(a.to_string().parse::<OrderedId>().unwrap(), a);
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
            prop_assert_eq!(a, serde_json::from_str::<OrderedId>(&serde_json::to_string(&a).unwrap()).unwrap());
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = (text.parse::<OrderedId>(), text.parse::<PrefixedId>(), parse_uuid(&text));
        }
    }
}
