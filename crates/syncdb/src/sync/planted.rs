//! Bugs to be planted, so that the simulation can show that it finds them. Without the feature `planted-bugs` none of
//! this is compiled in; with it, a thread has none until [`plant`] says so.

/// A bug of the kind that sync protocols have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(
    not(feature = "planted-bugs"),
    expect(unreachable_pub, reason = "public where tests can plant")
)]
pub enum Bug {
    /// The server applies a mutation again when it comes again.
    ForgottenIdempotence,
    /// The replica notes its new position in a commit before that of the rows.
    CursorBeforeApply,
    /// Deletions are left out of answers.
    LostTombstone,
    /// The server gives a position that is one commit too far.
    GapInSeq,
    /// Of two concurrent values, that which arrives last stands.
    ResolverByArrival,
    /// The digest does not follow updates.
    DigestNotUpdated,
    /// The last of several operations of a mutation is not applied.
    LastOpDropped,
    /// The first commit after a position is left out.
    OffByOneCursor,
    /// Outcomes are forgotten before the replica has them.
    OutcomeForgottenEarly,
    /// Of two values with the same stamp, that which arrives last stands.
    TieByArrival,
    /// The operations of a mutation are applied twice.
    AppliedTwice,
    /// A conflict is resolved and not told.
    ConflictNotTold,
    /// What the server sends covers what is not sent yet.
    OverlayForgotten,
    /// An answered mutation stays in the queue.
    QueueNotEmptied,
    /// A mutation says that it has seen everything.
    BaseTooNew,
    /// A rejected mutation is not kept.
    RejectionDropped,
}

#[cfg(feature = "planted-bugs")]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a bug for what this thread does from now on, or takes it out again.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    pub(crate) fn has(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(not(feature = "planted-bugs"))]
mod switch {
    pub(crate) const fn has(_bug: super::Bug) -> bool {
        false
    }
}

pub(crate) use switch::has;
#[cfg(feature = "planted-bugs")]
pub use switch::plant;
