//! [`Selection`]: which values of a row a read wants, and in what order.

/// Runs of features that lie side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selection {
    runs: Box<[(usize, usize)]>,
    columns: usize,
}

impl Selection {
    pub(super) fn new(features: &[usize]) -> Self {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for feature in features {
            match runs.last_mut() {
                Some((start, len)) if *start + *len == *feature => *len += 1,
                _ => runs.push((*feature, 1)),
            }
        }
        Self {
            runs: runs.into(),
            columns: features.len(),
        }
    }

    pub(super) const fn columns(&self) -> usize {
        self.columns
    }

    /// The place of the value that comes at `column`.
    pub(super) fn position(&self, column: usize) -> Option<usize> {
        let mut before = 0;
        self.runs.iter().find_map(|&(start, len)| {
            let at = column.checked_sub(before);
            before += len;
            at.filter(|at| *at < len).map(|at| start + at)
        })
    }

    /// The values as they lie, if they lie side by side.
    #[inline]
    pub(super) fn slice<'v>(&self, values: &'v [f64]) -> Option<&'v [f64]> {
        match *self.runs {
            [(start, len)] => values.get(start..start + len),
            _ => None,
        }
    }

    /// Copies the values into `out`, which has one place for each.
    #[inline]
    pub(super) fn gather(&self, values: &[f64], out: &mut [f64]) {
        let mut at = 0;
        for &(start, len) in &self.runs {
            if let (Some(from), Some(to)) =
                (values.get(start..start + len), out.get_mut(at..at + len))
            {
                to.copy_from_slice(from);
            }
            at += len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_copied_in_the_order_asked_for() {
        let values = [0.0, 1.0, 2.0, 3.0, 4.0];
        for features in [
            vec![],
            vec![2],
            vec![1, 2, 3],
            vec![4, 0, 1, 3, 3],
            vec![3, 2, 1],
        ] {
            let selection = Selection::new(&features);
            let mut out = vec![-1.0; features.len()];
            selection.gather(&values, &mut out);
            let expected: Vec<f64> = features.iter().map(|feature| values[*feature]).collect();
            assert_eq!(out, expected);
            let places = (0..=features.len()).filter_map(|column| selection.position(column));
            assert_eq!(places.collect::<Vec<_>>(), features);
        }
        assert_eq!(Selection::new(&[1, 2]).slice(&values), Some(&values[1..3]));
        assert_eq!(Selection::new(&[1, 3]).slice(&values), None);
    }
}
