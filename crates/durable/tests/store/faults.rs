//! R7: each call of the disk fails once.

use std::path::Path;

use common::{Collection, ErrorKind, row};
use durable::DurableDatabase;

use crate::disk::{Disk, Fault};
use crate::script::{History, STEPS, check, open, run, schema};

/// A table with one row that is safe.
fn with_a_row(id: i64) -> (Disk, DurableDatabase, Collection) {
    let disk = Disk::default();
    let store = open(&disk).unwrap();
    let table = store.database().create_collection(schema("a")).unwrap();
    let seq = table.insert(row! { "id": id }).unwrap().seq;
    store.wait(seq).unwrap();
    (disk, store, table)
}

#[test]
fn r7_t43_after_each_failed_call_nothing_acknowledged_is_lost() {
    let whole = Disk::default();
    run(&whole, &mut History::default(), STEPS).unwrap();
    let calls = whole.state().calls;
    assert!(calls > 100, "{calls} calls");
    let mut failed = 0;
    for at in 1..=calls {
        for fault in [Fault::Io, Fault::Full, Fault::Short] {
            let disk = Disk::default();
            disk.state().fault = Some((at, fault));
            let mut history = History::default();
            let result = run(&disk, &mut history, STEPS);
            failed += usize::from(result.is_err());
            {
                let mut state = disk.state();
                state.fault = None;
                state.is_full = false;
            }
            let store = open(&disk).unwrap_or_else(|e| panic!("call {at}, {fault:?}: {e}"));
            if history.states.is_empty() {
                assert_eq!(store.database().collections().len(), 0);
            } else {
                check(&store, &history, history.acked, usize::MAX);
            }
        }
    }
    assert!(failed > calls, "{failed} runs of {calls} failed");
}

#[test]
fn after_a_failed_sync_writes_are_refused_and_reads_go_on() {
    let (disk, store, table) = with_a_row(1);
    disk.state().is_full = true;
    let seq = table.insert(row! { "id": 2 }).unwrap().seq;
    let error = store.wait(seq).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let text = error.to_string();
    assert!(
        text.contains("refuses writes") && text.contains("log-"),
        "{text}"
    );
    let error = table.insert(row! { "id": 3 }).unwrap_err();
    assert!(error.to_string().contains("refuses writes"));
    assert_eq!(table.len(), 2, "what was read before is read still");
    assert!(store.failure().is_some());
    assert!(store.wait(common::Seq(1)).is_ok(), "what is safe stays so");
    assert!(store.close().is_err());
    disk.state().is_full = false;
    let store = open(&disk).unwrap();
    let table = store.database().collection("a").unwrap();
    assert!(table.get(1).is_some() && table.get(3).is_none());
}

#[test]
fn t38_snapshots_that_fail_do_not_stop_writers_and_leave_no_files_behind() {
    let (disk, store, table) = with_a_row(0);
    for round in 1..=100 {
        // A listing, then the new segment is begun; seven calls later the file of the snapshot.
        let call = if round <= 90 { 2 } else { 9 };
        let calls = disk.state().calls;
        disk.state().fault = Some((calls + call, Fault::Full));
        assert!(store.checkpoint().is_err());
        assert!(store.checkpoint_failure().is_some());
        let seq = table.insert(row! { "id": round }).unwrap().seq;
        store.wait(seq).unwrap();
    }
    assert!(disk.image().len() == 11, "{:?}", disk.image().keys());
    store.checkpoint().unwrap();
    assert!(store.checkpoint_failure().is_none());
    drop(store);
    let store = open(&disk).unwrap();
    assert_eq!(store.database().collection("a").unwrap().len(), 101);
    assert!(
        disk.image()
            .contains_key(Path::new("data/db/snapshot-0000000000000012.tdb"))
    );
}
