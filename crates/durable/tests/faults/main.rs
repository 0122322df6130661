//! Files under faults: failed calls, full disks, power cuts, damage.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "a test stops at a surprise; versions are small"
)]

mod crash;
mod model_disk;
mod page_file;
