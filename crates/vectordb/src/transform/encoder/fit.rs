//! [`EncoderFit`]: categories and how often they come, batch by batch.

use std::collections::BTreeMap;

use common::{Error, Result};

use super::{Categories, Encoder, Encoding, MissingText, Numbers, Unknown};

/// A fit of an [`Encoder`] that is still going on: batches come in one by one, and fits of parts are merged.
///
/// ```
/// use vectordb::transform::{EncoderFit, Encoding, MissingText, Unknown};
/// let mut monday = EncoderFit::new(MissingText::Refuse);
/// monday.partial_fit(&[Some("cafe"), Some("bank"), Some("cafe")])?;
/// let mut tuesday = EncoderFit::new(MissingText::Refuse);
/// tuesday.partial_fit(&[Some("cafe"), Some("zoo")])?;
/// monday.merge(&tuesday)?;
/// monday.forget_rare(2);
/// assert!(monday.counts().eq([("cafe", 3)]));
/// let encoder = monday.finish(Encoding::Ordinal, Unknown::Ignore)?;
/// assert_eq!(encoder.categories(), ["cafe"]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncoderFit {
    counts: BTreeMap<String, u64>,
    missing: MissingText,
}

impl EncoderFit {
    /// A fit that has seen no text.
    pub const fn new(missing: MissingText) -> Self {
        Self {
            counts: BTreeMap::new(),
            missing,
        }
    }

    /// The categories in order, with how often each was seen.
    pub fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        let counts = self.counts.iter();
        counts.map(|(category, count)| (category.as_str(), *count))
    }

    /// Takes in one batch of a column.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a missing text if those are refused, by row; nothing is changed then.
    pub fn partial_fit(&mut self, texts: &[Option<&str>]) -> Result<()> {
        self.check(texts)?;
        for text in texts.iter().flatten() {
            self.add(text, 1);
        }
        Ok(())
    }

    /// Whether it takes a batch.
    pub(in crate::transform) fn check(&self, texts: &[Option<&str>]) -> Result<()> {
        if let Some(row) = texts.iter().position(Option::is_none)
            && self.missing == MissingText::Refuse
        {
            return Err(Error::invalid(format!(
                "the text of row {row} is missing: say what becomes of missing texts"
            )));
        }
        Ok(())
    }

    /// Takes in what another fit of the same column has seen: exactly as one fit of all rows.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the other treats missing texts otherwise.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.missing != other.missing {
            return Err(Error::invalid(format!(
                "fits with {:?} and {:?} for missing texts cannot be merged",
                self.missing, other.missing
            )));
        }
        for (text, count) in &other.counts {
            self.add(text, *count);
        }
        Ok(())
    }

    /// Forgets categories that were seen less often than `least` times: to an encoder they are unknown then.
    pub fn forget_rare(&mut self, least: u64) {
        self.counts.retain(|_, count| *count >= least);
    }

    /// The encoder that follows from everything seen so far; the fit may go on after it.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for no category; [`common::ErrorKind::LimitExceeded`] above
    /// [`CATEGORIES_MAX`](super::CATEGORIES_MAX).
    pub fn finish(&self, encoding: Encoding, unknown: Unknown) -> Result<Encoder> {
        let numbers = match encoding {
            Encoding::OneHot => Numbers::OneHot,
            Encoding::Ordinal => Numbers::Ordinal,
        };
        Encoder {
            categories: self.categories(),
            numbers,
            unknown,
            missing: self.missing,
        }
        .checked()
    }

    pub(super) fn categories(&self) -> Categories {
        Categories::from(self.counts.keys().cloned().collect::<Vec<_>>())
    }

    fn add(&mut self, text: &str, count: u64) {
        match self.counts.get_mut(text) {
            Some(seen) => *seen += count,
            None => {
                self.counts.insert(text.to_owned(), count);
            }
        }
    }
}
