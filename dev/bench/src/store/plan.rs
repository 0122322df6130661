//! [`Plan`]: which cases run, at which sizes, how often.

/// Names of all cases, in the order in which they run.
pub const CASES: [&str; 19] = [
    "insert",
    "insert-indexed",
    "get",
    "region",
    "created",
    "snapshot",
    "update",
    "delete",
    "transaction",
    "rollback",
    "insert-uuid",
    "get-uuid",
    "update-uuid",
    "delete-uuid",
    "readers-1",
    "readers-2",
    "readers-1-writer",
    "readers-2-writer",
    "memory",
];

/// Which cases run, at which sizes, how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Sizes of the table, in rows.
    pub sizes: Vec<usize>,
    /// How often every subject takes its turn in every case.
    pub rounds: usize,
    /// Names of the cases that run; empty for all.
    pub cases: Vec<String>,
    /// Names of the subjects that take part; empty for all.
    pub subjects: Vec<String>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            sizes: vec![100_000, 1_000_000],
            rounds: 5,
            cases: Vec::new(),
            subjects: Vec::new(),
        }
    }
}

impl Plan {
    /// Whether this case runs.
    pub fn has_case(&self, name: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|case| case == name)
    }

    /// Whether this subject takes part.
    pub fn has_subject(&self, name: &str) -> bool {
        self.subjects.is_empty() || self.subjects.iter().any(|subject| subject == name)
    }
}
