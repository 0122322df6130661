//! What a shared dictionary knows of texts: the pieces that they are made of, and how often each occurs.
//!
//! A text is cut from its beginning into the longest pieces that are known, and ends with a symbol of its own. Every
//! single byte is a piece, so every text can be cut.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::collections::HashMap;

use common::Result;
use common::optimization::compression::integers::{read_varint, write_varint};
use foldhash::fast::FixedState;

use super::coder::{Alphabet, Decoder, Encoder, SYMBOLS_MAX};
use super::stream::corrupt;

/// Longest piece in bytes.
const PIECE_BYTES_MAX: usize = 24;
/// Bytes of texts that are learned from.
const LEARNED_BYTES_MAX: usize = 2 << 20;
/// Symbols before the pieces: the end, and each byte.
const END: usize = 256;
const FIRST: usize = 257;

type Counts<'t> = HashMap<&'t [u8], u64, FixedState>;

/// Pieces of texts.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    pieces: Vec<Box<[u8]>>,
    alphabet: Alphabet,
    /// Where a byte leads from a node: nodes are prefixes of pieces, 0 is the empty one.
    edges: Edges,
    /// The symbol of the piece that ends at a node, or 0: no piece has that.
    symbols: Vec<u32>,
}

impl Tokens {
    /// Learns at most `pieces_max` pieces.
    pub(super) fn learn<'t>(texts: impl Iterator<Item = &'t str>, pieces_max: usize) -> Self {
        let mut bytes = 0;
        let texts: Vec<&[u8]> = texts
            .map(str::as_bytes)
            .take_while(|text| {
                bytes += text.len();
                bytes <= LEARNED_BYTES_MAX
            })
            .collect();
        let mut counts = Counts::default();
        for text in &texts {
            count_pieces(text, &mut counts);
        }
        let mut found: Vec<(&[u8], u64)> = counts
            .into_iter()
            .filter(|(piece, count)| *count > 2 && piece.len() > 1)
            .collect();
        // What a piece saves, roughly: all but one of its bytes each time.
        let score = |(piece, count): &(&[u8], u64)| (piece.len() as u64 - 1) * (count - 1);
        found.sort_unstable_by(|a, b| score(b).cmp(&score(a)).then_with(|| a.0.cmp(b.0)));
        found.truncate((pieces_max * 2).min(SYMBOLS_MAX - FIRST));
        let all = found.iter().map(|(piece, _)| Box::from(*piece)).collect();
        // Those that are hardly used once there are longer ones go.
        let first = Self::counted(all, &texts);
        let used = first.used(&texts);
        let mut order: Vec<usize> = (0..first.pieces.len()).collect();
        let used_of = |at: usize| used.get(FIRST + at).copied().unwrap_or_default();
        let saves = |at: &usize| {
            let length = first.pieces.get(*at).map_or(0, |piece| piece.len()) as u64;
            used_of(*at) * length.saturating_sub(1)
        };
        order.sort_by_key(|at| std::cmp::Reverse(saves(at)));
        order.retain(|at| used_of(*at) > 1);
        order.truncate(pieces_max);
        let mut kept: Vec<Box<[u8]>> = order
            .iter()
            .filter_map(|at| first.pieces.get(*at).cloned())
            .collect();
        kept.sort_unstable();
        Self::counted(kept, &texts)
    }

    fn counted(pieces: Vec<Box<[u8]>>, texts: &[&[u8]]) -> Self {
        let flat = Alphabet::new(&vec![1; FIRST + pieces.len()]);
        let mut tokens = Self::new(pieces, flat);
        let mut used = tokens.used(texts);
        for count in &mut used {
            *count *= 8;
        }
        tokens.alphabet = Alphabet::new(&used);
        tokens
    }

    fn used(&self, texts: &[&[u8]]) -> Vec<u64> {
        let mut used = vec![0; FIRST + self.pieces.len()];
        for text in texts {
            self.cut(text, |symbol| {
                if let Some(count) = used.get_mut(symbol) {
                    *count += 1;
                }
            });
        }
        used
    }

    fn new(pieces: Vec<Box<[u8]>>, alphabet: Alphabet) -> Self {
        let bytes = pieces.iter().map(|piece| piece.len()).sum();
        let mut edges = Edges::new(bytes);
        let mut symbols = vec![0];
        for (at, piece) in pieces.iter().enumerate() {
            let mut node = 0;
            for byte in piece {
                let next = u32::try_from(symbols.len()).unwrap_or(u32::MAX);
                node = edges.get_or_insert(node << 8 | u32::from(*byte), next);
                if node == next {
                    symbols.push(0);
                }
            }
            let place = usize::try_from(node).ok();
            if let Some(symbol) = place.and_then(|node| symbols.get_mut(node)) {
                *symbol = u32::try_from(FIRST + at).unwrap_or_default();
            }
        }
        Self {
            pieces,
            alphabet,
            edges,
            symbols,
        }
    }

    /// Cuts a text into symbols, the end included.
    fn cut(&self, text: &[u8], mut each: impl FnMut(usize)) {
        let mut rest = text;
        while let Some((first, after)) = rest.split_first() {
            let (mut symbol, mut next) = (usize::from(*first), after);
            let (mut node, mut ahead) = (0_u32, rest);
            while let Some((byte, after)) = ahead.split_first() {
                let Some(found) = self.edges.get(node << 8 | u32::from(*byte)) else {
                    break;
                };
                node = found;
                ahead = after;
                let of_node = usize::try_from(node).ok();
                let of_node = of_node.and_then(|node| self.symbols.get(node));
                if let Some(found @ 1..) = of_node {
                    symbol = usize::try_from(*found).unwrap_or_default();
                    next = after;
                }
            }
            each(symbol);
            rest = next;
        }
        each(END);
    }

    pub(super) fn put(&self, text: &str, out: &mut Encoder) {
        self.cut(text.as_bytes(), |symbol| out.symbol(&self.alphabet, symbol));
    }

    /// Reads one text and appends it.
    pub(super) fn take(
        &self,
        from: &mut Decoder<'_>,
        limits: &common::Limits,
        bytes: &mut Vec<u8>,
    ) -> Result<()> {
        let begin = bytes.len();
        loop {
            let symbol = from.symbol(&self.alphabet);
            if symbol == END {
                return Ok(());
            }
            match u8::try_from(symbol) {
                Ok(byte) => bytes.push(byte),
                Err(_) => match symbol.checked_sub(FIRST).and_then(|at| self.pieces.get(at)) {
                    Some(piece) => bytes.extend_from_slice(piece),
                    None => return Err(corrupt("a piece of text that is not there")),
                },
            }
            if from.is_past() {
                return Err(corrupt("symbols end early"));
            }
            limits.check_bytes(bytes.len() - begin)?;
            limits.check_total(bytes.len())?;
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        self.alphabet.write(out);
        let mut before: &[u8] = &[];
        for piece in &self.pieces {
            let same = piece.iter().zip(before).take_while(|(a, b)| a == b).count();
            write_varint(same as u64, out);
            write_varint((piece.len() - same) as u64, out);
            out.extend_from_slice(piece.get(same..).unwrap_or_default());
            before = piece;
        }
    }

    pub(super) fn read(input: &mut &[u8]) -> Result<Self> {
        let alphabet = Alphabet::read(input)?;
        let count = alphabet
            .len()
            .checked_sub(FIRST)
            .ok_or_else(|| corrupt("an alphabet without single bytes"))?;
        let mut pieces: Vec<Box<[u8]>> = Vec::with_capacity(count);
        for _ in 0..count {
            let same = usize::try_from(read_varint(input)?).unwrap_or(usize::MAX);
            let more = usize::try_from(read_varint(input)?).unwrap_or(usize::MAX);
            let kept = match pieces.last() {
                Some(before) => before.get(..same),
                None => [].get(..same),
            };
            let (Some(kept), Some((rest, after))) = (kept, input.split_at_checked(more)) else {
                return Err(corrupt("pieces of texts end early"));
            };
            if !(1..=PIECE_BYTES_MAX).contains(&(kept.len() + rest.len())) {
                return Err(corrupt("a piece of text that is empty or too long"));
            }
            let piece: Vec<u8> = [kept, rest].concat();
            *input = after;
            pieces.push(piece.into());
        }
        Ok(Self::new(pieces, alphabet))
    }
}

/// A table from an edge, a node and a byte, to the node that it leads to.
#[derive(Debug, Clone)]
struct Edges {
    /// Twice as many places as edges at least, a power of two of them.
    places: Vec<(u32, u32)>,
}

const EMPTY: u32 = u32::MAX;

impl Edges {
    fn new(edges: usize) -> Self {
        Self {
            places: vec![(EMPTY, 0); (edges * 2 + 2).next_power_of_two()],
        }
    }

    /// Where an edge is, or would be.
    #[inline]
    fn place(&self, edge: u32) -> usize {
        let mask = self.places.len() - 1;
        let hash = edge.wrapping_mul(0x9e37_79b1);
        let mut at = usize::try_from(hash ^ hash >> 15).unwrap_or_default() & mask;
        while self
            .places
            .get(at)
            .is_some_and(|(known, _)| *known != EMPTY && *known != edge)
        {
            at = (at + 1) & mask;
        }
        at
    }

    #[inline]
    fn get(&self, edge: u32) -> Option<u32> {
        let (known, node) = *self.places.get(self.place(edge))?;
        (known == edge).then_some(node)
    }

    fn get_or_insert(&mut self, edge: u32, next: u32) -> u32 {
        let at = self.place(edge);
        match self.places.get_mut(at) {
            Some((known, node)) if *known == edge => *node,
            Some(place) => {
                *place = (edge, next);
                next
            }
            None => next,
        }
    }
}

/// Counts the words of a text with the space before them, pairs of words, and what words are made of.
fn count_pieces<'t>(text: &'t [u8], counts: &mut Counts<'t>) {
    let mut begins = vec![0];
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80;
    for (at, pair) in text.windows(2).enumerate() {
        if let [a, b] = pair
            && is_word(*a) != is_word(*b)
            && *a != b' '
        {
            begins.push(at + 1);
        }
    }
    begins.push(text.len());
    let mut note = |piece: Option<&'t [u8]>| {
        if let Some(piece) = piece.filter(|piece| (2..=PIECE_BYTES_MAX).contains(&piece.len())) {
            *counts.entry(piece).or_default() += 1;
        }
    };
    for ends in begins.windows(3) {
        if let [a, _, c] = ends {
            note(text.get(*a..*c));
        }
    }
    for ends in begins.windows(2) {
        if let [a, b] = ends {
            note(text.get(*a..*b));
            for length in 2..=4 {
                for at in *a..b.saturating_sub(length - 1) {
                    if at + length <= *b && length < b - a {
                        note(text.get(at..at + length));
                    }
                }
            }
        }
    }
}
