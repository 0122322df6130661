# What `src/syncdb.rs` gives to the package `syncdb`.
