//! [`Vector`]: numbers for nearest-neighbour search, as a cell of a record.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use half::f16;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits::VECTOR_DIMENSION_MAX;

/// What one element of a vector is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
#[non_exhaustive]
pub enum VectorElement {
    /// 32-bit floats.
    F32 = 0,
    /// 16-bit floats.
    F16 = 1,
    /// Signed bytes.
    I8 = 2,
    /// Single bits, packed eight to a byte, lowest bit first.
    Binary = 3,
    /// Pairs of a position and a 32-bit float; all other positions are zero.
    Sparse = 4,
}

/// A vector of one element type; its dimension is at most
/// [`VECTOR_DIMENSION_MAX`] for dense and binary vectors.
///
/// Construction through [`Vector::binary`] and [`Vector::sparse`] checks the invariants that the variants'
/// fields state; decoders use the same functions.
#[derive(Clone)]
#[non_exhaustive]
pub enum Vector {
    /// 32-bit floats.
    F32(Box<[f32]>),
    /// 16-bit floats.
    F16(Box<[f16]>),
    /// Signed bytes.
    I8(Box<[i8]>),
    /// Packed bits.
    Binary {
        /// Number of bits.
        dimension: u32,
        /// `dimension.div_ceil(8)` bytes, lowest bit first; unused bits are zero.
        bits: Box<[u8]>,
    },
    /// Non-zero elements only.
    Sparse {
        /// Number of positions, zeros included.
        dimension: u32,
        /// Positions, strictly ascending, all below `dimension`.
        indices: Box<[u32]>,
        /// One value for each position.
        values: Box<[f32]>,
    },
}

impl Vector {
    /// A binary vector of `dimension` bits from packed bytes, lowest bit first.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when the length does not fit the dimension or an unused bit is set;
    /// [`crate::ErrorKind::LimitExceeded`] above [`VECTOR_DIMENSION_MAX`].
    pub fn binary(dimension: u32, bits: impl Into<Box<[u8]>>) -> Result<Self> {
        let bits = bits.into();
        check_dimension(dimension as usize)?;
        if bits.len() != (dimension as usize).div_ceil(8) {
            return Err(Error::invalid(format!(
                "a binary vector of {dimension} bits takes {} bytes, got {}",
                dimension.div_ceil(8),
                bits.len()
            )));
        }
        if let (Some(last), used @ 1..) = (bits.last(), dimension % 8)
            && last >> used != 0
        {
            return Err(Error::invalid("unused bits of a binary vector are zero"));
        }
        Ok(Self::Binary { dimension, bits })
    }

    /// A sparse vector from positions and their values.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] unless the positions ascend strictly, lie below `dimension` and have one
    /// value each.
    pub fn sparse(
        dimension: u32,
        indices: impl Into<Box<[u32]>>,
        values: impl Into<Box<[f32]>>,
    ) -> Result<Self> {
        let (indices, values) = (indices.into(), values.into());
        if indices.len() != values.len() {
            return Err(Error::invalid(format!(
                "a sparse vector has one value for each position, got {} positions and {} values",
                indices.len(),
                values.len()
            )));
        }
        if !indices.is_sorted_by(|a, b| a < b) || indices.last().is_some_and(|&i| i >= dimension) {
            return Err(Error::invalid(format!(
                "positions of a sparse vector ascend strictly and lie below its dimension {dimension}"
            )));
        }
        Ok(Self::Sparse {
            dimension,
            indices,
            values,
        })
    }

    /// What the elements are.
    pub const fn element(&self) -> VectorElement {
        match self {
            Self::F32(_) => VectorElement::F32,
            Self::F16(_) => VectorElement::F16,
            Self::I8(_) => VectorElement::I8,
            Self::Binary { .. } => VectorElement::Binary,
            Self::Sparse { .. } => VectorElement::Sparse,
        }
    }

    /// Number of elements; for sparse vectors, zeros included.
    pub const fn dimension(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::I8(values) => values.len(),
            Self::Binary { dimension, .. } | Self::Sparse { dimension, .. } => *dimension as usize,
        }
    }

    /// The elements, if they are 32-bit floats.
    pub const fn as_f32(&self) -> Option<&[f32]> {
        match self {
            Self::F32(values) => Some(values),
            _ => None,
        }
    }

    /// Whether no element is NaN or infinite.
    pub fn is_finite(&self) -> bool {
        match self {
            Self::F32(values) | Self::Sparse { values, .. } => values.iter().all(|v| v.is_finite()),
            Self::F16(values) => values.iter().all(|v| v.is_finite()),
            Self::I8(_) | Self::Binary { .. } => true,
        }
    }

    /// Bytes of heap behind this vector.
    pub const fn heap_bytes(&self) -> usize {
        match self {
            Self::F32(values) => values.len() * 4,
            Self::F16(values) => values.len() * 2,
            Self::I8(values) => values.len(),
            Self::Binary { bits, .. } => bits.len(),
            Self::Sparse {
                indices, values, ..
            } => indices.len() * 4 + values.len() * 4,
        }
    }

    /// Elements as integers whose order and equality are total: floats by value, `-0.0` as `0.0`, one NaN.
    fn ordered_elements(&self) -> Box<dyn Iterator<Item = i64> + '_> {
        fn key(value: f32) -> i64 {
            let canonical = if value.is_nan() {
                f32::NAN
            } else if value == 0.0 {
                0.0
            } else {
                value
            };
            let bits = i64::from(canonical.to_bits());
            // Negative floats order backwards in their bits.
            if canonical.is_sign_negative() {
                -(bits & 0x7fff_ffff)
            } else {
                bits
            }
        }
        match self {
            Self::F32(values) => Box::new(values.iter().map(|v| key(*v))),
            Self::F16(values) => Box::new(values.iter().map(|v| key(v.to_f32()))),
            Self::I8(values) => Box::new(values.iter().map(|v| i64::from(*v))),
            Self::Binary { bits, .. } => Box::new(bits.iter().map(|v| i64::from(*v))),
            Self::Sparse {
                indices, values, ..
            } => Box::new(
                indices
                    .iter()
                    .zip(values)
                    .flat_map(|(i, v)| [i64::from(*i), key(*v)]),
            ),
        }
    }
}

/// Checks a dense or binary dimension against [`VECTOR_DIMENSION_MAX`].
///
/// # Errors
/// [`crate::ErrorKind::LimitExceeded`] above it.
pub fn check_dimension(dimension: usize) -> Result<()> {
    if dimension <= VECTOR_DIMENSION_MAX {
        Ok(())
    } else {
        Err(Error::limit_exceeded(format!(
            "a vector has at most {VECTOR_DIMENSION_MAX} dimensions, this one {dimension}"
        )))
    }
}

impl From<Vec<f32>> for Vector {
    fn from(values: Vec<f32>) -> Self {
        Self::F32(values.into())
    }
}

impl Ord for Vector {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.element(), self.dimension())
            .cmp(&(other.element(), other.dimension()))
            .then_with(|| self.ordered_elements().cmp(other.ordered_elements()))
    }
}

impl PartialOrd for Vector {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Vector {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Vector {}

impl Hash for Vector {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.element(), self.dimension()).hash(state);
        self.ordered_elements()
            .for_each(|element| element.hash(state));
    }
}

impl fmt::Debug for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}[{}]", self.element(), self.dimension())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_by_value() {
        let v = |x: f32| Vector::from(vec![x]);
        assert!(v(-2.0) < v(-1.0));
        assert!(v(-1.0) < v(0.0));
        assert_eq!(v(-0.0), v(0.0));
        assert!(v(f32::INFINITY) < v(f32::NAN));
        assert_eq!(v(-f32::NAN), v(f32::NAN));
    }

    #[test]
    fn invariants_are_checked() {
        assert!(Vector::binary(9, vec![0xff, 0x01]).is_ok());
        assert!(Vector::binary(9, vec![0xff, 0x02]).is_err());
        assert!(Vector::binary(9, vec![0xff]).is_err());
        assert!(Vector::binary(0, vec![]).is_ok());
        assert!(Vector::sparse(4, vec![1, 3], vec![0.5, 1.0]).is_ok());
        assert!(Vector::sparse(4, vec![3, 1], vec![0.5, 1.0]).is_err());
        assert!(Vector::sparse(4, vec![1, 4], vec![0.5, 1.0]).is_err());
        assert!(Vector::sparse(4, vec![1], vec![0.5, 1.0]).is_err());
        assert!(check_dimension(VECTOR_DIMENSION_MAX).is_ok());
        assert!(check_dimension(VECTOR_DIMENSION_MAX + 1).is_err());
    }
}
