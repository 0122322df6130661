//! Compression, batching, caching.

pub mod batch;
pub mod caching;
pub mod compression;
