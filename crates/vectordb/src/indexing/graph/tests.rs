//! Graphs small enough to look at every vertex.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::core::VectorTable;
use crate::indexing::exact::Scan;
use crate::indexing::quantize::Random;
use crate::indexing::request::Request;
use crate::indexing::unwatched;

const DIMENSION: usize = 12;

fn tie(a: Slot, b: Slot) -> std::cmp::Ordering {
    a.cmp(&b)
}

fn table(count: usize, seed: u64) -> VectorTable {
    let mut random = Random::new(seed);
    let mut table = VectorTable::new(DIMENSION);
    for _ in 0..count {
        table.push(&random.normals(DIMENSION));
    }
    table
}

fn options(layout: Layout) -> GraphOptions {
    GraphOptions {
        layout,
        threads: Some(1),
        ..GraphOptions::default()
    }
}

fn built(table: &VectorTable, layout: Layout) -> GraphIndex {
    GraphIndex::build(
        &options(layout),
        Metric::Euclidean,
        table.rows(),
        &unwatched,
    )
    .unwrap()
}

fn nearest(
    graph: &GraphIndex,
    table: &VectorTable,
    query: &[f32],
    k: usize,
    filter: Option<&SlotSet>,
) -> Vec<Slot> {
    nearest_by(graph, table, query, k, filter, 64)
}

fn nearest_by(
    graph: &GraphIndex,
    table: &VectorTable,
    query: &[f32],
    k: usize,
    filter: Option<&SlotSet>,
    effort: usize,
) -> Vec<Slot> {
    let query = graph.metric.prepare_query(query, query.len()).unwrap();
    let request = Request {
        rows: table.rows(),
        metric: graph.metric,
        query: &query,
        k,
        filter,
        tie: &tie,
    };
    let (found, _) = graph.search(&request, effort);
    found.iter().map(|neighbour| neighbour.slot).collect()
}

fn truth(
    graph: &GraphIndex,
    table: &VectorTable,
    query: &[f32],
    k: usize,
    filter: Option<&SlotSet>,
) -> Vec<Slot> {
    let query = graph.metric.prepare_query(query, DIMENSION).unwrap();
    let scan = Scan {
        rows: table.rows(),
        metric: graph.metric,
        among: filter,
        threads: 1,
    };
    let found = scan.nearest(&query, k, &tie);
    found.iter().map(|neighbour| neighbour.slot).collect()
}

#[test]
fn any_number_of_threads_makes_the_same_graph() {
    let table = table(5_000, 1);
    let lists = |graph: &GraphIndex| -> Vec<Vec<u32>> {
        (0..graph.vertices)
            .map(|vertex| graph.levels[0].of(vertex).to_vec())
            .collect()
    };
    let one = built(&table, Layout::Compact);
    one.check(table.rows());
    for threads in [2, 5] {
        let options = GraphOptions {
            threads: Some(threads),
            ..options(Layout::Compact)
        };
        let other =
            GraphIndex::build(&options, Metric::Euclidean, table.rows(), &unwatched).unwrap();
        assert!(lists(&one) == lists(&other) && one.tops == other.tops);
    }
    let options = GraphOptions {
        seed: 1,
        ..options(Layout::Compact)
    };
    let other = GraphIndex::build(&options, Metric::Euclidean, table.rows(), &unwatched).unwrap();
    assert!(lists(&one) != lists(&other));
}

/// Vectors that come from some sources in turn lie in as many groups, far from each other.
#[test]
fn every_group_of_vectors_that_take_turns_is_found() {
    const GROUPS: usize = 40;
    let mut random = Random::new(7);
    let middles: Vec<Vec<f32>> = (0..GROUPS).map(|_| random.normals(DIMENSION)).collect();
    let mut table = VectorTable::new(DIMENSION);
    for middle in middles.iter().cycle().take(100 * GROUPS) {
        let noise = random.normals(DIMENSION);
        let vector: Vec<f32> = middle
            .iter()
            .zip(noise)
            .map(|(middle, noise)| 100.0 * middle + 0.1 * noise)
            .collect();
        table.push(&vector);
    }
    for layout in [Layout::Compact, Layout::Fast] {
        let graph = built(&table, layout);
        graph.check(table.rows());
        for slot in table.rows().slots() {
            let vector = table.rows().row(slot).unwrap()[..DIMENSION].to_vec();
            let found = nearest(&graph, &table, &vector, 1, None)[0];
            let group = |slot: Slot| slot.0 as usize % GROUPS;
            assert_eq!(group(found), group(slot), "{layout:?}: {found:?}");
        }
    }
}

#[test]
fn a_build_reports_and_can_be_cancelled() {
    let table = table(3_000, 2);
    let last = AtomicUsize::new(0);
    let watch = |done: usize, all: usize| {
        assert_eq!(all, 3_000);
        assert!(done >= last.swap(done, Ordering::Relaxed) && done <= all);
        ControlFlow::Continue(())
    };
    let options = options(Layout::Compact);
    GraphIndex::build(&options, Metric::Euclidean, table.rows(), &watch).unwrap();
    assert_eq!(last.into_inner(), 3_000);
    let half = |done: usize, all: usize| {
        if done > all / 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let error = GraphIndex::build(&options, Metric::Euclidean, table.rows(), &half).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[test]
fn tables_of_any_small_size_are_searched() {
    for layout in [Layout::Compact, Layout::Fast] {
        for count in [0, 1, 2, 31, 33, 127, 128, 129, 300] {
            let table = table(count, 3);
            let graph = built(&table, layout);
            graph.check(table.rows());
            let query = vec![0.25; DIMENSION];
            let found = nearest(&graph, &table, &query, 5, None);
            assert_eq!(found, truth(&graph, &table, &query, 5, None), "{count}");
        }
    }
}

#[test]
fn a_table_that_grows_one_by_one_gets_its_levels() {
    let rows = table(4_000, 4);
    let mut table = VectorTable::new(DIMENSION);
    table.push(&[0.5; DIMENSION]);
    let mut graph = built(&table, Layout::Compact);
    let levels = graph.levels.len();
    // More beginnings than a level may have come together only in tables of tens of thousands.
    for slot in rows.rows().slots() {
        let slot = table
            .push(&rows.rows().row(slot).unwrap()[..DIMENSION])
            .unwrap();
        graph.insert(table.rows(), slot);
    }
    graph.check(table.rows());
    assert_eq!(graph.levels.len(), levels);
    graph.raise(table.rows());
    graph.check(table.rows());
    assert_eq!(graph.levels.len(), levels + 1);
    let mut found = 0;
    for slot in table.rows().slots() {
        let vector = table.rows().row(slot).unwrap()[..DIMENSION].to_vec();
        found += usize::from(nearest(&graph, &table, &vector, 1, None) == [slot]);
    }
    assert_eq!(found, table.rows().len());
}

#[test]
fn a_clone_keeps_what_it_saw() {
    let mut table = table(600, 5);
    let mut graph = built(&table, Layout::Fast);
    let held = (graph.clone(), table.clone());
    let query = vec![0.1; DIMENSION];
    let before = nearest(&held.0, &held.1, &query, 20, None);
    for slot in before.iter().copied() {
        graph.remove(table.rows(), slot);
        table.remove(slot);
    }
    assert_eq!(nearest(&held.0, &held.1, &query, 20, None), before);
    let after = nearest(&graph, &table, &query, 20, None);
    assert!(after.len() == 20 && after.iter().all(|slot| !before.contains(slot)));
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u64),
    Remove(usize),
    Replace(usize, u64),
    Search(u64, usize, Option<u32>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => any::<u64>().prop_map(Step::Insert),
        3 => any::<usize>().prop_map(Step::Remove),
        1 => (any::<usize>(), any::<u64>()).prop_map(|(at, seed)| Step::Replace(at, seed)),
        2 => (any::<u64>(), 1_usize..12, prop::option::of(2_u32..6))
            .prop_map(|(seed, k, every)| Step::Search(seed, k, every)),
    ];
    prop::collection::vec(step, 1..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// With more candidates than vertices, a search is right wherever the graph leads; so it finds everything if
    /// every vertex can be reached, but for what codes take for farther than it is: they are learned from few vectors
    /// here. That links lead everywhere is checked after each step.
    #[test]
    fn a_history_of_changes_keeps_every_vertex_within_reach(
        layout in prop::sample::select(vec![Layout::Compact, Layout::Fast]),
        metric in prop::sample::select(vec![Metric::Euclidean, Metric::Manhattan, Metric::Dot]),
        begin in 64_usize..200,
        steps in steps(),
    ) {
        let layout = if metric == Metric::Manhattan { Layout::Compact } else { layout };
        let mut table = table(begin, 6);
        let mut graph =
            GraphIndex::build(&options(layout), metric, table.rows(), &unwatched).unwrap();
        let vector = |seed| Random::new(seed).normals(DIMENSION);
        let pick = |table: &VectorTable, at: usize| {
            let len = table.rows().len().max(1);
            table.rows().slots().nth(at % len)
        };
        for step in steps {
            match step {
                Step::Insert(seed) => {
                    let slot = table.push(&vector(seed)).unwrap();
                    graph.insert(table.rows(), slot);
                }
                Step::Remove(at) => if let Some(slot) = pick(&table, at) {
                    graph.remove(table.rows(), slot);
                    table.remove(slot);
                }
                Step::Replace(at, seed) => if let Some(slot) = pick(&table, at) {
                    graph.remove(table.rows(), slot);
                    table.replace(slot, &vector(seed));
                    graph.insert(table.rows(), slot);
                }
                Step::Search(seed, k, every) => {
                    let filter: Option<SlotSet> = every.map(|every| {
                        table.rows().slots().filter(|slot| slot.0 % every == 0).collect()
                    });
                    let query = vector(seed);
                    let found = nearest_by(&graph, &table, &query, k, filter.as_ref(), 1_000);
                    let expect = truth(&graph, &table, &query, k, filter.as_ref());
                    prop_assert_eq!(found.len(), expect.len());
                    let hits = found.iter().filter(|slot| expect.contains(slot)).count();
                    prop_assert!(hits + 1 >= expect.len(), "{:?} {:?}", found, expect);
                }
            }
            graph.check(table.rows());
        }
    }
}

/// Vectors in groups that lie apart, of which half go and come again: where lists drop most.
#[test]
fn no_vertex_is_named_by_none() {
    let mut random = Random::new(9);
    let centres: Vec<Vec<f32>> = (0..40).map(|_| random.normals(DIMENSION)).collect();
    let mut vector = |seed: usize| -> Vec<f32> {
        let around = random.normals(DIMENSION);
        let centre = centres[seed % centres.len()].iter().zip(around);
        centre.map(|(centre, x)| 4.0 * centre + x).collect()
    };
    let mut table = VectorTable::new(DIMENSION);
    for seed in 0..3_000 {
        table.push(&vector(seed)).unwrap();
    }
    let mut graph = built(&table, Layout::Compact);
    graph.check(table.rows());
    for round in 0..4_usize {
        let slots: Vec<Slot> = table.rows().slots().collect();
        let gone = slots.iter().skip(round % 2).step_by(2);
        for slot in gone.clone() {
            graph.remove(table.rows(), *slot);
            table.remove(*slot);
        }
        graph.check(table.rows());
        for seed in 0..gone.count() {
            let slot = table.push(&vector(seed * 7)).unwrap();
            graph.insert(table.rows(), slot);
        }
        graph.check(table.rows());
    }
}

/// Vertices that name only each other, and that nobody else names: the next update leads to them and back.
#[test]
fn an_island_does_not_stay_one() {
    let mut table = table(300, 3);
    let mut graph = built(&table, Layout::Compact);
    let is_island = |id: u32| id.is_multiple_of(8);
    let links = graph.levels.first_mut().unwrap();
    for id in 0..300 {
        let list = links.of(id).iter().copied();
        let list: Vec<u32> = list.filter(|n| is_island(*n) == is_island(id)).collect();
        links.set(id, &list);
    }
    let cut = std::panic::catch_unwind(|| graph.check(table.rows()));
    assert!(cut.is_err(), "the graph is still whole");
    let slot = table.push(&Random::new(4).normals(DIMENSION)).unwrap();
    graph.insert(table.rows(), slot);
    graph.check(table.rows());
}

/// By product the longest are the nearest, also those that are longer than all that codes were learned from.
#[test]
fn the_longest_are_found_by_product_however_long() {
    let mut table = table(500, 5);
    for layout in [Layout::Compact, Layout::Fast] {
        let mut graph =
            GraphIndex::build(&options(layout), Metric::Dot, table.rows(), &unwatched).unwrap();
        for (at, length) in [2.0, 10.0, 1e4].into_iter().enumerate() {
            let direction = Random::new(at as u64).normals(DIMENSION);
            let vector: Vec<f32> = direction.iter().map(|x| length * x).collect();
            let slot = table.push(&vector).unwrap();
            graph.insert(table.rows(), slot);
            graph.check(table.rows());
            let found = nearest(&graph, &table, &direction, 5, None);
            assert_eq!(found, truth(&graph, &table, &direction, 5, None));
            graph.remove(table.rows(), slot);
            table.remove(slot);
            graph.check(table.rows());
        }
        assert!(!graph.is_outgrown());
        for seed in 0..130 {
            let vector: Vec<f32> = Random::new(seed).normals(DIMENSION);
            let vector: Vec<f32> = vector.iter().map(|x| 9.0 * x).collect();
            let slot = table.push(&vector).unwrap();
            graph.insert(table.rows(), slot);
        }
        assert!(graph.is_outgrown(), "{} misfits", graph.misfits.len());
        let slots: Vec<Slot> = table.rows().slots().skip(500).collect();
        for slot in slots {
            graph.remove(table.rows(), slot);
            table.remove(slot);
        }
    }
}
