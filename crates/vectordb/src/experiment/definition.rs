//! [`Experiment`]: what is tried on whom, as data.

use std::collections::BTreeMap;

use common::query::Filter;
use common::utils::validation::{check_in_range, check_name};
use common::{Error, Result, Text};
use serde::{Deserialize, Serialize};

use super::growthbook::bucket_ranges;
use super::hash::Algorithm;

/// Most variants of one experiment: an assignment in a batch is one byte.
pub const VARIANTS_MAX: usize = 255;
/// Most holdouts of one experiment.
const HOLDOUTS_MAX: usize = 64;

/// The part of a layer that an experiment has.
///
/// A layer is a second hash of every unit, by the layer's name. Experiments with disjoint slices of one layer never
/// share a unit; experiments in different layers are independent.
///
/// ```
/// use vectordb::experiment::Slice;
/// let half = Slice::new("checkout", 0.0, 0.5);
/// assert_eq!(half.to, 0.5);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// The layer's name: the namespace, with `GrowthBook`'s algorithms.
    pub layer: Text,
    /// Where the slice begins, in 0..=1.
    pub from: f64,
    /// Where it ends, itself outside.
    pub to: f64,
}

impl Slice {
    /// The part `from..to` of a layer.
    pub fn new(layer: impl Into<Text>, from: f64, to: f64) -> Self {
        Self {
            layer: layer.into(),
            from,
            to,
        }
    }
}

/// Units that stay out of every experiment that names this holdout.
///
/// ```
/// use vectordb::experiment::Holdout;
/// assert_eq!(Holdout::new("2026", 0.05).share, 0.05);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holdout {
    /// Its name, which is the salt of its hash.
    pub name: Text,
    /// The share of all units, in 0..=1.
    pub share: f64,
}

impl Holdout {
    /// A share of all units under a name.
    pub fn new(name: impl Into<Text>, share: f64) -> Self {
        Self {
            name: name.into(),
            share,
        }
    }
}

/// What is tried on whom: variants with their shares, and who is left out.
///
/// ```
/// use common::Limits;
/// use common::query::Filter;
/// use vectordb::experiment::{Experiment, Holdout, Slice};
/// let experiment = Experiment::new("button", ["grey", "green", "red"])
///     .weights([0.5, 0.25, 0.25])
///     .coverage(0.2)
///     .slice(Slice::new("checkout", 0.0, 0.5))
///     .holdout(Holdout::new("2026", 0.05))
///     .target(Filter::eq("country", "PT"))
///     .assign_unit("tester-1", "red");
/// let json = experiment.to_json()?;
/// assert_eq!(Experiment::from_json(&json, &Limits::default())?, experiment);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Its name, under which exposures are logged.
    pub name: Text,
    /// What is hashed with a unit; the name if none. Another salt, other assignments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Text>,
    /// How it is hashed.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// Names of the variants; the first one is the control.
    pub variants: Vec<Text>,
    /// The share of each variant, with sum 1; equal ones if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<f64>>,
    /// The share of all units that take part, in 0..=1; raised in a ramp, which moves nobody between variants.
    #[serde(default = "full")]
    pub coverage: f64,
    /// For each variant its part of 0..=1, in place of weights and coverage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<Vec<[f64; 2]>>,
    /// Its part of a layer; no layer if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<Slice>,
    /// Who stays out for good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holdouts: Vec<Holdout>,
    /// Whose attributes fit; everybody if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Filter>,
    /// Units that get a variant in any case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<Text, Text>,
}

fn full() -> f64 {
    1.0
}

impl Experiment {
    /// An experiment with equal shares, for all units.
    pub fn new<V: Into<Text>>(
        name: impl Into<Text>,
        variants: impl IntoIterator<Item = V>,
    ) -> Self {
        Self {
            name: name.into(),
            salt: None,
            algorithm: Algorithm::default(),
            variants: variants.into_iter().map(Into::into).collect(),
            weights: None,
            coverage: full(),
            ranges: None,
            slice: None,
            holdouts: Vec::new(),
            target: None,
            overrides: BTreeMap::new(),
        }
    }

    /// Sets [`Experiment::salt`].
    #[must_use]
    pub fn salt(mut self, salt: impl Into<Text>) -> Self {
        self.salt = Some(salt.into());
        self
    }

    /// Sets [`Experiment::algorithm`].
    #[must_use]
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Sets [`Experiment::weights`].
    #[must_use]
    pub fn weights(mut self, weights: impl IntoIterator<Item = f64>) -> Self {
        self.weights = Some(weights.into_iter().collect());
        self
    }

    /// Sets [`Experiment::coverage`].
    #[must_use]
    pub fn coverage(mut self, coverage: f64) -> Self {
        self.coverage = coverage;
        self
    }

    /// Sets [`Experiment::ranges`].
    #[must_use]
    pub fn ranges(mut self, ranges: impl IntoIterator<Item = [f64; 2]>) -> Self {
        self.ranges = Some(ranges.into_iter().collect());
        self
    }

    /// Sets [`Experiment::slice`].
    #[must_use]
    pub fn slice(mut self, slice: Slice) -> Self {
        self.slice = Some(slice);
        self
    }

    /// Adds to [`Experiment::holdouts`].
    #[must_use]
    pub fn holdout(mut self, holdout: Holdout) -> Self {
        self.holdouts.push(holdout);
        self
    }

    /// Sets [`Experiment::target`].
    #[must_use]
    pub fn target(mut self, filter: Filter) -> Self {
        self.target = Some(filter);
        self
    }

    /// Adds to [`Experiment::overrides`].
    #[must_use]
    pub fn assign_unit(mut self, unit: impl Into<Text>, variant: impl Into<Text>) -> Self {
        self.overrides.insert(unit.into(), variant.into());
        self
    }

    /// The salt that is hashed.
    pub fn salt_or_name(&self) -> &str {
        self.salt.as_deref().unwrap_or(&self.name)
    }

    /// The share that each variant should have of the units that take part: what a sample-ratio test expects.
    ///
    /// # Errors
    /// As [`Experiment::check`]; [`common::ErrorKind::Invalid`] when all ranges are empty.
    pub fn shares(&self) -> Result<Vec<f64>> {
        self.check()?;
        let sizes: Vec<f64> = match &self.ranges {
            Some(ranges) => ranges.iter().map(|[from, to]| to - from).collect(),
            // Also before a ramp has begun.
            None => bucket_ranges(self.variants.len(), 1.0, self.weights.as_deref())
                .iter()
                .map(|[from, to]| to - from)
                .collect(),
        };
        let sum: f64 = sizes.iter().sum();
        if sum <= 0.0 {
            return Err(Error::invalid(format!(
                "experiment `{}` has ranges without any bucket",
                self.name
            )));
        }
        Ok(sizes.into_iter().map(|size| size / sum).collect())
    }

    /// The number of a variant.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`], with the names there are.
    pub fn variant(&self, name: &str) -> Result<usize> {
        let found = self.variants.iter().position(|known| known == name);
        found.ok_or_else(|| {
            Error::not_found(format!(
                "experiment `{}` has no variant `{name}`; there are: {}",
                self.name,
                self.variants.join(", ")
            ))
        })
    }

    /// For each variant its part of 0..=1.
    pub(super) fn bounds(&self) -> Vec<[f64; 2]> {
        match &self.ranges {
            Some(ranges) => ranges.clone(),
            None => bucket_ranges(self.variants.len(), self.coverage, self.weights.as_deref()),
        }
    }

    /// Checks every part of the definition.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] with the part that makes no sense, [`common::ErrorKind::LimitExceeded`] beyond
    /// [`VARIANTS_MAX`] or for too large a filter, [`common::ErrorKind::NotFound`] for an override with an unknown variant.
    pub fn check(&self) -> Result<()> {
        self.check_parts()
            .map_err(|error| error.at(format!("experiment `{}`", self.name)))
    }

    fn check_parts(&self) -> Result<()> {
        check_name("experiment", &self.name)?;
        let count = self.variants.len();
        if count < 2 {
            return Err(Error::invalid(format!(
                "has {count} variants, not two or more"
            )));
        }
        for (what, found, most) in [
            ("variants", count, VARIANTS_MAX),
            ("holdouts", self.holdouts.len(), HOLDOUTS_MAX),
        ] {
            if found > most {
                return Err(Error::limit_exceeded(format!(
                    "has {found} {what}, but the limit is {most}"
                )));
            }
        }
        for (number, variant) in self.variants.iter().enumerate() {
            check_name("variant", variant)?;
            if self
                .variants
                .iter()
                .take(number)
                .any(|other| other == variant)
            {
                return Err(Error::invalid(format!("variant `{variant}` comes twice")));
            }
        }
        check_in_range("coverage", self.coverage, 0.0..=1.0)?;
        if let Some(weights) = &self.weights {
            if weights.len() != count {
                return Err(Error::invalid(format!(
                    "has {} weights for {count} variants",
                    weights.len()
                )));
            }
            for weight in weights {
                check_in_range("weight", *weight, 0.0..=1.0)?;
            }
            let sum: f64 = weights.iter().sum();
            // What GrowthBook's SDKs take as it is.
            let slack = match self.algorithm {
                Algorithm::Xxh3 => 1e-6,
                Algorithm::GrowthbookV1 | Algorithm::GrowthbookV2 => 0.01,
            };
            if (sum - 1.0).abs() > slack {
                return Err(Error::invalid(format!(
                    "the weights have the sum {sum}, not 1"
                )));
            }
        }
        if let Some(ranges) = &self.ranges {
            if ranges.len() != count {
                return Err(Error::invalid(format!(
                    "has {} ranges for {count} variants",
                    ranges.len()
                )));
            }
            for [from, to] in ranges {
                check_range("range of a variant", *from, *to)?;
            }
            let mut sorted = ranges.clone();
            sorted.sort_by(|a, b| a[0].total_cmp(&b[0]));
            for pair in sorted.windows(2) {
                if let [[_, end], [start, _]] = pair
                    && start < end
                {
                    return Err(Error::invalid(format!(
                        "the ranges of two variants overlap from {start} on"
                    )));
                }
            }
        }
        if let Some(slice) = &self.slice {
            check_name("layer", &slice.layer)?;
            check_range("slice of a layer", slice.from, slice.to)?;
        }
        for holdout in &self.holdouts {
            check_name("holdout", &holdout.name)?;
            check_in_range("share of a holdout", holdout.share, 0.0..=1.0)?;
        }
        if let Some(target) = &self.target {
            target.check()?;
        }
        for variant in self.overrides.values() {
            self.variant(variant)?;
        }
        Ok(())
    }
}

fn check_range(what: &str, from: f64, to: f64) -> Result<()> {
    check_in_range(what, from, 0.0..=1.0)?;
    check_in_range(what, to, 0.0..=1.0)?;
    if from > to {
        return Err(Error::invalid(format!(
            "{what} begins at {from}, after its end {to}"
        )));
    }
    Ok(())
}
