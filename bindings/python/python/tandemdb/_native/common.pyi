# What `src/common.rs` gives to the package `common`.
