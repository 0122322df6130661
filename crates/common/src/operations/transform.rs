//! Transformations: named, versioned operations on batches, put together to pipelines that describe
//! themselves.
//!
//! An operation is a [`Transform`] of some kind of item; [`RecordOp`] is the built-in set for rows. A
//! [`Pipeline`] applies its steps in order and reports, as data, every item that a step could not take. What
//! a pipeline did can be written down as a [`PipelineSpec`], which is what lineage stores, and read back
//! through an [`OperationRegistry`], which is also where an application adds operations of its own.

mod batch;
mod cast;
mod expression;
mod moments;
mod operation;
mod pipeline;
mod record_op;
mod registry;

pub use batch::Batch;
pub use cast::cast;
pub use expression::{EXPRESSION_DEPTH_MAX, Expression};
pub use moments::Moments;
pub use operation::{OperationSpec, Transform};
pub use pipeline::{Outcome, Pipeline, PipelineSpec, Rejection, StepSpec};
pub use record_op::{RecordOp, TextChange};
pub use registry::OperationRegistry;
