//! Streams of short inputs (RFC 1950 and 1951), without the quarter of a megabyte that a general state takes.
//!
//! Matches by chains of hashes with one step of looking ahead; then one block with the fixed code or with a code of its
//! own, whichever is shorter. Codes by Moffat and Katajainen, "In-Place Calculation of Minimum-Redundancy
//! Codes" (WADS 1995).

#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "symbols and positions are bounded by the input, which is short"
)]

use std::cell::RefCell;

use super::{Level, adler32};

/// Longest input: positions are 16 bits wide.
pub(super) const INPUT_BYTES_MAX: usize = 16 << 10;

const MATCH_MIN: usize = 3;
const MATCH_MAX: usize = 258;
/// Most earlier places that are compared.
const CHAIN_MAX: usize = 48;
/// A match of so many bytes is taken without looking ahead.
const GOOD_MATCH: usize = 32;
const NOWHERE: u16 = u16::MAX;
const LITERALS: usize = 286;
const DISTANCES: usize = 30;
const END: usize = 256;
/// Fewer symbols than these never pay for the description of a code of their own.
const OWN_CODE_SYMBOLS_MIN: usize = 24;

const LENGTH_BASE: [u16; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
    163, 195, 227, 258,
];
const LENGTH_EXTRA: [u8; 29] = [
    0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
];
/// The order in which lengths of the code for lengths are written.
const ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

/// The symbol of each length of a match, less 257.
const LENGTH_SYMBOL: [u8; MATCH_MAX + 1] = {
    let mut symbols = [0; MATCH_MAX + 1];
    let mut symbol = 0;
    while symbol < 29 {
        let mut length = LENGTH_BASE[symbol] as usize;
        while length <= MATCH_MAX {
            symbols[length] = symbol as u8;
            length += 1;
        }
        symbol += 1;
    }
    symbols
};

/// Symbol, number of extra bits, and these, of a distance.
fn distance_symbol(distance: usize) -> (usize, u32, u32) {
    let from_zero = (distance - 1) as u32;
    if from_zero < 4 {
        return (from_zero as usize, 0, 0);
    }
    let extra = from_zero.ilog2() - 1;
    let symbol = 2 * (extra + 1) + (from_zero >> extra & 1);
    (symbol as usize, extra, from_zero & ((1 << extra) - 1))
}

/// A literal, or the length of a match above its distance.
#[derive(Clone, Copy)]
struct Token(u32);

impl Token {
    const fn matched(length: usize, distance: usize) -> Self {
        Self((length as u32) << 16 | distance as u32)
    }

    const fn length(self) -> usize {
        (self.0 >> 16) as usize
    }

    /// The literal, where there is no length.
    const fn low(self) -> usize {
        (self.0 & 0xffff) as usize
    }
}

/// Kept between calls.
#[derive(Default)]
struct Scratch {
    heads: Vec<u16>,
    chain: Vec<u16>,
    tokens: Vec<Token>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Appends the input as a stream if that has fewer bytes than `below`. Whether it did.
///
/// As short at every level as at the highest; the level is only named in the header.
///
/// # Panics
/// The input is longer than [`INPUT_BYTES_MAX`].
pub(super) fn deflated(input: &[u8], level: Level, below: usize, out: &mut Vec<u8>) -> bool {
    assert!(input.len() <= INPUT_BYTES_MAX, "short inputs only");
    SCRATCH.with_borrow_mut(|scratch| {
        tokenize(input, scratch);
        let tokens = &scratch.tokens;
        let mut literals = [0_u32; LITERALS];
        let mut distances = [0_u32; DISTANCES];
        literals[END] = 1;
        let mut extra_bits = 0;
        for token in tokens {
            let length = token.length();
            if length == 0 {
                literals[token.low()] += 1;
            } else {
                let symbol = usize::from(LENGTH_SYMBOL[length]);
                let (distance, extra, _) = distance_symbol(token.low());
                literals[257 + symbol] += 1;
                distances[distance] += 1;
                extra_bits += u32::from(LENGTH_EXTRA[symbol]) + extra;
            }
        }
        let fixed = Codes::fixed();
        let fixed_bits = 3 + extra_bits + fixed.bits(&literals, &distances);
        let own = (tokens.len() >= OWN_CODE_SYMBOLS_MIN).then(|| Own::new(&literals, &distances));
        let own_bits = own.as_ref().map_or(u32::MAX, |own| {
            3 + extra_bits + own.header_bits + own.codes.bits(&literals, &distances)
        });
        if 6 + fixed_bits.min(own_bits).div_ceil(8) as usize >= below {
            return false;
        }
        out.extend_from_slice(&level.header());
        let mut writer = Bits {
            out,
            held: 0,
            count: 0,
        };
        match own {
            Some(own) if own_bits < fixed_bits => {
                writer.put(0b101, 3);
                own.put_header(&mut writer);
                put_tokens(tokens, &own.codes, &mut writer);
            }
            _ => {
                writer.put(0b011, 3);
                put_tokens(tokens, fixed, &mut writer);
            }
        }
        writer.finish();
        out.extend_from_slice(&adler32(input).to_be_bytes());
        true
    })
}

/// Earlier places of three bytes, by their hash.
struct Places<'a> {
    input: &'a [u8],
    heads: &'a mut [u16],
    chain: &'a mut [u16],
    shift: u32,
}

impl Places<'_> {
    /// Files a position, and returns the latest one before with the same hash.
    fn file(&mut self, at: usize) -> u16 {
        let [a, b, c] = [self.input[at], self.input[at + 1], self.input[at + 2]];
        let hash = u32::from_le_bytes([a, b, c, 0]).wrapping_mul(0x9e37_79b1) >> self.shift;
        let before = std::mem::replace(&mut self.heads[hash as usize], at as u16);
        self.chain[at] = before;
        before
    }

    /// Files positions inside of a match.
    fn file_all(&mut self, positions: std::ops::Range<usize>) {
        let end = positions
            .end
            .min(self.input.len().saturating_sub(MATCH_MIN - 1));
        for at in positions.start..end {
            self.file(at);
        }
    }

    /// Length and distance of the longest match that is longer than `least`; zeros if there is none. Files the position.
    fn longest(&mut self, at: usize, least: usize) -> (usize, usize) {
        let most = (self.input.len() - at).min(MATCH_MAX);
        if most < MATCH_MIN {
            return (0, 0);
        }
        let (mut candidate, mut found) = (self.file(at), (0, 0));
        let mut longest = least.max(MATCH_MIN - 1);
        let here = &self.input[at..at + most];
        for _ in 0..CHAIN_MAX {
            if candidate == NOWHERE || longest >= most {
                break;
            }
            let start = usize::from(candidate);
            let there = &self.input[start..start + most];
            // The byte that would make it longer first: most candidates fail there.
            if there[longest] == here[longest] {
                let same = there.iter().zip(here).take_while(|(a, b)| a == b).count();
                if same > longest {
                    longest = same;
                    found = (same, at - start);
                }
            }
            candidate = self.chain[start];
        }
        found
    }
}

fn tokenize(input: &[u8], scratch: &mut Scratch) {
    let Scratch {
        heads,
        chain,
        tokens,
    } = scratch;
    let bits = input.len().next_power_of_two().ilog2().clamp(6, 12);
    heads.clear();
    heads.resize(1 << bits, NOWHERE);
    chain.resize(input.len().max(chain.len()), NOWHERE);
    tokens.clear();
    let mut places = Places {
        input,
        heads,
        chain,
        shift: 32 - bits,
    };
    let mut at = 0;
    // The match that begins one byte earlier, not taken yet.
    let mut earlier: Option<(usize, usize)> = None;
    while at < input.len() {
        let (length, distance) = places.longest(at, earlier.map_or(0, |(length, _)| length));
        if let Some((before, back)) = earlier.take() {
            if length <= before {
                tokens.push(Token::matched(before, back));
                let end = at - 1 + before;
                places.file_all(at + 1..end);
                at = end;
                continue;
            }
            tokens.push(Token(u32::from(input[at - 1])));
        }
        if length >= GOOD_MATCH {
            tokens.push(Token::matched(length, distance));
            places.file_all(at + 1..at + length);
            at += length;
        } else {
            if length >= MATCH_MIN {
                earlier = Some((length, distance));
            } else {
                tokens.push(Token(u32::from(input[at])));
            }
            at += 1;
        }
    }
}

/// Bits, the lowest first.
struct Bits<'a> {
    out: &'a mut Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits<'_> {
    fn put(&mut self, bits: u32, count: u32) {
        self.held |= u64::from(bits) << self.count;
        self.count += count;
        if self.count >= 32 {
            self.out
                .extend_from_slice(&(self.held as u32).to_le_bytes());
            self.held >>= 32;
            self.count -= 32;
        }
    }

    fn finish(&mut self) {
        let bytes = self.count.div_ceil(8) as usize;
        self.out
            .extend_from_slice(&self.held.to_le_bytes()[..bytes]);
    }
}

fn put_tokens(tokens: &[Token], codes: &Codes, writer: &mut Bits<'_>) {
    for token in tokens {
        let length = token.length();
        if length == 0 {
            codes.literals.put(token.low(), writer);
            continue;
        }
        let symbol = usize::from(LENGTH_SYMBOL[length]);
        codes.literals.put(257 + symbol, writer);
        let extra = length as u32 - u32::from(LENGTH_BASE[symbol]);
        writer.put(extra, u32::from(LENGTH_EXTRA[symbol]));
        let (symbol, count, extra) = distance_symbol(token.low());
        codes.distances.put(symbol, writer);
        writer.put(extra, count);
    }
    codes.literals.put(END, writer);
}

/// A prefix code: length and bits of each symbol.
struct Code<const N: usize> {
    lengths: [u8; N],
    bits: [u16; N],
}

impl<const N: usize> Code<N> {
    /// The canonical code of these lengths, its bits in the order in which they are written.
    fn of_lengths(lengths: [u8; N]) -> Self {
        let mut counts = [0_u16; 16];
        for length in lengths {
            counts[usize::from(length)] += 1;
        }
        counts[0] = 0;
        let mut next = [0_u16; 16];
        for length in 1..16 {
            next[length] = (next[length - 1] + counts[length - 1]) << 1;
        }
        let bits = lengths.map(|length| {
            if length == 0 {
                return 0;
            }
            let code = next[usize::from(length)];
            next[usize::from(length)] += 1;
            code.reverse_bits() >> (16 - u32::from(length))
        });
        Self { lengths, bits }
    }

    /// The shortest code for these frequencies with at most `longest` bits for a symbol.
    fn of_frequencies(frequencies: &[u32; N], longest: usize) -> Self {
        let mut used: Vec<(u32, u16)> = frequencies
            .iter()
            .zip(0..)
            .filter(|(frequency, _)| **frequency > 0)
            .map(|(frequency, symbol)| (*frequency, symbol))
            .collect();
        used.sort_unstable();
        let mut depths: Vec<usize> = used
            .iter()
            .map(|(frequency, _)| *frequency as usize)
            .collect();
        minimum_redundancy(&mut depths);
        let mut counts = [0_usize; 64];
        for depth in depths {
            counts[depth.min(63)] += 1;
        }
        shorten(&mut counts, longest);
        let mut lengths = [0; N];
        // The rarest first: they get the longest.
        let mut symbols = used.iter();
        for length in (1..=longest).rev() {
            for (_, symbol) in symbols.by_ref().take(counts[length]) {
                lengths[usize::from(*symbol)] = length as u8;
            }
        }
        Self::of_lengths(lengths)
    }

    fn put(&self, symbol: usize, writer: &mut Bits<'_>) {
        writer.put(
            u32::from(self.bits[symbol]),
            u32::from(self.lengths[symbol]),
        );
    }

    fn bits(&self, frequencies: &[u32; N]) -> u32 {
        let each = frequencies.iter().zip(self.lengths);
        each.map(|(frequency, length)| frequency * u32::from(length))
            .sum()
    }
}

/// Turns frequencies, the lowest first, into the lengths of their symbols in a code of minimum redundancy.
fn minimum_redundancy(a: &mut [usize]) {
    let n = a.len();
    if n < 2 {
        a.fill(1);
        return;
    }
    a[0] += a[1];
    let (mut root, mut leaf) = (0, 2);
    for next in 1..n - 1 {
        let mut lighter = |a: &mut [usize], below: usize| {
            if leaf >= n || (root < below && a[root] < a[leaf]) {
                let weight = a[root];
                a[root] = next;
                root += 1;
                weight
            } else {
                leaf += 1;
                a[leaf - 1]
            }
        };
        let first = lighter(a, next);
        a[next] = first;
        let second = lighter(a, next);
        a[next] += second;
    }
    a[n - 2] = 0;
    for next in (0..n - 2).rev() {
        a[next] = a[a[next]] + 1;
    }
    let (mut available, mut depth) = (1, 0);
    // One past the next inner node, and the next leaf.
    let (mut root, mut next) = (n - 1, n);
    while available > 0 {
        let mut used = 0;
        while root > 0 && a[root - 1] == depth {
            used += 1;
            root -= 1;
        }
        while available > used {
            next -= 1;
            a[next] = depth;
            available -= 1;
        }
        available = 2 * used;
        depth += 1;
    }
}

/// Makes all lengths at most `longest`: symbols that are too deep move up, and others down until the code is whole.
fn shorten(counts: &mut [usize; 64], longest: usize) {
    let deep: usize = counts[longest + 1..].iter().sum();
    counts[longest + 1..].fill(0);
    counts[longest] += deep;
    let mut total: usize = (1..=longest)
        .map(|length| counts[length] << (longest - length))
        .sum();
    while total > 1 << longest {
        counts[longest] -= 1;
        if let Some(length) = (1..longest).rev().find(|length| counts[*length] > 0) {
            counts[length] -= 1;
            counts[length + 1] += 2;
        }
        total -= 1;
    }
}

/// The codes of a block.
struct Codes {
    literals: Code<LITERALS>,
    distances: Code<DISTANCES>,
}

impl Codes {
    /// Those that need no description.
    fn fixed() -> &'static Self {
        static FIXED: std::sync::LazyLock<Codes> = std::sync::LazyLock::new(|| {
            // Two symbols more belong to the code, which nobody writes.
            let lengths: [u8; 288] = std::array::from_fn(|symbol| match symbol {
                0..=143 => 8,
                144..=255 => 9,
                256..=279 => 7,
                _ => 8,
            });
            let all = Code::of_lengths(lengths);
            Codes {
                literals: Code {
                    lengths: std::array::from_fn(|symbol| all.lengths[symbol]),
                    bits: std::array::from_fn(|symbol| all.bits[symbol]),
                },
                distances: Code::of_lengths([5; DISTANCES]),
            }
        });
        &FIXED
    }

    fn bits(&self, literals: &[u32; LITERALS], distances: &[u32; DISTANCES]) -> u32 {
        self.literals.bits(literals) + self.distances.bits(distances)
    }
}

/// Codes made for one block, with their description.
struct Own {
    codes: Codes,
    header_bits: u32,
    literals: usize,
    distances: usize,
    /// Symbols of the code for lengths, with what follows them.
    runs: Vec<(u8, u8)>,
    lengths: Code<19>,
    listed: usize,
}

impl Own {
    fn new(literals: &[u32; LITERALS], distances: &[u32; DISTANCES]) -> Self {
        let codes = Codes {
            literals: Code::of_frequencies(literals, 15),
            distances: Code::of_frequencies(distances, 15),
        };
        let end_of = |lengths: &[u8], least: usize| {
            let end = lengths.iter().rposition(|length| *length > 0);
            end.map_or(least, |last| least.max(last + 1))
        };
        let literals = end_of(&codes.literals.lengths, 257);
        let distances = end_of(&codes.distances.lengths, 1);
        let all: Vec<u8> = [
            &codes.literals.lengths[..literals],
            &codes.distances.lengths[..distances],
        ]
        .concat();
        let runs = runs_of(&all);
        let mut frequencies = [0; 19];
        for (symbol, _) in &runs {
            frequencies[usize::from(*symbol)] += 1;
        }
        let lengths = Code::of_frequencies(&frequencies, 7);
        let listed = ORDER
            .iter()
            .rposition(|symbol| lengths.lengths[*symbol] > 0);
        let listed = listed.map_or(4, |last| (last + 1).max(4));
        let extra: u32 = runs.iter().map(|(symbol, _)| run_bits(*symbol)).sum();
        let header_bits = 14 + 3 * listed as u32 + lengths.bits(&frequencies) + extra;
        Self {
            codes,
            header_bits,
            literals,
            distances,
            runs,
            lengths,
            listed,
        }
    }

    fn put_header(&self, writer: &mut Bits<'_>) {
        writer.put(self.literals as u32 - 257, 5);
        writer.put(self.distances as u32 - 1, 5);
        writer.put(self.listed as u32 - 4, 4);
        for symbol in &ORDER[..self.listed] {
            writer.put(u32::from(self.lengths.lengths[*symbol]), 3);
        }
        for (symbol, extra) in &self.runs {
            self.lengths.put(usize::from(*symbol), writer);
            writer.put(u32::from(*extra), run_bits(*symbol));
        }
    }
}

/// Extra bits of a symbol of the code for lengths.
const fn run_bits(symbol: u8) -> u32 {
    match symbol {
        16 => 2,
        17 => 3,
        18 => 7,
        _ => 0,
    }
}

/// Lengths as symbols of the code for lengths: themselves, or repeated.
fn runs_of(lengths: &[u8]) -> Vec<(u8, u8)> {
    let mut runs = Vec::with_capacity(64);
    for run in lengths.chunk_by(|a, b| a == b) {
        let (length, mut left) = (run[0], run.len());
        if length == 0 {
            while left >= 11 {
                let taken = left.min(138);
                runs.push((18, (taken - 11) as u8));
                left -= taken;
            }
            if left >= 3 {
                runs.push((17, (left - 3) as u8));
                left = 0;
            }
        } else {
            runs.push((length, 0));
            left -= 1;
            while left >= 3 {
                let taken = left.min(6);
                runs.push((16, (taken - 3) as u8));
                left -= taken;
            }
        }
        runs.extend(std::iter::repeat_n((length, 0), left));
    }
    runs
}
