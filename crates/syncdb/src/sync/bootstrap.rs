//! Snapshots in blocks, made once and sent to every replica that starts.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use common::{Collection, Record, Result, Seq, Snapshot};

use super::increment::Cut;
use super::protocol::{ANSWER_BYTES_TARGET, BLOCK_BYTES_TARGET, News, SchemaSetId};
use super::wire::encode_blocks;

/// A snapshot is sent again while the database is at most this many commits beyond it.
const REUSE_COMMITS_MAX: u64 = 1_000;
/// Snapshots kept: the newest, and the one before for replicas that are receiving it.
const KEPT_MAX: usize = 2;

/// A database's rows at one commit, as frames.
struct Bootstrap {
    seq: Seq,
    schemas: SchemaSetId,
    blocks: Vec<Arc<[u8]>>,
}

/// The snapshots that a server holds ready.
#[derive(Default)]
pub(crate) struct Bootstraps {
    kept: VecDeque<Bootstrap>,
}

impl Bootstraps {
    /// The next part of the snapshot `wanted` (its commit and the number of a block), or the first part of a
    /// recent one when there is no such snapshot.
    pub(crate) fn part(
        &mut self,
        wanted: Option<(Seq, u32)>,
        snapshot: &Snapshot,
        log_start: Seq,
        schemas: SchemaSetId,
        tables: &[Collection],
    ) -> Result<News> {
        // Behind the log's start, a snapshot leads nowhere.
        self.kept.retain(|kept| {
            kept.seq >= log_start && kept.schemas == schemas && kept.seq <= snapshot.seq()
        });
        if let Some((seq, next)) = wanted
            && let Some(kept) = self.kept.iter().find(|kept| kept.seq == seq)
            && usize::try_from(next).is_ok_and(|next| next <= kept.blocks.len())
        {
            return Ok(kept.from(next));
        }
        let recent = |kept: &&Bootstrap| snapshot.seq().0 - kept.seq.0 <= REUSE_COMMITS_MAX;
        if let Some(kept) = self.kept.back().filter(recent) {
            return Ok(kept.from(0));
        }
        let made = Bootstrap::make(snapshot, schemas, tables)?;
        let first = made.from(0);
        self.kept.push_back(made);
        while self.kept.len() > KEPT_MAX {
            self.kept.pop_front();
        }
        Ok(first)
    }
}

impl Bootstrap {
    fn make(snapshot: &Snapshot, schemas: SchemaSetId, tables: &[Collection]) -> Result<Self> {
        let mut blocks = Vec::new();
        for table in tables {
            let schema = table.schema();
            let mut records: Vec<Record> = Vec::new();
            snapshot.view().scan(table, &mut |chunk| {
                records.extend_from_slice(chunk);
                ControlFlow::Continue(())
            })?;
            records.sort_by(|a, b| a.key().cmp(b.key()));
            let mut rest = records.as_slice();
            while !rest.is_empty() {
                let mut bytes = 0;
                let fits = rest.iter().take_while(|record| {
                    let starts = bytes == 0;
                    bytes += record.heap_bytes();
                    starts || bytes <= BLOCK_BYTES_TARGET
                });
                let (block, after) = rest.split_at(fits.count());
                let mut cut = Cut::default();
                for record in block {
                    cut.put(&schema, record);
                }
                blocks.push(encode_blocks(&cut.finish())?.into());
                rest = after;
            }
        }
        Ok(Self {
            seq: snapshot.seq(),
            schemas,
            blocks,
        })
    }

    fn from(&self, first: u32) -> News {
        let mut bytes = 0;
        let rest = self.blocks.iter().skip(first as usize).take_while(|block| {
            let starts = bytes == 0;
            bytes += block.len();
            starts || bytes <= ANSWER_BYTES_TARGET
        });
        News::Snapshot {
            seq: self.seq,
            first,
            total: u32::try_from(self.blocks.len()).unwrap_or(u32::MAX),
            blocks: rest.cloned().collect(),
        }
    }
}
