//! `like`: text against a pattern with `%` and `_`.

use super::open_escape;
use crate::core::base::{Text, Value};
use crate::error::Result;

/// A compiled pattern. Matching takes time proportional to text times pattern at worst, and no memory.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::operations::query) struct Pattern {
    parts: Box<[Item]>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Item {
    /// `%`
    AnyText,
    /// `_`
    AnyOne,
    /// The character itself.
    One(char),
}

impl Pattern {
    pub(super) fn new(pattern: &str) -> Result<Self> {
        let mut parts = Vec::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            parts.push(match c {
                '%' if parts.last() == Some(&Item::AnyText) => continue,
                '%' => Item::AnyText,
                '_' => Item::AnyOne,
                '\\' => Item::One(chars.next().ok_or_else(open_escape)?),
                c => Item::One(c),
            });
        }
        Ok(Self {
            parts: parts.into(),
        })
    }

    /// The text that alone matches, when there are no wildcards.
    pub(super) fn literal(&self) -> Option<Value> {
        let text = self.prefix();
        (text.chars().count() == self.parts.len()).then_some(Value::Text(text))
    }

    /// What every match begins with.
    pub(in crate::operations::query) fn prefix(&self) -> Text {
        let literal = self.parts.iter().map_while(|part| match part {
            Item::One(c) => Some(*c),
            _ => None,
        });
        Text::from(literal.collect::<String>())
    }

    /// Greedy with one point of return: only the last `%` can need another try.
    pub(super) fn matches(&self, text: &str) -> bool {
        let mut parts = self.parts.iter();
        let mut rest = text.chars();
        let mut retry = None;
        loop {
            let before = rest.clone();
            match (parts.next(), rest.next()) {
                (Some(Item::AnyText), _) => {
                    rest = before;
                    retry = Some((parts.clone(), rest.clone()));
                    continue;
                }
                (Some(Item::AnyOne), Some(_)) => continue,
                (Some(Item::One(c)), Some(found)) if *c == found => continue,
                (None, None) => return true,
                _ => {}
            }
            // Mismatch: let the last `%` take one character more.
            let Some((after, from)) = &mut retry else {
                return false;
            };
            if from.next().is_none() {
                return false;
            }
            parts = after.clone();
            rest = from.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, by recursion.
    fn naive(pattern: &[Item], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((Item::AnyText, rest)), _) => {
                (0..=text.len()).any(|skipped| naive(rest, &text[skipped..]))
            }
            (Some((Item::AnyOne, pattern)), Some((_, text))) => naive(pattern, text),
            (Some((Item::One(c), pattern)), Some((found, text))) => {
                c == found && naive(pattern, text)
            }
            _ => false,
        }
    }

    #[test]
    fn wildcards_and_escapes() {
        let check = |pattern: &str, text: &str| Pattern::new(pattern).unwrap().matches(text);
        assert!(check("O%u", "Oulu"));
        assert!(check("_ulu", "Åulu"));
        assert!(check("%", ""));
        assert!(check("100\\%", "100%"));
        assert!(!check("100\\%", "1000"));
        assert!(!check("o%", "Oulu"), "case counts");
        assert!(!check("", "a"));
        assert!(Pattern::new("a\\").is_err());
        assert_eq!(Pattern::new("a\\_b%c").unwrap().prefix(), "a_b");
        assert_eq!(
            Pattern::new("a\\_").unwrap().literal(),
            Some(Value::from("a_"))
        );
    }

    #[test]
    fn a_hostile_pattern_takes_no_exponential_time() {
        let pattern = Pattern::new(&"%a".repeat(500)).unwrap();
        assert!(!pattern.matches(&"a".repeat(499)));
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab%_]{0,8}", text in "[ab]{0,8}") {
            let pattern = Pattern::new(&pattern).unwrap();
            let chars: Vec<char> = text.chars().collect();
            prop_assert_eq!(pattern.matches(&text), naive(&pattern.parts, &chars));
        }
    }
}
