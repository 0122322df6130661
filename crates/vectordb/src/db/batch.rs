//! Many searches of a [`VectorCollection`] at once.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use common::{Result, Seq};

use super::answer::{Account, Query};
use super::collection::VectorCollection;
use super::column::{ColumnView, VectorsView};
use super::run::{Checked, Matched, Ranked, found};
use super::search::{Found, Search, Target};
use crate::core::distance::PreparedVector;
use crate::indexing::{Request, each};

/// Searches of the same column with the same filter.
struct Group<'s> {
    searches: Vec<(usize, &'s Search)>,
    checked: Checked,
}

impl VectorCollection {
    /// Answers many searches of one state at once, on several threads: see [`VectorOptions::threads`]. Searches that
    /// differ in their vector only share their filter, and where rows are scanned, each row is fetched once for all
    /// of them.
    ///
    /// ```
    /// use vectordb::{Metric, Search, VectorDb, VectorOptions};
    /// let db = VectorDb::new();
    /// let things = db.create_collection("things", VectorOptions::new(1, Metric::Euclidean), [])?;
    /// things.upsert_all((0..9_u8).map(|x| (i64::from(x), [f32::from(x)], common::row! {})))?;
    /// let found = things.search_many(&[Search::new([2.1], 1), Search::new([6.8], 1)])?;
    /// assert_eq!([&found[0].hits[0].id, &found[1].hits[0].id], [&2.into(), &7.into()]);
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// [`VectorOptions::threads`]: crate::VectorOptions::threads
    ///
    /// # Errors
    /// As [`VectorCollection::search`] for the first search that is wrong, with its number, from 0, in front.
    pub fn search_many(&self, searches: &[Search]) -> Result<Vec<Found>> {
        let at = |number: usize| move |error: common::Error| error.at(format!("search {number}"));
        let mut groups: Vec<Group<'_>> = Vec::new();
        let mut columns = Vec::with_capacity(searches.len());
        for (number, search) in searches.iter().enumerate() {
            columns.push(self.columns(search.select.as_deref()).map_err(at(number))?);
            let like = |group: &&mut Group<'_>| {
                let first = group.searches.first();
                first.is_some_and(|(_, first)| {
                    first.on == search.on && first.filter == search.filter
                })
            };
            let known = groups.iter_mut().find(like);
            let checked = self.check(search).map_err(at(number))?;
            match known {
                Some(group) => group.searches.push((number, search)),
                None => groups.push(Group {
                    searches: vec![(number, search)],
                    checked,
                }),
            }
        }
        let rows: Vec<_> = groups
            .iter()
            .flat_map(|group| {
                let searches = group.searches.iter();
                searches.filter_map(|(_, search)| group.checked.row(search))
            })
            .collect();
        let state = self.indexed(&rows)?;
        let mut all: Vec<Option<Found>> = searches.iter().map(|_| None).collect();
        for group in &groups {
            let view = state.column(group.checked.column)?;
            let begin = Instant::now();
            let slots = group.checked.predicate.as_ref().map(|p| view.matching(p));
            let matched = Matched {
                slots: slots.as_ref(),
                time: begin.elapsed(),
            };
            for (number, ranked) in view.answer_each(&group.searches, matched, state.seq) {
                let ranked = ranked
                    .map_err(|error| self.place(error))
                    .map_err(at(number))?;
                if let (Some(search), Some(columns), Some(place)) = (
                    searches.get(number),
                    columns.get(number),
                    all.get_mut(number),
                ) {
                    *place = Some(found(search, view, columns, ranked)?);
                }
            }
        }
        Ok(all.into_iter().flatten().collect())
    }
}

impl ColumnView {
    /// Answers searches with the same filter, with their numbers.
    fn answer_each(
        &self,
        searches: &[(usize, &Search)],
        matched: Matched<'_>,
        seq: Seq,
    ) -> Vec<(usize, Result<Ranked>)> {
        let machine = || available_parallelism().map_or(1, NonZeroUsize::get);
        let asked = match &self.vectors {
            VectorsView::Dense(dense) => dense.options.threads,
            VectorsView::Sparse(..) => None,
        };
        let threads = asked.unwrap_or_else(machine);
        // Those that ask for the same of several vectors go together.
        let (mut plain, others): (Vec<_>, Vec<_>) = searches
            .iter()
            .copied()
            .partition(|(_, search)| is_plain(search));
        plain.sort_by_key(|(_, search)| (search.k, search.effort));
        let mut answers = each(threads, &others, |(number, search)| {
            (*number, self.answer(search, matched, seq))
        });
        for searches in plain.chunk_by(|(_, a), (_, b)| (a.k, a.effort) == (b.k, b.effort)) {
            answers.extend(self.answer_plain(searches, matched, seq, threads));
        }
        answers
    }

    /// Answers searches for the neighbours of dense vectors that differ in their vector only.
    fn answer_plain(
        &self,
        searches: &[(usize, &Search)],
        matched: Matched<'_>,
        seq: Seq,
        threads: usize,
    ) -> Vec<(usize, Result<Ranked>)> {
        let begin = Instant::now();
        let mut answers = Vec::with_capacity(searches.len());
        let mut queries: Vec<PreparedVector> = Vec::with_capacity(searches.len());
        let mut numbers = Vec::with_capacity(searches.len());
        for (number, search) in searches {
            match self.asked(&search.target).map(|asked| asked.query) {
                Ok(Query::Dense(query)) => {
                    queries.push(query);
                    numbers.push(*number);
                }
                Ok(Query::Sparse(_)) => {}
                Err(error) => answers.push((*number, Err(error))),
            }
        }
        let (Some((_, first)), VectorsView::Dense(dense)) = (searches.first(), &self.vectors)
        else {
            return answers;
        };
        let tie = |a, b| self.by_id(a, b);
        let requests: Vec<Request<'_>> = queries
            .iter()
            .map(|query| Request {
                rows: &dense.rows,
                metric: dense.options.metric,
                query,
                k: first.k,
                filter: matched.slots,
                tie: &tie,
            })
            .collect();
        let effort = first.effort;
        let found = dense.search_each(&requests, &queries, effort, threads);
        let share = u32::try_from(queries.len().max(1)).unwrap_or(u32::MAX);
        let spent: Duration = begin.elapsed() / share;
        for (number, (answer, beside)) in numbers.into_iter().zip(found) {
            let account = Account { beside, effort };
            let ranked = |()| self.ranked(answer, &account, matched, seq, spent);
            answers.push((number, dense.check().map(ranked)));
        }
        answers
    }
}

/// Whether the nearest of a vector are wanted, and nothing else.
fn is_plain(search: &Search) -> bool {
    matches!(search.target, Target::Vector(_))
        && search.within.is_none()
        && search.recall.is_none()
        && search.diversity.is_none()
}
