//! What a shared dictionary knows of texts: the pieces that they are made of, and how often each occurs.
//!
//! A text is cut from its beginning into the longest pieces that are known, and ends with a symbol of its own. Every
//! single byte is a piece, so every text can be cut. Of many symbols it is also known which ones often follow them.

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
const END_SYMBOL: u32 = 256;
const FIRST: usize = 257;

type Counts<'t> = HashMap<&'t [u8], u64, FixedState>;

/// Pieces of texts.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    pieces: Vec<Box<[u8]>>,
    alphabet: Alphabet,
    trie: Trie,
    followers: FollowersOf,
}

/// What often comes after symbols; of texts the end comes before the first.
#[derive(Debug, Clone, Default)]
struct FollowersOf {
    /// By symbol, the position in `all` plus 1, or 0; empty when nothing is known.
    places: Vec<u16>,
    all: Vec<Followers>,
}

impl FollowersOf {
    fn get(&self, symbol: usize) -> Option<&Followers> {
        let place = usize::from(*self.places.get(symbol)?);
        self.all.get(place.checked_sub(1)?)
    }

    /// Of how many symbols there are.
    fn push(&mut self, symbols: usize, before: usize, followers: Followers) {
        self.places.resize(symbols, 0);
        self.all.push(followers);
        if let Some(place) = self.places.get_mut(before) {
            *place = u16::try_from(self.all.len()).unwrap_or_default();
        }
    }
}

/// What often comes after a symbol.
#[derive(Debug, Clone)]
struct Followers {
    /// Ascending.
    symbols: Vec<u32>,
    /// By position in `symbols`; the last one is none of these.
    alphabet: Alphabet,
    /// What the alphabet was made of.
    weights: Vec<u8>,
}

/// Bits that a follower has to have saved in what was learned from, in 256ths: about what it takes in a dictionary.
const FOLLOWER_SAVES_MIN: u64 = 16 << 8;

impl Followers {
    fn new(symbols: Vec<u32>, weights: Vec<u8>) -> Self {
        let counts: Vec<u64> = weights.iter().map(|weight| u64::from(*weight)).collect();
        Self {
            symbols,
            alphabet: Alphabet::new(&counts),
            weights,
        }
    }

    /// From how often each symbol came next, when knowing it saves more than it takes.
    fn learn(counts: &[(u32, u64)], alone: &Alphabet) -> Option<Self> {
        let all: u64 = counts.iter().map(|(_, count)| count).sum();
        let with = |counts: &[(u32, u64)]| {
            let known: u64 = counts.iter().map(|(_, count)| count).sum();
            // Each of those that are known is a hint that there are others.
            let others = 2 * (all - known) + counts.len() as u64 + 1;
            let counts = counts.iter().map(|(_, count)| 2 * count);
            let counts: Vec<u64> = counts.chain([others]).collect();
            let most = counts.iter().max().copied().unwrap_or(1).max(255);
            let weight = |count: u64| (count * 255).div_ceil(most);
            counts
                .into_iter()
                .map(|count| u8::try_from(weight(count)).unwrap_or(u8::MAX))
                .collect::<Vec<u8>>()
        };
        let mut kept: Vec<(u32, u64)> = counts.iter().copied().filter(|(_, n)| *n > 1).collect();
        kept.sort_unstable();
        if kept.is_empty() {
            return None;
        }
        let first = Self::new(Vec::new(), with(&kept));
        let mut at = 0;
        kept.retain(|(symbol, count)| {
            let cost = first.alphabet.cost(at);
            at += 1;
            let alone = usize::try_from(*symbol).map_or(0, |symbol| alone.cost(symbol));
            count * alone.saturating_sub(cost) > FOLLOWER_SAVES_MIN
        });
        if kept.is_empty() || kept.len() + 1 > SYMBOLS_MAX {
            return None;
        }
        let weights = with(&kept);
        let found = Self::new(kept.iter().map(|(symbol, _)| *symbol).collect(), weights);
        let known: u64 = kept.iter().map(|(_, count)| count).sum();
        let escapes = (all - known) * found.alphabet.cost(kept.len());
        let saved: u64 = kept
            .iter()
            .enumerate()
            .map(|(at, (symbol, count))| {
                let alone = usize::try_from(*symbol).map_or(0, |symbol| alone.cost(symbol));
                count * alone.saturating_sub(found.alphabet.cost(at))
            })
            .sum();
        (saved > escapes + FOLLOWER_SAVES_MIN).then_some(found)
    }
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
        let mut tokens = Self::counted(kept, &texts);
        tokens.learn_followers(&texts);
        tokens
    }

    fn learn_followers(&mut self, texts: &[&[u8]]) {
        let mut counts: HashMap<(u32, u32), u64, FixedState> = HashMap::default();
        for text in texts {
            let mut before = END_SYMBOL;
            self.cut(text, |symbol| {
                let symbol = u32::try_from(symbol).unwrap_or_default();
                *counts.entry((before, symbol)).or_default() += 1;
                before = symbol;
            });
        }
        let mut counts: Vec<((u32, u32), u64)> = counts.into_iter().collect();
        counts.sort_unstable();
        let mut found = FollowersOf::default();
        for of_one in counts.chunk_by(|a, b| a.0.0 == b.0.0) {
            let before = of_one
                .first()
                .and_then(|((b, _), _)| usize::try_from(*b).ok());
            let next: Vec<(u32, u64)> = of_one.iter().map(|((_, s), n)| (*s, *n)).collect();
            let followers = Followers::learn(&next, &self.alphabet);
            if let (Some(before), Some(followers)) = (before, followers) {
                found.push(self.alphabet.len(), before, followers);
            }
        }
        self.followers = found;
    }

    /// Whether it is known what often comes after what.
    pub(super) const fn has_followers(&self) -> bool {
        !self.followers.all.is_empty()
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
        Self {
            trie: Trie::new(&pieces),
            pieces,
            alphabet,
            followers: FollowersOf::default(),
        }
    }

    /// Cuts a text into symbols, the end included.
    fn cut(&self, text: &[u8], mut each: impl FnMut(usize)) {
        let root = self.trie.nodes.first().copied().unwrap_or_default();
        let mut rest = text;
        while let Some((first, after)) = rest.split_first() {
            let (mut symbol, mut next) = (u32::from(*first), after);
            let (mut node, mut ahead) = (root, rest);
            while let Some((byte, after)) = ahead.split_first() {
                let Some(found) = self.trie.child(node, *byte) else {
                    break;
                };
                node = found;
                ahead = after;
                if node.symbol > 0 {
                    symbol = node.symbol;
                    next = after;
                }
            }
            each(usize::try_from(symbol).unwrap_or_default());
            rest = next;
        }
        each(END);
    }

    pub(super) fn put(&self, text: &str, out: &mut Encoder) {
        let mut before = END;
        self.cut(text.as_bytes(), |symbol| {
            let followers = self.followers.get(before);
            before = symbol;
            if let Some(followers) = followers {
                let wanted = u32::try_from(symbol).unwrap_or_default();
                let place = followers.symbols.binary_search(&wanted);
                out.symbol(
                    &followers.alphabet,
                    place.unwrap_or(followers.symbols.len()),
                );
                if place.is_ok() {
                    return;
                }
            }
            out.symbol(&self.alphabet, symbol);
        });
    }

    /// Reads one text and appends it.
    pub(super) fn take(
        &self,
        from: &mut Decoder<'_>,
        limits: &common::Limits,
        bytes: &mut Vec<u8>,
    ) -> Result<()> {
        let begin = bytes.len();
        let mut before = END;
        loop {
            let known = self.followers.get(before).and_then(|followers| {
                let place = from.symbol(&followers.alphabet);
                followers.symbols.get(place)
            });
            let symbol = match known {
                Some(symbol) => usize::try_from(*symbol).unwrap_or(usize::MAX),
                None => from.symbol(&self.alphabet),
            };
            if symbol == END {
                return Ok(());
            }
            before = symbol;
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

    pub(super) fn write_followers(&self, out: &mut Vec<u8>) {
        let known = 0..self.followers.places.len();
        let known: Vec<_> = known
            .filter_map(|at| Some((at, self.followers.get(at)?)))
            .collect();
        write_varint(known.len() as u64, out);
        let mut next = 0;
        for (before, followers) in known {
            write_varint((before - next) as u64, out);
            next = before + 1;
            write_varint(followers.symbols.len() as u64, out);
            let mut least = 0;
            for symbol in &followers.symbols {
                write_varint(u64::from(symbol - least), out);
                least = symbol + 1;
            }
            out.extend_from_slice(&followers.weights);
        }
    }

    pub(super) fn read_followers(&mut self, input: &mut &[u8]) -> Result<()> {
        let all = self.alphabet.len();
        let wrong = || corrupt("what follows a piece of text");
        let number = |input: &mut &[u8]| -> Result<usize> {
            Ok(usize::try_from(read_varint(input)?).unwrap_or(usize::MAX))
        };
        let count = number(input)?;
        if count > all {
            return Err(wrong());
        }
        let mut found = FollowersOf::default();
        let mut next = 0_usize;
        for _ in 0..count {
            let before = next.saturating_add(number(input)?);
            next = before.saturating_add(1);
            let of_one = number(input)?;
            if before >= all || of_one == 0 || of_one >= SYMBOLS_MAX || of_one > input.len() {
                return Err(wrong());
            }
            let mut symbols = Vec::new();
            let mut least = 0_usize;
            for _ in 0..of_one {
                let symbol = least.saturating_add(number(input)?);
                least = symbol.saturating_add(1);
                if symbol >= all {
                    return Err(wrong());
                }
                symbols.push(u32::try_from(symbol).map_err(|_| wrong())?);
            }
            let (weights, rest) = input.split_at_checked(of_one + 1).ok_or_else(wrong)?;
            *input = rest;
            found.push(all, before, Followers::new(symbols, weights.to_vec()));
        }
        self.followers = found;
        Ok(())
    }
}

/// The prefixes of pieces as nodes; the children of one lie together.
#[derive(Debug, Clone, Default)]
struct Trie {
    nodes: Vec<Node>,
    /// The byte that leads to each node.
    bytes: Vec<u8>,
    /// Of nodes with many children, the child by byte; 0 is none.
    tables: Vec<[u32; 256]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// The symbol of the piece that ends here, or 0: no piece has that.
    symbol: u32,
    /// Its first child.
    first: u32,
    /// How many children there are; or the position in `tables` and this.
    children: u32,
}

/// A piece and its symbol.
type Known<'p> = (&'p [u8], usize);

/// In [`Node::children`]: there is a table.
const IS_TABLE: u32 = 1 << 31;
/// More children than this are looked up in a table.
const LISTED_MAX: usize = 12;

impl Trie {
    fn new(pieces: &[Box<[u8]>]) -> Self {
        let mut sorted: Vec<Known<'_>> = pieces
            .iter()
            .enumerate()
            .map(|(at, piece)| (&**piece, FIRST + at))
            .collect();
        sorted.sort_unstable();
        let mut trie = Self {
            nodes: vec![Node::default()],
            bytes: vec![0],
            tables: Vec::new(),
        };
        // The pieces that begin with each node, in the order of the nodes, and how long those beginnings are.
        let mut parts: Vec<(&[Known<'_>], usize)> = vec![(&sorted, 0)];
        let mut at = 0;
        while let Some((part, depth)) = parts.get(at).copied() {
            let own = part.iter().take_while(|(piece, _)| piece.len() == depth);
            let count = own.clone().count();
            let symbol = own.last().map_or(0, |(_, symbol)| *symbol);
            let rest = part.get(count..).unwrap_or_default();
            let first = trie.nodes.len();
            let mut table = [0; 256];
            for children in rest.chunk_by(|a, b| a.0.get(depth) == b.0.get(depth)) {
                let byte = children.first().and_then(|(piece, _)| piece.get(depth));
                let byte = byte.copied().unwrap_or_default();
                if let Some(place) = table.get_mut(usize::from(byte)) {
                    *place = u32::try_from(trie.nodes.len()).unwrap_or_default();
                }
                trie.nodes.push(Node::default());
                trie.bytes.push(byte);
                parts.push((children, depth + 1));
            }
            let listed = trie.nodes.len() - first;
            let children = if listed > LISTED_MAX {
                trie.tables.push(table);
                u32::try_from(trie.tables.len() - 1).unwrap_or_default() | IS_TABLE
            } else {
                u32::try_from(listed).unwrap_or_default()
            };
            if let Some(node) = trie.nodes.get_mut(at) {
                *node = Node {
                    symbol: u32::try_from(symbol).unwrap_or_default(),
                    first: u32::try_from(first).unwrap_or_default(),
                    children,
                };
            }
            at += 1;
        }
        trie
    }

    /// Where a byte leads from a node.
    #[inline]
    fn child(&self, node: Node, byte: u8) -> Option<Node> {
        let at = if node.children & IS_TABLE == 0 {
            let first = usize::try_from(node.first).ok()?;
            let count = usize::try_from(node.children).ok()?;
            let bytes = self.bytes.get(first..first + count)?;
            first + bytes.iter().position(|known| *known == byte)?
        } else {
            let table = usize::try_from(node.children & !IS_TABLE).ok()?;
            let child = *self.tables.get(table)?.get(usize::from(byte))?;
            usize::try_from(child).ok().filter(|child| *child > 0)?
        };
        self.nodes.get(at).copied()
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
