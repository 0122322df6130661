//! [`Codes`] to a file and back.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::sync::Arc;

use common::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Codes, LIFT_BYTES_MIN, Lift, Range};
use crate::core::distance::{Metric, byte_kernel};
use crate::core::image::{Image, StoredParts, corrupt};
use crate::core::{LINE_BYTES, Precision, Rows};

/// What a file says of codes beside their pages. Floats are their bits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CodesMeta {
    /// None where codes are bits.
    range: Option<RangeMeta>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct RangeMeta {
    per_unit: u32,
    lift: Option<LiftMeta>,
    /// None in files of before it was known: any vector is taken for one that fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outside: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct LiftMeta {
    norm_squared: u64,
    dimensions: usize,
}

impl Codes {
    pub(crate) fn save(&self, image: &mut Image) -> CodesMeta {
        image.put("codes/rows", self.rows.lines());
        CodesMeta {
            range: self.range.as_ref().map(|range| {
                image.put_values("codes/offsets", &range.offsets);
                RangeMeta {
                    per_unit: range.per_unit.to_bits(),
                    lift: range.lift.as_ref().map(|lift| LiftMeta {
                        norm_squared: lift.norm_squared.to_bits(),
                        dimensions: lift.dimensions,
                    }),
                    outside: Some(range.outside.to_bits()),
                }
            }),
        }
    }

    /// The codes of vectors of a dimension, with room for so many.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] for parts that do not belong together.
    pub(crate) fn load(
        meta: &CodesMeta,
        metric: Metric,
        dimension: usize,
        count: usize,
        parts: &mut StoredParts,
    ) -> Result<Self> {
        let (range, bytes) = match &meta.range {
            None if metric.compares_bits() => (None, Precision::Bits.row_bytes(dimension)),
            Some(range) if !metric.compares_bits() => {
                let range = Range::load(range, metric, dimension, parts)?;
                let bytes = range.offsets.len();
                (Some(Arc::new(range)), bytes)
            }
            _ => return Err(wrong()),
        };
        Ok(Self {
            kernel: byte_kernel(metric),
            rows: parts.rows("codes/rows", &Rows::new(bytes), count)?,
            range,
        })
    }
}

impl Range {
    fn load(
        meta: &RangeMeta,
        metric: Metric,
        dimension: usize,
        parts: &mut StoredParts,
    ) -> Result<Self> {
        let lift = meta.lift.as_ref().map(|lift| Lift {
            norm_squared: f64::from_bits(lift.norm_squared),
            dimensions: lift.dimensions,
        });
        let added = match (&lift, metric) {
            (Some(lift), Metric::Dot)
                if (1..=LINE_BYTES + LIFT_BYTES_MIN).contains(&lift.dimensions)
                    && lift.norm_squared >= 0.0 =>
            {
                lift.dimensions
            }
            (None, metric) if metric != Metric::Dot => 0,
            _ => return Err(wrong()),
        };
        let per_unit = f32::from_bits(meta.per_unit);
        if !(per_unit.is_finite() && per_unit > 0.0) {
            return Err(wrong());
        }
        let outside = meta.outside.map_or(f64::INFINITY, f64::from_bits);
        if outside.is_nan() {
            return Err(wrong());
        }
        Ok(Self {
            offsets: parts.values("codes/offsets", dimension + added)?,
            per_unit,
            lift,
            outside,
        })
    }
}

fn wrong() -> Error {
    corrupt("the codes of the vectors make no sense")
}
