//! Vectors as records hold them, and as tables take them.

use std::borrow::Cow;

use common::limits::VECTOR_DIMENSION_MAX;
use common::{Error, Result, Vector, VectorElement};

use super::distance::Metric;
use super::precision::Precision;
use super::rows::{LINE_BYTES, Line};

impl Metric {
    /// What the elements of a column are whose vectors are compared so: [`VectorElement::Binary`] for metrics that
    /// compare bits, [`VectorElement::F32`] for all others.
    pub const fn element(self) -> VectorElement {
        if self.compares_bits() {
            VectorElement::Binary
        } else {
            VectorElement::F32
        }
    }

    /// A vector of at most [`VECTOR_DIMENSION_MAX`] elements for such a column:
    /// where bits are compared, 1 for each element above zero.
    pub(crate) fn column_value(self, vector: Vec<f32>) -> Result<Vector> {
        if !self.compares_bits() {
            return Ok(Vector::from(vector));
        }
        let mut row = vec![Line::default(); Precision::Bits.row_bytes(vector.len()) / LINE_BYTES];
        Precision::Bits.encode(&vector, &mut row);
        let bits: &[u8] = bytemuck::cast_slice(&row);
        let bits = bits.get(..vector.len().div_ceil(8)).unwrap_or_default();
        Vector::binary(u32::try_from(vector.len()).unwrap_or(u32::MAX), bits)
    }
}

/// Checks the dimension of vectors that are to be indexed.
///
/// # Errors
/// [`common::ErrorKind::Invalid`] for 0, [`common::ErrorKind::LimitExceeded`] above [`VECTOR_DIMENSION_MAX`].
pub(crate) fn check_dimension(dimension: usize) -> Result<()> {
    match dimension {
        0 => Err(Error::invalid("a vector has at least one dimension")),
        1..=VECTOR_DIMENSION_MAX => Ok(()),
        _ => Err(Error::limit_exceeded(format!(
            "a vector has at most {VECTOR_DIMENSION_MAX} dimensions, not {dimension}"
        ))),
    }
}

/// The elements of a dense vector as 32-bit floats, bits as 0 and 1; none of a sparse one.
pub(crate) fn floats(vector: &Vector) -> Option<Cow<'_, [f32]>> {
    match vector {
        Vector::F32(values) => Some(Cow::Borrowed(values)),
        Vector::F16(values) => Some(values.iter().map(|v| v.to_f32()).collect()),
        Vector::I8(values) => Some(values.iter().map(|v| f32::from(*v)).collect()),
        Vector::Binary { dimension, bits } => {
            let bits = bits
                .iter()
                .flat_map(|byte| (0..8).map(move |at| byte >> at & 1));
            let floats = bits.map(f32::from).take(*dimension as usize);
            Some(floats.collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_go_into_a_column_and_come_back() {
        for dimension in [1, 8, 9, 700, 65_536] {
            let vector: Vec<f32> = (0..dimension)
                .map(|i: u32| if i % 3 == 1 { 1.0 } else { 0.0 })
                .collect();
            let value = Metric::Hamming.column_value(vector.clone()).unwrap();
            assert_eq!(value.element(), Metric::Hamming.element());
            assert_eq!(floats(&value).as_deref(), Some(&vector[..]));
        }
        let value = Metric::Dot.column_value(vec![0.5, -3.0]).unwrap();
        assert_eq!(value.element(), Metric::Dot.element());
        assert_eq!(floats(&value).as_deref(), Some(&[0.5, -3.0][..]));
        let bytes = Vector::I8([-3, 5].into());
        assert_eq!(floats(&bytes).as_deref(), Some(&[-3.0, 5.0][..]));
        let sparse = Vector::sparse(3, [1], [0.5]).unwrap();
        assert_eq!(floats(&sparse), None);
    }
}
