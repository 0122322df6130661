//! [`Row`]: what is stored, [`Table`]: which rows there are, [`Digest`]: what was read.

use std::ops::Range;

use crate::random::mix;

/// One row as an application would hold it: eight columns of six types.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Primary key.
    pub id: i64,
    /// About 13 bytes.
    pub name: String,
    /// About 35 bytes, different in every row.
    pub email: String,
    /// 13 bytes, the same in about 100 rows; the column with an index by equality.
    pub region: String,
    /// A small integer.
    pub age: i64,
    /// The column that updates change; it has no index.
    pub score: f64,
    /// True in two rows of three.
    pub active: bool,
    /// Microseconds since 1970, different in every row and in no relation to the key; the column with an
    /// index by order.
    pub created: i64,
}

/// The key of a row in a table whose keys are UUIDs, as replicas make them that give keys without asking anybody:
/// in no order.
///
/// ```
/// use bench::store::{id_of, uuid_of};
/// assert_eq!(id_of(&uuid_of(7)), 7);
/// ```
#[inline]
pub fn uuid_of(id: i64) -> [u8; 16] {
    let mut uuid = [0; 16];
    let (random, number) = uuid.split_at_mut(8);
    random.copy_from_slice(&mix(id.cast_unsigned().wrapping_add(1)).to_be_bytes());
    number.copy_from_slice(&id.to_be_bytes());
    uuid
}

/// The number of the row with this UUID.
#[inline]
pub fn id_of(uuid: &[u8]) -> i64 {
    let number = uuid.last_chunk::<8>().copied();
    i64::from_be_bytes(number.unwrap_or_default())
}

/// Rows with the keys `0..rows`, and any number of further ones.
///
/// Every region has 100 rows when `rows` is a multiple of 100, and 100 consecutive times of creation belong
/// to 100 rows that lie far apart by key.
///
/// ```
/// use bench::store::Table;
/// let table = Table::new(1_000);
/// let region = table.row(5).region;
/// assert_eq!(table.rows(0..1_000).filter(|row| row.region == region).count(), 100);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Table {
    rows: i64,
    regions: i64,
    created_stride: i64,
    region_stride: i64,
}

/// Time of creation of the earliest row.
const EPOCH_MICROS: i64 = 1_700_000_000_000_000;
const SECOND_MICROS: i64 = 1_000_000;

const FIRST: [&str; 16] = [
    "Aino", "Bela", "Chloe", "Dmitri", "Elif", "Femi", "Greta", "Hiro", "Ines", "Jonas", "Kavya",
    "Liam", "Mei", "Noor", "Oskar", "Priya",
];
const LAST: [&str; 16] = [
    "Adeyemi",
    "Bauer",
    "Costa",
    "Dubois",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Haddad",
    "Ivanova",
    "Jensen",
    "Korhonen",
    "Lindqvist",
    "Moreau",
    "Nakamura",
    "Okafor",
    "Petrov",
];

impl Table {
    /// Describes a table of `rows` rows.
    pub fn new(rows: usize) -> Self {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX).max(1);
        Self {
            rows,
            regions: (rows / 100).max(1),
            created_stride: coprime(rows / 5 * 3 + 1, rows),
            region_stride: coprime(rows / 8 * 3 + 1, rows),
        }
    }

    /// Number of rows.
    pub const fn len(&self) -> i64 {
        self.rows
    }

    /// Never, for there is at least one row.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Number of regions.
    pub const fn regions(&self) -> i64 {
        self.regions
    }

    /// The name of a region by its number.
    pub fn region(number: i64) -> String {
        format!("region-{number:06}")
    }

    /// The times of creation from the `first`-th one on, as many as `count`.
    pub const fn created(first: i64, count: i64) -> Range<i64> {
        let start = EPOCH_MICROS + first * SECOND_MICROS;
        start..start + count * SECOND_MICROS
    }

    /// The row of this key; keys from `rows` on make rows created after all others.
    pub fn row(&self, id: i64) -> Row {
        let bits = mix(u64::try_from(id).unwrap_or_default() + 1);
        let [a, b, c, d, ..] = bits.to_le_bytes();
        let pick = |names: &[&'static str; 16], byte: u8| {
            let name = names.get(usize::from(byte) % names.len());
            name.copied().unwrap_or_default()
        };
        let (first, last) = (pick(&FIRST, a), pick(&LAST, b));
        let (region, created) = if id < self.rows {
            let region = self.permuted(id, self.region_stride) % self.regions;
            (region, self.permuted(id, self.created_stride))
        } else {
            (id % self.regions, id)
        };
        Row {
            id,
            name: format!("{first} {last}"),
            email: format!("{first}.{last}.{id}@mail.example.org").to_lowercase(),
            region: Self::region(region),
            age: 18 + i64::from(c % 70),
            score: f64::from(d) + f64::from(a) / 256.0,
            active: !bits.is_multiple_of(3),
            created: EPOCH_MICROS + created * SECOND_MICROS,
        }
    }

    /// The rows of these keys.
    pub fn rows(&self, ids: Range<i64>) -> impl ExactSizeIterator<Item = Row> {
        let count = usize::try_from(ids.end.saturating_sub(ids.start)).unwrap_or_default();
        let table = *self;
        (0..count).map(move |i| table.row(ids.start + i64::try_from(i).unwrap_or_default()))
    }

    /// A permutation of `0..rows`.
    fn permuted(&self, id: i64, stride: i64) -> i64 {
        let product = i128::from(id) * i128::from(stride) % i128::from(self.rows);
        i64::try_from(product).unwrap_or_default()
    }
}

/// The first number from `from` on that shares no divisor with `modulus`.
fn coprime(from: i64, modulus: i64) -> i64 {
    const fn gcd(a: i64, b: i64) -> i64 {
        if b == 0 { a } else { gcd(b, a % b) }
    }
    // The successor of a multiple shares none, so the search ends within one period.
    let from = from.max(1);
    (from..=from.saturating_add(modulus))
        .find(|candidate| gcd(*candidate, modulus) == 1)
        .unwrap_or(1)
}

/// What was read: how many rows, and a sum over all of their columns that no order of reading changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    /// Number of rows.
    pub rows: u64,
    sum: u64,
}

impl Digest {
    /// Adds a row from its columns. Cheap, but touches every column: a reader that decodes lazily decodes.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "one for each column")]
    pub fn add(
        &mut self,
        id: i64,
        name: &str,
        email: &str,
        region: &str,
        age: i64,
        score: f64,
        active: bool,
        created: i64,
    ) {
        let mut hash = id.cast_unsigned();
        for part in [
            ends(name),
            ends(email),
            ends(region),
            age.cast_unsigned(),
            score.to_bits(),
            u64::from(active),
            created.cast_unsigned(),
        ] {
            hash = (hash.rotate_left(5) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash);
    }

    /// Adds several rows.
    pub fn add_rows(&mut self, rows: &[Row]) {
        for row in rows {
            self.add_row(row);
        }
    }

    /// Adds a row.
    #[inline]
    pub fn add_row(&mut self, row: &Row) {
        self.add(
            row.id,
            &row.name,
            &row.email,
            &row.region,
            row.age,
            row.score,
            row.active,
            row.created,
        );
    }
}

/// Length, first and last byte of a text.
#[inline]
fn ends(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let end = |byte: Option<&u8>| u64::from(byte.copied().unwrap_or_default());
    bytes.len() as u64 | end(bytes.first()) << 32 | end(bytes.last()) << 40
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_creation_are_a_permutation() {
        for rows in [1, 7, 100, 1_000] {
            let table = Table::new(rows);
            let mut times: Vec<i64> = table.rows(0..table.len()).map(|r| r.created).collect();
            times.sort_unstable();
            let all = Table::created(0, table.len());
            assert!(times.iter().copied().eq(all.step_by(1_000_000)), "{rows}");
        }
    }

    #[test]
    fn a_digest_sees_every_column_and_no_order() {
        let table = Table::new(100);
        let (a, b) = (table.row(1), table.row(2));
        let digest = |rows: &[Row]| {
            let mut digest = Digest::default();
            digest.add_rows(rows);
            digest
        };
        assert_eq!(digest(&[a.clone(), b.clone()]), digest(&[b, a.clone()]));
        for change in [
            |row: &mut Row| row.id += 1,
            |row: &mut Row| row.name.push('x'),
            |row: &mut Row| row.email.insert(0, 'x'),
            |row: &mut Row| row.region.push('x'),
            |row: &mut Row| row.age += 1,
            |row: &mut Row| row.score += 1.0,
            |row: &mut Row| row.active = !row.active,
            |row: &mut Row| row.created += 1,
        ] {
            let mut changed = a.clone();
            change(&mut changed);
            assert_ne!(digest(&[changed]), digest(std::slice::from_ref(&a)));
        }
    }
}
