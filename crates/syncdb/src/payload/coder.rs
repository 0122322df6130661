//! A range coder: symbols in as many bits as they are rare, of frequencies that both sides know.
//!
//! 32 bits without carry: whenever the highest byte of both ends of the interval is the same it is written, and an
//! interval that becomes shorter than 2^16 around such a border is cut. Bytes past the end are zeros.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::Result;
use common::optimization::compression::integers::{read_varint, write_varint};

use super::stream::corrupt;

const TOP: u32 = 1 << 24;
const BOTTOM: u32 = 1 << 16;
/// Frequencies of one alphabet add up to 2 to this.
pub(super) const TOTAL_BITS: u32 = 15;
const TOTAL: u32 = 1 << TOTAL_BITS;
/// Most symbols of one alphabet.
pub(super) const SYMBOLS_MAX: usize = 1 << 13;

/// How often each symbol occurs.
#[derive(Debug, Clone)]
pub(super) struct Alphabet {
    /// Sums of the frequencies before each symbol, and of all.
    sums: Vec<u32>,
}

impl Alphabet {
    /// From counts, of which each counts as 1 at least.
    pub(super) fn new(counts: &[u64]) -> Self {
        let all: u64 = counts.iter().map(|count| (*count).max(1)).sum();
        let spare = u64::from(TOTAL).saturating_sub(counts.len() as u64);
        let mut sums = vec![0];
        let mut sum = 0_u64;
        let mut seen = 0_u64;
        for (at, count) in counts.iter().enumerate() {
            seen += (*count).max(1);
            // One for each symbol, and the rest by count, rounded over the whole.
            let part = u128::from(seen) * u128::from(spare) / u128::from(all.max(1));
            let part = u64::try_from(part).unwrap_or_default();
            sum = at as u64 + 1 + part;
            sums.push(u32::try_from(sum).unwrap_or(TOTAL));
        }
        debug_assert!(counts.is_empty() || sum == u64::from(TOTAL));
        Self { sums }
    }

    pub(super) fn len(&self) -> usize {
        self.sums.len().saturating_sub(1)
    }

    fn interval(&self, symbol: usize) -> (u32, u32) {
        match self.sums.get(symbol..symbol + 2) {
            Some([begin, end]) => (*begin, end - begin),
            _ => (0, 1),
        }
    }

    /// Bits that a symbol takes, in 256ths.
    pub(super) fn cost(&self, symbol: usize) -> u64 {
        let (_, frequency) = self.interval(symbol);
        let log = u64::from(frequency.max(1).ilog2());
        let rest = (u64::from(frequency) << 8 >> log).saturating_sub(256);
        (u64::from(TOTAL_BITS) << 8).saturating_sub((log << 8) + rest)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_varint(self.len() as u64, out);
        for pair in self.sums.windows(2) {
            if let [begin, end] = pair {
                write_varint(u64::from(end - begin), out);
            }
        }
    }

    pub(super) fn read(input: &mut &[u8]) -> Result<Self> {
        let symbols = usize::try_from(read_varint(input)?).unwrap_or(usize::MAX);
        if symbols == 0 || symbols > SYMBOLS_MAX || symbols > input.len() {
            return Err(corrupt("an alphabet of no symbols, or of too many"));
        }
        let mut sums = Vec::with_capacity(symbols + 1);
        sums.push(0);
        let mut sum = 0_u64;
        for _ in 0..symbols {
            let frequency = read_varint(input)?;
            sum = sum.saturating_add(frequency);
            if frequency == 0 || sum > u64::from(TOTAL) {
                return Err(corrupt("frequencies that are none"));
            }
            sums.push(u32::try_from(sum).unwrap_or(TOTAL));
        }
        if sum != u64::from(TOTAL) {
            return Err(corrupt("frequencies that do not add up"));
        }
        Ok(Self { sums })
    }
}

/// Writes symbols.
#[derive(Debug)]
pub(super) struct Encoder {
    low: u32,
    range: u32,
    out: Vec<u8>,
}

/// What an encoder has come to. What is behind it does not change any more.
#[derive(Debug)]
pub(super) struct Mark {
    low: u32,
    range: u32,
    bytes: usize,
}

impl Encoder {
    pub(super) const fn new(out: Vec<u8>) -> Self {
        Self {
            low: 0,
            range: u32::MAX,
            out,
        }
    }

    fn put(&mut self, begin: u32, frequency: u32, total_bits: u32) {
        self.range >>= total_bits;
        self.low = self.low.wrapping_add(begin * self.range);
        self.range *= frequency;
        while let Some(range) = narrowed(self.low, self.range) {
            self.out.push(self.low.to_be_bytes()[0]);
            self.low <<= 8;
            self.range = range << 8;
        }
    }

    pub(super) fn symbol(&mut self, alphabet: &Alphabet, symbol: usize) {
        let (begin, frequency) = alphabet.interval(symbol);
        self.put(begin, frequency, TOTAL_BITS);
    }

    /// The lowest bits of a number.
    pub(super) fn bits(&mut self, number: u64, mut count: u32) {
        while count > 0 {
            let part = count.min(15);
            count -= part;
            let bits = (number >> count) & ((1 << part) - 1);
            self.put(u32::try_from(bits).unwrap_or_default(), 1, part);
        }
    }

    /// A number of any size: how many bits it has, and these.
    pub(super) fn number(&mut self, number: u64) {
        let count = 64 - number.leading_zeros();
        self.bits(count.into(), 7);
        // The highest of them is 1.
        self.bits(number, count.saturating_sub(1));
    }

    /// A place to come [back](Encoder::back) to.
    pub(super) const fn mark(&self) -> Mark {
        Mark {
            low: self.low,
            range: self.range,
            bytes: self.out.len(),
        }
    }

    /// Takes back what was written since.
    pub(super) fn back(&mut self, mark: &Mark) {
        self.low = mark.low;
        self.range = mark.range;
        self.out.truncate(mark.bytes);
    }

    /// Bytes since then.
    pub(super) const fn bytes_since(&self, mark: &Mark) -> usize {
        self.out.len().saturating_sub(mark.bytes)
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        // As few bytes as name some number in the interval.
        for bytes in 0..=4_u32 {
            let mask = u32::MAX.checked_shr(8 * bytes).unwrap_or(0);
            let value = self.low.wrapping_add(mask) & !mask;
            if value.wrapping_sub(self.low) < self.range {
                let kept = usize::try_from(bytes).unwrap_or(4);
                self.out.extend(value.to_be_bytes().iter().take(kept));
                break;
            }
        }
        self.out
    }
}

/// The interval when its highest byte is known: what is left of it.
fn narrowed(low: u32, range: u32) -> Option<u32> {
    if (low ^ low.wrapping_add(range)) < TOP {
        Some(range)
    } else if range < BOTTOM {
        Some(low.wrapping_neg() & (BOTTOM - 1))
    } else {
        None
    }
}

/// Reads symbols.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    low: u32,
    range: u32,
    code: u32,
    rest: &'a [u8],
    /// Bytes that were read past the end.
    past: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Self {
            low: 0,
            range: u32::MAX,
            code: 0,
            rest: bytes,
            past: 0,
        };
        for _ in 0..4 {
            decoder.byte();
        }
        decoder
    }

    fn byte(&mut self) {
        let byte = match self.rest.split_first() {
            Some((byte, rest)) => {
                self.rest = rest;
                *byte
            }
            None => {
                self.past += 1;
                0
            }
        };
        self.code = self.code << 8 | u32::from(byte);
    }

    fn position(&self, total_bits: u32) -> u32 {
        let step = self.range >> total_bits;
        (self.code.wrapping_sub(self.low) / step.max(1)).min((1 << total_bits) - 1)
    }

    fn take(&mut self, begin: u32, frequency: u32, total_bits: u32) {
        self.range >>= total_bits;
        self.low = self.low.wrapping_add(begin * self.range);
        self.range *= frequency;
        while let Some(range) = narrowed(self.low, self.range) {
            self.byte();
            self.low <<= 8;
            self.range = range << 8;
        }
    }

    pub(super) fn symbol(&mut self, alphabet: &Alphabet) -> usize {
        let position = self.position(TOTAL_BITS);
        let symbol = alphabet.sums.partition_point(|sum| *sum <= position);
        let symbol = symbol
            .saturating_sub(1)
            .min(alphabet.len().saturating_sub(1));
        let (begin, frequency) = alphabet.interval(symbol);
        self.take(begin, frequency, TOTAL_BITS);
        symbol
    }

    pub(super) fn bits(&mut self, mut count: u32) -> u64 {
        let mut number = 0;
        while count > 0 {
            let part = count.min(15);
            count -= part;
            let bits = self.position(part);
            self.take(bits, 1, part);
            number = number << part | u64::from(bits);
        }
        number
    }

    pub(super) fn number(&mut self) -> Result<u64> {
        let count = u32::try_from(self.bits(7)).unwrap_or(u32::MAX);
        match count {
            0 => Ok(0),
            1..=64 => Ok(1_u64 << (count - 1) | self.bits(count - 1)),
            _ => Err(corrupt("a number of more than 64 bits")),
        }
    }

    /// Checks that all was read, and no more.
    pub(super) fn finish(&self) -> Result<()> {
        if self.rest.is_empty() && !self.is_past() {
            Ok(())
        } else {
            Err(corrupt("symbols end elsewhere than their bytes"))
        }
    }

    /// Whether more was read than there is: the last symbol is looked for four bytes ahead.
    pub(super) const fn is_past(&self) -> bool {
        self.past > 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_bits_and_numbers_read_back_in_as_few_bits_as_they_are_rare() {
        let mut state = 7_u64;
        let mut random = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state >> 33
        };
        for counts in [vec![1, 1], vec![99_999, 1, 0], vec![1; 5_000], vec![7]] {
            let alphabet = Alphabet::new(&counts);
            let mut stored = Vec::new();
            alphabet.write(&mut stored);
            let alphabet = Alphabet::read(&mut stored.as_slice()).unwrap();
            let written: Vec<(usize, u64, u32)> = (0..2_000)
                .map(|_| {
                    let most = if random() % 50 == 0 { counts.len() } else { 1 };
                    let symbol = usize::try_from(random()).unwrap() % most;
                    let count = u32::try_from(random() % 65).unwrap();
                    let number = random().wrapping_mul(random()) & ((1_u64 << (count % 64)) - 1);
                    (symbol, number, count)
                })
                .collect();
            let mut encoder = Encoder::new(Vec::new());
            for (symbol, number, count) in &written {
                encoder.symbol(&alphabet, *symbol);
                if count % 7 == 0 {
                    encoder.bits(*number, *count);
                    encoder.number(*number);
                }
            }
            let bytes = encoder.finish();
            let mut decoder = Decoder::new(&bytes);
            for (symbol, number, count) in &written {
                assert_eq!(decoder.symbol(&alphabet), *symbol);
                if count % 7 == 0 {
                    assert_eq!(decoder.bits(*count), *number);
                    assert_eq!(decoder.number().unwrap(), *number);
                }
            }
            decoder.finish().unwrap();
            let mut longer = bytes.clone();
            longer.extend([1; 9]);
            let mut decoder = Decoder::new(&longer);
            decoder.symbol(&alphabet);
            assert!(decoder.finish().is_err());
        }
        let rare = Alphabet::new(&[999, 1]);
        let mut encoder = Encoder::new(Vec::new());
        (0..10_000).for_each(|_| encoder.symbol(&rare, 0));
        // 10,000 times log2(1000 / 999) bits.
        assert!(encoder.finish().len() < 4);
        assert!(rare.cost(0) < 2 && rare.cost(1) > 9 << 8);
    }

    #[test]
    fn alphabets_that_are_none_are_refused() {
        for bytes in [
            &[0][..],
            &[2, 1, 1],
            &[1],
            &[255, 255, 3, 1],
            &[3, 128, 128, 1, 0, 128, 128, 1],
        ] {
            assert!(Alphabet::read(&mut &*bytes).is_err(), "{bytes:?}");
        }
    }
}
