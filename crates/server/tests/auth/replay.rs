//! R19: an answer is lost at every byte, a request arrives up to ten times: it is applied once.

use common::{Error, Result, row};
use serde_json::json;
use syncdb::SyncDb;

use crate::site::{Site, fill};

fn site() -> (Site, String) {
    let site = Site::new();
    fill(site.servers[0].database(), "text");
    let token = site.signer.token("alice", json!({ "scope": "read write" }));
    (site, token)
}

/// Columns of the rows that were pushed: each commit of a replay would show.
fn written(site: &Site) -> u64 {
    let db = site.servers[0].database();
    let changes = db.changes_since(common::Seq::ZERO, usize::MAX).unwrap();
    let notes = db.collection("notes").unwrap().id();
    changes
        .iter()
        .filter(|change| change.table == notes)
        .count() as u64
}

#[test]
fn r19_an_answer_lost_at_any_byte_and_a_request_sent_again_apply_once() {
    let (site, token) = site();
    let db = SyncDb::client("phone").unwrap();
    let mut carry = site.transport(&token);
    db.sync(&mut carry).unwrap();
    // How long an answer to a push is.
    let mut length = 0;
    db.update("notes", 1, row! { "text": "first" }).unwrap();
    db.sync(&mut |request: &[u8]| -> Result<Vec<u8>> {
        let answer = syncdb::Transport::exchange(&mut site.transport(&token), request)?;
        length = length.max(answer.len());
        Ok(answer)
    })
    .unwrap();
    assert!(length > 20, "{length}");
    for cut in 0..length {
        let before = written(&site);
        let text = format!("cut at {cut}");
        db.update("notes", 1, row! { "text": text.as_str() })
            .unwrap();
        db.insert("notes", row! { "id": 1_000 + i64::try_from(cut).unwrap(), "owner": "alice", "region": "x", "text": "new" })
            .unwrap();
        let times = cut % 10 + 1;
        let lost = db.sync(&mut |request: &[u8]| -> Result<Vec<u8>> {
            let mut answer = Vec::new();
            for _ in 0..times {
                answer = syncdb::Transport::exchange(&mut site.transport(&token), request)?;
            }
            if answer.len() > cut {
                answer.truncate(cut);
                return Err(Error::new(common::ErrorKind::Io, "the connection broke"));
            }
            Ok(answer)
        });
        assert!(lost.is_err() || cut >= 20, "cut {cut}");
        let report = db.sync(&mut site.transport(&token)).unwrap();
        assert!(report.converged, "cut {cut}");
        assert_eq!(written(&site) - before, 2, "cut {cut}, {times} times");
        assert_eq!(
            db.digest().unwrap(),
            site.servers[0].digest().unwrap(),
            "cut {cut}"
        );
    }
    assert!(db.rejected().unwrap().is_empty());
}

#[test]
fn a_request_of_another_tenants_replica_sent_again_with_own_credentials_changes_nothing_there() {
    let (site, token) = site();
    let other = site
        .signer
        .token("alice", json!({ "scope": "read write", "tenant": "other" }));
    let db = SyncDb::client("phone").unwrap();
    db.sync(&mut site.transport(&token)).unwrap();
    db.update("notes", 1, row! { "text": "mine" }).unwrap();
    let mut recorded = Vec::new();
    db.sync(&mut |request: &[u8]| -> Result<Vec<u8>> {
        recorded.push(request.to_vec());
        syncdb::Transport::exchange(&mut site.transport(&token), request)
    })
    .unwrap();
    let before = site.servers[1].digest().unwrap();
    for request in recorded {
        let _ = syncdb::Transport::exchange(&mut site.transport(&other), &request);
    }
    assert_eq!(site.servers[1].digest().unwrap(), before);
}
