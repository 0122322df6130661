//! Which log the positions of replicas are of: a number by chance that changes when the database was set back.

use common::Result;
use common::Value;
use common::utils::id_generator::Rng;

use crate::sync::authority::Authority;
use crate::sync::protocol::Epoch;
use crate::sync::system::{number, read_number};

/// The key of the epoch.
const EPOCH_KEY: &str = "server";
/// The key of the name of the store that had the database last.
const STORE_KEY: &str = "store";

/// The epoch of a database in `store`: the one that it has, or a new one where it has none and where its last store was another.
pub(super) fn epoch(core: &Authority, store: Option<[u8; 16]>, rng: &dyn Rng) -> Result<Epoch> {
    let table = &core.tables.server;
    let known = |key: &str| {
        let record = table.try_get(key)?;
        record.map(|record| read_number(&record, 1)).transpose()
    };
    // By chance, so half of it tells stores apart as well.
    let store =
        store.map(|[a, b, c, d, e, f, g, h, ..]| u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    let last = known(STORE_KEY)?;
    let is_moved = store.is_some() && last.is_some() && store != last;
    let epoch = known(EPOCH_KEY)?.filter(|_| !is_moved);
    let is_new = epoch.is_none();
    let epoch = epoch.unwrap_or_else(|| {
        let mut bytes = [0; 8];
        rng.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    });
    let is_other = store.filter(|store| last != Some(*store));
    if !is_new && is_other.is_none() {
        return Ok(Epoch(epoch));
    }
    let mut changes = core.db.begin();
    if is_new {
        changes.upsert_values(table, [Value::from(EPOCH_KEY), number(epoch)])?;
    }
    if let Some(store) = is_other {
        changes.upsert_values(table, [Value::from(STORE_KEY), number(store)])?;
    }
    changes.commit()?;
    Ok(Epoch(epoch))
}
