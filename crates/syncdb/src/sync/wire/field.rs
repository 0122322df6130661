//! Field numbers of the messages in `docs/proto/sync.proto`. None is given twice or changes its meaning.

pub(super) mod frame {
    pub(crate) const REQUEST: u32 = 1;
    pub(crate) const ANSWER: u32 = 2;
    pub(crate) const BLOCKS: u32 = 3;
}

pub(super) mod request {
    pub(crate) const REPLICA: u32 = 1;
    pub(crate) const NUMBER: u32 = 2;
    pub(crate) const POSITION: u32 = 3;
    pub(crate) const SCHEMAS: u32 = 4;
    pub(crate) const ACKNOWLEDGED: u32 = 5;
    pub(crate) const NOW: u32 = 6;
    pub(crate) const ROWS: u32 = 7;
    pub(crate) const MUTATIONS: u32 = 8;
    pub(crate) const TOLD: u32 = 21;
}

pub(super) mod position {
    pub(crate) const EPOCH: u32 = 1;
    pub(crate) const SEQ: u32 = 2;
    pub(crate) const NEXT: u32 = 3;
}

pub(super) mod answer {
    pub(crate) const NUMBER: u32 = 1;
    pub(crate) const EPOCH: u32 = 2;
    pub(crate) const NOW: u32 = 3;
    pub(crate) const SCHEMAS: u32 = 4;
    pub(crate) const NEXT: u32 = 5;
    pub(crate) const OUTCOMES: u32 = 6;
    pub(crate) const CHANGES: u32 = 7;
    pub(crate) const SNAPSHOT: u32 = 8;
    pub(crate) const POLICIES: u32 = 22;
    pub(crate) const LEDGER: u32 = 23;
    pub(crate) const TOLD: u32 = 24;
}

pub(super) mod policy {
    pub(crate) const TABLE: u32 = 1;
    pub(crate) const JSON: u32 = 2;
}

pub(super) mod entry_id {
    pub(crate) const SEQ: u32 = 1;
    pub(crate) const NUMBER: u32 = 2;
}

pub(super) mod schemas {
    pub(crate) const JSON: u32 = 1;
}

pub(super) mod outcome {
    pub(crate) const CLIENT_SEQ: u32 = 1;
    pub(crate) const APPLIED: u32 = 2;
    pub(crate) const RESOLVED: u32 = 3;
    pub(crate) const REJECTED: u32 = 4;
}

pub(super) mod resolved {
    pub(crate) const CONFLICTS: u32 = 1;
}

pub(super) mod rejected {
    pub(crate) const CODE: u32 = 1;
    pub(crate) const MESSAGE: u32 = 2;
}

pub(super) mod changes {
    pub(crate) const TRUTH: u32 = 1;
    pub(crate) const BLOCKS: u32 = 2;
    pub(crate) const SEQ: u32 = 3;
    pub(crate) const MORE: u32 = 4;
    pub(crate) const DIGEST: u32 = 5;
}

pub(super) mod digest {
    pub(crate) const ROWS: u32 = 1;
    pub(crate) const SUM: u32 = 2;
}

pub(super) mod snapshot {
    pub(crate) const SEQ: u32 = 1;
    pub(crate) const FIRST: u32 = 2;
    pub(crate) const TOTAL: u32 = 3;
    pub(crate) const FRAMES: u32 = 4;
}

pub(super) mod blocks {
    pub(crate) const BLOCKS: u32 = 1;
}
