//! Which rows two databases hold that the other does not, for the message of a failure.

use std::collections::BTreeMap;

use common::{Database, Record, RecordId};
use syncdb::sync::protocol::is_system;

use super::tables;

/// Rows that are named at most.
const NAMED_MAX: usize = 8;

/// The synced rows that differ, a line each.
pub(crate) fn rows(server: &Database, replica: &Database) -> String {
    let of = |db: &Database, table: &str| -> BTreeMap<RecordId, Record> {
        let rows = tables::all(db, table).into_iter();
        rows.map(|record| (record.id(), record)).collect()
    };
    let mut lines = Vec::new();
    for table in server.collections() {
        if is_system(table.name()) {
            continue;
        }
        let (there, here) = (of(server, table.name()), of(replica, table.name()));
        for key in there
            .keys()
            .chain(here.keys().filter(|key| !there.contains_key(*key)))
        {
            let values = |rows: &BTreeMap<RecordId, Record>| rows.get(key).map(|r| r.to_vec());
            let (there, here) = (values(&there), values(&here));
            if there != here {
                let name = table.name();
                lines.push(format!(
                    "\n  {name} {key}: server {there:?}, replica {here:?}"
                ));
            }
        }
    }
    let more = lines.len().saturating_sub(NAMED_MAX);
    lines.truncate(NAMED_MAX);
    if more > 0 {
        lines.push(format!("\n  and {more} more"));
    }
    lines.concat()
}
