//! Many searches at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Result, Slot};
use parking_lot::Mutex;

use super::exact::Scan;
use super::index::{Answer, Index, Neighbour, scanned};
use super::request::Request;
use crate::core::distance::PreparedVector;
use crate::core::{SlotSet, VectorRows};

impl Index {
    /// For each query what [`Index::nearest`] finds, on so many threads. Where all candidates are compared, each is
    /// fetched once for all queries, which takes a fraction of the time.
    ///
    /// ```
    /// use vectordb::core::VectorTable;
    /// use vectordb::{Index, IndexOptions, Metric, unwatched};
    /// let mut table = VectorTable::new(1);
    /// for x in 0..100_u8 {
    ///     table.push(&[f32::from(x)]);
    /// }
    /// let index = Index::build(&IndexOptions::Exact, Metric::Euclidean, table.rows(), &unwatched)?;
    /// let queries = [3.2, 77.9].map(|x| Metric::Euclidean.prepare_query(&[x], 1));
    /// let queries = queries.into_iter().collect::<common::Result<Vec<_>>>()?;
    /// let nearest = index.nearest_to_each(table.rows(), &queries, 1, None, None, 2)?;
    /// assert_eq!([nearest[0][0].slot.0, nearest[1][0].slot.0], [3, 78]);
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Index::nearest`].
    pub fn nearest_to_each(
        &self,
        rows: &VectorRows,
        queries: &[PreparedVector],
        k: usize,
        effort: Option<usize>,
        filter: Option<&SlotSet>,
        threads: usize,
    ) -> Result<Vec<Vec<Neighbour>>> {
        let requests: Vec<Request<'_>> = queries
            .iter()
            .map(|query| Request {
                rows,
                metric: self.metric(),
                query,
                k,
                filter,
                tie: &|a: Slot, b: Slot| a.cmp(&b),
            })
            .collect();
        let answers = self.search_each(&requests, queries, effort, threads);
        self.check(rows)?;
        Ok(answers.into_iter().map(|answer| answer.nearest).collect())
    }

    /// Answers requests that differ in their query only.
    pub(crate) fn search_each(
        &self,
        requests: &[Request<'_>],
        queries: &[PreparedVector],
        effort: Option<usize>,
        threads: usize,
    ) -> Vec<Answer> {
        let Some(request) = requests.first() else {
            return Vec::new();
        };
        if !self.is_scan_for(request) {
            return each(threads, requests, |request| self.search(request, effort));
        }
        let scan = Scan {
            rows: request.rows,
            metric: request.metric,
            among: request.filter,
            threads,
        };
        let nearest = scan.nearest_to_each(queries, request.k, &|a, b| (request.tie)(a, b));
        let answers = nearest.into_iter().map(|nearest| Answer {
            nearest,
            ..scanned(request)
        });
        answers.collect()
    }
}

/// Does the same to each item on so many threads; results come in the order of the items.
pub(crate) fn each<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let helpers = threads.min(items.len()).saturating_sub(1);
    if helpers == 0 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    let run = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            let result = work(item);
            results.lock().push((at, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(run);
        }
        run();
    });
    let mut results = results.into_inner();
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}
