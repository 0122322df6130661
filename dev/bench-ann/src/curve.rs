//! [`Curve`]: recall against queries a second, of one subject on one set of data.

use std::io::{self, Write};

use bench::stats::Series;

/// Where curves are compared.
pub(crate) const RECALLS: [(f64, &str); 3] = [
    (0.90, "queries_per_second_at_0.90"),
    (0.95, "queries_per_second_at_0.95"),
    (0.99, "queries_per_second_at_0.99"),
];

/// Beyond this recall a curve says nothing more.
pub(crate) const RECALL_ENOUGH: f64 = 0.998;

/// One effort.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) effort: usize,
    pub(crate) recall: f64,
    /// Queries a second of processor time, round by round.
    pub(crate) rate: Series,
}

/// The points of one subject by effort.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    pub(crate) subject: &'static str,
    pub(crate) points: Vec<Point>,
}

/// What a curve says of a recall.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum At {
    /// Between two points: the rate, by the logarithm.
    Between(Series),
    /// The least effort has more recall already: the curve reaches at least these rates.
    Beyond(Series),
    /// No effort has so much recall.
    Never,
}

impl Curve {
    /// The rate at a recall, round by round.
    pub(crate) fn at(&self, recall: f64) -> At {
        let Some(first) = self.points.first() else {
            return At::Never;
        };
        if first.recall >= recall {
            return At::Beyond(first.rate.clone());
        }
        for (low, high) in self.points.iter().zip(self.points.iter().skip(1)) {
            if high.recall >= recall && low.recall < recall {
                let share = (recall - low.recall) / (high.recall - low.recall);
                let rounds = low.rate.values().iter().zip(high.rate.values());
                let rates = rounds.map(|(a, b)| (a.ln() + (b.ln() - a.ln()) * share).exp());
                return At::Between(rates.collect());
            }
        }
        At::Never
    }

    /// The least effort with so much recall, or else the one with most.
    pub(crate) fn effort_for(&self, recall: f64) -> Option<&Point> {
        let enough = self.points.iter().find(|point| point.recall >= recall);
        enough.or_else(|| {
            self.points
                .iter()
                .max_by(|a, b| a.recall.total_cmp(&b.recall))
        })
    }
}

impl At {
    pub(crate) fn into_series(self) -> Option<Series> {
        match self {
            Self::Between(series) | Self::Beyond(series) => Some(series),
            Self::Never => None,
        }
    }
}

/// Writes a table of rates at [`RECALLS`], with how many times each the rate of `ours` is.
pub(crate) fn write_table(out: &mut dyn Write, curves: &[Curve], ours: &[&str]) -> io::Result<()> {
    let ours = curves.iter().filter(|curve| ours.contains(&curve.subject));
    let ours: Vec<&Curve> = ours.collect();
    write!(out, "  {:<20}", "recall")?;
    for (recall, _) in RECALLS {
        write!(out, "{recall:>12.2}")?;
        for curve in &ours {
            write!(out, "{:>22}", format!("x {}", curve.subject))?;
        }
    }
    writeln!(out)?;
    for curve in curves {
        write!(out, "  {:<20}", curve.subject)?;
        for (recall, _) in RECALLS {
            let at = curve.at(recall);
            let rate = match &at {
                At::Between(series) => format!("{:.0}", series.median()),
                At::Beyond(series) => format!(">{:.0}", series.median()),
                At::Never => "-".to_owned(),
            };
            write!(out, "{rate:>12}")?;
            for our in &ours {
                let both = our.at(recall).into_series().zip(at.clone().into_series());
                let ratio = both.map(|(our, other)| format!("{:.2}", our.ratio(&other)));
                write!(out, "{:>22}", ratio.unwrap_or("-".to_owned()))?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_between_points_follow_the_logarithm() {
        let point = |effort, recall, rate: f64| Point {
            effort,
            recall,
            rate: [rate].into_iter().collect(),
        };
        let curve = Curve {
            subject: "s",
            points: vec![point(10, 0.92, 400.0), point(20, 0.96, 100.0)],
        };
        let At::Between(series) = curve.at(0.94) else {
            panic!("there are points on both sides");
        };
        assert!((series.median() - 200.0).abs() < 1e-6);
        assert!(matches!(curve.at(0.90), At::Beyond(_)));
        assert_eq!(curve.at(0.99), At::Never);
        assert_eq!(curve.effort_for(0.95).map(|point| point.effort), Some(20));
        assert_eq!(curve.effort_for(0.99).map(|point| point.effort), Some(20));
    }
}
