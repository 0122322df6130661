//! The simulation finds bugs: each of these is planted, and found within 200 seeds.

use syncdb::sync::planted::{Bug, plant};

use super::plan::{Plan, Size};
use super::run_caught;

const SEEDS_MAX: u64 = 200;

/// Takes the bug out again, also when the test fails.
struct Planted;

impl Planted {
    fn new(bug: Bug) -> Self {
        plant(Some(bug));
        Self
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        plant(None);
    }
}

#[track_caller]
fn finds(bug: Bug) {
    let _planted = Planted::new(bug);
    for seed in 0..SEEDS_MAX {
        if let Err(failure) = run_caught(&Plan::new(seed, Size::Usual), 0).result {
            let first = failure.what.lines().next().unwrap_or_default();
            println!("{bug:?}: found by seed {seed}: {}: {first}", failure.kind);
            return;
        }
    }
    panic!("{bug:?} was not found in {SEEDS_MAX} seeds");
}

macro_rules! planted {
    ($($name:ident: $bug:ident;)*) => {
        $(
            #[test]
            fn $name() {
                finds(Bug::$bug);
            }
        )*
    };
}

planted! {
    forgotten_idempotence_is_found: ForgottenIdempotence;
    a_cursor_before_its_rows_is_found: CursorBeforeApply;
    a_lost_tombstone_is_found: LostTombstone;
    a_gap_in_seq_is_found: GapInSeq;
    a_resolver_that_depends_on_order_is_found: ResolverByArrival;
    a_digest_that_is_not_updated_is_found: DigestNotUpdated;
    a_dropped_last_operation_is_found: LastOpDropped;
    a_cursor_off_by_one_is_found: OffByOneCursor;
    an_outcome_forgotten_early_is_found: OutcomeForgottenEarly;
    a_tie_by_arrival_is_found: TieByArrival;
    a_mutation_applied_twice_is_found: AppliedTwice;
    a_conflict_not_told_is_found: ConflictNotTold;
    an_overlay_forgotten_is_found: OverlayForgotten;
    a_queue_that_is_not_emptied_is_found: QueueNotEmptied;
    a_base_that_is_too_new_is_found: BaseTooNew;
    a_dropped_rejection_is_found: RejectionDropped;
}
