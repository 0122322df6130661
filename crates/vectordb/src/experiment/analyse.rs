//! [`analyse`]: from the rows of an [`ExperimentLog`] to a [`Report`].

use common::utils::validation::{check_in_range, check_name};
use common::{Error, Result, Text};
use foldhash::HashMap;
use serde::{Deserialize, Serialize};

use super::definition::Experiment;
use super::log::{ExperimentLog, exposures_in, outcomes_in};
use super::report::{MetricReport, Report, VariantReport};
use super::statistics::{
    Comparison, Correction, PairMoments, Posterior, SequentialOptions, compare_cuped,
    compare_means, compare_proportions, compare_ratios, holm, sample_ratio, sequential, weigh,
};

/// What is compared: the sum of a unit's outcomes after its first exposure, in some form.
///
/// ```
/// use vectordb::experiment::Metric;
/// assert_eq!(Metric::Mean("revenue".into()).to_string(), "revenue");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Its mean over units, those without outcomes counting as 0.
    Mean(Text),
    /// As the mean, adjusted by the same sum from before the first exposure.
    Cuped(Text),
    /// The share of units where it is not 0.
    Proportion(Text),
    /// The ratio of two means.
    Ratio {
        /// Above.
        numerator: Text,
        /// Below.
        denominator: Text,
    },
}

impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mean(name) => f.write_str(name),
            Self::Cuped(name) => write!(f, "{name} (CUPED)"),
            Self::Proportion(name) => write!(f, "share with {name}"),
            Self::Ratio {
                numerator,
                denominator,
            } => write!(f, "{numerator} / {denominator}"),
        }
    }
}

/// How an experiment is analysed.
///
/// ```
/// use vectordb::experiment::AnalysisOptions;
/// assert_eq!(AnalysisOptions::default().confidence, 0.95);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnalysisOptions {
    /// Of intervals for one look. Default 0.95.
    pub confidence: f64,
    /// Of what may be looked at any time.
    pub sequential: SequentialOptions,
}

impl Default for AnalysisOptions {
    fn default() -> Self {
        Self {
            confidence: 0.95,
            sequential: SequentialOptions::default(),
        }
    }
}

/// What one unit brought of one metric's parts.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    before: f64,
    after: f64,
}

/// Analyses an experiment as of now: sample ratio first, then every variant against the control by every metric, always
/// valid and for one look, and p-values of all comparisons together adjusted after Holm.
///
/// A unit belongs to the variant that it met first. Cost: one pass over the exposures of this experiment and one over the
/// outcomes of these metrics, found by indexes.
///
/// ```
/// use common::{Database, Timestamp};
/// use vectordb::experiment::{AnalysisOptions, Experiment, ExperimentLog, Metric, analyse};
/// let log = ExperimentLog::open(&Database::new())?;
/// let experiment = Experiment::new("button", ["grey", "green"]);
/// let plan = experiment.compile(None)?;
/// for unit in 0..200 {
///     let unit = unit.to_string();
///     let assignment = log.assign(&plan, &unit, &[])?;
///     log.expose(&assignment, Timestamp(0))?;
///     if unit.ends_with('7') {
///         log.record(&unit, &unit, "orders", Timestamp(1), 1.0)?;
///     }
/// }
/// let metrics = [Metric::Proportion("orders".into())];
/// let report = analyse(&log, &experiment, &metrics, AnalysisOptions::default())?;
/// assert_eq!(report.counts.iter().sum::<u64>(), 200);
/// assert!(report.to_markdown().starts_with("# Experiment `button`"));
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// [`common::ErrorKind::Invalid`] without metrics and for options outside their bounds; as [`Experiment::check`].
pub fn analyse(
    log: &ExperimentLog,
    experiment: &Experiment,
    metrics: &[Metric],
    options: AnalysisOptions,
) -> Result<Report> {
    check_in_range("confidence", options.confidence, 0.5..=1.0 - 1e-9)?;
    let shares = experiment.shares()?;
    let parts = parts_of(metrics)?;
    let snapshot = log.database().snapshot();
    let exposures = exposures_in(snapshot.view(), &experiment.name)?;
    let mut sums: HashMap<&str, Vec<Sums>> = HashMap::default();
    for (part, metric) in parts.iter().enumerate() {
        outcomes_in(snapshot.view(), metric, &mut |unit, at, value| {
            let Some((unit, exposure)) = exposures.get_key_value(unit) else {
                return;
            };
            let sums = sums
                .entry(unit)
                .or_insert_with(|| vec![Sums::default(); parts.len()]);
            if let Some(sums) = sums.get_mut(part) {
                if at < exposure.at {
                    sums.before += value;
                } else {
                    sums.after += value;
                }
            }
        })?;
    }
    let mut units: Vec<Vec<&str>> = vec![Vec::new(); experiment.variants.len()];
    let (mut crossed, mut strangers) = (0, 0);
    for (unit, exposure) in &exposures {
        crossed += u64::from(exposure.is_crossed);
        let variant = experiment
            .variants
            .iter()
            .position(|v| *v == exposure.variant);
        match variant.and_then(|variant| units.get_mut(variant)) {
            Some(units) => units.push(unit),
            None => strangers += 1,
        }
    }
    // In one order, so that sums are the same whatever the order of the map.
    for units in &mut units {
        units.sort_unstable();
    }
    let counts: Vec<u64> = units.iter().map(|units| units.len() as u64).collect();
    let mut found = Vec::new();
    for metric in metrics {
        let samples: Vec<PairMoments> = units
            .iter()
            .map(|units| sample(metric, &parts, units.iter().map(|unit| sums.get(unit))))
            .collect();
        found.push(report_of(metric, experiment, &samples, options)?);
    }
    adjust(&mut found);
    Ok(Report {
        experiment: experiment.name.clone(),
        algorithm: experiment.algorithm,
        seq: snapshot.seq().0,
        variants: experiment.variants.clone(),
        sample_ratio: sample_ratio(&counts, &shares)?,
        counts,
        crossed,
        strangers,
        metrics: found,
    })
}

/// The names of outcomes that metrics are made of, each once.
fn parts_of(metrics: &[Metric]) -> Result<Vec<Text>> {
    if metrics.is_empty() {
        return Err(Error::invalid("an analysis has one metric or more"));
    }
    let mut parts: Vec<Text> = Vec::new();
    for metric in metrics {
        let names = match metric {
            Metric::Mean(name) | Metric::Cuped(name) | Metric::Proportion(name) => vec![name],
            Metric::Ratio {
                numerator,
                denominator,
            } => vec![numerator, denominator],
        };
        for name in names {
            check_name("metric", name)?;
            if !parts.contains(name) {
                parts.push(name.clone());
            }
        }
    }
    Ok(parts)
}

/// The pairs of numbers that a metric compares, of all units of one variant.
fn sample<'s>(
    metric: &Metric,
    parts: &[Text],
    units: impl Iterator<Item = Option<&'s Vec<Sums>>>,
) -> PairMoments {
    let place = |name: &Text| parts.iter().position(|part| part == name);
    let of = |sums: Option<&Vec<Sums>>, name: &Text| {
        let sums = sums.zip(place(name)).and_then(|(sums, at)| sums.get(at));
        sums.copied().unwrap_or_default()
    };
    units
        .map(|sums| match metric {
            Metric::Mean(name) => (of(sums, name).after, 0.0),
            Metric::Cuped(name) => (of(sums, name).after, of(sums, name).before),
            Metric::Proportion(name) => (f64::from(u8::from(of(sums, name).after != 0.0)), 0.0),
            Metric::Ratio {
                numerator,
                denominator,
            } => (of(sums, numerator).after, of(sums, denominator).after),
        })
        .collect()
}

/// Units and successes of a sample of zeros and ones.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a count below 2^53"
)]
fn successes(sample: &PairMoments) -> [u64; 2] {
    let n = sample.first.n;
    [n, (sample.first.mean * n as f64).round() as u64]
}

fn compare(
    metric: &Metric,
    control: &PairMoments,
    variant: &PairMoments,
    confidence: f64,
) -> Result<Option<Comparison>> {
    let comparison = match metric {
        Metric::Mean(_) => compare_means(&control.first, &variant.first, confidence)?,
        Metric::Cuped(_) => compare_cuped(control, variant, confidence)?,
        Metric::Proportion(_) => {
            compare_proportions(successes(control), successes(variant), confidence)?
        }
        Metric::Ratio { .. } if control.second.mean == 0.0 || variant.second.mean == 0.0 => {
            return Ok(None);
        }
        Metric::Ratio { .. } => compare_ratios(control, variant, confidence)?,
    };
    Ok(Some(comparison))
}

/// What is believed of each variant; none unless something is known of all.
fn beliefs(
    metric: &Metric,
    samples: &[PairMoments],
    comparisons: &[Option<Comparison>],
) -> Option<Vec<Posterior>> {
    if let Metric::Proportion(_) = metric {
        let of = |sample| Posterior::of_proportion(successes(sample), [1.0, 1.0]).ok();
        return samples.iter().map(of).collect();
    }
    // CUPED adjusts by both samples, so that with several variants the control has no one mean.
    if matches!(metric, Metric::Cuped(_)) && samples.len() > 2 {
        return None;
    }
    let first = comparisons.first()?.as_ref()?.control;
    let variants = comparisons.iter().map(|c| c.as_ref().map(|c| c.variant));
    std::iter::once(Some(first))
        .chain(variants)
        .map(|summary| {
            let summary = summary?;
            let deviation = summary.standard_error.filter(|error| *error > 0.0)?;
            Some(Posterior::Normal {
                mean: summary.mean,
                deviation,
            })
        })
        .collect()
}

fn report_of(
    metric: &Metric,
    experiment: &Experiment,
    samples: &[PairMoments],
    options: AnalysisOptions,
) -> Result<MetricReport> {
    let Some((control, others)) = samples.split_first() else {
        return Err(Error::invalid("an experiment has two variants or more"));
    };
    let comparisons: Vec<Option<Comparison>> = others
        .iter()
        .map(|other| compare(metric, control, other, options.confidence))
        .collect::<Result<_>>()?;
    let verdicts = beliefs(metric, samples, &comparisons);
    let verdicts = verdicts.and_then(|beliefs| weigh(&beliefs).ok());
    let verdict = |at: usize| verdicts.as_ref().and_then(|all| all.get(at).copied());
    let mut variants = Vec::new();
    for ((at, comparison), name) in comparisons
        .into_iter()
        .enumerate()
        .zip(experiment.variants.iter().skip(1))
    {
        let look = comparison
            .as_ref()
            .map(|c| sequential(c, options.sequential));
        variants.push(VariantReport {
            variant: name.clone(),
            sequential: look.transpose()?,
            comparison,
            adjusted_p_value: None,
            verdict: verdict(at + 1),
        });
    }
    Ok(MetricReport {
        metric: metric.clone(),
        control_verdict: verdict(0),
        variants,
    })
}

/// Adjusts the p-values of all comparisons together.
fn adjust(metrics: &mut [MetricReport]) {
    let all = || metrics.iter().flat_map(|metric| &metric.variants);
    let p_values: Vec<f64> = all()
        .filter_map(|v| v.comparison.as_ref())
        .map(|c| c.p_value)
        .collect();
    let mut adjusted = holm(&p_values).into_iter();
    for variant in metrics.iter_mut().flat_map(|metric| &mut metric.variants) {
        if let Some(comparison) = &mut variant.comparison {
            variant.adjusted_p_value = adjusted.next();
            comparison.corrections.push(Correction::Holm);
        }
    }
}
