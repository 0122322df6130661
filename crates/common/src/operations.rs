//! Queries and transformations.
