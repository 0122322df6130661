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
    pub(crate) const SCOPES: u32 = 16;
    pub(crate) const TOKEN: u32 = 17;
    pub(crate) const RANGES: u32 = 18;
    pub(crate) const TOLD: u32 = 21;
    pub(crate) const FIRST: u32 = 25;
    pub(crate) const REFERENCES: u32 = 26;
    pub(crate) const VERSION: u32 = 27;
    pub(crate) const DICTIONARIES: u32 = 19;
}

pub(super) mod position {
    pub(crate) const EPOCH: u32 = 1;
    pub(crate) const SEQ: u32 = 2;
}

pub(super) mod answer {
    pub(crate) const NUMBER: u32 = 1;
    pub(crate) const EPOCH: u32 = 2;
    pub(crate) const NOW: u32 = 3;
    pub(crate) const SCHEMAS: u32 = 4;
    pub(crate) const NEXT: u32 = 5;
    pub(crate) const OUTCOMES: u32 = 6;
    pub(crate) const HEARD: u32 = 9;
    pub(crate) const KNOWN: u32 = 10;
    pub(crate) const TRUTH: u32 = 11;
    pub(crate) const REFUSED: u32 = 12;
    pub(crate) const STAGED: u32 = 13;
    pub(crate) const COMMIT: u32 = 14;
    pub(crate) const POLICIES: u32 = 22;
    pub(crate) const LEDGER: u32 = 23;
    pub(crate) const TOLD: u32 = 24;
    pub(crate) const DICTIONARIES: u32 = 19;
    pub(crate) const LOST: u32 = 26;
    pub(crate) const VERSION: u32 = 27;
}

pub(super) mod dictionary {
    pub(crate) const TABLE: u32 = 1;
    pub(crate) const KEY_COLUMNS: u32 = 2;
    pub(crate) const FIELDS: u32 = 3;
    pub(crate) const CONTENT: u32 = 4;
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

pub(super) mod scope {
    pub(crate) const SLOT: u32 = 1;
    pub(crate) const WANT: u32 = 2;
    pub(crate) const JOINED: u32 = 3;
    pub(crate) const STALE: u32 = 4;
    pub(crate) const CHANGED: u32 = 5;
}

pub(super) mod want {
    pub(crate) const TABLE: u32 = 1;
    pub(crate) const FILTER: u32 = 2;
    pub(crate) const COLUMNS: u32 = 3;
}

pub(super) mod columns {
    pub(crate) const NAMES: u32 = 1;
}

pub(super) mod changed {
    pub(crate) const ID: u32 = 1;
    pub(crate) const OLD: u32 = 2;
    pub(crate) const VERSION: u32 = 3;
}

pub(super) mod questions {
    pub(crate) const QUESTIONS: u32 = 1;
}

pub(super) mod question {
    pub(crate) const AFTER: u32 = 1;
    pub(crate) const UPTO: u32 = 2;
    pub(crate) const HASHES: u32 = 3;
}

pub(super) mod bound {
    pub(crate) const TABLE: u32 = 1;
    pub(crate) const KEY: u32 = 2;
}

pub(super) mod refused {
    pub(crate) const SLOT: u32 = 1;
    pub(crate) const REASON: u32 = 2;
}

pub(super) mod staged {
    pub(crate) const TOKEN: u32 = 1;
    pub(crate) const RESTART: u32 = 2;
    pub(crate) const JOINING: u32 = 3;
    pub(crate) const REPLACES: u32 = 4;
    pub(crate) const SEGMENTS: u32 = 5;
    pub(crate) const CHANGES: u32 = 6;
    pub(crate) const RANGES: u32 = 7;
}

pub(super) mod ranges {
    pub(crate) const REPLIES: u32 = 1;
}

pub(super) mod reply {
    pub(crate) const PARTS: u32 = 1;
    pub(crate) const UNKNOWN: u32 = 2;
}

pub(super) mod unknown {
    pub(crate) const POSITIONS: u32 = 1;
}

pub(super) mod parts {
    pub(crate) const SUMS: u32 = 1;
}

pub(super) mod sum {
    pub(crate) const UPTO: u32 = 1;
    pub(crate) const ROWS: u32 = 2;
    pub(crate) const SUM: u32 = 3;
}

pub(super) mod commit {
    pub(crate) const SEQ: u32 = 1;
    pub(crate) const BLOCKS: u32 = 2;
    pub(crate) const JOINED: u32 = 3;
    pub(crate) const GRANTS: u32 = 4;
    pub(crate) const DIGESTS: u32 = 5;
    pub(crate) const REFERRED: u32 = 6;
    pub(crate) const KEYS: u32 = 7;
}

pub(super) mod referred {
    pub(crate) const BLOCK: u32 = 1;
    pub(crate) const BITS: u32 = 2;
    pub(crate) const ROWS: u32 = 3;
}

pub(super) mod grant {
    pub(crate) const SLOT: u32 = 1;
    pub(crate) const ID: u32 = 2;
    pub(crate) const COLUMNS: u32 = 3;
}

pub(super) mod grant_columns {
    pub(crate) const TABLE: u32 = 1;
    pub(crate) const FIELDS: u32 = 2;
}

pub(super) mod digest {
    pub(crate) const SLOT: u32 = 1;
    pub(crate) const ROWS: u32 = 2;
    pub(crate) const SUM: u32 = 3;
}

pub(super) mod blocks {
    pub(crate) const BLOCKS: u32 = 1;
}
