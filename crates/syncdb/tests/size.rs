//! How many bytes travel: an increment is a small part of the data, and nothing is nearly nothing.

use common::schema::{Field, FieldType, Schema};
use common::utils::id_generator::SeededRng;
use common::{Database, row};
use syncdb::{SyncDb, SyncServer};

const ROWS: i64 = 20_000;

#[test]
fn an_increment_of_one_percent_is_a_small_part_of_the_data() {
    let db = Database::new();
    let schema = Schema::build("tasks", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("title", FieldType::Text))
        .field(Field::new("project", FieldType::Text))
        .field(Field::new("done", FieldType::Bool))
        .field(Field::new("priority", FieldType::Int))
        .field(Field::new("estimate", FieldType::Float))
        .field(Field::new("note", FieldType::Text).nullable());
    let tasks = db.create_collection(schema.finish().unwrap()).unwrap();
    let random = SeededRng::new(7);
    let below = |bound: u64| i64::try_from(random.next_u64() % bound).unwrap();
    let words = [
        "call", "write", "plan", "review", "ship", "test", "paint", "order", "check", "clean",
    ];
    let word = || *words.get(usize::try_from(below(10)).unwrap()).unwrap();
    for id in 0..ROWS {
        tasks
            .insert(row! {
                "id": id,
                "title": format!("{} the {} {} {}", word(), word(), word(), below(100_000)),
                "project": format!("project {}", below(40)),
                "done": below(2) == 0,
                "priority": below(5),
                "estimate": f64::from(u32::try_from(below(1_000)).unwrap()) / 4.0,
                "note": (below(3) == 0).then(|| format!("{} {}", word(), below(1_000_000_000)))
            })
            .unwrap();
    }
    let server = SyncServer::new(db).unwrap();
    let mut transport = |request: &[u8]| server.handle(request);
    let (a, b) = (SyncDb::client("a").unwrap(), SyncDb::client("b").unwrap());
    let full = a.sync(&mut transport).unwrap();
    b.sync(&mut transport).unwrap();
    for _ in 0..ROWS / 100 {
        let id = below(ROWS.cast_unsigned());
        if below(2) == 0 {
            a.update(
                "tasks",
                id,
                row! { "done": below(2) == 0, "priority": below(5) },
            )
            .unwrap();
        } else {
            a.update(
                "tasks",
                id,
                row! { "title": format!("{} {}", word(), below(100_000)) },
            )
            .unwrap();
        }
    }
    let up = a.sync(&mut transport).unwrap();
    let down = b.sync(&mut transport).unwrap();
    let idle = b.sync(&mut transport).unwrap();
    // Shown by `cargo test -- --nocapture`.
    for (what, report) in [
        ("full", &full),
        ("1 % up", &up),
        ("1 % down", &down),
        ("idle", &idle),
    ] {
        println!(
            "{what}: {} rows in, {} out, {} bytes up, {} down, {} round trips",
            report.rows_received,
            report.rows_sent,
            report.bytes_up,
            report.bytes_down,
            report.round_trips
        );
        assert!(report.converged && !report.repaired);
    }
    let total = full.bytes_up + full.bytes_down;
    assert!(total < 240_000);
    assert!(down.bytes_down < 1_300);
    assert!((up.bytes_up + up.bytes_down) * 10 < total);
    assert!((down.bytes_up + down.bytes_down) * 20 < total);
    assert!(idle.bytes_up + idle.bytes_down < 300);
    assert_eq!(
        (up.round_trips, down.round_trips, idle.round_trips),
        (1, 1, 1)
    );
}
