//! [`Plan`]: an experiment compiled, which assigns units one at a time or many at once.

use common::query::Predicate;
use common::schema::Schema;
use common::{Error, Result, Text, Value};
use foldhash::HashMap;
use serde::{Deserialize, Serialize};

use super::definition::Experiment;
use super::hash::{Algorithm, Salted};

/// In a batch of assignments, a unit that gets no variant.
pub const NO_VARIANT: u8 = u8::MAX;

/// Why a unit got its variant, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The definition names the unit.
    Override,
    /// An earlier assignment was kept.
    Sticky,
    /// By its hash.
    Hash,
    /// It has no id.
    NoUnit,
    /// It is in a holdout.
    Holdout,
    /// It is in another part of the layer.
    Layer,
    /// Its attributes do not fit.
    Target,
    /// The experiment does not cover its bucket.
    Coverage,
}

/// Which variant a unit of a batch has, by number, and why.
///
/// ```
/// use vectordb::experiment::{Experiment, Holdout, NO_VARIANT, Reason};
/// let experiment = Experiment::new("button", ["grey", "green"]).holdout(Holdout::new("2026", 1.0));
/// let decisions = experiment.compile(None)?.decide_all([("user-1", []), ("", [])])?;
/// assert_eq!((decisions[0].variant, decisions[0].reason), (NO_VARIANT, Reason::Holdout));
/// assert_eq!(decisions[1].reason, Reason::NoUnit);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decision {
    /// The variant's number, or [`NO_VARIANT`].
    pub variant: u8,
    /// Why.
    pub reason: Reason,
}

/// Which variant a unit has, and how it came to that: what is stored to be kept.
///
/// ```
/// use vectordb::experiment::{Experiment, Reason};
/// let plan = Experiment::new("button", ["grey", "green"]).compile(None)?;
/// let assignment = plan.explain("user-1", &[], None)?;
/// assert_eq!(assignment.reason, Reason::Hash);
/// assert_eq!(assignment.algorithm.name(), "tandem-xxh3-v1");
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// The experiment's name.
    pub experiment: Text,
    /// Who.
    pub unit: Text,
    /// The variant's name; none if the unit does not take part.
    pub variant: Option<Text>,
    /// Why.
    pub reason: Reason,
    /// The salt that was hashed.
    pub salt: Text,
    /// How it was hashed.
    pub algorithm: Algorithm,
}

/// How assignments differ between two plans, as shares of all hashes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Change {
    /// Had no variant and gets one.
    pub enters: f64,
    /// Had a variant and gets none.
    pub leaves: f64,
    /// Gets another variant.
    pub moves: f64,
}

/// Hashes that lie in `from..to` of some hash.
#[derive(Debug, Clone)]
struct Part {
    hash: Salted,
    from: u32,
    to: u32,
}

impl Part {
    #[inline]
    fn holds(&self, unit: &str) -> bool {
        (self.from..self.to).contains(&self.hash.bucket(unit))
    }
}

/// An experiment compiled: what remains is a hash and a few comparisons of integers.
///
/// Cost: below 100 ns a unit without a layer, a holdout or a target; each of these adds its own hash or comparison.
///
/// ```
/// use vectordb::experiment::{Experiment, NO_VARIANT};
/// let experiment = Experiment::new("button", ["grey", "green"]).assign_unit("tester", "green");
/// let plan = experiment.compile(None)?;
/// assert_eq!(plan.assign("tester", &[])?, 1);
/// assert_eq!(plan.assign_all(&["tester", ""])?, [1, NO_VARIANT]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Plan {
    experiment: Experiment,
    hash: Salted,
    /// First buckets of intervals, from 0 on, and the variant of each.
    starts: Box<[u32]>,
    variants: Box<[u8]>,
    slice: Option<Part>,
    holdouts: Box<[Part]>,
    target: Option<(Predicate, usize)>,
    overrides: HashMap<Text, u8>,
}

/// The first bucket at or above a bound.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounds were checked to be in 0..=1"
)]
fn threshold(algorithm: Algorithm, bound: f64) -> u32 {
    let buckets = f64::from(algorithm.buckets());
    match algorithm {
        Algorithm::Xxh3 => (bound * buckets).round() as u32,
        // The SDKs compare `bucket / buckets` with the bound: so does this, once.
        Algorithm::GrowthbookV1 | Algorithm::GrowthbookV2 => {
            let mut first = (bound * buckets) as u32;
            first = first.saturating_sub(1);
            while first <= algorithm.buckets() && f64::from(first) / buckets < bound {
                first += 1;
            }
            first
        }
    }
}

impl Experiment {
    /// Checks the definition and compiles it; `attributes` are the columns that a target is about.
    ///
    /// # Errors
    /// As [`Experiment::check`]; [`common::ErrorKind::Invalid`] for a target without attributes, and as
    /// [`common::query::Filter::compile`] for one that does not fit them.
    pub fn compile(&self, attributes: Option<&Schema>) -> Result<Plan> {
        self.check()?;
        let algorithm = self.algorithm;
        let (starts, variants) = intervals(algorithm, &self.bounds());
        let target = match (&self.target, attributes) {
            (None, _) => None,
            (Some(filter), Some(schema)) => Some((filter.compile(schema)?, schema.fields.len())),
            (Some(_), None) => {
                return Err(Error::invalid(format!(
                    "experiment `{}` has a target: compile it with the schema of the attributes",
                    self.name
                )));
            }
        };
        let part = |algorithm, salt: &str, from, to| Part {
            hash: Salted::new(algorithm, salt),
            from: threshold(algorithm, from),
            to: threshold(algorithm, to),
        };
        let slice = self.slice.as_ref().map(|slice| match algorithm {
            Algorithm::Xxh3 => part(algorithm, &slice.layer, slice.from, slice.to),
            // A namespace is hashed by version 1 whatever the experiment is hashed by.
            Algorithm::GrowthbookV1 | Algorithm::GrowthbookV2 => {
                let salt = format!("__{}", slice.layer);
                part(Algorithm::GrowthbookV1, &salt, slice.from, slice.to)
            }
        });
        let holdouts = self.holdouts.iter();
        let overrides = self.overrides.iter().map(|(unit, variant)| {
            let number = self.variant(variant)?;
            Ok((unit.clone(), u8::try_from(number).unwrap_or(NO_VARIANT)))
        });
        Ok(Plan {
            hash: Salted::new(algorithm, self.salt_or_name()),
            starts,
            variants,
            slice,
            holdouts: holdouts
                .map(|holdout| part(algorithm, &holdout.name, 0.0, holdout.share))
                .collect(),
            target,
            overrides: overrides.collect::<Result<_>>()?,
            experiment: self.clone(),
        })
    }
}

/// Ranges that do not overlap as intervals that leave no gap.
fn intervals(algorithm: Algorithm, bounds: &[[f64; 2]]) -> (Box<[u32]>, Box<[u8]>) {
    let mut ranges: Vec<(u32, u32, u8)> = bounds
        .iter()
        .zip(0..)
        .map(|([from, to], variant)| {
            (
                threshold(algorithm, *from),
                threshold(algorithm, *to),
                variant,
            )
        })
        .filter(|(from, to, _)| from < to)
        .collect();
    ranges.sort_unstable();
    let mut all = vec![(0, NO_VARIANT)];
    for (from, to, variant) in ranges {
        // An empty interval before it is never found: the later of equal starts counts.
        all.push((from, variant));
        all.push((to, NO_VARIANT));
    }
    let (starts, variants): (Vec<u32>, Vec<u8>) = all.into_iter().unzip();
    (starts.into(), variants.into())
}

impl Plan {
    /// The experiment that was compiled.
    pub fn experiment(&self) -> &Experiment {
        &self.experiment
    }

    #[inline]
    fn variant_of(&self, bucket: u32) -> u8 {
        // Few intervals: counting them all takes less time than branches that are guessed wrong.
        let before = if self.starts.len() <= 16 {
            self.starts.iter().filter(|start| **start <= bucket).count()
        } else {
            self.starts.partition_point(|start| *start <= bucket)
        };
        let variant = self.variants.get(before.wrapping_sub(1));
        variant.copied().unwrap_or(NO_VARIANT)
    }

    #[inline]
    fn decide(&self, unit: &str, attributes: &[Value]) -> Decision {
        let out = |reason| Decision {
            variant: NO_VARIANT,
            reason,
        };
        if unit.is_empty() {
            return out(Reason::NoUnit);
        }
        if !self.overrides.is_empty()
            && let Some(variant) = self.overrides.get(unit)
        {
            return Decision {
                variant: *variant,
                reason: Reason::Override,
            };
        }
        if self.holdouts.iter().any(|holdout| holdout.holds(unit)) {
            return out(Reason::Holdout);
        }
        if self.slice.as_ref().is_some_and(|slice| !slice.holds(unit)) {
            return out(Reason::Layer);
        }
        if let Some((target, _)) = &self.target
            && !target.matches(attributes)
        {
            return out(Reason::Target);
        }
        match self.variant_of(self.hash.bucket(unit)) {
            NO_VARIANT => out(Reason::Coverage),
            variant => Decision {
                variant,
                reason: Reason::Hash,
            },
        }
    }

    fn check_attributes(&self, attributes: &[Value]) -> Result<()> {
        match &self.target {
            Some((_, columns)) if *columns != attributes.len() => Err(Error::invalid(format!(
                "experiment `{}` has a target over {columns} attributes, {} are given",
                self.experiment.name,
                attributes.len()
            ))),
            _ => Ok(()),
        }
    }

    /// The number of a unit's variant, or [`NO_VARIANT`]; `attributes` in the order of the schema's columns, and unread
    /// without a target.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when there is a target and not one attribute for each column.
    #[inline]
    pub fn assign(&self, unit: &str, attributes: &[Value]) -> Result<u8> {
        self.check_attributes(attributes)?;
        Ok(self.decide(unit, attributes).variant)
    }

    /// As [`Plan::assign`], with the reason, in the form that is stored. A `stored` assignment is kept while the
    /// experiment has its variant and the definition does not name the unit.
    ///
    /// # Errors
    /// As [`Plan::assign`]; [`common::ErrorKind::Invalid`] when the stored assignment is of another experiment or unit.
    pub fn explain(
        &self,
        unit: &str,
        attributes: &[Value],
        stored: Option<&Assignment>,
    ) -> Result<Assignment> {
        self.check_attributes(attributes)?;
        let experiment = &self.experiment;
        let new = |variant, reason| Assignment {
            experiment: experiment.name.clone(),
            unit: unit.into(),
            variant,
            reason,
            salt: experiment.salt_or_name().into(),
            algorithm: experiment.algorithm,
        };
        if let Some(stored) = stored {
            if stored.experiment != experiment.name || stored.unit != unit {
                return Err(Error::invalid(format!(
                    "the stored assignment is of unit `{}` in `{}`, not of `{unit}` in `{}`",
                    stored.unit, stored.experiment, experiment.name
                )));
            }
            if let Some(variant) = &stored.variant
                && experiment.variants.contains(variant)
                && !self.overrides.contains_key(unit)
            {
                return Ok(Assignment {
                    reason: Reason::Sticky,
                    ..stored.clone()
                });
            }
        }
        let decision = self.decide(unit, attributes);
        let name = experiment.variants.get(usize::from(decision.variant));
        Ok(new(name.cloned(), decision.reason))
    }

    /// The numbers of many units' variants, [`NO_VARIANT`] for those without one.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the experiment has a target: [`Plan::decide_all`] takes attributes.
    pub fn assign_all<U: AsRef<str>>(&self, units: &[U]) -> Result<Vec<u8>> {
        self.check_attributes(&[])?;
        let units = units.iter();
        Ok(units
            .map(|unit| self.decide(unit.as_ref(), &[]).variant)
            .collect())
    }

    /// As [`Plan::assign`] for a unit that is a number: hashed as its decimal digits, so that a number and its text are the
    /// same unit.
    ///
    /// # Errors
    /// As [`Plan::assign`].
    #[inline]
    pub fn assign_number(&self, unit: u64, attributes: &[Value]) -> Result<u8> {
        self.assign(decimal(unit, &mut [0; 20]), attributes)
    }

    /// As [`Plan::assign_all`] for units that are numbers, as in [`Plan::assign_number`].
    ///
    /// # Errors
    /// As [`Plan::assign_all`].
    pub fn assign_numbers(&self, units: &[u64]) -> Result<Vec<u8>> {
        self.check_attributes(&[])?;
        let mut digits = [0; 20];
        let units = units.iter();
        Ok(units
            .map(|unit| self.decide(decimal(*unit, &mut digits), &[]).variant)
            .collect())
    }

    /// Many units' variants with the reason of each, from units with their attributes as in [`Plan::assign`].
    ///
    /// ```
    /// use common::Value;
    /// use common::query::Filter;
    /// use common::schema::{Field, FieldType, Schema};
    /// use vectordb::experiment::{Experiment, Reason};
    /// let schema = Schema::build("users", ["country"]).field(Field::new("country", FieldType::Text));
    /// let experiment = Experiment::new("button", ["grey", "green"]).target(Filter::eq("country", "PT"));
    /// let plan = experiment.compile(Some(&schema.finish()?))?;
    /// let (units, attributes) = (["user-1", "user-2"], [[Value::from("PT")], [Value::from("ES")]]);
    /// let decisions = plan.decide_all(units.iter().zip(&attributes))?;
    /// assert_eq!([decisions[0].reason, decisions[1].reason], [Reason::Hash, Reason::Target]);
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when there is a target and a unit has not one attribute for each column.
    pub fn decide_all<U: AsRef<str>, A: AsRef<[Value]>>(
        &self,
        units: impl IntoIterator<Item = (U, A)>,
    ) -> Result<Vec<Decision>> {
        let units = units.into_iter();
        units
            .map(|(unit, attributes)| {
                let (unit, attributes) = (unit.as_ref(), attributes.as_ref());
                self.check_attributes(attributes)
                    .map_err(|error| error.at(format!("unit `{unit}`")))?;
                Ok(self.decide(unit, attributes))
            })
            .collect()
    }

    /// What another plan would change, exactly, for units that both of them ask about; overrides, layers, holdouts and
    /// targets aside.
    ///
    /// ```
    /// use vectordb::experiment::Experiment;
    /// let plan = |coverage| Experiment::new("button", ["grey", "green"]).coverage(coverage).compile(None);
    /// let change = plan(0.1)?.change_to(&plan(0.5)?)?;
    /// assert_eq!((change.enters, change.leaves, change.moves), (0.4, 0.0, 0.0));
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for another salt or algorithm: every unit is hashed anew then.
    pub fn change_to(&self, other: &Self) -> Result<Change> {
        let (a, b) = (&self.experiment, &other.experiment);
        if a.salt_or_name() != b.salt_or_name() || a.algorithm != b.algorithm {
            return Err(Error::invalid(format!(
                "`{}` and `{}` differ in salt or algorithm: nothing stays where it was",
                a.name, b.name
            )));
        }
        let mut edges: Vec<u32> = [&self.starts, &other.starts]
            .into_iter()
            .flat_map(|starts| starts.iter().copied())
            .collect();
        let buckets = a.algorithm.buckets();
        edges.push(buckets);
        edges.sort_unstable();
        let (mut enters, mut leaves, mut moves) = (0, 0, 0);
        for pair in edges.windows(2) {
            let [from, to] = pair else { continue };
            let size = to.min(&buckets) - from.min(&buckets);
            let name = |plan: &Self| {
                let variant = usize::from(plan.variant_of(*from));
                plan.experiment.variants.get(variant).cloned()
            };
            match (name(self), name(other)) {
                (None, Some(_)) => enters += size,
                (Some(_), None) => leaves += size,
                (Some(before), Some(after)) if before != after => moves += size,
                _ => {}
            }
        }
        let share = |count: u32| f64::from(count) / f64::from(buckets);
        Ok(Change {
            enters: share(enters),
            leaves: share(leaves),
            moves: share(moves),
        })
    }
}

/// The decimal digits of a number.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &str {
    let mut first = digits.len();
    for place in digits.iter_mut().rev() {
        *place = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        first -= 1;
        if number == 0 {
            break;
        }
    }
    let digits = digits.get(first..).unwrap_or_default();
    std::str::from_utf8(digits).unwrap_or_default()
}

/// Checks that no two experiments can share a unit: that they have disjoint slices of one layer.
///
/// # Errors
/// [`common::ErrorKind::Conflict`] with two that can.
pub fn check_exclusive(experiments: &[Experiment]) -> Result<()> {
    for (number, one) in experiments.iter().enumerate() {
        for other in experiments.iter().take(number) {
            let is_disjoint = match (&one.slice, &other.slice) {
                (Some(a), Some(b)) => {
                    let hashed = |experiment: &Experiment| experiment.algorithm == Algorithm::Xxh3;
                    a.layer == b.layer
                        && hashed(one) == hashed(other)
                        && (a.to <= b.from || b.to <= a.from)
                }
                _ => false,
            };
            if !is_disjoint {
                return Err(Error::conflict(format!(
                    "`{}` and `{}` can share units: give them disjoint slices of one layer",
                    other.name, one.name
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_threshold_is_the_first_bucket_that_is_not_below_the_bound(
            bound in prop_oneof![0.0..=1.0, (0_u32..=1_000).prop_map(|k| f64::from(k) / 1_000.0)],
            algorithm in prop_oneof![Just(Algorithm::GrowthbookV1), Just(Algorithm::GrowthbookV2)],
        ) {
            let buckets = algorithm.buckets();
            let is_below = |bucket: &u32| f64::from(*bucket) / f64::from(buckets) < bound;
            let first = (0..=buckets).find(|bucket| !is_below(bucket));
            prop_assert_eq!(Some(threshold(algorithm, bound)), first);
        }
    }
}
