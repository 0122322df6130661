//! [`Precision`]: how the elements of stored vectors are kept.

use common::{Error, Result};
use half::f16;
use half::slice::HalfFloatSliceExt;
use serde::{Deserialize, Serialize};

use super::rows::{LINE_BYTES, Line};

/// Bytes of the scale at the end of a row of bytes.
pub(crate) const SCALE_BYTES: usize = size_of::<f32>();

/// How the elements of stored vectors are kept, and with what error. Queries are always given as 32-bit floats.
///
/// Names are stable: they are stored with collections.
///
/// ```
/// use vectordb::core::Precision;
/// assert_eq!(Precision::F16.row_bytes(784), 1_600);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Precision {
    /// 32-bit floats: 4 bytes for each element, and no error.
    #[default]
    F32,
    /// 16-bit floats: 2 bytes for each element. An element is off by at most 2^-11 of itself, or by 2^-25 if it
    /// is below 2^-14 in magnitude; none is above 65,504.
    F16,
    /// Signed bytes times a scale of the row: 1 byte for each element and 4 for the scale. An element is off by
    /// at most 1/254 of the greatest of its vector; vectors of whole numbers from -127 to 127 are exact.
    I8,
    /// One bit for each element, packed as [`common::Vector::Binary`] is: 1 for what is above zero, 0 for all else. So
    /// vectors of zeros and ones are exact, and of others the sign is kept. For the metrics that compare bits.
    Bits,
}

impl Precision {
    /// All precisions.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::I8, Self::Bits];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I8 => "i8",
            Self::Bits => "bits",
        }
    }

    /// Bytes of a stored vector: whole cache lines.
    pub const fn row_bytes(self, dimension: usize) -> usize {
        let bytes = match self {
            Self::F32 => dimension.saturating_mul(size_of::<f32>()),
            Self::F16 => dimension.saturating_mul(size_of::<f16>()),
            Self::I8 => dimension.saturating_add(SCALE_BYTES),
            Self::Bits => dimension.div_ceil(8),
        };
        // Whole lines also of more bytes than there can be.
        match bytes.checked_next_multiple_of(LINE_BYTES) {
            Some(bytes) => bytes,
            None => usize::MAX - (LINE_BYTES - 1),
        }
    }

    /// Checks that a finite vector can be stored so.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when an element is above 65,504 in magnitude, where 16-bit floats end.
    pub fn check(self, vector: &[f32]) -> Result<()> {
        let most = f32::from(f16::MAX);
        match vector.iter().position(|v| v.abs() > most) {
            Some(at) if self == Self::F16 => Err(Error::invalid(format!(
                "element {at} of the vector is above {most} in magnitude, where 16-bit floats end; scale the \
                 vectors down or store them in another precision"
            ))),
            _ => Ok(()),
        }
    }

    /// Writes a vector into its row; what the row held before is gone. An element that is too large becomes the
    /// largest that there is.
    pub(crate) fn encode(self, vector: &[f32], row: &mut [Line]) {
        row.fill(Line::default());
        match self {
            Self::F32 => copy(vector, bytemuck::cast_slice_mut(row), |v| v),
            Self::F16 => {
                let most = f32::from(f16::MAX);
                copy(vector, bytemuck::cast_slice_mut::<_, u16>(row), |v| {
                    f16::from_f32(v.clamp(-most, most)).to_bits()
                });
            }
            Self::I8 => {
                let scale = scale(vector);
                copy(vector, bytemuck::cast_slice_mut(row), |v| code(v, scale));
                let last = row.last_mut().and_then(|line| line.0.last_chunk_mut());
                if let Some(place) = last {
                    *place = scale.to_le_bytes();
                }
            }
            Self::Bits => {
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(row);
                for (byte, values) in bytes.iter_mut().zip(vector.chunks(8)) {
                    let bits = values.iter().rev();
                    *byte = bits.fold(0, |byte, v| byte << 1 | u8::from(*v > 0.0));
                }
            }
        }
    }

    /// Reads a row back: as many elements as `vector` has, zeros beyond the row's dimension.
    pub(crate) fn decode(self, row: &[Line], dimension: usize, vector: &mut [f32]) {
        vector.fill(0.0);
        let vector = vector.get_mut(..dimension).unwrap_or_default();
        match self {
            Self::F32 => copy(bytemuck::cast_slice(row), vector, |v: f32| v),
            Self::F16 => {
                let row: &[u16] = bytemuck::cast_slice(row);
                let halves: &[f16] = bytemuck::cast_slice(row.get(..dimension).unwrap_or_default());
                if halves.len() == vector.len() {
                    halves.convert_to_f32_slice(vector);
                }
            }
            Self::I8 => {
                let scale = scale_of(row);
                copy(bytemuck::cast_slice(row), vector, |v: i8| {
                    f32::from(v) * scale
                });
            }
            Self::Bits => {
                let bytes: &[u8] = bytemuck::cast_slice(row);
                for (values, byte) in vector.chunks_mut(8).zip(bytes) {
                    for (at, value) in values.iter_mut().enumerate() {
                        *value = f32::from(byte >> at & 1);
                    }
                }
            }
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

fn copy<A: Copy, B>(from: &[A], to: &mut [B], convert: impl Fn(A) -> B) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = convert(*from);
    }
}

/// The scale at the end of a row of bytes.
#[inline]
pub(crate) fn scale_of(row: &[Line]) -> f32 {
    let last = row.last().and_then(|line| line.0.last_chunk());
    last.map_or(0.0, |bytes| f32::from_le_bytes(*bytes))
}

/// What the bytes of a vector are multiplied by.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounded to a 32-bit float, and then up where that is less"
)]
fn scale(vector: &[f32]) -> f32 {
    let most = vector.iter().fold(0.0, |most: f32, v| most.max(v.abs()));
    if most <= 127.0 && vector.iter().all(|v| v.fract() == 0.0) {
        return 1.0;
    }
    let exact = f64::from(most) / 127.0;
    let near = exact as f32;
    // Never below: the greatest element must still be within 127 steps, also where floats are coarse.
    if f64::from(near) < exact {
        near.next_up()
    } else {
        near
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the scale makes it at most 127 in magnitude"
)]
fn code(value: f32, scale: f32) -> i8 {
    // In 64 bits, for a quotient of 32-bit floats may round over the middle of two steps.
    (f64::from(value) / f64::from(scale)).round() as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(precision: Precision, vector: &[f32]) -> Vec<f32> {
        let lines = precision.row_bytes(vector.len()) / LINE_BYTES;
        let mut row = vec![Line([0xaa; LINE_BYTES]); lines];
        precision.encode(vector, &mut row);
        let mut back = vec![7.0; vector.len().next_multiple_of(16)];
        precision.decode(&row, vector.len(), &mut back);
        assert!(back[vector.len()..].iter().all(|v| v.to_bits() == 0));
        back.truncate(vector.len());
        back
    }

    #[test]
    fn errors_are_as_stated() {
        for dimension in [1, 2, 15, 60, 61, 64, 784] {
            for size in [
                1e-44_f32, 1e-39, 1e-20, 1e-5, 0.3, 1.0, 1e3, 6e4, 1e19, 1.7e38,
            ] {
                let vector: Vec<f32> = (0..dimension)
                    .map(|i: u16| size * (f32::from(i) * 1.7 + 0.4).sin())
                    .collect();
                assert_eq!(round_trip(Precision::F32, &vector), vector);
                let most = vector.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
                let bound = f64::from(most) / 254.0 * 1.000_001;
                for (v, back) in vector.iter().zip(round_trip(Precision::I8, &vector)) {
                    let error = (f64::from(*v) - f64::from(back)).abs();
                    // Products of the smallest floats are rounded to one of them.
                    assert!(error <= bound + 1e-45, "{v} {back} {size}");
                }
                if Precision::F16.check(&vector).is_ok() {
                    for (v, back) in vector.iter().zip(round_trip(Precision::F16, &vector)) {
                        let bound = (v.abs() * 2.0_f32.powi(-11)).max(2.0_f32.powi(-25));
                        assert!((v - back).abs() <= bound, "{v} {back}");
                    }
                } else {
                    assert!(size > 6e4);
                    let back = round_trip(Precision::F16, &vector);
                    assert!(back.iter().all(|v| v.abs() <= 65_504.0));
                }
            }
        }
    }

    #[test]
    fn whole_numbers_of_a_byte_are_exact() {
        let vector: Vec<f32> = (-127_i8..=127).map(f32::from).collect();
        assert_eq!(round_trip(Precision::I8, &vector), vector);
        assert_eq!(round_trip(Precision::F16, &vector), vector);
        assert_eq!(round_trip(Precision::I8, &[100.0, -3.0]), [100.0, -3.0]);
        assert_eq!(round_trip(Precision::I8, &[0.0; 70]), [0.0; 70]);
    }

    #[test]
    fn bits_are_those_of_a_binary_vector() {
        let vector = [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, -0.5, 1e-45, 0.0];
        let ones = [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0];
        assert_eq!(round_trip(Precision::Bits, &vector), ones);
        let mut row = [Line::default()];
        Precision::Bits.encode(&vector, &mut row);
        assert_eq!(row[0].0[..3], [0b110, 0b10, 0]);
        let long: Vec<f32> = (0..1_000_u16).map(|i| f32::from(i % 3 % 2)).collect();
        assert_eq!(round_trip(Precision::Bits, &long), long);
    }

    #[test]
    fn names_are_stable() {
        for precision in Precision::ALL {
            let json = serde_json::to_string(&precision).expect("a name");
            assert_eq!(json, format!("\"{precision}\""));
        }
        assert_eq!(
            Precision::ALL.map(Precision::name),
            ["f32", "f16", "i8", "bits"]
        );
        assert_eq!(Precision::I8.row_bytes(60), 64);
        assert_eq!(Precision::I8.row_bytes(61), 128);
    }
}
