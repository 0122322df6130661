//! [`Text`]: the text of a value, in its own 24 bytes, shared, or in the record that it belongs to.
#![expect(
    unsafe_code,
    reason = "a text in a record points into the record's allocation"
)]

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Text as values hold it, in 24 bytes: up to 23 bytes of text inline, longer text shared by its clones.
///
/// In a [`crate::Record`], text of 24 to 256 bytes lies in the record's own allocation. There it is read like any
/// other; cloning it copies it out.
///
/// ```
/// use common::Text;
/// let name = Text::from("Oulu");
/// assert_eq!(name, "Oulu");
/// assert!(name.starts_with('O'));
/// ```
pub struct Text(Repr);

enum Repr {
    Own(SmolStr),
    Within(Within),
}

/// Where a text lies in the allocation of the record that holds it. Never leaves that record: cloning makes a
/// text of its own, and nobody gets a record's values but by shared reference.
struct Within {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the bytes are never written again once the record is made, and live as long as the record that holds
// this, wherever that goes.
unsafe impl Send for Within {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Within {}

impl Within {
    #[inline]
    const fn as_str(&self) -> &str {
        // SAFETY: whoever called `Text::within` promised that valid UTF-8 of this length stays there, unchanged,
        // as long as this value is reachable.
        unsafe {
            let bytes = std::slice::from_raw_parts(self.start.as_ptr(), self.len);
            std::str::from_utf8_unchecked(bytes)
        }
    }
}

impl Text {
    /// Longest text that needs no bytes beyond its own.
    pub(super) const INLINE_BYTES: usize = 23;

    /// A copy of a text.
    #[inline]
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Repr::Own(SmolStr::new(text)))
    }

    /// A text that lives as long as the program, whatever its length, without allocating.
    #[inline]
    pub const fn new_static(text: &'static str) -> Self {
        Self(Repr::Own(SmolStr::new_static(text)))
    }

    /// A text that lies elsewhere.
    ///
    /// # Safety
    /// At `start` there must be `len` bytes of UTF-8 that live, and are not written, as long as the result does.
    #[inline]
    pub(super) const unsafe fn within(start: NonNull<u8>, len: usize) -> Self {
        Self(Repr::Within(Within { start, len }))
    }

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Own(text) => text.as_str(),
            Repr::Within(text) => text.as_str(),
        }
    }

    /// Length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.as_str().len()
    }

    /// Whether there is no character.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.as_str().is_empty()
    }

    /// Whether the text has an allocation, its own or one it shares with its clones.
    #[inline]
    pub const fn is_heap_allocated(&self) -> bool {
        match &self.0 {
            Repr::Own(text) => text.is_heap_allocated(),
            Repr::Within(_) => false,
        }
    }

    /// Whether the text lies in a record.
    #[inline]
    pub(super) const fn is_within(&self) -> bool {
        matches!(self.0, Repr::Within(_))
    }
}

impl Clone for Text {
    #[inline]
    fn clone(&self) -> Self {
        match &self.0 {
            Repr::Own(text) => Self(Repr::Own(text.clone())),
            Repr::Within(text) => Self::new(text.as_str()),
        }
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::new_static("")
    }
}

impl Deref for Text {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq for Text {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Repr::Own(a), Repr::Own(b)) => a == b,
            _ => self.as_str() == other.as_str(),
        }
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

/// Hashes as `str` does.
impl Hash for Text {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

macro_rules! compare {
    ($($other:ty),*) => {$(
        impl PartialEq<$other> for Text {
            #[inline]
            fn eq(&self, other: &$other) -> bool {
                let other: &str = other.as_ref();
                self.as_str() == other
            }
        }

        impl PartialEq<Text> for $other {
            #[inline]
            fn eq(&self, other: &Text) -> bool {
                other == self
            }
        }
    )*};
}

compare!(str, &str, String, &String);

macro_rules! from {
    ($($source:ty),*) => {$(
        impl From<$source> for Text {
            #[inline]
            fn from(text: $source) -> Self {
                Self(Repr::Own(SmolStr::from(text)))
            }
        }
    )*};
}

from!(
    &str,
    &mut str,
    String,
    &String,
    Box<str>,
    Arc<str>,
    Cow<'_, str>,
    char
);

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.as_str().to_owned()
    }
}

impl From<Text> for Arc<str> {
    fn from(text: Text) -> Self {
        match text.0 {
            Repr::Own(text) => text.into(),
            Repr::Within(text) => Self::from(text.as_str()),
        }
    }
}

impl FromIterator<char> for Text {
    fn from_iter<I: IntoIterator<Item = char>>(chars: I) -> Self {
        Self(Repr::Own(SmolStr::from_iter(chars)))
    }
}

impl Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SmolStr::deserialize(deserializer).map(|text| Self(Repr::Own(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_24_bytes_wherever_it_lies() {
        assert_eq!(size_of::<Text>(), 24);
        assert_eq!(size_of::<Option<Text>>(), 24);
    }

    #[test]
    fn a_clone_of_a_text_elsewhere_stands_alone() {
        let bytes = String::from("somewhere else, for a while only");
        let start = NonNull::from(bytes.as_bytes()).cast();
        // SAFETY: `bytes` outlives `text`, and is not written.
        let text = unsafe { Text::within(start, bytes.len()) };
        assert_eq!(text, bytes);
        assert!(text.is_within() && !text.is_heap_allocated());
        let copy = text.clone();
        assert_eq!(copy, text);
        drop(text);
        drop(bytes);
        assert_eq!(copy, "somewhere else, for a while only");
        assert!(!copy.is_within());
    }

    #[test]
    fn texts_compare_and_hash_as_their_str() {
        use std::hash::BuildHasher;
        let state = foldhash::fast::FixedState::default();
        let long = "x".repeat(40);
        for text in ["", "a", long.as_str()] {
            assert_eq!(state.hash_one(Text::from(text)), state.hash_one(text));
            assert_eq!(Text::from(text).cmp(&Text::from("a")), text.cmp("a"));
        }
    }
}
