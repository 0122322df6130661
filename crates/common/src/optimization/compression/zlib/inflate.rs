//! Reads short streams (RFC 1950 and 1951), for which `libdeflate` prepares tables that are longer than they are.
//!
//! What is refused here is not judged: `libdeflate` reads it again and says what is wrong.

use std::sync::LazyLock;

use super::{adler32, looks_packed};

/// Longest stream that is read here.
pub(super) const PACKED_BYTES_MAX: usize = 1 << 10;

/// Most bits of a symbol.
const BITS_MAX: usize = 15;
const END: usize = 256;
/// The shortest length of a match with each symbol, and how many bits follow.
const LENGTHS: [(u16, u8); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];
/// The order in which lengths of the code for lengths stand.
const ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

/// Bits, the lowest first.
struct Bits<'a> {
    input: &'a [u8],
    held: u64,
    count: u32,
}

impl Bits<'_> {
    fn fill(&mut self) {
        // Eight at once; those for which there is no room are read again.
        if let Some(eight) = self.input.first_chunk() {
            self.held |= u64::from_le_bytes(*eight) << self.count;
            let bytes = (63 - self.count) / 8;
            self.input = self.input.get(bytes as usize..).unwrap_or_default();
            self.count += bytes * 8;
            return;
        }
        while self.count <= 56
            && let Some((byte, rest)) = self.input.split_first()
        {
            self.held |= u64::from(*byte) << self.count;
            self.count += 8;
            self.input = rest;
        }
    }

    fn take(&mut self, count: u32) -> Option<usize> {
        if self.count < count {
            self.fill();
        }
        let left = self.count.checked_sub(count)?;
        let bits = self.held & ((1 << count) - 1);
        self.held >>= count;
        self.count = left;
        usize::try_from(bits).ok()
    }

    /// Goes on with the next whole byte.
    fn align(&mut self) {
        let odd = self.count % 8;
        self.held >>= odd;
        self.count -= odd;
    }
}

/// A prefix code: symbol and length for all bits that may come.
struct Code {
    table: Vec<u16>,
    mask: u64,
}

impl Code {
    /// The canonical code of symbols with these lengths, none of them 0, by symbol; none if it is no whole code, and not
    /// one symbol or none either where `may_lack` says so.
    ///
    /// The work is in proportion to the symbols that occur, of which a short stream has few.
    fn new(used: &[(u16, u8)], may_lack: bool) -> Option<Self> {
        let mut starts = [0_usize; BITS_MAX + 2];
        for (_, length) in used {
            *starts.get_mut(usize::from(*length) + 1)? += 1;
        }
        let longest = starts.iter().rposition(|count| *count > 0).unwrap_or(2) - 1;
        let mut taken = 0;
        for (length, count) in starts.iter().skip(1).enumerate() {
            taken += count << (BITS_MAX - length);
        }
        if taken > 1 << BITS_MAX || (taken < 1 << BITS_MAX && !(may_lack && used.len() <= 1)) {
            return None;
        }
        // By length, and by symbol among equal lengths.
        let mut sorted = vec![0_u16; used.len()];
        for at in 1..starts.len() {
            *starts.get_mut(at)? += *starts.get(at - 1)?;
        }
        let mut place = starts;
        for (symbol, length) in used {
            let place = place.get_mut(usize::from(*length))?;
            *sorted.get_mut(*place)? = symbol << 4 | u16::from(*length);
            *place += 1;
        }
        // Twice as long for each bit: what stands there stands there again, whatever the next bit is.
        let mut table = Vec::with_capacity(1 << longest);
        table.push(0_u16);
        let mut code = 0_usize;
        for length in 1..=longest {
            table.extend_from_within(..);
            for entry in sorted.get(*starts.get(length)?..*starts.get(length + 1)?)? {
                *table.get_mut(code.reverse_bits() >> (usize::BITS as usize - length))? = *entry;
                code += 1;
            }
            code <<= 1;
        }
        Some(Self {
            mask: (1 << longest) - 1,
            table,
        })
    }

    #[inline]
    fn symbol(&self, bits: &mut Bits<'_>) -> Option<usize> {
        if bits.count < 16 {
            bits.fill();
        }
        let place = usize::try_from(bits.held & self.mask).ok()?;
        let entry = *self.table.get(place)?;
        let length = u32::from(entry & 15);
        if length == 0 {
            return None;
        }
        bits.count = bits.count.checked_sub(length)?;
        bits.held >>= length;
        Some(usize::from(entry >> 4))
    }
}

struct Codes {
    literals: Code,
    distances: Code,
}

/// Those that need no description.
static FIXED: LazyLock<Option<Codes>> = LazyLock::new(|| {
    let length = |symbol| match symbol {
        0..=143 => 8,
        144..=255 => 9,
        256..=279 => 7,
        _ => 8,
    };
    let literals: Vec<_> = (0..288).map(|symbol| (symbol, length(symbol))).collect();
    let distances: Vec<_> = (0..32).map(|symbol| (symbol, 5)).collect();
    Some(Codes {
        literals: Code::new(&literals, false)?,
        distances: Code::new(&distances, false)?,
    })
});

impl Codes {
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let literals = bits.take(5)? + 257;
        let distances = bits.take(5)? + 1;
        let listed = bits.take(4)? + 4;
        let mut lengths = [0_u8; 19];
        for place in ORDER.get(..listed)? {
            *lengths.get_mut(*place)? = u8::try_from(bits.take(3)?).ok()?;
        }
        let mut used: Vec<(u16, u8)> = Vec::with_capacity(64);
        used.extend((0..).zip(lengths).filter(|(_, length)| *length > 0));
        let code = Code::new(&used, false)?;

        // Both codes one after the other; a run may go from one into the other.
        used.clear();
        let (mut at, mut last) = (0, None);
        while at < literals + distances {
            let (length, times) = match code.symbol(bits)? {
                16 => (last?, 3 + bits.take(2)?),
                17 => (0, 3 + bits.take(3)?),
                18 => (0, 11 + bits.take(7)?),
                length => (u8::try_from(length).ok()?, 1),
            };
            last = Some(length);
            if length > 0 {
                for symbol in at..at + times {
                    used.push((u16::try_from(symbol).ok()?, length));
                }
            }
            at += times;
        }
        if at != literals + distances {
            return None;
        }
        let first = u16::try_from(literals).ok()?;
        let boundary = used.partition_point(|(symbol, _)| *symbol < first);
        let (literals, distances) = used.split_at_mut(boundary);
        for (symbol, _) in &mut *distances {
            *symbol -= first;
        }
        Some(Self {
            literals: Code::new(literals, false)?,
            distances: Code::new(distances, true)?,
        })
    }

    fn block(&self, bits: &mut Bits<'_>, limit: usize, out: &mut Vec<u8>) -> Option<()> {
        loop {
            let symbol = self.literals.symbol(bits)?;
            if let Ok(literal) = u8::try_from(symbol) {
                out.push(literal);
                continue;
            }
            if symbol == END {
                return (out.len() <= limit).then_some(());
            }
            let (length, extra) = *LENGTHS.get(symbol - END - 1)?;
            let length = usize::from(length) + bits.take(u32::from(extra))?;
            let symbol = self.distances.symbol(bits)?;
            let distance = if symbol < 4 {
                symbol + 1
            } else {
                let extra = u32::try_from(symbol / 2 - 1)
                    .ok()
                    .filter(|extra| *extra < 14)?;
                ((2 + symbol % 2) << extra) + 1 + bits.take(extra)?
            };
            let start = out.len().checked_sub(distance)?;
            if out.len() + length > limit {
                return None;
            }
            // What is copied may be the beginning of what it is copied to: then there is twice as much each time.
            let end = out.len() + length;
            while out.len() < end {
                let part = (end - out.len()).min(out.len() - start);
                out.extend_from_within(start..start + part);
            }
        }
    }
}

/// What a stream holds, at most `limit` bytes; bytes behind its end are ignored. None if it is not sure to be whole.
pub(super) fn inflated(packed: &[u8], limit: usize) -> Option<Vec<u8>> {
    if !looks_packed(packed) {
        return None;
    }
    let mut bits = Bits {
        input: packed.get(2..)?,
        held: 0,
        count: 0,
    };
    let mut out = Vec::with_capacity((packed.len() * 4).min(limit));
    loop {
        let is_last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => {
                bits.align();
                let length = bits.take(16)?;
                if bits.take(16)? != length ^ 0xFFFF || out.len() + length > limit {
                    return None;
                }
                for _ in 0..length {
                    out.push(u8::try_from(bits.take(8)?).ok()?);
                }
            }
            1 => FIXED.as_ref()?.block(&mut bits, limit, &mut out)?,
            2 => Codes::read(&mut bits)?.block(&mut bits, limit, &mut out)?,
            _ => return None,
        }
        if is_last {
            break;
        }
    }
    bits.align();
    let checksum = u32::try_from(bits.take(32)?).ok()?.swap_bytes();
    (out.len() <= limit && checksum == adler32(&out)).then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Level, compress, decompress};
    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_here_and_behind_its_end_nothing_is(
            raw in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..300),
                prop::collection::vec(0_u8..4, 0..3_000),
                prop::collection::vec(prop_oneof![Just("one "), Just("two "), Just("six ")], 0..40)
                    .prop_map(|words| words.concat().into_bytes()),
            ],
            level in 0_u8..10,
            behind in prop::collection::vec(any::<u8>(), 0..3),
        ) {
            let mut packed = compress(&raw, Level::new(level).unwrap());
            let whole = packed.len();
            packed.extend(behind);
            prop_assert_eq!(&inflated(&packed, raw.len()).unwrap(), &raw);
            prop_assert!(raw.is_empty() || inflated(&packed, raw.len() - 1).is_none());
            for cut in 0..whole {
                prop_assert!(inflated(&packed[..cut], raw.len()).is_none());
            }
        }

        #[test]
        fn what_is_read_here_is_read_alike_by_the_other(
            raw in prop::collection::vec(0_u8..5, 0..200),
            place in 2_usize..60,
            bit in 0_u8..8,
        ) {
            let mut packed = compress(&raw, Level::DEFAULT);
            if let Some(byte) = packed.get_mut(place) {
                *byte ^= 1_u8 << bit;
            }
            if let Some(read) = inflated(&packed, 1 << 16) {
                prop_assert_eq!(decompress(&[&packed[..], &[0; PACKED_BYTES_MAX]].concat(), 1 << 16).unwrap(), read);
            }
        }
    }
}
