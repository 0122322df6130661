//! Leaves: ids, time, validation helpers, type conversion.
