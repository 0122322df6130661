//! R18: two tenants with the same ids do ten thousand things; nothing of one reaches the other.

use common::utils::id_generator::SeededRng;
use common::{Result, Value, row};
use serde_json::json;
use server::auth::Scope;
use syncdb::{Subscription, SyncDb, Transport};

use crate::site::{Answer, Site, fill};

/// What is in every row and name of each tenant, and in no answer to the other.
const WORDS: [&str; 2] = ["canary-of-the-first", "canary-of-the-second"];

struct Both {
    site: Site,
    tokens: [String; 2],
    keys: [String; 2],
}

fn both() -> Both {
    let site = Site::new();
    for (server, word) in site.servers.iter().zip(WORDS) {
        fill(server.database(), word);
    }
    // The same name and the same replicas in both.
    let tokens = ["default", "other"].map(|tenant| {
        let claims = json!({ "tenant": tenant, "scope": "read write admin" });
        site.signer.token("alice", claims)
    });
    let keys = [0, 1].map(|tenant| site.key(tenant, &[Scope::Read, Scope::Write, Scope::Admin]));
    Both { site, tokens, keys }
}

impl Both {
    /// Looks for the other's word in all that came back, head and body.
    fn look(tenant: usize, answer: &Answer) {
        let other = WORDS[1 - tenant];
        let found = answer
            .body
            .windows(other.len())
            .any(|part| part == other.as_bytes());
        assert!(!found && !answer.head.contains(other), "{}", answer.text());
    }

    fn ask(&self, tenant: usize, method: &str, path: &str, body: &str, by_key: bool) -> Answer {
        let credentials = if by_key { &self.keys } else { &self.tokens };
        let answer = self
            .site
            .ask(method, path, Some(&credentials[tenant]), body);
        Self::look(tenant, &answer);
        answer
    }
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one operation of each kind, in one loop"
)]
fn t46_r18_nothing_of_one_tenant_reaches_the_other_in_ten_thousand_operations() {
    let both = both();
    let rng = SeededRng::new(46);
    let below = |n: u64| rng.next_u64() % n;
    let replicas: Vec<[SyncDb; 2]> = (0..2)
        .map(|_| ["phone", "tablet"].map(|name| SyncDb::client(name).unwrap()))
        .collect();
    let mut key_ids: [Vec<String>; 2] = [Vec::new(), Vec::new()];
    let mut operations = 0;
    while operations < 10_000 {
        let tenant = usize::from(below(2) == 1);
        let by_key = below(2) == 1;
        let word = WORDS[tenant];
        let device = usize::from(below(2) == 1);
        let db = &replicas[tenant][device];
        // Edits of a replica count, and go out with the next sync.
        for _ in 0..below(120) {
            let id = i64::try_from(below(200)).unwrap();
            let text = format!("{word} {}", below(1_000));
            let Ok(notes) = db.collection("notes") else {
                break;
            };
            let done = match notes.get(id) {
                Some(_) if below(5) == 0 => db.delete("notes", id),
                Some(_) => db.update("notes", id, row! { "text": text.as_str() }),
                None => db.insert(
                    "notes",
                    row! { "id": id, "owner": "alice", "region": word, "text": text.as_str() },
                ),
            };
            done.unwrap();
            operations += 1;
        }
        operations += 1;
        match below(16) {
            0..=4 => {
                // A replica is one principal's: the tablet's is a key.
                let token = [&both.tokens, &both.keys][device];
                let mut transport = both.site.transport(&token[tenant]);
                let synced = db.sync(&mut |request: &[u8]| -> Result<Vec<u8>> {
                    let answer = transport.exchange(request)?;
                    let other = WORDS[1 - tenant].as_bytes();
                    assert!(!answer.windows(other.len()).any(|part| part == other));
                    Ok(answer)
                });
                synced.unwrap();
            }
            5 => {
                for path in [
                    "clients",
                    "conflicts",
                    "rejected",
                    "schema",
                    "keys",
                    "audit",
                ] {
                    let path = format!("/v1/admin/{path}");
                    assert_eq!(both.ask(tenant, "GET", &path, "", by_key).status, 200);
                }
            }
            6 => {
                let body = json!({ "name": word, "scopes": ["read"] }).to_string();
                let answer = both.ask(tenant, "POST", "/v1/admin/keys", &body, by_key);
                assert_eq!(answer.status, 201, "{}", answer.text());
                key_ids[tenant].push(answer.json()["id"].as_str().unwrap().to_owned());
            }
            7 => {
                // The other's key, by its id: as one that is not there.
                let known = key_ids[1 - tenant].last().cloned();
                let theirs = known.unwrap_or_else(|| "0011223344556677".into());
                let path = format!("/v1/admin/keys/{theirs}");
                let answer = both.ask(tenant, "DELETE", &path, "", by_key);
                let made_up = both.ask(
                    tenant,
                    "DELETE",
                    "/v1/admin/keys/ffeeddccbbaa9988",
                    "",
                    by_key,
                );
                assert_eq!(answer.status, 404, "{}", answer.text());
                let same = answer.text().replace(&theirs, "ID");
                assert_eq!(same, made_up.text().replace("ffeeddccbbaa9988", "ID"));
            }
            8 => {
                let id = below(200);
                let path = format!("/v1/admin/explain?table=notes&key={id}");
                assert_eq!(both.ask(tenant, "GET", &path, "", by_key).status, 200);
                let path = format!("/v1/admin/conflicts/{}.0", below(5_000));
                both.ask(tenant, "GET", &path, "", by_key);
                both.ask(tenant, "POST", &format!("{path}/revert"), "", by_key);
            }
            9 => {
                let answer = both.ask(tenant, "GET", "/v1/status", "", by_key);
                assert_eq!(answer.status, 200);
            }
            10 => {
                let path = format!("/v1/tables/notes/rows?limit={}", 1 + below(50));
                assert_eq!(both.ask(tenant, "GET", &path, "", by_key).status, 200);
                both.ask(tenant, "GET", "/v1/tables", "", by_key);
            }
            11 => {
                let path = format!("/v1/tables/notes/rows/{}", below(200));
                both.ask(tenant, "GET", &path, "", by_key);
                both.ask(tenant, "DELETE", &path, "", by_key);
            }
            12 => {
                let path = format!("/v1/tables/notes/rows/{}", below(200));
                let row = json!({ "owner": "alice", "region": word, "text": word }).to_string();
                let answer = both.ask(tenant, "PUT", &path, &row, by_key);
                assert!(answer.status < 300, "{}", answer.text());
                both.ask(tenant, "PATCH", &path, r#"{"nothing": 1}"#, by_key);
            }
            13 => {
                let body = json!({
                    "name": "places", "vectors": [{ "dimension": 2, "metric": "euclidean" }],
                    "metadata": [{ "name": "text", "type": "text" }],
                });
                both.ask(tenant, "POST", "/v1/vectors", &body.to_string(), by_key);
                let at = [below(10), below(10)];
                let point = json!({ "id": below(50), "vector": at, "text": word });
                let body = json!({ "points": [point] }).to_string();
                let path = "/v1/vectors/places/points";
                let answer = both.ask(tenant, "POST", path, &body, by_key);
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
            14 => {
                // Before the first point there is no collection.
                let body = json!({ "vector": [below(10), below(10)], "k": 50 }).to_string();
                both.ask(tenant, "POST", "/v1/vectors/places/search", &body, by_key);
                let filter = format!("text == '{}'", WORDS[1 - tenant]);
                let body = json!({ "vector": [0, 0], "k": 50, "filter": filter }).to_string();
                let path = "/v1/vectors/places/search";
                let answer = both.ask(tenant, "POST", path, &body, by_key);
                let found = answer.status == 200 && answer.json()["hits"] != json!([]);
                assert!(!found, "{}", answer.text());
                both.ask(tenant, "GET", "/v1/vectors", "", by_key);
                both.ask(tenant, "GET", "/v1/features", "", by_key);
                both.ask(tenant, "GET", "/v1/experiments", "", by_key);
            }
            _ => {
                // What only the other has is found by nobody here.
                let body = json!({ "where": format!("region == '{}'", WORDS[1 - tenant]) });
                let path = "/v1/tables/notes/query";
                let answer = both.ask(tenant, "POST", path, &body.to_string(), by_key);
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
        }
    }
    for (tenant, server) in both.site.servers.iter().enumerate() {
        let tables = server.database().collections();
        for table in tables {
            let query = common::query::Query::from(table.name());
            for record in query.records(&server.database().snapshot().view()).unwrap() {
                let row = format!("{:?}", record.values());
                assert!(!row.contains(WORDS[1 - tenant]), "{}: {row}", table.name());
            }
        }
    }
    let conflicts: usize = both
        .site
        .servers
        .iter()
        .map(|server| server.conflicts().unwrap().len())
        .sum();
    assert!(
        conflicts > 10,
        "{conflicts} conflicts: the ledger was hardly tried"
    );
}

#[test]
fn t46_another_tenants_rows_are_not_found_by_id_filter_subscription_or_ledger() {
    let both = both();
    let only_here = "only-in-the-second";
    let notes = both.site.servers[1].database().collection("notes").unwrap();
    notes
        .insert(row! { "id": 777, "owner": only_here, "region": "x", "text": only_here })
        .unwrap();
    let db = SyncDb::client("curious").unwrap();
    let filter = common::query::Filter::eq("owner", only_here);
    db.subscribe(&Subscription::new("filter", "notes").filter(filter))
        .unwrap();
    let filter = common::query::Filter::eq("id", 777);
    db.subscribe(&Subscription::new("id", "notes").filter(filter))
        .unwrap();
    db.sync(&mut both.site.transport(&both.tokens[0])).unwrap();
    assert!(db.collection("notes").unwrap().is_empty());
    // A push on its id makes a row here, and leaves that there.
    db.insert(
        "notes",
        row! { "id": 777, "owner": "me", "region": "x", "text": "here" },
    )
    .unwrap();
    db.sync(&mut both.site.transport(&both.tokens[0])).unwrap();
    assert_eq!(notes.get(777).unwrap()[3], Value::from(only_here));
    let explained = both.ask(0, "GET", "/v1/admin/explain?table=notes&key=777", "", false);
    assert_eq!(explained.status, 200);
    assert!(
        !explained.text().contains(only_here),
        "{}",
        explained.text()
    );
    // Conflicts of the other, by id.
    let (a, b) = (SyncDb::client("a").unwrap(), SyncDb::client("b").unwrap());
    for db in [&a, &b] {
        db.sync(&mut both.site.transport(&both.tokens[1])).unwrap();
        db.update("notes", 1, row! { "text": db.replica().0.as_str() })
            .unwrap();
    }
    for db in [&a, &b] {
        db.sync(&mut both.site.transport(&both.tokens[1])).unwrap();
    }
    let theirs = both.site.servers[1].conflicts().unwrap();
    let id = theirs.first().unwrap().id();
    let path = format!("/v1/admin/conflicts/{id}");
    assert_eq!(both.ask(1, "GET", &path, "", false).status, 200);
    let seen = both.ask(0, "GET", &path, "", false);
    assert_eq!(seen.status, 404, "{}", seen.text());
    let seqs = both.site.servers[1].database().seq();
    let reverted = both.ask(
        0,
        "POST",
        &format!("{path}/revert"),
        r#"{"force": true}"#,
        false,
    );
    assert_eq!(reverted.status, 404);
    assert_eq!(both.site.servers[1].database().seq(), seqs);
}

#[test]
fn a_tampered_position_or_token_of_a_replica_shows_nothing_of_the_other() {
    let both = both();
    // A replica that has synced with one tenant goes on with the other: another log, so everything anew.
    let db = SyncDb::client("phone").unwrap();
    db.sync(&mut both.site.transport(&both.tokens[1])).unwrap();
    let _ = db.sync(&mut both.site.transport(&both.tokens[0]));
    let request = db.session().unwrap().next_message().unwrap().unwrap();
    let rng = SeededRng::new(7);
    for round in 0..300 {
        let mut changed = request.clone();
        for _ in 0..=round % 4 {
            let at = usize::try_from(rng.next_u64()).unwrap() % changed.len();
            changed[at] ^= 1 << (rng.next_u64() % 8);
        }
        let answer = crate::site::ask(
            both.site.address,
            "POST",
            "/v1/sync",
            Some(&both.tokens[0]),
            &changed,
        );
        Both::look(0, &answer);
        assert!(answer.status < 500, "{}", answer.text());
    }
}
