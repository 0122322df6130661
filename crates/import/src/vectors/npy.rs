//! The header of NumPy's format `.npy`: a magic number, a version, and a dictionary as Python writes it.
//!
//! There are crates that read these files; they hold a grammar of all Python literals, with a dozen packages behind
//! it, and reserve what the header says of its own length. A header of vectors has three entries.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::{Error, Result};

use super::element::Element;

pub(super) const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longest dictionary, in bytes; those of arrays of numbers have about 80.
pub(super) const HEADER_BYTES_MAX: usize = 64 << 10;
/// Bytes before the data of a file of ours: the data begin at a multiple of 64, as NumPy has it.
const WRITTEN_BYTES: usize = 128;

/// What an array of two axes is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) element: Element,
    pub(super) rows: u64,
    pub(super) dimension: usize,
}

/// Bytes of the length field that follows the version, and so where the dictionary begins.
pub(super) fn length_bytes(magic: [u8; 8]) -> Result<usize> {
    let [.., major, minor] = magic;
    if !magic.starts_with(MAGIC) {
        return Err(Error::invalid("the file does not begin as .npy files do"));
    }
    match (major, minor) {
        (1, 0) => Ok(2),
        (2 | 3, 0) => Ok(4),
        _ => Err(Error::invalid(format!(
            "format {major}.{minor} is none of 1.0, 2.0 and 3.0"
        ))),
    }
}

/// Reads the dictionary.
pub(super) fn parse(bytes: &[u8]) -> Result<Header> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::invalid("the header is no text"))?;
    let mut words = Words { rest: text };
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    words.expect('{')?;
    loop {
        if words.take('}') {
            break;
        }
        let key = words.text()?;
        words.expect(':')?;
        let is_new = match key {
            "descr" => descr.replace(words.descr()?).is_none(),
            "fortran_order" => fortran.replace(words.bool()?).is_none(),
            "shape" => shape.replace(words.shape()?).is_none(),
            other => {
                return Err(Error::invalid(format!(
                    "unknown entry `{other}` in the header"
                )));
            }
        };
        if !is_new {
            return Err(Error::invalid(format!(
                "entry `{key}` stands twice in the header"
            )));
        }
        if !words.take(',') {
            words.expect('}')?;
            break;
        }
    }
    if !words.rest.trim_ascii().is_empty() {
        return Err(Error::invalid(
            "something follows the dictionary in the header",
        ));
    }
    let missing = |name: &str| Error::invalid(format!("the header has no entry `{name}`"));
    let element = element_of(descr.ok_or_else(|| missing("descr"))?)?;
    let is_fortran = fortran.ok_or_else(|| missing("fortran_order"))?;
    let shape = shape.ok_or_else(|| missing("shape"))?;
    let [rows, dimension] = shape[..] else {
        return Err(Error::invalid(format!(
            "the array has {} axes, and vectors are rows of an array of two; `array.reshape(-1, dimension)` makes one",
            shape.len()
        )));
    };
    if is_fortran && rows > 1 && dimension > 1 {
        return Err(Error::invalid(
            "the array is stored column by column (Fortran order); save `numpy.ascontiguousarray(array)`",
        ));
    }
    let dimension = super::rows::check_dimension(i64::try_from(dimension).unwrap_or(i64::MAX))?;
    Ok(Header {
        element,
        rows,
        dimension,
    })
}

fn element_of(descr: &str) -> Result<Element> {
    Ok(match descr {
        "<f2" => Element::F16,
        "<f4" => Element::F32,
        "<f8" => Element::F64,
        "|i1" | "<i1" => Element::I8,
        "|u1" | "<u1" => Element::U8,
        "<i4" => Element::I32,
        _ => {
            return Err(Error::invalid(format!(
                "elements of type {descr:?} are none of f2, f4, f8, i1, u1, i4 in little-endian order; \
                 `array.astype('<f4')` makes them 32-bit floats"
            )));
        }
    })
}

fn descr_of(element: Element) -> &'static str {
    match element {
        Element::F16 => "<f2",
        Element::F32 => "<f4",
        Element::F64 => "<f8",
        Element::I8 => "|i1",
        Element::U8 => "|u1",
        Element::I32 => "<i4",
    }
}

/// Everything before the data, in format 1.0.
pub(super) fn written(header: Header) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    let dictionary = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({}, {}), }}",
        descr_of(header.element),
        header.rows,
        header.dimension
    );
    // 20 and 5 digits at most, so that there is always room.
    let length = WRITTEN_BYTES - bytes.len() - 2;
    bytes.extend(u16::try_from(length).unwrap_or_default().to_le_bytes());
    bytes.extend(dictionary.bytes());
    bytes.resize(WRITTEN_BYTES - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// A dictionary of Python, word by word. Nothing in it nests.
struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn take(&mut self, mark: char) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, mark: char) -> Result<()> {
        if self.take(mark) {
            return Ok(());
        }
        let found: String = self.rest.chars().take(20).collect();
        Err(Error::invalid(format!(
            "the header is no dictionary of an array: expected `{mark}`, found {found:?}"
        )))
    }

    /// A text in quotes; those of a header have no escapes.
    fn text(&mut self) -> Result<&'a str> {
        let quote = if self.take('"') {
            '"'
        } else {
            self.expect('\'')?;
            '\''
        };
        match self.rest.split_once(quote) {
            Some((text, rest)) => {
                self.rest = rest;
                Ok(text)
            }
            None => Err(Error::invalid("a text in the header is not closed")),
        }
    }

    fn descr(&mut self) -> Result<&'a str> {
        if self.take('[') {
            return Err(Error::invalid(
                "the array's elements are records, not numbers; save one of its fields, as two axes",
            ));
        }
        self.text()
    }

    fn word(&mut self) -> &'a str {
        self.skip_space();
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn bool(&mut self) -> Result<bool> {
        match self.word() {
            "True" => Ok(true),
            "False" => Ok(false),
            other => Err(Error::invalid(format!(
                "`fortran_order` in the header is {other:?}, neither True nor False"
            ))),
        }
    }

    fn shape(&mut self) -> Result<Vec<u64>> {
        /// NumPy has no more axes.
        const AXES_MAX: usize = 64;
        self.expect('(')?;
        let mut axes = Vec::new();
        while !self.take(')') {
            let word = self.word();
            // Python 2 wrote long numbers with a letter.
            let number = word.strip_suffix('L').unwrap_or(word).parse();
            let number =
                number.map_err(|_| Error::invalid(format!("{word:?} is no length of an axis")))?;
            axes.push(number);
            if axes.len() > AXES_MAX {
                return Err(Error::invalid("the array has too many axes"));
            }
            if !self.take(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(axes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_with_the_longest_numbers() {
        for element in Element::ALL {
            for (rows, dimension) in [(0, 1), (u64::MAX, 65_536)] {
                let header = Header {
                    element,
                    rows,
                    dimension,
                };
                let bytes = written(header);
                assert_eq!((bytes.len(), bytes[127]), (128, b'\n'));
                assert_eq!(parse(&bytes[10..]).unwrap(), header);
            }
        }
    }

    #[test]
    fn any_order_and_layout_of_the_entries() {
        let header = Header {
            element: Element::U8,
            rows: 60_000,
            dimension: 784,
        };
        for text in [
            "{'descr': '|u1', 'fortran_order': False, 'shape': (60000, 784), }  \n",
            "{\"shape\":(60000L,784L,),\"descr\":\"|u1\",\"fortran_order\":False}",
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap(), header);
        }
        let one = parse(b"{'descr': '<f4', 'fortran_order': True, 'shape': (1, 7)}").unwrap();
        assert_eq!((one.rows, one.dimension), (1, 7));
    }

    #[test]
    fn every_other_array_is_refused_with_what_to_do() {
        let refused = |text: &str, says: &str| {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.message().contains(says), "{text}: {error}");
        };
        let with = |descr: &str, fortran: &str, shape: &str| {
            format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}")
        };
        refused(&with("'<f4'", "True", "(2, 3)"), "numpy.ascontiguousarray");
        refused(&with("'>f4'", "False", "(2, 3)"), "astype");
        refused(&with("'<i8'", "False", "(2, 3)"), "astype");
        refused(&with("[('x', '<f4')]", "False", "(2,)"), "records");
        refused(&with("'<f4'", "False", "(2,)"), "1 axes");
        refused(&with("'<f4'", "False", "()"), "0 axes");
        refused(&with("'<f4'", "False", "(2, 3, 4)"), "3 axes");
        refused(&with("'<f4'", "False", "(2, 0)"), "dimension 0");
        refused(&with("'<f4'", "False", "(2, 65537)"), "65536");
        refused(&with("'<f4'", "False", "(2, -3)"), "no length");
        refused(&with("'<f4'", "no", "(2, 3)"), "neither True nor False");
        refused("{'descr': '<f4', 'shape': (2, 3)}", "fortran_order");
        refused("{'descr': '<f4', 'descr': '<f4'}", "twice");
        refused("{'other': 1}", "unknown entry");
        refused("{'descr': '<f4", "not closed");
        refused("[]", "expected `{`");
        refused(&(with("'<f4'", "False", "(2, 3)") + "x"), "follows");
        let many = format!("({})", "1,".repeat(100));
        refused(&with("'<f4'", "False", &many), "too many axes");
    }
}
