//! [`Image`]: the parts of a table and its index by name, on their way to a file or from one.

use std::collections::BTreeMap;

use bytemuck::Pod;
use common::{Error, ErrorKind, Result};
use durable::{PageImage, PageSection, PageSource, StoredPage};

use super::pages::Pages;
use super::rows::{LINE_BYTES, Line, Rows};

/// Parts to be saved. Pages that did not change since they were last saved or read are known to the file.
#[derive(Debug, Default)]
pub(crate) struct Image {
    parts: Vec<(String, Pages)>,
    /// Stands before the names of parts.
    prefix: String,
}

impl Image {
    /// Parts that come from now on have this before their names.
    pub(crate) fn under(&mut self, prefix: String) {
        self.prefix = prefix;
    }

    /// Adds pages.
    pub(crate) fn put(&mut self, name: impl AsRef<str>, pages: &Pages) {
        let name = format!("{}{}", self.prefix, name.as_ref());
        self.parts.push((name, pages.clone()));
    }

    /// Adds a few values; how many is for the caller to keep.
    pub(crate) fn put_values<T: Pod>(&mut self, name: impl AsRef<str>, values: &[T]) {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let lines = bytes.len().div_ceil(LINE_BYTES);
        let mut pages = Pages::new(lines);
        if lines > 0 {
            let (page, _) = pages.page_mut(0);
            let page: &mut [u8] = bytemuck::cast_slice_mut(page);
            for (place, byte) in page.iter_mut().zip(bytes) {
                *place = *byte;
            }
        }
        self.put(name, &pages);
    }

    /// What a file takes.
    pub(crate) fn sections(&self) -> Vec<PageSection<'_>> {
        let parts = self.parts.iter();
        parts
            .map(|(name, pages)| pages.section(name.clone()))
            .collect()
    }
}

/// Parts of a file, each to be taken once.
#[derive(Debug)]
pub(crate) struct StoredParts {
    parts: BTreeMap<String, Vec<StoredPage>>,
    prefix: String,
    source: PageSource,
}

impl StoredParts {
    /// The parts of a file.
    pub(crate) fn new(image: PageImage) -> Self {
        let sections = image.sections.into_iter();
        Self {
            parts: sections
                .map(|section| (section.name, section.pages))
                .collect(),
            prefix: String::new(),
            source: image.source,
        }
    }

    /// Parts that are taken from now on have this before their names.
    pub(crate) fn under(&mut self, prefix: String) {
        self.prefix = prefix;
    }

    /// Tells whether a page was found damaged.
    pub(crate) fn source(&self) -> &PageSource {
        &self.source
    }

    /// A part in pages of this many lines.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if there is none such.
    pub(crate) fn pages(&mut self, name: &str, page_len: usize) -> Result<Pages> {
        Pages::stored(page_len, self.take(name)?).ok_or_else(|| wrong(name))
    }

    /// Rows like those of an empty table, with room for so many.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if there are none such.
    pub(crate) fn rows(&mut self, name: &str, like: &Rows, count: usize) -> Result<Rows> {
        like.stored(self.take(name)?)
            .filter(|rows| rows.capacity() >= count)
            .ok_or_else(|| wrong(name))
    }

    /// The values of a part that has so many.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it has not.
    pub(crate) fn values<T: Pod>(&mut self, name: &str, count: usize) -> Result<Vec<T>> {
        let pages = self.take(name)?;
        let wanted = count
            .checked_mul(size_of::<T>())
            .ok_or_else(|| wrong(name))?;
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let page = pages.first().ok_or_else(|| wrong(name))?;
        let Some(bytes) = page.get() else {
            self.source.check()?;
            return Err(wrong(name));
        };
        let lines: &[Line] = bytemuck::try_cast_slice(bytes).map_err(|_| wrong(name))?;
        let values: &[T] = bytemuck::cast_slice(lines);
        Ok(values.get(..count).ok_or_else(|| wrong(name))?.to_vec())
    }

    fn take(&mut self, name: &str) -> Result<Vec<StoredPage>> {
        let name = format!("{}{name}", self.prefix);
        self.parts
            .remove(&name)
            .ok_or_else(|| corrupt(format!("part `{name}` is missing")))
    }
}

fn wrong(name: &str) -> Error {
    corrupt(format!(
        "part `{name}` has not the size that it should have"
    ))
}

/// A file whose bytes are as they were written, and make no sense.
pub(crate) fn corrupt(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, what)
}
