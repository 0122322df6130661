//! How far two vectors are from each other.

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod bits;
mod bytes;
mod double;
mod kernels;
mod level;
mod metric;
mod prefetch;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
mod rows;
pub mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use bits::distance as bit_distance;
pub(crate) use bytes::{ByteKernel, byte_kernel};
pub use double::{DoubleMetric, dot, magnitude, similarity};
pub(crate) use double::{Length, similar};
pub(crate) use kernels::RowKernels;
pub use metric::{Metric, PreparedVector};
pub(crate) use prefetch::prefetch;
