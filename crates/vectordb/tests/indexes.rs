//! What every index promises, whatever it is made of: near answers, filters, changes, numbers of any size.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking, and its numbers are small"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::query::Filter;
use common::schema::{Field, FieldType};
use common::{ErrorKind, Row, Slot, row};
use vectordb::core::{Precision, SlotSet, VectorTable};
use vectordb::{
    ClusteredOptions, GraphOptions, Index, IndexOptions, Layout, Method, Metric, Scan, Search,
    VectorDb, VectorOptions, unwatched,
};

const DIMENSION: usize = 24;
const COUNT: usize = 6_000;
const K: usize = 10;

/// Pseudorandom numbers in -1..1 (an xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    /// Vectors in groups of unlike size and spread, as embeddings lie.
    fn vector(&mut self) -> Vec<f32> {
        self.vector_of(DIMENSION)
    }

    fn vector_of(&mut self, dimension: usize) -> Vec<f32> {
        let group = (self.0 >> 20) % 40;
        let mut centre = Numbers(group * 7_919 + 1);
        let spread = 0.2 + group as f32 / 60.0;
        (0..dimension)
            .map(|_| 2.0 * centre.next() + spread * (self.next() + self.next()))
            .collect()
    }
}

fn vectors(seed: u64, count: usize) -> Vec<Vec<f32>> {
    let mut numbers = Numbers(seed);
    (0..count).map(|_| numbers.vector()).collect()
}

fn table(metric: Metric, vectors: &[Vec<f32>]) -> VectorTable {
    let mut table = VectorTable::with_precision(vectors[0].len(), metric.precision());
    for vector in vectors {
        table.push(&metric.prepare(vector, vector.len()).unwrap());
    }
    table
}

fn graph(layout: Layout) -> IndexOptions {
    IndexOptions::Graph(GraphOptions::new(layout))
}

fn kinds() -> [IndexOptions; 4] {
    [
        graph(Layout::Compact),
        graph(Layout::Fast),
        IndexOptions::Clustered(ClusteredOptions::default()),
        IndexOptions::Clustered(ClusteredOptions::default().bits(4)),
    ]
}

/// Share of the true nearest that an index finds; all answers must be candidates, in order, with true distances.
fn recall(
    index: &Index,
    table: &VectorTable,
    metric: Metric,
    queries: &[Vec<f32>],
    filter: Option<&SlotSet>,
) -> f64 {
    let rows = table.rows();
    let scan = Scan {
        rows,
        metric,
        among: filter,
        threads: 1,
    };
    let (mut hits, mut all) = (0, 0);
    for query in queries {
        let query = metric.prepare_query(query, rows.dimension()).unwrap();
        let truth = scan.nearest(&query, K, &|a: Slot, b: Slot| a.cmp(&b));
        let found = index.nearest(rows, &query, K, None, filter).unwrap();
        assert_eq!(found.len(), truth.len(), "as many as there are");
        assert!(found.is_sorted_by(|a, b| (a.distance, a.slot) < (b.distance, b.slot)));
        for hit in &found {
            assert!(rows.contains(hit.slot) && filter.is_none_or(|f| f.contains(hit.slot)));
            let distance = rows.distance_to(metric, &query, hit.slot).unwrap();
            assert_eq!(hit.distance.to_bits(), distance.to_bits());
        }
        let worst = truth.last().map_or(0.0, |last| last.distance);
        hits += found.iter().filter(|hit| hit.distance <= worst).count();
        all += truth.len();
    }
    hits as f64 / f64::from(all as u32)
}

#[test]
fn every_index_finds_nearly_all_true_neighbours_by_every_metric_it_has() {
    let (base, queries) = (vectors(1, COUNT), vectors(2, 100));
    for metric in Metric::ALL {
        let table = table(metric, &base);
        for options in kinds() {
            match Index::build(&options, metric, table.rows(), &unwatched) {
                Ok(index) => {
                    let recall = recall(&index, &table, metric, &queries, None);
                    // Of 24 bits, hundreds of vectors are equal: a search must not stay among those.
                    let least = if metric.compares_bits() { 0.99 } else { 0.97 };
                    assert!(recall > least, "{options:?} {metric}: {recall}");
                    assert!(index.bytes().iter().map(|(_, bytes)| bytes).sum::<usize>() > 0);
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                    let by_sums = matches!(metric, Metric::Manhattan | Metric::Chebyshev);
                    assert!(
                        (by_sums || metric.compares_bits()) && options != graph(Layout::Compact),
                        "{error}"
                    );
                }
            }
        }
    }
}

/// What holding vectors in 16 bits, and walking in 8, costs of the true neighbours in 32 bits.
#[test]
fn codes_of_eight_bits_and_halves_lose_less_than_a_two_hundredth() {
    let (base, queries) = (vectors(1, COUNT), vectors(2, 200));
    for metric in [Metric::Euclidean, Metric::Cosine] {
        let full = table(metric, &base);
        let mut halves = VectorTable::with_precision(DIMENSION, Precision::F16);
        for vector in &base {
            halves.push(&metric.prepare(vector, DIMENSION).unwrap());
        }
        let scan = Scan {
            rows: full.rows(),
            metric,
            among: None,
            threads: 1,
        };
        let index =
            Index::build(&graph(Layout::Compact), metric, halves.rows(), &unwatched).unwrap();
        let (mut found, mut all) = (0, 0);
        for query in &queries {
            let query = metric.prepare_query(query, DIMENSION).unwrap();
            let truth = scan.nearest(&query, K, &|a: Slot, b: Slot| a.cmp(&b));
            let hits = index
                .nearest(halves.rows(), &query, K, Some(400), None)
                .unwrap();
            let worst = truth[K - 1].distance;
            let near = |slot: Slot| full.rows().distance_to(metric, &query, slot).unwrap() <= worst;
            found += hits.iter().filter(|hit| near(hit.slot)).count();
            all += K;
        }
        let recall = found as f64 / all as f64;
        assert!(recall > 0.995, "{metric}: {recall}");
    }
}

#[test]
fn filters_of_every_selectivity_near_and_far() {
    let metric = Metric::Euclidean;
    let (base, queries) = (vectors(3, COUNT), vectors(4, 30));
    let table = table(metric, &base);
    let rows = table.rows();
    for options in kinds() {
        let index = Index::build(&options, metric, rows, &unwatched).unwrap();
        for share in [0.001, 0.01, 0.1, 0.5] {
            let count = (COUNT as f64 * share) as usize;
            let step = COUNT / count;
            let random: SlotSet = rows.slots().step_by(step).collect();
            let of_random = recall(&index, &table, metric, &queries, Some(&random));
            assert!(of_random >= 0.95, "{options:?} {share}: {of_random}");
            // Filters that depend on the query: what passes is what is nearest to it, or farthest from it.
            let (mut near, mut far) = (0.0, 0.0);
            for query in &queries {
                let prepared = metric.prepare_query(query, DIMENSION).unwrap();
                let mut by_distance: Vec<Slot> = rows.slots().collect();
                by_distance.sort_by_cached_key(|slot| {
                    rows.distance_to(metric, &prepared, *slot)
                        .unwrap()
                        .to_bits()
                });
                let query = std::slice::from_ref(query);
                let nearest: SlotSet = by_distance.iter().copied().take(count).collect();
                near += recall(&index, &table, metric, query, Some(&nearest));
                let farthest: SlotSet = by_distance.iter().rev().copied().take(count).collect();
                far += recall(&index, &table, metric, query, Some(&farthest));
            }
            let (near, far) = (near / 30.0, far / 30.0);
            assert!(near >= 0.95, "{options:?} {share}: {near}");
            // The lists of a clustered index that are near the query have nothing that passes.
            let least = if matches!(options, IndexOptions::Graph(_)) {
                0.95
            } else {
                0.0
            };
            assert!(far >= least, "{options:?} {share}: {far}");
        }
    }
}

/// T30 to T33: rows that are deleted are not returned, those that are there are, also after ten times half of them
/// were deleted and others inserted, with no more memory than before.
#[test]
fn t33_recall_does_not_decay_with_deletions() {
    let metric = Metric::Euclidean;
    // `cargo xtask soak churn` asks for more rows, of 64 elements.
    let more = std::env::var("TANDEM_CHURN").ok();
    let count: usize = more.as_ref().map_or(3_000, |rows| rows.parse().unwrap());
    // Codes of one bit take more candidates the more dimensions there are.
    let effort = more.is_some().then_some(400);
    let dimension = if more.is_some() { 64 } else { DIMENSION };
    let vectors = |seed, count| -> Vec<Vec<f32>> {
        let mut numbers = Numbers(seed);
        (0..count).map(|_| numbers.vector_of(dimension)).collect()
    };
    // Of many rows many: the recall of 100 queries is known to a hundredth and a half.
    let queries = vectors(6, if more.is_some() { 1_000 } else { 100 });
    for options in [
        graph(Layout::Compact),
        graph(Layout::Fast),
        kinds()[2].clone(),
    ] {
        let mut numbers = Numbers(5);
        let mut table = table(metric, &vectors(7, count));
        let mut index = Index::build(&options, metric, table.rows(), &unwatched).unwrap();
        let bytes = |index: &Index| index.bytes().iter().map(|(_, bytes)| bytes).sum::<usize>();
        let before = bytes(&index);
        for round in 0..10 {
            let gone: Vec<Slot> = table
                .rows()
                .slots()
                .filter(|slot| (slot.0.wrapping_mul(2_654_435_761) >> (round + 4)) & 1 == 0)
                .collect();
            for slot in &gone {
                index.remove(table.rows(), *slot);
                table.remove(*slot);
            }
            // Also while half is missing.
            let now = recall(&index, &table, metric, &queries[..20], None);
            assert!(now > 0.95 || more.is_some(), "{options:?}: {now}");
            for _ in &gone {
                let slot = table.push(&numbers.vector_of(dimension)).unwrap();
                index.insert(table.rows(), slot);
            }
        }
        assert_eq!(table.rows().len(), count);
        let fresh = Index::build(&options, metric, table.rows(), &unwatched).unwrap();
        let of_fresh = recall(&fresh, &table, metric, &queries, None);
        let of_churned = recall(&index, &table, metric, &queries, None);
        assert!(
            of_churned >= of_fresh - 0.01,
            "{options:?}: {of_churned} {of_fresh}"
        );
        let memory = bytes(&index) as f64 / before as f64;
        println!(
            "{count} x {dimension}, {options:?}: recall {of_churned:.4}, of a fresh index {of_fresh:.4}; \
             memory {memory:.2} times that of before"
        );
        assert!(memory <= 1.3, "{options:?}: {memory}");
        let mut lost = 0;
        for slot in table.rows().slots() {
            let own = table.rows().row(slot).unwrap()[..dimension].to_vec();
            let query = metric.prepare_query(&own, dimension).unwrap();
            let found = index
                .nearest(table.rows(), &query, 1, effort, None)
                .unwrap();
            lost += usize::from(found[0].distance > 0.0);
        }
        println!("{lost} of {count} do not find themselves");
        // In groups that lie far apart, a search may end in the wrong one: what is allowed is one in 2,000.
        let allowed = if more.is_some() { count / 2_000 } else { 0 };
        assert!(
            lost <= allowed,
            "{options:?}: {lost} vectors do not find themselves"
        );
    }
}

/// T28: the order of distances is right however small or large the vectors are.
#[test]
fn t28_vectors_of_any_size_are_ranked() {
    let (base, queries) = (vectors(8, 2_500), vectors(9, 30));
    for metric in [Metric::Euclidean, Metric::Cosine] {
        for scale in [1e-30, 1e-12, 1.0, 1e12, 1e17] {
            let scaled = |vectors: &[Vec<f32>]| -> Vec<Vec<f32>> {
                let scale = |vector: &Vec<f32>| vector.iter().map(|v| v * scale).collect();
                vectors.iter().map(scale).collect()
            };
            let (base, queries) = (scaled(&base), scaled(&queries));
            let table = table(metric, &base);
            for options in kinds() {
                let index = Index::build(&options, metric, table.rows(), &unwatched).unwrap();
                let recall = recall(&index, &table, metric, &queries, None);
                assert!(recall > 0.95, "{options:?} {metric} {scale}: {recall}");
            }
        }
    }
}

/// By product, the length of a query changes no order: a query of another size than the vectors is searched as well.
#[test]
fn by_product_the_length_of_a_query_changes_nothing() {
    let metric = Metric::Dot;
    let (base, queries) = (vectors(18, 2_500), vectors(19, 30));
    let table = table(metric, &base);
    for options in kinds() {
        let index = Index::build(&options, metric, table.rows(), &unwatched).unwrap();
        for scale in [1e-12, 1e-3, 1.0, 30.0, 1e12] {
            let scaled = |query: &Vec<f32>| query.iter().map(|v| v * scale).collect();
            let queries: Vec<Vec<f32>> = queries.iter().map(scaled).collect();
            let recall = recall(&index, &table, metric, &queries, None);
            assert!(recall > 0.95, "{options:?} {scale}: {recall}");
        }
    }
}

#[test]
fn vectors_that_are_all_alike_are_found() {
    let metric = Metric::Euclidean;
    let mut base = vec![vec![3.0; DIMENSION]; 2_500];
    base.extend(vectors(10, 500));
    let table = table(metric, &base);
    for options in kinds() {
        let index = Index::build(&options, metric, table.rows(), &unwatched).unwrap();
        let query = metric.prepare_query(&[3.0; DIMENSION], DIMENSION).unwrap();
        let found = index.nearest(table.rows(), &query, 50, None, None).unwrap();
        assert_eq!(found.len(), 50);
        assert!(found.iter().all(|hit| hit.distance == 0.0), "{options:?}");
        assert!(
            index
                .nearest(table.rows(), &query, 0, None, None)
                .unwrap()
                .is_empty()
        );
        // More than there are: an approximate search returns what it comes across, and never panics.
        let all = index
            .nearest(table.rows(), &query, usize::MAX, Some(usize::MAX), None)
            .unwrap();
        assert!(
            all.len() <= 3_000 && all.len() >= 500,
            "{options:?} {}",
            all.len()
        );
    }
}

#[test]
fn options_out_of_their_bounds_are_refused_by_name() {
    let wrong = |change: fn(&mut GraphOptions), name: &str| {
        let mut options = GraphOptions::default();
        change(&mut options);
        let error = Index::new(&IndexOptions::Graph(options), Metric::Euclidean).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(name), "{error}");
    };
    for degree in [0, 31, 33, 129, 65_537, usize::MAX] {
        let options = GraphOptions {
            degree,
            ..GraphOptions::default()
        };
        let db = VectorDb::new();
        let error = db
            .create_collection(
                "t29",
                VectorOptions::new(3, Metric::Euclidean).index(IndexOptions::Graph(options)),
                [],
            )
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        // Nothing is left behind.
        assert!(db.database().collection("t29").is_err());
    }
    wrong(|options| options.build_candidates = 15, "build_candidates");
    wrong(
        |options| options.build_candidates = usize::MAX,
        "build_candidates",
    );
    wrong(|options| options.spread = f32::NAN, "spread");
    wrong(|options| options.spread = 0.9, "spread");
    wrong(|options| options.threads = Some(0), "threads");
}

/// A collection with an index: rows come in bulk and one by one, metadata filters, deletions, explanations.
#[test]
fn a_collection_with_a_graph_follows_its_table() {
    let db = VectorDb::new();
    let options = VectorOptions::new(DIMENSION, Metric::Euclidean).index(graph(Layout::Fast));
    let group = Field::new("group", FieldType::Int);
    let things = db.create_collection("things", options, [group]).unwrap();
    let base = vectors(11, 3_000);
    let rows = |range: std::ops::Range<usize>| {
        let base = &base;
        range.map(move |i| (i as i64, base[i].clone(), row! { "group": (i % 7) as i64 }))
    };
    things.upsert_all(rows(0..1_500)).unwrap();
    let search = Search::new(base[700].clone(), 5);
    assert_eq!(things.explain(&search).unwrap().method, Method::ScanAll);
    things.upsert_all(rows(1_500..2_900)).unwrap();
    for (id, vector, metadata) in rows(2_900..3_000) {
        things.upsert(id, vector, metadata).unwrap();
    }
    let explanation = things.explain(&search).unwrap();
    assert_eq!(explanation.method, Method::Graph);
    assert!(
        explanation.compared > 0 && explanation.visited < 100,
        "{explanation}"
    );
    assert!(!things.index_bytes().unwrap().is_empty());
    for i in (0..3_000).step_by(29) {
        let found = things.search(&Search::new(base[i].clone(), 1)).unwrap();
        assert_eq!(found.hits[0].id, (i as i64).into());
        let filtered = Search::new(base[i].clone(), 3).filter(Filter::eq("group", 3));
        let found = things.search(&filtered).unwrap();
        assert_eq!(found.hits.len(), 3);
        assert!(found.hits.iter().all(|hit| hit.row == row! { "group": 3 }));
    }
    let method = things
        .explain(&search.clone().filter(Filter::eq("group", 3)))
        .unwrap()
        .method;
    assert_eq!(method, Method::GraphMatching);
    for i in 0..1_000_i64 {
        things.delete(i).unwrap();
    }
    for query in &base[..50] {
        let found = things.search(&Search::new(query.clone(), 10)).unwrap();
        assert!(found.hits.iter().all(|hit| hit.id >= 1_000.into()));
    }
    // A replaced vector is found where it is now.
    things
        .upsert(2_000, vec![9.0; DIMENSION], row! { "group": 1 })
        .unwrap();
    let found = things
        .search(&Search::new(vec![9.0; DIMENSION], 1))
        .unwrap();
    assert_eq!(
        (&found.hits[0].id, found.hits[0].distance),
        (&2_000.into(), 0.0)
    );
}

/// T34: vectors that come and go while others search: every search sees whole commits, and what is there for the
/// whole time is found.
#[test]
fn t34_searches_go_on_while_vectors_come_and_go() {
    let metric = Metric::Euclidean;
    for options in [graph(Layout::Compact), kinds()[2].clone()] {
        let db = VectorDb::new();
        let options = VectorOptions::new(DIMENSION, metric).index(options);
        let things = db.create_collection("things", options, []).unwrap();
        let base = vectors(12, 3_000);
        let rows = (0_i64..)
            .zip(&base)
            .map(|(id, vector)| (id, vector.clone(), Row::new()));
        things.upsert_all(rows).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for reader in 0..2 {
                let (things, base, done) = (&things, &base, &done);
                scope.spawn(move || {
                    let mut at = reader * 701;
                    while !done.load(Ordering::Relaxed) {
                        // Those from 1,000 on stay.
                        at = (at + 97) % 2_000;
                        let stays = 1_000 + at;
                        let found = things.search(&Search::new(base[stays].clone(), 3)).unwrap();
                        assert_eq!(found.hits[0].id, (stays as i64).into());
                        assert_eq!(found.hits.len(), 3);
                    }
                });
            }
            for round in 0..300_i64 {
                let id = round * 7 % 1_000;
                things.delete(id).unwrap();
                let vector = base[id as usize]
                    .iter()
                    .map(|v| v + 0.01)
                    .collect::<Vec<f32>>();
                things.upsert(id, vector, Row::new()).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}

#[test]
fn the_effort_for_a_recall_is_found_by_trying() {
    let metric = Metric::Euclidean;
    let (base, queries) = (vectors(13, COUNT), vectors(14, 100));
    let table = table(metric, &base);
    let rows = table.rows();
    for options in kinds() {
        let index = Index::build(&options, metric, rows, &unwatched).unwrap();
        let mut last = 0;
        for wanted in [0.8, 0.99] {
            let effort = index.effort_for(rows, wanted, K).unwrap().unwrap();
            assert!(
                effort >= last,
                "{options:?} {wanted}: {effort} after {last}"
            );
            last = effort;
            let scan = Scan {
                rows,
                metric,
                among: None,
                threads: 1,
            };
            let mut hits = 0;
            for query in &queries {
                let query = metric.prepare_query(query, DIMENSION).unwrap();
                let truth = scan.nearest(&query, K, &|a: Slot, b: Slot| a.cmp(&b));
                let found = index.nearest(rows, &query, K, Some(effort), None).unwrap();
                hits += found.iter().filter(|hit| truth.contains(hit)).count();
            }
            let recall = f64::from(hits as u32) / 1_000.0;
            assert!(
                recall >= wanted - 0.05,
                "{options:?} {wanted}: {effort} finds {recall}"
            );
        }
        for (recall, k) in [(f64::NAN, 1), (-0.1, 1), (1.1, 1), (0.5, 0)] {
            let error = index.effort_for(rows, recall, k).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
        }
    }
}
