//! [`Gate`]: how many requests run and wait at a time; [`Rate`]: how many somebody may make.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::http::StatusCode;
use common::Text;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Most operations of one transaction, and rows of one insertion.
pub(crate) const OPERATIONS_MAX: usize = 1_000;
/// Most rows in one answer.
pub(crate) const ANSWER_ROWS_MAX: usize = 10_000;
/// Rows in an answer where nothing is said.
pub(crate) const ANSWER_ROWS: usize = 100;
/// Most bytes of one answer.
pub(crate) const ANSWER_BYTES_MAX: usize = 32 << 20;

/// How many requests run at a time, and how many wait for their turn; further ones are turned away at once.
pub(crate) struct Gate {
    running: Arc<Semaphore>,
    places: Semaphore,
}

impl Gate {
    pub(crate) fn new(running_max: usize, waiting_max: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(running_max.max(1))),
            places: Semaphore::new(waiting_max),
        }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// A problem with a time to come back when too many wait already.
    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        if let Ok(permit) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(permit);
        }
        let full = || {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Problem::overloaded(status, "too many requests wait already; try again later", 1)
        };
        let _place = self.places.try_acquire().map_err(|_| full())?;
        let permit = Arc::clone(&self.running).acquire_owned().await;
        permit.map_err(|_| full())
    }
}

/// Who a rate is counted for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Payer {
    /// Somebody who was identified, of a tenant.
    Principal(Text, Text),
    /// The address that others come from.
    Address(IpAddr),
}

impl Payer {
    /// Whoever has one address of IPv6 has 2^64 of them.
    pub(crate) fn address(address: IpAddr) -> Self {
        Self::Address(match address {
            IpAddr::V6(address) if address.to_ipv4_mapped().is_none() => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::from([a, b, c, d, 0, 0, 0, 0])
            }
            address => address.to_canonical(),
        })
    }
}

/// How many requests one payer may make in a second: a bucket of tokens for each.
pub(crate) struct Rate {
    buckets: DefaultKeyedRateLimiter<Payer>,
    clock: DefaultClock,
}

impl Rate {
    /// So many in a second in the long run, and `burst` at once.
    pub(crate) fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Self {
            buckets: RateLimiter::keyed(quota),
            clock: DefaultClock::default(),
        }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// A problem with the time until there is one again.
    pub(crate) fn take(&self, payer: &Payer) -> Result<(), Problem> {
        let Err(until) = self.buckets.check_key(payer) else {
            return Ok(());
        };
        let wait = until.wait_time_from(self.clock.now());
        Err(Problem::overloaded(
            StatusCode::TOO_MANY_REQUESTS,
            "too many requests in a short time; slow down",
            wait.as_secs() + 1,
        ))
    }

    /// Forgets the buckets that are full again.
    pub(crate) fn forget(&self) {
        self.buckets.retain_recent();
        self.buckets.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_share_a_bucket() {
        let of = |text: &str| Payer::address(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }

    #[test]
    fn a_bucket_is_empty_at_its_limit_and_others_are_not() {
        let one = NonZeroU32::MIN;
        let rate = Rate::new(one, NonZeroU32::new(2).unwrap());
        let (a, b) = (
            Payer::Principal("t".into(), "a".into()),
            Payer::Principal("t".into(), "b".into()),
        );
        assert!(rate.take(&a).is_ok());
        assert!(rate.take(&a).is_ok());
        let problem = rate.take(&a).unwrap_err();
        assert_eq!(problem.status, 429);
        assert!(problem.retry_after.is_some());
        assert!(rate.take(&b).is_ok());
    }

    #[tokio::test]
    async fn who_finds_no_place_to_wait_is_turned_away() {
        let gate = Arc::new(Gate::new(1, 1));
        let running = gate.enter().await.unwrap();
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter().await.is_ok() }
        });
        while gate.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(gate.enter().await.unwrap_err().status, 503);
        drop(running);
        assert!(waiting.await.unwrap());
    }
}
