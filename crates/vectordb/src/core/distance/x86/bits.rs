//! Kernels over rows of bits: the plain ones, compiled for the counting instructions of each level.

use super::{Avx2, Avx512, Vnni, entry};
use crate::core::Line;
use crate::core::distance::bits::{self, BitKernels};
use crate::core::distance::kernels::RowKernels;

/// Makes the kernels of one level from those in plain Rust.
macro_rules! level {
    ($(#[$doc:meta])* $name:ident, $proof:ty, $features:literal) => {
        $(#[$doc])*
        pub(in super::super) fn $name(_: $proof) -> BitKernels {
            macro_rules! compiled {
                ($entry:ident = $inner:ident, $plain:path, ($a:ident: $of_a:ty, $b:ident: $of_b:ty) -> $result:ty) => {
                    #[target_feature(enable = $features)]
                    fn $inner($a: $of_a, $b: $of_b) -> $result {
                        $plain($a, $b)
                    }
                    entry!($entry = $inner, ($a: $of_a, $b: $of_b) -> $result);
                };
            }
            macro_rules! tiled {
                ($entry:ident = $inner:ident, $four:path) => {
                    #[target_feature(enable = $features)]
                    fn $inner(queries: [&[Line]; 4], rows: [&[Line]; 4]) -> [[f32; 4]; 4] {
                        let [a, b, c, d] = queries;
                        [$four(a, rows), $four(b, rows), $four(c, rows), $four(d, rows)]
                    }
                    entry!($entry = $inner, (queries: [&[Line]; 4], rows: [&[Line]; 4]) -> [[f32; 4]; 4]);
                };
            }
            compiled!(hamming = hamming_in, bits::hamming, (a: &[Line], b: &[Line]) -> f32);
            compiled!(hammings = hammings_in, bits::hamming_four, (a: &[Line], b: [&[Line]; 4]) -> [f32; 4]);
            tiled!(hamming_tile = hamming_tile_in, bits::hamming_four);
            compiled!(jaccard = jaccard_in, bits::jaccard, (a: &[Line], b: &[Line]) -> f32);
            compiled!(jaccards = jaccards_in, bits::jaccard_four, (a: &[Line], b: [&[Line]; 4]) -> [f32; 4]);
            tiled!(jaccard_tile = jaccard_tile_in, bits::jaccard_four);
            compiled!(differing = differing_in, bits::differing, (a: &[Line], b: &[Line]) -> u32);
            compiled!(steps = steps_in, bits::jaccard_steps, (a: &[Line], b: &[Line]) -> u32);
            BitKernels {
                hamming: RowKernels {
                    one: hamming,
                    four: hammings,
                    tile: hamming_tile,
                },
                jaccard: RowKernels {
                    one: jaccard,
                    four: jaccards,
                    tile: jaccard_tile,
                },
                hamming_codes: differing,
                jaccard_codes: steps,
            }
        }
    };
}

level! {
    /// The kernels for AVX2.
    avx2, Avx2, "avx2,popcnt"
}
level! {
    /// The kernels for AVX-512.
    avx512, Avx512, "avx512f,avx512bw,avx512vl,avx2,popcnt"
}
level! {
    /// The kernels for AVX-512 with VPOPCNTDQ.
    vnni, Vnni, "avx512f,avx512bw,avx512vl,avx512vpopcntdq,avx2,popcnt"
}
