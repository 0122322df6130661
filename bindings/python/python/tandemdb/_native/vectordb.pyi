# What `src/vectordb.rs` gives to the package `vectordb`.
