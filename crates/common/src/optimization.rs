//! Compression, batching, caching.
