//! [`FeatureProfile`]: what the values of a feature are like, and [`Drift`]: how far they have moved from what they were.

use common::schema::FieldType;
use common::{Result, Text, Value};
use foldhash::HashMap;
use serde::Serialize;

use super::as_of::{AsOf, Status};
use super::view::FeatureView;
use crate::experiment::Moments;

/// Parts that the values of before are cut into, for the stability index.
const PARTS: usize = 10;
/// What counts for a part without a value, so that the index stays finite.
const SHARE_MIN: f64 = 1e-4;
/// Texts that a profile names.
const TEXTS_MAX: usize = 20;

/// What the values of one feature are like, over the entities that a read sees.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeatureProfile {
    /// Name of the feature.
    pub feature: Text,
    /// Entities with a value.
    pub present: usize,
    /// Entities whose last event has none.
    pub missing: usize,
    /// Entities whose last event is older than the time to live.
    pub expired: usize,
    /// Of numbers and times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numbers: Option<NumberProfile>,
    /// Of texts: the most frequent ones with how many entities have each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<(Text, usize)>,
}

/// What numbers are like. Times are in microseconds since 1970, days are counted from then.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct NumberProfile {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of a sample; none of fewer than two values.
    pub deviation: Option<f64>,
    /// Least value, quartiles and greatest value, as `NumPy`'s `quantile` gives them.
    pub quartiles: [f64; 5],
}

/// How far a feature has moved. Which measure says what is in `docs/features.md`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drift {
    /// Name of the feature.
    pub feature: Text,
    /// Population stability index: the sum of (q - p) ln(q / p) over the tenths of the values of before, or over the
    /// texts. Below 0.1 nothing has moved, above 0.25 a lot has, as the rule of thumb goes.
    pub stability: f64,
    /// Kolmogorov-Smirnov: the greatest distance of the two distribution functions; none of texts.
    pub distance: Option<f64>,
    /// Jensen-Shannon divergence in bits, 0 to 1; none of numbers.
    pub divergence: Option<f64>,
    /// By how many standard deviations of before the mean has moved; none of texts and of what was constant.
    pub shift: Option<f64>,
    /// Share of missing values before and now.
    pub missing: [f64; 2],
}

impl Drift {
    /// Whether the stability index says that the feature is no longer what it was (above 0.25).
    pub fn is_major(&self) -> bool {
        self.stability > 0.25
    }

    /// Compares numbers with what they were; NaN is a missing value.
    ///
    /// Cost: sorting both.
    ///
    /// ```
    /// use vectordb::feature::Drift;
    /// let before: Vec<f64> = (0..100).map(f64::from).collect();
    /// let now: Vec<f64> = before.iter().map(|x| x + 50.0).collect();
    /// let drift = Drift::of_numbers("x", &before, &now);
    /// assert_eq!(drift.distance, Some(0.5));
    /// assert!(drift.is_major());
    /// ```
    pub fn of_numbers(feature: impl Into<Text>, before: &[f64], now: &[f64]) -> Self {
        let [(old, old_missing), (new, new_missing)] = [before, now].map(sorted);
        let mut edges: Vec<f64> = (1..PARTS)
            .map(|part| quantile(&old, share(part, PARTS)))
            .collect();
        edges.dedup();
        let parts = |values: &[f64]| -> Vec<usize> {
            let ends = edges
                .iter()
                .map(|edge| values.partition_point(|x| x <= edge));
            let ends: Vec<usize> = ends.chain([values.len()]).collect();
            let starts = [0].into_iter().chain(ends.iter().copied());
            ends.iter()
                .zip(starts)
                .map(|(end, start)| end - start)
                .collect()
        };
        let both_there = !old.is_empty() && !new.is_empty();
        let (was, is) = (moments(&old), moments(&new));
        let deviation = was
            .variance()
            .map(f64::sqrt)
            .filter(|deviation| *deviation > 0.0);
        Self {
            feature: feature.into(),
            stability: stability(&parts(&old), &parts(&new)),
            distance: both_there.then(|| distance(&old, &new)),
            divergence: None,
            shift: deviation
                .filter(|_| both_there)
                .map(|deviation| (is.mean - was.mean) / deviation),
            missing: [old_missing, new_missing],
        }
    }

    /// Compares texts with what they were.
    pub fn of_texts(
        feature: impl Into<Text>,
        before: &[Option<&str>],
        now: &[Option<&str>],
    ) -> Self {
        let mut counts: HashMap<&str, [usize; 2]> = HashMap::default();
        for (side, texts) in [before, now].into_iter().enumerate() {
            for text in texts.iter().copied().flatten() {
                if let Some(count) = counts.entry(text).or_default().get_mut(side) {
                    *count += 1;
                }
            }
        }
        let (old, new): (Vec<usize>, Vec<usize>) =
            counts.values().map(|[old, new]| (*old, *new)).unzip();
        let missing = |texts: &[Option<&str>]| {
            share(
                texts.iter().filter(|text| text.is_none()).count(),
                texts.len(),
            )
        };
        Self {
            feature: feature.into(),
            stability: stability(&old, &new),
            distance: None,
            divergence: Some(divergence(&old, &new)),
            shift: None,
            missing: [missing(before), missing(now)],
        }
    }
}

impl FeatureView {
    /// What the values of every feature are like as of a time.
    ///
    /// Cost: a read of every entity, and sorting each feature.
    ///
    /// # Errors
    /// As [`FeatureView::get`].
    pub fn profile(&self, as_of: AsOf) -> Result<Vec<FeatureProfile>> {
        let (columns, expired) = self.columns_as_of(as_of)?;
        let features = self.definition().features.iter().zip(columns);
        let profiles = features.map(|(field, values)| {
            let missing = values.iter().filter(|value| value.is_null()).count();
            let numbers: Vec<f64> = values.iter().filter_map(number).collect();
            let mut texts: HashMap<&str, usize> = HashMap::default();
            for text in values.iter().filter_map(Value::as_text) {
                *texts.entry(text).or_default() += 1;
            }
            let mut texts: Vec<(Text, usize)> = texts
                .into_iter()
                .map(|(text, count)| (text.into(), count))
                .collect();
            texts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            texts.truncate(TEXTS_MAX);
            FeatureProfile {
                feature: field.name.clone(),
                present: values.len() - missing,
                missing,
                expired,
                numbers: (!numbers.is_empty()).then(|| number_profile(&numbers)),
                texts,
            }
        });
        Ok(profiles.collect())
    }

    /// How far every feature has moved between two times, over the entities that have a row at each.
    ///
    /// # Errors
    /// As [`FeatureView::get`].
    pub fn drift(&self, before: AsOf, now: AsOf) -> Result<Vec<Drift>> {
        let (old, _) = self.columns_as_of(before)?;
        let (new, _) = self.columns_as_of(now)?;
        let features = self.definition().features.iter().zip(old.iter().zip(&new));
        let drifts = features.map(|(field, (old, new))| {
            if field.ty == FieldType::Text {
                let old: Vec<Option<&str>> = old.iter().map(Value::as_text).collect();
                let new: Vec<Option<&str>> = new.iter().map(Value::as_text).collect();
                return Drift::of_texts(field.name.clone(), &old, &new);
            }
            let numbers = |values: &[Value]| -> Vec<f64> {
                values
                    .iter()
                    .map(|value| number(value).unwrap_or(f64::NAN))
                    .collect()
            };
            Drift::of_numbers(field.name.clone(), &numbers(old), &numbers(new))
        });
        Ok(drifts.collect())
    }

    /// The values of every feature of the entities that have a row as of a time, and how many entities' rows have expired.
    fn columns_as_of(&self, as_of: AsOf) -> Result<(Vec<Vec<Value>>, usize)> {
        let mut columns = vec![Vec::new(); self.definition().features.len()];
        let mut expired = 0;
        self.each_as_of(as_of, |status, values| match status {
            Status::Present => {
                for (column, value) in columns.iter_mut().zip(values) {
                    column.push(value);
                }
            }
            Status::Expired => expired += 1,
            Status::Missing | Status::Unknown | Status::Refused | Status::Unread => {}
        })?;
        Ok((columns, expired))
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "shares and profiles are rounded anyway"
)]
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(x) => Some(*x),
        Value::Int(x) => Some(*x as f64),
        Value::Bool(is) => Some(f64::from(u8::from(*is))),
        Value::Timestamp(at) => Some(at.0 as f64),
        Value::Date(day) => Some(f64::from(day.0)),
        _ => None,
    }
}

fn number_profile(numbers: &[f64]) -> NumberProfile {
    // Of values in order, so that the last digits do not follow from the order of entities.
    let (sorted, _) = sorted(numbers);
    let moments = moments(&sorted);
    NumberProfile {
        mean: moments.mean,
        deviation: moments.variance().map(f64::sqrt),
        quartiles: [0, 1, 2, 3, 4].map(|quarter| quantile(&sorted, share(quarter, 4))),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

fn moments(values: &[f64]) -> Moments {
    let mut moments = Moments::default();
    for value in values {
        moments.push(*value);
    }
    moments
}

/// The values that are there in order, and the share of those that are not.
fn sorted(values: &[f64]) -> (Vec<f64>, f64) {
    let mut there: Vec<f64> = values.iter().copied().filter(|x| !x.is_nan()).collect();
    there.sort_unstable_by(f64::total_cmp);
    let missing = share(values.len() - there.len(), values.len());
    (there, missing)
}

/// Between the two nearest values, as `NumPy` has it (method `linear`; Hyndman and Fan's seventh).
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place among values"
)]
fn quantile(sorted: &[f64], at: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = at * last as f64;
    let below = sorted.get(place as usize).copied().unwrap_or(f64::NAN);
    let above = sorted
        .get((place as usize + 1).min(last))
        .copied()
        .unwrap_or(f64::NAN);
    below + (above - below) * place.fract()
}

/// Of counts of the same parts.
fn stability(before: &[usize], now: &[usize]) -> f64 {
    let (old, new) = (before.iter().sum(), now.iter().sum());
    if old == 0 || new == 0 {
        return if old == new { 0.0 } else { f64::INFINITY };
    }
    let parts = before.iter().zip(now).map(|(before, now)| {
        let p = share(*before, old).max(SHARE_MIN);
        let q = share(*now, new).max(SHARE_MIN);
        (q - p) * (q / p).ln()
    });
    parts.sum()
}

/// Greatest distance of the distribution functions of two sorted samples.
fn distance(before: &[f64], now: &[f64]) -> f64 {
    let at = |values: &[f64], x: f64| share(values.partition_point(|y| *y <= x), values.len());
    let all = before.iter().chain(now);
    all.map(|x| (at(before, *x) - at(now, *x)).abs())
        .fold(0.0, f64::max)
}

fn divergence(before: &[usize], now: &[usize]) -> f64 {
    let (old, new) = (before.iter().sum(), now.iter().sum());
    if old == 0 || new == 0 {
        return if old == new { 0.0 } else { 1.0 };
    }
    let part = |p: f64, m: f64| if p > 0.0 { p * (p / m).log2() } else { 0.0 };
    let parts = before.iter().zip(now).map(|(before, now)| {
        let (p, q) = (share(*before, old), share(*now, new));
        let middle = f64::midpoint(p, q);
        f64::midpoint(part(p, middle), part(q, middle))
    });
    parts.sum::<f64>().clamp(0.0, 1.0)
}
