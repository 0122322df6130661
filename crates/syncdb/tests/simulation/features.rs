//! What only seeds from [`FEATURES_FROM`] on have: replicas of a part of the rows, permissions that change, columns that
//! are merged, deletions that give way to updates, conflicts that are reverted and rejected edits that are tried again.
//!
//! All of it is drawn from a stream of its own and laid over the plan that the seed has anyway: a seed below that number
//! means what it always meant.

use std::time::Duration;

use syncdb::SetBias;

use super::plan::{Action, Plan, Random, Step};

/// The first seed with features.
pub(crate) const FEATURES_FROM: u64 = 1_000_000;
/// Values of the column by which replicas choose their part.
pub(crate) const PLACES: i64 = 6;

/// What a seed with features is like.
#[derive(Debug, Clone)]
pub(crate) struct Features {
    /// Which clients keep a part of the table `tasks` only.
    pub(crate) scoped: Vec<bool>,
    /// What clients may see changes.
    pub(crate) permissions: bool,
    pub(crate) bias: SetBias,
    /// Conflicts are reverted.
    pub(crate) reverts: bool,
    /// Rejected edits are tried again, not only discarded.
    pub(crate) retries: bool,
    /// Tasks that the server has at first.
    pub(crate) tasks: i64,
}

/// Something that happens in such a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feature {
    /// Columns of one task or two, among them that by which replicas choose.
    Task,
    /// Columns of a task that are merged: a set, a greatest and a least value, one with a function.
    Merge,
    NewTask,
    /// A row that comes, changes and goes, and of which an update weighs more than a deletion.
    Draft,
    /// A task is written at the server.
    ServerTask,
    /// A client subscribes to another part, or to less or more.
    Subscribe,
    /// What a client may see becomes something else.
    Permit,
    /// A client brings back what lost in a conflict.
    Revert,
    /// The server does.
    ServerRevert,
    /// A client tries a rejected edit again, or discards it.
    Settle,
}

/// Lays the features over a plan. `restores`: somebody is set back to an old copy in it.
pub(crate) fn add(plan: &mut Plan, restores: bool) {
    let random = Random::new(plan.config.seed ^ 0xFEA7_0F51_u64);
    let clients = plan.config.clients;
    let features = Features {
        scoped: (0..clients).map(|_| random.chance(60)).collect(),
        permissions: random.chance(35),
        bias: random.pick(&[SetBias::AddWins, SetBias::RemoveWins]),
        // What is brought back or tried again twice, by two lives of a replica, is beyond the oracle.
        reverts: random.chance(50) && !restores,
        retries: random.chance(60) && !restores,
        tasks: random.pick(&[12, 12, 12, 160]),
    };
    let mut steps = Vec::with_capacity(plan.steps.len() * 2);
    for step in &plan.steps {
        steps.push(*step);
        if !random.chance(45) {
            continue;
        }
        let client = random.index(clients);
        let feature = match random.below(100) {
            0..=29 => Feature::Task,
            30..=49 => Feature::Merge,
            50..=56 => Feature::NewTask,
            57..=71 => Feature::Draft,
            72..=78 => Feature::ServerTask,
            79..=86 => Feature::Subscribe,
            87..=90 if features.permissions => Feature::Permit,
            91..=92 if features.reverts => Feature::Revert,
            93 if features.reverts => Feature::ServerRevert,
            94..=96 => Feature::Settle,
            _ => Feature::Task,
        };
        let at = step.at + Duration::from_millis(random.below(3_000));
        steps.push(Step {
            at,
            action: Action::Feature(client, feature, random.next()),
        });
    }
    steps.sort_by_key(|step| step.at);
    plan.steps = steps;
    plan.config.features = Some(features);
}
