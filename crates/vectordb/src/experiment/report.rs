//! [`Report`]: what an analysis found, as data, as Markdown and as a forest plot in SVG.

use std::fmt::Write as _;

use common::Text;
use serde::{Deserialize, Serialize};

use super::analyse::Metric;
use super::hash::Algorithm;
use super::statistics::{Comparison, SampleRatio, Sequential, Verdict};

/// What an analysis found; its JSON form is that of `serde`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The experiment's name.
    pub experiment: Text,
    /// How its units were assigned.
    pub algorithm: Algorithm,
    /// The commit that was read: the same rows again give the same report.
    pub seq: u64,
    /// Names of the variants, the control first.
    pub variants: Vec<Text>,
    /// Units that met each variant first.
    pub counts: Vec<u64>,
    /// Units that met two variants: something is wrong with what shows them.
    pub crossed: u64,
    /// Units that met a variant which the definition does not have.
    pub strangers: u64,
    /// Whether counts are as the shares say; nothing below is to be trusted otherwise.
    pub sample_ratio: SampleRatio,
    /// One entry for each metric.
    pub metrics: Vec<MetricReport>,
}

/// What an analysis found by one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricReport {
    /// The metric.
    pub metric: Metric,
    /// How likely the control is the best.
    pub control_verdict: Option<Verdict>,
    /// All other variants.
    pub variants: Vec<VariantReport>,
}

/// What an analysis found of one variant by one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariantReport {
    /// The variant's name.
    pub variant: Text,
    /// Against the control, for one look; none for a ratio whose denominator is zero.
    pub comparison: Option<Comparison>,
    /// Against the control, at any time.
    pub sequential: Option<Sequential>,
    /// The p-value of one look, adjusted after Holm over all comparisons of the report.
    pub adjusted_p_value: Option<f64>,
    /// How likely it is the best.
    pub verdict: Option<Verdict>,
}

/// Text as Markdown and SVG show it.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '"' => plain.push_str("&quot;"),
            '|' => plain.push_str("&#124;"),
            c if c.is_control() => plain.push(' '),
            c => plain.push(c),
        }
    }
    plain
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}

fn range(interval: Option<[f64; 2]>) -> String {
    interval.map_or_else(
        || "-".to_owned(),
        |[low, high]| format!("{low:.4} to {high:.4}"),
    )
}

const COLUMNS: [&str; 13] = [
    "variant",
    "control's mean",
    "mean",
    "difference",
    "interval",
    "p",
    "adjusted p",
    "always-valid interval",
    "always-valid p",
    "lift",
    "d",
    "best",
    "expected loss",
];

impl Report {
    /// The report as Markdown, one table for each metric.
    pub fn to_markdown(&self) -> String {
        let mut out = String::new();
        let written = self.write_markdown(&mut out);
        debug_assert!(written.is_ok(), "a string takes whatever is written");
        out
    }

    fn write_markdown(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "# Experiment `{}`\n", plain(&self.experiment))?;
        let algorithm = self.algorithm.name();
        writeln!(
            out,
            "Assigned by `{algorithm}`, read at commit {}.\n",
            self.seq
        )?;
        writeln!(out, "| variant | units |\n|---|---|")?;
        for (variant, count) in self.variants.iter().zip(&self.counts) {
            writeln!(out, "| {} | {count} |", plain(variant))?;
        }
        let verdict = if self.sample_ratio.is_mismatch {
            "**mismatch: trust nothing below**"
        } else {
            "as meant"
        };
        let SampleRatio {
            statistic, p_value, ..
        } = self.sample_ratio;
        writeln!(
            out,
            "\nSample ratio: {verdict} (chi-square {statistic:.4}, p = {p_value:.4}, threshold 0.001)."
        )?;
        let (crossed, strangers) = (self.crossed, self.strangers);
        writeln!(
            out,
            "{crossed} units met two variants, {strangers} an unknown one."
        )?;
        for metric in &self.metrics {
            writeln!(out, "\n## {}\n", plain(&metric.metric.to_string()))?;
            writeln!(
                out,
                "| {} |\n|{}",
                COLUMNS.join(" | "),
                "---|".repeat(COLUMNS.len())
            )?;
            let mut named: Vec<String> = Vec::new();
            for variant in &metric.variants {
                write_row(out, variant)?;
                for correction in variant.comparison.iter().flat_map(|c| &c.corrections) {
                    // The name of the JSON form, so that there is one spelling.
                    let name = serde_json::to_string(correction).unwrap_or_default();
                    let name = name.trim_matches('"').to_owned();
                    if !named.contains(&name) {
                        named.push(name);
                    }
                }
            }
            if !named.is_empty() {
                writeln!(out, "\nCorrections: {}.", named.join(", "))?;
            }
        }
        Ok(())
    }

    /// The differences of all comparisons as a forest plot: intervals for one look as thick lines, always-valid ones as
    /// thin lines, one scale for each metric.
    pub fn to_svg(&self) -> String {
        let mut out = String::new();
        let written = self.write_svg(&mut out);
        debug_assert!(written.is_ok(), "a string takes whatever is written");
        out
    }

    fn write_svg(&self, out: &mut String) -> std::fmt::Result {
        let rows: usize = self.metrics.iter().map(|m| m.variants.len() + 2).sum();
        let height = (rows + 2) * ROW;
        writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 {height}" font-family="sans-serif" font-size="13">"#
        )?;
        writeln!(out, r#"<rect width="800" height="{height}" fill="white"/>"#)?;
        let control = self.variants.first().map_or("", Text::as_str);
        let title = format!("{}: difference to {control}", self.experiment);
        write_text(out, 10, 20, &title, r#"font-weight="bold""#)?;
        let mut y = 2 * ROW;
        for metric in &self.metrics {
            write_plot(out, metric, y)?;
            y += (metric.variants.len() + 2) * ROW;
        }
        writeln!(out, "</svg>")
    }
}

/// Height of a row of the plot.
const ROW: usize = 24;

fn write_text(out: &mut String, x: usize, y: usize, text: &str, style: &str) -> std::fmt::Result {
    writeln!(
        out,
        r#"<text x="{x}" y="{y}" {style}>{}</text>"#,
        plain(text)
    )
}

fn write_line(
    out: &mut String,
    [from, to]: [f64; 2],
    y: usize,
    [width, colour]: [&str; 2],
) -> std::fmt::Result {
    writeln!(
        out,
        r#"<line x1="{from:.1}" x2="{to:.1}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="{width}"/>"#
    )
}

/// One metric from `y` on: its name and scale, then a row for each variant.
fn write_plot(out: &mut String, metric: &MetricReport, mut y: usize) -> std::fmt::Result {
    write_text(
        out,
        10,
        y + 4,
        &metric.metric.to_string(),
        r#"font-weight="bold""#,
    )?;
    let reach = reach(metric);
    let x = |value: f64| 500.0 + 280.0 * (value / reach).clamp(-1.0, 1.0);
    let bottom = y + ROW * (metric.variants.len() + 1);
    writeln!(
        out,
        r##"<line x1="500" x2="500" y1="{}" y2="{bottom}" stroke="#999"/>"##,
        y + 8
    )?;
    let small = r##"text-anchor="middle" fill="#666" font-size="11""##;
    for (place, value) in [(220, -reach), (500, 0.0), (760, reach)] {
        write_text(out, place, y + 4, &format!("{value:.3e}"), small)?;
    }
    for variant in &metric.variants {
        y += ROW;
        write_text(out, 20, y + 4, &variant.variant, "")?;
        let comparison = variant.comparison.as_ref();
        if let Some([low, high]) = variant.sequential.and_then(|look| look.interval) {
            write_line(out, [x(low), x(high)], y, ["1", "#888"])?;
        }
        if let Some([low, high]) = comparison.and_then(|c| c.interval) {
            write_line(out, [x(low), x(high)], y, ["4", "#369"])?;
        }
        if let Some(comparison) = comparison {
            let at = x(comparison.difference);
            writeln!(out, r#"<circle cx="{at:.1}" cy="{y}" r="5" fill="black"/>"#)?;
        }
    }
    Ok(())
}

/// The largest number that a metric's part of the plot must show; 1 if there is none.
fn reach(metric: &MetricReport) -> f64 {
    let mut reach = 0.0_f64;
    for variant in &metric.variants {
        let comparison = variant.comparison.as_ref();
        let intervals = [
            variant.sequential.and_then(|look| look.interval),
            comparison.and_then(|c| c.interval),
            comparison.map(|c| [c.difference; 2]),
        ];
        for value in intervals.into_iter().flatten().flatten() {
            reach = reach.max(value.abs());
        }
    }
    if reach > 0.0 { reach } else { 1.0 }
}

fn write_row(out: &mut String, variant: &VariantReport) -> std::fmt::Result {
    let comparison = variant.comparison.as_ref();
    let lift = comparison.and_then(|c| c.lift);
    let cells: [String; COLUMNS.len()] = [
        plain(&variant.variant),
        number(comparison.map(|c| c.control.mean)),
        number(comparison.map(|c| c.variant.mean)),
        number(comparison.map(|c| c.difference)),
        range(comparison.and_then(|c| c.interval)),
        number(comparison.map(|c| c.p_value)),
        number(variant.adjusted_p_value),
        range(variant.sequential.and_then(|look| look.interval)),
        number(variant.sequential.map(|look| look.p_value)),
        lift.map_or_else(
            || "-".to_owned(),
            |lift| format!("{:+.2} %", lift.value * 100.0),
        ),
        number(comparison.and_then(|c| c.cohens_d)),
        number(variant.verdict.map(|verdict| verdict.best)),
        number(variant.verdict.map(|verdict| verdict.expected_loss)),
    ];
    writeln!(out, "| {} |", cells.join(" | "))
}
