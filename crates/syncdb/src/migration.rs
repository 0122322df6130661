//! Schema migration: tables get other columns, and nothing that fits is lost.
//!
//! A [`Lineage`] is the chain of versions that an application's tables have had: the first, and for each one after it the
//! [`Migration`] that led there, as [`Step`]s. Steps are data, so the chain is written down, sent and stored; what they
//! cannot express is a [`Script`] that the application registers by name. Each step goes both ways.
//!
//! [`plan`] finds the steps between two sets of schemas and says of each whether it is safe, loses something or is impossible;
//! [`dry_run`] counts what would become of the rows there are, and [`migrate`] does it: all tables in one commit, or, when
//! some row is in the way, nothing.

mod course;
mod dry_run;
mod edge;
mod lens;
mod lineage;
mod plan;
mod program;
mod run;
mod script;
mod step;

pub(crate) use course::{Course, Flow, Misfit, union_of};
pub use dry_run::{DryRun, Sample, TableDryRun, dry_run};
pub use lineage::{Lineage, Version};
pub use plan::{Plan, Planned, Verdict, plan};
pub use run::{MigrationReport, ROWS_NAMED_MAX, TableMigration, Way, alter, migrate, version_of};
pub use script::{Script, Scripts};
pub use step::{MIGRATION_BYTES_MAX, Migration, OnLoss, STEPS_MAX, Step};
