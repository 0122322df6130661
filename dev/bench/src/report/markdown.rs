//! The tables of `docs/benchmarks.md`, so that nobody types figures.

use std::io::{self, Write};

use super::{Figure, Report, number};

impl Report {
    /// Writes the figures as Markdown: for each size and unit one table with a row for each case and metric and a column
    /// for each subject. A rival's cell says how many times its figure ours is, and what was aimed at.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write_markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "Machine: {}.", self.machine)?;
        let figures: Vec<&Figure> = self.figures.iter().filter(|f| !f.detail).collect();
        let mut groups: Vec<(&str, &str)> = Vec::new();
        for figure in &figures {
            let group = group(figure);
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups.sort_by_key(|(size, ..)| size.parse::<u64>().unwrap_or_default());
        for wanted in groups {
            let figures: Vec<&Figure> = figures
                .iter()
                .copied()
                .filter(|f| group(f) == wanted)
                .collect();
            let (size, unit) = wanted;
            let at = if size.is_empty() {
                String::new()
            } else {
                format!("at {size}, ")
            };
            writeln!(out, "\n{at}{unit}:\n")?;
            self.write_group(&figures, out)?;
        }
        Ok(())
    }

    fn write_group(&self, figures: &[&Figure], out: &mut dyn Write) -> io::Result<()> {
        let (mut rows, mut subjects): (Vec<(&str, &str)>, Vec<&str>) = (Vec::new(), Vec::new());
        for figure in figures {
            if !rows.contains(&row(figure)) {
                rows.push(row(figure));
            }
            if !subjects.contains(&figure.subject.as_str()) {
                subjects.push(&figure.subject);
            }
        }
        subjects.sort_by_key(|subject| *subject != self.ours);
        writeln!(out, "| case | {} |", subjects.join(" | "))?;
        writeln!(out, "|---{}|", "|---".repeat(subjects.len()))?;
        let one_metric = rows
            .iter()
            .all(|(_, metric)| Some(*metric) == rows.first().map(|r| r.1));
        for wanted in rows {
            let (case, metric) = wanted;
            if one_metric {
                write!(out, "| `{case}` |")?;
            } else {
                write!(out, "| `{case}`, {} |", metric.replace('_', " "))?;
            }
            for subject in &subjects {
                let found = figures
                    .iter()
                    .find(|f| row(f) == wanted && f.subject == *subject);
                let cell = found.map_or_else(|| "-".to_owned(), |figure| self.cell(figure));
                write!(out, " {cell} |")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn cell(&self, figure: &Figure) -> String {
        let median = number(figure.series.median());
        let spread = match figure.series.values() {
            [_, _, ..] => format!(" ±{:.0}%", figure.series.spread() * 50.0),
            _ => String::new(),
        };
        let ratio = self
            .ratio(figure)
            .filter(|_| figure.subject != self.ours)
            .map(|ratio| format!("×{ratio:.2}"));
        let verdict = self.verdict(figure).map(|verdict| {
            let met = if verdict.met { "met" } else { "**missed**" };
            format!("{}: {met}", verdict.demand)
        });
        let notes: Vec<String> = ratio.into_iter().chain(verdict).collect();
        match notes.as_slice() {
            [] => format!("{median}{spread}"),
            notes => format!("{median}{spread} ({})", notes.join(", ")),
        }
    }
}

/// Size and unit: what one table is about.
fn group(figure: &Figure) -> (&str, &str) {
    let size = figure.case.split_once('@').map_or("", |(_, size)| size);
    (size, figure.unit)
}

/// Case and metric: what one row is about.
fn row(figure: &Figure) -> (&str, &str) {
    let case = figure.case.split('@').next().unwrap_or_default();
    (case, figure.metric)
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;

    #[test]
    fn a_rivals_cell_has_its_figure_our_ratio_and_the_target() {
        let mut text = Vec::new();
        report().write_markdown(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.contains("| case | ours | other |\n|---|---|---|\n"),
            "{text}"
        );
        assert!(
            text.contains("3.00 ±0% (×3.00, at least 4: **missed**) |\n"),
            "{text}"
        );
    }
}
