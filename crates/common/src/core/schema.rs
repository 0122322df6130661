//! What a table looks like: fields with types and rules, compiled once into a [`Validator`].

mod field;
mod rule;
#[expect(
    clippy::module_inception,
    reason = "the schema is what this folder is about"
)]
mod schema;
mod validator;

pub use field::{Field, FieldId, FieldType};
pub use rule::{CustomRule, Rule, RuleRegistry};
pub use schema::{
    IndexKind, IndexSpec, Reference, ReferenceAction, Schema, SchemaBuilder, SchemaId,
    SchemaVersion,
};
pub use validator::Validator;
pub(crate) use validator::fits;
