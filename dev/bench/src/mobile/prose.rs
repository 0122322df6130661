//! [`Prose`]: sentences of real books, each used once before any is used again.

use std::io::Read as _;

use flate2::read::GzDecoder;

use crate::Result;
use crate::random::Random;

const PACKED: &[u8] = include_bytes!("../../../../testdata/prose.txt.gz");

/// Hands out sentences in random order. Once all were used, new ones are made of the beginning of one and the end
/// of another, so that long texts do not repeat themselves as a copy would.
pub(super) struct Prose {
    text: String,
    /// Begin and end of each sentence.
    sentences: Vec<(usize, usize)>,
    next: usize,
}

impl Prose {
    pub(super) fn read(random: &mut Random) -> Result<Self> {
        let mut text = String::new();
        GzDecoder::new(PACKED).read_to_string(&mut text)?;
        let mut sentences = Vec::new();
        let mut begin = 0;
        for line in text.split_inclusive('\n') {
            sentences.push((begin, begin + line.trim_end().len()));
            begin += line.len();
        }
        for last in (1..sentences.len()).rev() {
            sentences.swap(last, random.below(last + 1));
        }
        Ok(Self {
            text,
            sentences,
            next: 0,
        })
    }

    fn at(&self, number: usize) -> &str {
        let (begin, end) = self.sentences.get(number).copied().unwrap_or_default();
        self.text.get(begin..end).unwrap_or_default()
    }

    /// The next sentence of at most `bytes_max` bytes, cut at a word where none is short enough.
    pub(super) fn sentence(&mut self, bytes_max: usize, random: &mut Random) -> String {
        let count = self.sentences.len();
        for _ in 0..50 {
            let number = self.next;
            self.next += 1;
            let one = self.at(number % count);
            if number < count {
                if one.len() <= bytes_max {
                    return one.to_owned();
                }
                continue;
            }
            let other = self.at(random.below(count));
            let made = [half(one).0, half(other).1].join(" ");
            if made.len() <= bytes_max {
                return made;
            }
        }
        let long = self.at(self.next % count);
        let cut = long
            .char_indices()
            .take_while(|(at, _)| *at < bytes_max)
            .filter(|(_, letter)| *letter == ' ')
            .last();
        long.get(..cut.map_or(0, |(at, _)| at))
            .unwrap_or_default()
            .to_owned()
    }

    /// A few words of a sentence, as a title has them.
    pub(super) fn title(&mut self, words_max: usize, random: &mut Random) -> String {
        let sentence = self.sentence(160, random);
        let words = 3 + random.below(words_max - 2);
        let words: Vec<&str> = sentence.split(' ').take(words).collect();
        words
            .join(" ")
            .trim_end_matches([',', '.', ':', ';'])
            .to_owned()
    }
}

/// Both halves of a sentence, cut between words.
fn half(sentence: &str) -> (&str, &str) {
    let middle = sentence.len() / 2;
    let space = sentence
        .char_indices()
        .find(|(at, letter)| *at >= middle && *letter == ' ');
    match space {
        Some((at, _)) => (&sentence[..at], &sentence[at + 1..]),
        None => (sentence, "."),
    }
}
