//! What is measured in this process: TandemDB, and a plain copy.

use bench::Result;
use vectordb::transform::{
    ColumnPlan, ColumnTransformer, Encoding, Filling, Matrix, MissingText, Norm, RoutePlan,
    Scaling, SourcePlan, StepPlan, Steps, Unknown,
};

use crate::cases::{Case, Work};
use crate::data::{COLUMNS, Data, TEXT_ROWS};

/// Everything fitted, with room for the answers.
pub(crate) struct Ours<'a> {
    data: &'a Data,
    standard: Steps,
    min_max: Steps,
    pipeline: Steps,
    row: ColumnTransformer,
    one_hot: ColumnTransformer,
    texts: Vec<Vec<Option<&'a str>>>,
    text_row: Vec<Option<&'a str>>,
    pub(crate) out: Vec<f64>,
}

impl<'a> Ours<'a> {
    pub(crate) fn fit(data: &'a Data) -> Result<Self> {
        let numbers = Matrix::new(&data.numbers, COLUMNS)?;
        let holes = Matrix::new(&data.holes, COLUMNS)?;
        let names: Vec<String> = (0..COLUMNS).map(|at| format!("c{at}")).collect();
        let scaled = RoutePlan::new("scaled", names.clone(), SourcePlan::Numbers)
            .then(StepPlan::Scale(Scaling::STANDARD));
        let source = SourcePlan::Encode {
            encoding: Encoding::OneHot,
            unknown: Unknown::Ignore,
            missing: MissingText::Refuse,
        };
        let hot = RoutePlan::new("hot", names.clone(), source);
        let texts: Vec<Vec<Option<&str>>> = (data.texts.iter())
            .map(|column| column.iter().map(|text| Some(text.as_str())).collect())
            .collect();
        let slices: Vec<&[Option<&str>]> = texts.iter().map(Vec::as_slice).collect();
        let none = [""; 0];
        Ok(Self {
            data,
            standard: Steps::fit(&[StepPlan::Scale(Scaling::STANDARD)], numbers)?,
            min_max: Steps::fit(&[StepPlan::Scale(Scaling::MIN_MAX)], numbers)?,
            pipeline: Steps::fit(
                &[
                    StepPlan::Impute(Filling::Mean),
                    StepPlan::Scale(Scaling::STANDARD),
                    StepPlan::Normalize(Norm::L2),
                ],
                holes,
            )?,
            row: ColumnPlan::new(names.clone(), none)
                .route(scaled)
                .fit(numbers, &[])?,
            one_hot: ColumnPlan::new(none, names)
                .route(hot)
                .fit(Matrix::empty(TEXT_ROWS), &slices)?,
            text_row: texts.iter().filter_map(|c| c.first().copied()).collect(),
            texts,
            out: vec![1.0; data.numbers.len()],
        })
    }

    /// Does the work of a case `times` times.
    pub(crate) fn run(&mut self, case: &Case, times: usize) -> Result<()> {
        let numbers = self.data.numbers.get(..case.numbers()).unwrap_or_default();
        let holes = self.data.holes.get(..case.numbers()).unwrap_or_default();
        let out = self.out.get_mut(..case.outputs()).ok_or("no room")?;
        let slices: Vec<&[Option<&str>]> = self.texts.iter().map(Vec::as_slice).collect();
        for _ in 0..times {
            match case.work {
                Work::Standard if case.rows == 1 => self.row.transform_row(numbers, &[], out)?,
                Work::Standard => {
                    self.standard
                        .transform(Matrix::new(numbers, COLUMNS)?, out)?;
                }
                Work::MinMax => self
                    .min_max
                    .transform(Matrix::new(numbers, COLUMNS)?, out)?,
                Work::Pipeline => self.pipeline.transform(Matrix::new(holes, COLUMNS)?, out)?,
                Work::OneHot if case.rows == 1 => {
                    self.one_hot.transform_row(&[], &self.text_row, out)?;
                }
                Work::OneHot => self
                    .one_hot
                    .transform(Matrix::empty(case.rows), &slices, out)?,
            }
            std::hint::black_box(&mut *out);
        }
        Ok(())
    }

    /// Copies as many numbers as the case reads, or for categories writes as many zeros as it makes.
    pub(crate) fn copy(&mut self, case: &Case, times: usize) -> Result<()> {
        let from = self.data.numbers.get(..case.outputs());
        let from = from.ok_or("too few numbers")?;
        let out = self.out.get_mut(..case.outputs()).ok_or("no room")?;
        for _ in 0..times {
            out.copy_from_slice(std::hint::black_box(from));
            std::hint::black_box(&mut *out);
        }
        Ok(())
    }
}
