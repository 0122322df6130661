//! [`Element`]: the types of numbers that files of vectors have, and what becomes of each.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::fmt;

use common::{Error, Result};
use half::f16;

/// Types of a vector's elements in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 16-bit floats.
    F16,
    /// 32-bit floats.
    F32,
    /// 64-bit floats.
    F64,
    /// Signed bytes.
    I8,
    /// Bytes.
    U8,
    /// Signed 32-bit integers.
    I32,
}

impl Element {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::F16,
        Self::F32,
        Self::F64,
        Self::I8,
        Self::U8,
        Self::I32,
    ];

    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::F16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 => 8,
        }
    }

    /// Its name, as [`Element::named`] takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::I8 => "i8",
            Self::U8 => "u8",
            Self::I32 => "i32",
        }
    }

    /// The element of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|element| element.name() == name)
    }

    /// Reads little-endian elements as 32-bit floats.
    pub(super) fn decode(self, bytes: &[u8], vector: &mut Vec<f32>) -> Result<()> {
        match self {
            Self::F16 => narrow(each(bytes, f16::from_le_bytes), vector),
            Self::F32 => narrow(each(bytes, f32::from_le_bytes), vector),
            Self::F64 => narrow(each(bytes, f64::from_le_bytes), vector),
            Self::I8 => narrow(each(bytes, i8::from_le_bytes), vector),
            Self::U8 => narrow(each(bytes, u8::from_le_bytes), vector),
            Self::I32 => narrow(each(bytes, i32::from_le_bytes), vector),
        }
    }

    /// Reads little-endian integers.
    pub(super) fn decode_ints(self, bytes: &[u8], ints: &mut Vec<i32>) -> Result<()> {
        ints.clear();
        match self {
            Self::I8 => ints.extend(each(bytes, i8::from_le_bytes).map(i32::from)),
            Self::U8 => ints.extend(each(bytes, u8::from_le_bytes).map(i32::from)),
            Self::I32 => ints.extend(each(bytes, i32::from_le_bytes)),
            Self::F16 | Self::F32 | Self::F64 => {
                return Err(Error::invalid(format!(
                    "the elements are {self}, which are no integers"
                )));
            }
        }
        Ok(())
    }

    /// Appends a vector as little-endian elements.
    pub(super) fn encode(self, vector: &[f32], bytes: &mut Vec<u8>) -> Result<()> {
        for (at, value) in vector.iter().enumerate() {
            let value = *value;
            let failed =
                || Error::invalid(format!("{value} is no {self}")).at(format!("element {at}"));
            if !value.is_finite() {
                return Err(not_finite(value).at(format!("element {at}")));
            }
            match self {
                Self::F16 => {
                    let half = f16::from_f32(value);
                    if !half.is_finite() {
                        return Err(failed());
                    }
                    bytes.extend(half.to_le_bytes());
                }
                Self::F32 => bytes.extend(value.to_le_bytes()),
                Self::F64 => bytes.extend(f64::from(value).to_le_bytes()),
                Self::I8 => bytes.extend(
                    whole(value)
                        .and_then(|v| i8::try_from(v).ok())
                        .ok_or_else(failed)?
                        .to_le_bytes(),
                ),
                Self::U8 => bytes.extend(
                    whole(value)
                        .and_then(|v| u8::try_from(v).ok())
                        .ok_or_else(failed)?
                        .to_le_bytes(),
                ),
                Self::I32 => bytes.extend(
                    whole(value)
                        .and_then(|v| i32::try_from(v).ok())
                        .ok_or_else(failed)?
                        .to_le_bytes(),
                ),
            }
        }
        Ok(())
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn each<const N: usize, T>(
    bytes: &[u8],
    read: impl Fn([u8; N]) -> T,
) -> impl ExactSizeIterator<Item = T> {
    let (elements, _) = bytes.as_chunks::<N>();
    elements.iter().map(move |element| read(*element))
}

/// A number of a file that may become a 32-bit float.
pub(super) trait Narrow: Copy + fmt::Display {
    fn narrow(self) -> f32;

    /// Whether the float stands for the number.
    fn is_kept(self, narrow: f32) -> bool {
        narrow.is_finite()
    }
}

impl Narrow for f16 {
    fn narrow(self) -> f32 {
        self.to_f32()
    }
}

impl Narrow for f32 {
    fn narrow(self) -> f32 {
        self
    }
}

impl Narrow for f64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "to the nearest 32-bit float, by the format's promise"
    )]
    fn narrow(self) -> f32 {
        self as f32
    }
}

impl Narrow for i8 {
    fn narrow(self) -> f32 {
        self.into()
    }
}

impl Narrow for u8 {
    fn narrow(self) -> f32 {
        self.into()
    }
}

impl Narrow for i32 {
    #[expect(clippy::cast_precision_loss, reason = "checked by `is_kept`")]
    fn narrow(self) -> f32 {
        self as f32
    }

    fn is_kept(self, narrow: f32) -> bool {
        // A 64-bit float holds both exactly.
        f64::from(narrow).total_cmp(&f64::from(self)).is_eq()
    }
}

/// Numbers as 32-bit floats, in place of what `vector` holds.
pub(super) fn narrow<T: Narrow>(
    values: impl ExactSizeIterator<Item = T>,
    vector: &mut Vec<f32>,
) -> Result<()> {
    vector.clear();
    let mut bad = None;
    vector.extend(values.enumerate().map(|(at, value)| {
        let narrow = value.narrow();
        if !value.is_kept(narrow) && bad.is_none() {
            bad = Some((at, value));
        }
        narrow
    }));
    match bad {
        None => Ok(()),
        Some((at, value)) => Err(not_kept(value).at(format!("element {at}"))),
    }
}

fn not_kept<T: Narrow>(value: T) -> Error {
    let narrow = value.narrow();
    if narrow.is_finite() {
        Error::invalid(format!("{value} is not exactly a 32-bit float"))
    } else {
        not_finite(value)
    }
}

fn not_finite(value: impl fmt::Display) -> Error {
    Error::invalid(format!("{value} is no finite 32-bit float"))
}

/// The integer that a float is.
fn whole(value: f32) -> Option<i64> {
    common::utils::types::int_of_float(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_comes_back_and_says_what_it_cannot_hold() {
        let mut back = Vec::new();
        for element in Element::ALL {
            let vector = [0.0, 1.0, 100.0];
            let mut bytes = Vec::new();
            element.encode(&vector, &mut bytes).unwrap();
            assert_eq!(bytes.len(), 3 * element.bytes());
            element.decode(&bytes, &mut back).unwrap();
            assert_eq!(back, vector, "{element}");
            assert_eq!(Element::named(element.name()), Some(element));
        }
        for (element, value) in [
            (Element::F16, 1e5),
            (Element::F32, f32::NAN),
            (Element::F64, f32::INFINITY),
            (Element::I8, 128.0),
            (Element::U8, -1.0),
            (Element::U8, 0.5),
            (Element::I32, 3e9),
        ] {
            let error = element.encode(&[0.0, value], &mut Vec::new()).unwrap_err();
            assert!(error.message().starts_with("element 1: "), "{error}");
        }
    }

    #[test]
    fn what_no_float_holds_is_named() {
        let error = |element: Element, bytes: &[u8]| {
            let read = element.decode(bytes, &mut Vec::new());
            read.unwrap_err().message().to_owned()
        };
        assert_eq!(
            error(Element::I32, &16_777_217_i32.to_le_bytes()),
            "element 0: 16777217 is not exactly a 32-bit float"
        );
        assert_eq!(
            error(Element::F64, &1e300_f64.to_le_bytes())
                .split(": ")
                .next(),
            Some("element 0")
        );
        let mut bytes = 1.0_f32.to_le_bytes().to_vec();
        bytes.extend(f32::NAN.to_le_bytes());
        assert_eq!(
            error(Element::F32, &bytes),
            "element 1: NaN is no finite 32-bit float"
        );
        let mut rounded = Vec::new();
        Element::F64
            .decode(&0.1_f64.to_le_bytes(), &mut rounded)
            .unwrap();
        assert_eq!(rounded, [0.1_f32]);
    }
}
