//! What the SDKs of `GrowthBook` compute, so that assignments agree with theirs: FNV-1a with 32 bits over UTF-16 code
//! units, bucket ranges and namespaces.

/// Where FNV-1a begins.
pub(super) const FNV_BASIS: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;
/// Weights whose sum lies outside are replaced with equal ones.
const WEIGHT_SUM: std::ops::RangeInclusive<f64> = 0.99..=1.01;

/// Goes on with a hash over the UTF-16 code units of `text`.
#[inline]
pub(super) fn fnv1a32_on(hash: u32, text: &str) -> u32 {
    if text.is_ascii() {
        text.bytes().fold(hash, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(FNV_PRIME)
        })
    } else {
        text.encode_utf16().fold(hash, |hash, unit| {
            (hash ^ u32::from(unit)).wrapping_mul(FNV_PRIME)
        })
    }
}

/// The hash of a number's decimal digits.
#[inline]
pub(super) fn fnv1a32_of_decimal(mut number: u32) -> u32 {
    let mut digits = [0_u32; 10];
    let mut count = 0;
    for place in &mut digits {
        *place = u32::from(b'0') + number % 10;
        number /= 10;
        count += 1;
        if number == 0 {
            break;
        }
    }
    let digits = digits.iter().take(count).rev();
    digits.fold(FNV_BASIS, |hash, digit| {
        (hash ^ digit).wrapping_mul(FNV_PRIME)
    })
}

/// FNV-1a with 32 bits over the UTF-16 code units of a text.
///
/// ```
/// use vectordb::experiment::growthbook::fnv1a32;
/// assert_eq!(fnv1a32("a"), 0xe40c_292c);
/// ```
pub fn fnv1a32(text: &str) -> u32 {
    fnv1a32_on(FNV_BASIS, text)
}

/// The ranges of `[0, 1)` that variants have: each begins where the weights before it end, and `coverage` of its weight
/// is filled.
///
/// As the SDKs: coverage is clamped to 0..=1, and weights that are not one finite, non-negative number for each variant
/// with a sum close to 1 are replaced with equal ones. Sums are formed in the same order, so that bounds are equal to
/// the last bit.
///
/// ```
/// use vectordb::experiment::growthbook::bucket_ranges;
/// assert_eq!(bucket_ranges(2, 0.5, None), [[0.0, 0.25], [0.5, 0.75]]);
/// ```
#[expect(clippy::cast_precision_loss, reason = "there are few variants")]
pub fn bucket_ranges(variants: usize, coverage: f64, weights: Option<&[f64]>) -> Vec<[f64; 2]> {
    let coverage = coverage.clamp(0.0, 1.0);
    let is_usable = |weights: &&[f64]| {
        weights.len() == variants
            && weights.iter().all(|w| w.is_finite() && *w >= 0.0)
            && WEIGHT_SUM.contains(&weights.iter().sum())
    };
    let equal = || vec![1.0 / variants as f64; variants];
    let weights = weights
        .filter(is_usable)
        .map_or_else(equal, <[f64]>::to_vec);
    let mut end = 0.0;
    let range = |weight: f64| {
        let start = end;
        end += weight;
        [start, start + coverage * weight]
    };
    weights.into_iter().map(range).collect()
}

/// Whether a unit is in the part `from..to` of a namespace.
///
/// ```
/// use vectordb::experiment::growthbook::in_namespace;
/// assert!(in_namespace("user-1", "checkout", 0.0, 1.0));
/// assert!(!in_namespace("user-1", "checkout", 0.0, 0.0));
/// ```
pub fn in_namespace(unit: &str, namespace: &str, from: f64, to: f64) -> bool {
    let hash = fnv1a32_on(fnv1a32_on(fnv1a32(unit), "__"), namespace);
    let point = f64::from(hash % 1_000) / 1_000.0;
    from <= point && point < to
}
