//! The clustered index against a full scan.
