//! Rows of a collection without a search: pages, counts, deletions.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use common::query::Filter;
use common::schema::{Field, FieldType};
use common::{ErrorKind, RecordId, row};
use vectordb::{Metric, Scroll, Search, VectorCollection, VectorDb, VectorOptions};

fn things(count: i16) -> VectorCollection {
    let group = Field::new("group", FieldType::Int);
    let options = VectorOptions::new(1, Metric::Euclidean);
    let things = VectorDb::new()
        .create_collection("things", options, [group])
        .unwrap();
    let row = |id: i16| {
        (
            i64::from(id),
            [f32::from(id)],
            row! { "group": i64::from(id % 3) },
        )
    };
    things.upsert_all((0..count).map(row)).unwrap();
    things
}

#[test]
fn pages_have_each_row_that_stays_once_while_others_come_and_go() {
    let things = things(50);
    let mut scroll = Scroll::new(7)
        .filter(Filter::ne("group", 1))
        .select(["vector"]);
    let mut seen: Vec<RecordId> = Vec::new();
    let mut round = 0;
    loop {
        let page = things.scroll(&scroll).unwrap();
        assert!(page.rows.len() <= 7);
        for (id, row) in page.rows {
            assert!(row.get("vector").is_some() && row.get("group").is_none());
            seen.push(id);
        }
        // Behind the cursor, and ahead of it.
        things.delete(round * 3).unwrap();
        things
            .upsert(1_000 + round, [0.0], row! { "group": 1 })
            .unwrap();
        round += 1;
        let Some(next) = page.next else { break };
        scroll = scroll.after(next);
    }
    let stay = (0..50_i64).filter(|id| id % 3 != 1 && *id >= round * 3);
    assert!(seen.is_sorted_by(|a, b| a < b));
    assert!(stay.map(RecordId::from).all(|id| seen.contains(&id)));
    assert!(things.scroll(&Scroll::new(0)).is_err());
    let error = things.scroll(&Scroll::new(1).select(["x"])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn rows_are_counted_read_and_deleted_by_ids_and_by_filter() {
    let things = things(100);
    assert_eq!(things.count_matching(&Filter::eq("group", 1)).unwrap(), 33);
    assert!(things.count_matching(&Filter::eq("x", 1)).is_err());
    let many = things.get_many([5, 500, 7]).unwrap();
    let there: Vec<bool> = many.iter().map(Option::is_some).collect();
    assert_eq!(there, [true, false, true]);

    let committed = things.delete_all([1, 2, 900, 2]).unwrap();
    assert_eq!((committed.changes.len(), things.count()), (2, 98));
    let committed = things.delete_matching(&Filter::eq("group", 0)).unwrap();
    assert_eq!((committed.changes.len(), things.count()), (34, 64));
    let found = things.search(&Search::new([0.0], 100)).unwrap();
    assert_eq!((found.hits.len(), &found.hits[0].id), (64, &4.into()));
    assert!(things.delete_matching(&Filter::eq("x", 1)).is_err());
    let none = things.delete_matching(&Filter::eq("group", 0)).unwrap();
    assert_eq!(none.changes.len(), 0);
}
