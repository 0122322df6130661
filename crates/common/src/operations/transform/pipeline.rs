//! [`Pipeline`]: operations in order, applied to batches and written down.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::batch::Batch;
use super::operation::{OperationSpec, Transform};
use super::registry::OperationRegistry;
use crate::core::base::Text;
use crate::error::{Error, Result};
use crate::limits::NAME_BYTES_MAX;

/// Most steps in one pipeline.
const STEPS_MAX: usize = 1_024;

/// Named operations in order; cloning shares them.
///
/// ```
/// use common::operations::transform::{Pipeline, RecordOp};
/// use common::{row, Value};
/// let clean = Pipeline::new()
///     .step("trim", RecordOp::trim(["name"]))?
///     .step("count", RecordOp::cast("population", common::schema::FieldType::Int))?;
/// let outcome = clean.apply(vec![
///     row! { "name": " Oulu ", "population": "214633" },
///     row! { "name": "Turku", "population": "many" },
/// ])?;
/// assert_eq!(outcome.items, [row! { "name": "Oulu", "population": 214_633 }]);
/// assert_eq!(outcome.rejected[0].item, 1);
/// assert_eq!(outcome.rejected[0].step, "count");
///
/// // Written down, stored, read back: the same pipeline.
/// let json = serde_json::to_string(&clean.describe()).unwrap();
/// let again = Pipeline::build(&serde_json::from_str(&json).unwrap(), &RecordOp::registry())?;
/// assert_eq!(again.describe(), clean.describe());
/// # Ok::<(), common::Error>(())
/// ```
pub struct Pipeline<T> {
    steps: Vec<Step<T>>,
}

struct Step<T> {
    name: Text,
    operation: Arc<dyn Transform<T>>,
}

/// What came out of a pipeline: the items that passed every step and a report on those that did not.
///
/// An item that an operation did not want (see [`Batch::retain`]) is in neither list.
#[derive(Debug)]
pub struct Outcome<T> {
    /// The items that passed every step, in the order in which they were given.
    pub items: Vec<T>,
    /// For each of `items`, its position in the batch that was given.
    pub origins: Vec<usize>,
    /// The items that a step could not take, ordered by step, then by position.
    pub rejected: Vec<Rejection>,
}

/// One item that a step could not take.
#[derive(Debug)]
pub struct Rejection {
    /// Position of the item in the batch that was given.
    pub item: usize,
    /// Name of the step.
    pub step: Text,
    /// What is wrong with the item.
    pub error: Error,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "item {}, step `{}`: {}",
            self.item, self.step, self.error
        )
    }
}

/// A pipeline written down, as lineage stores it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineSpec {
    /// The steps in order.
    pub steps: Vec<StepSpec>,
}

/// One step of a [`PipelineSpec`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSpec {
    /// Name of the step, unique in its pipeline.
    pub name: Text,
    /// What the step does.
    pub operation: OperationSpec,
}

impl<T> Pipeline<T> {
    /// A pipeline without steps, which changes nothing.
    pub const fn new() -> Self {
        Self { steps: Vec::new() }
    }

    /// Adds a step at the end; its name is what reports and lineage call it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when the name is empty or taken;
    /// [`crate::ErrorKind::LimitExceeded`] when it is too long or there are 1,024 steps already.
    pub fn step(
        mut self,
        name: impl Into<Text>,
        operation: impl Transform<T> + 'static,
    ) -> Result<Self> {
        self.push(name.into(), Arc::new(operation))?;
        Ok(self)
    }

    fn push(&mut self, name: Text, operation: Arc<dyn Transform<T>>) -> Result<()> {
        if name.is_empty() {
            return Err(Error::invalid(
                "a step has a name, by which reports refer to it",
            ));
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(Error::limit_exceeded(format!(
                "the name of a step has {} bytes, but the limit is {NAME_BYTES_MAX}",
                name.len()
            )));
        }
        if self.steps.len() >= STEPS_MAX {
            return Err(Error::limit_exceeded(format!(
                "a pipeline has at most {STEPS_MAX} steps"
            )));
        }
        if self.steps.iter().any(|step| step.name == name) {
            return Err(Error::invalid(format!(
                "two steps are named `{name}`; give one of them another name"
            )));
        }
        self.steps.push(Step { name, operation });
        Ok(())
    }

    /// Number of steps.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there is no step.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Applies the steps in order to `items`.
    ///
    /// An item that a step rejects takes no further part; the others go on.
    ///
    /// # Errors
    /// Those of a step that cannot run at all, with its name in front.
    pub fn apply(&self, items: Vec<T>) -> Result<Outcome<T>> {
        let mut batch = Batch::new(items);
        // How many rejections there were after each step: which step each of them belongs to.
        let mut ends = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            step.operation.apply(&mut batch).map_err(|error| {
                error.at(format!(
                    "step `{}` ({} {})",
                    step.name,
                    step.operation.name(),
                    step.operation.version()
                ))
            })?;
            ends.push((batch.rejections(), &step.name));
        }
        let (items, origins, rejected) = batch.into_parts();
        let mut rejected = rejected.into_iter().enumerate().peekable();
        let mut report = Vec::new();
        for (end, name) in ends {
            while let Some((_, (item, error))) = rejected.next_if(|(i, _)| *i < end) {
                report.push(Rejection {
                    item,
                    step: name.clone(),
                    error,
                });
            }
        }
        Ok(Outcome {
            items,
            origins,
            rejected: report,
        })
    }

    /// This pipeline written down: names, versions and parameters of its operations.
    pub fn describe(&self) -> PipelineSpec {
        let steps = self.steps.iter().map(|step| StepSpec {
            name: step.name.clone(),
            operation: step.operation.spec(),
        });
        PipelineSpec {
            steps: steps.collect(),
        }
    }

    /// The pipeline that was written down, with operations found by name.
    ///
    /// # Errors
    /// Those of [`Pipeline::step`] and [`OperationRegistry::build`], with the step's name in front.
    pub fn build(spec: &PipelineSpec, registry: &OperationRegistry<T>) -> Result<Self> {
        let mut pipeline = Self::new();
        for step in &spec.steps {
            let operation = registry
                .build(&step.operation)
                .map_err(|error| error.at(format!("step `{}`", step.name)))?;
            pipeline.push(step.name.clone(), operation)?;
        }
        Ok(pipeline)
    }

    /// The pipeline that undoes this one: the inverses of the steps, last first. `None` when a step has none.
    pub fn inverse(&self) -> Option<Self> {
        let steps = self.steps.iter().rev().map(|step| {
            Some(Step {
                name: step.name.clone(),
                operation: step.operation.inverse()?,
            })
        });
        Some(Self {
            steps: steps.collect::<Option<_>>()?,
        })
    }
}

impl<T> Default for Pipeline<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Pipeline<T> {
    fn clone(&self) -> Self {
        let steps = self.steps.iter().map(|step| Step {
            name: step.name.clone(),
            operation: Arc::clone(&step.operation),
        });
        Self {
            steps: steps.collect(),
        }
    }
}

impl<T> fmt::Debug for Pipeline<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self
            .steps
            .iter()
            .map(|step| format!("{}: {}", step.name, step.operation.name()));
        f.debug_list().entries(steps).finish()
    }
}
