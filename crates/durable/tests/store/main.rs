//! A durable database under faults: crashes at every operation, failed calls, full disks, damage.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at a surprise"
)]

mod crash;
mod damage;
mod disk;
mod faults;
mod restart;
mod script;
