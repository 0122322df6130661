//! What tokens' claims let replicas see and change.

use common::{ErrorKind, Value, row};
use serde_json::json;
use server::auth::{Algorithm, AuthOptions, Part, Scope, TablePermissions};
use syncdb::{Subscription, SyncDb};

use crate::issuer::Signer;
use crate::site::{Site, fill, notes, options};

fn part(rows: &str, columns: Option<&[&str]>) -> Part {
    Part {
        rows: rows.to_owned(),
        columns: columns.map(|names| names.iter().map(|name| (*name).into()).collect()),
    }
}

/// Own rows and those of one's regions may be seen, but for the price; own ones written.
fn permitted(signer: &Signer) -> AuthOptions {
    let columns = ["owner", "region", "text"];
    AuthOptions {
        permissions: vec![TablePermissions {
            table: "notes".into(),
            read: Some(part(
                "owner == claims.sub or region in claims.regions",
                Some(&columns),
            )),
            write: Some(part(
                "owner == claims.sub",
                Some(&["owner", "region", "text", "price"]),
            )),
        }],
        ..options(vec![signer.options()])
    }
}

fn site() -> Site {
    let signer = Signer::new("k1", Algorithm::Hs256);
    let (one, two) = (notes(), notes());
    fill(&one, "of the default");
    fill(&two, "of the other");
    Site::with(&permitted(&signer), signer, [one, two])
}

fn ids(db: &SyncDb) -> Vec<i64> {
    let Ok(notes) = db.collection("notes") else {
        return Vec::new();
    };
    (0..100).filter(|id| notes.get(*id).is_some()).collect()
}

/// A replica that has synced with these claims.
fn replica(site: &Site, name: &str, claims: serde_json::Value) -> SyncDb {
    let db = SyncDb::client(name).unwrap();
    let token = site.signer.token("alice", claims);
    db.sync(&mut site.transport(&token)).unwrap();
    db
}

#[test]
fn rows_and_columns_follow_the_claims() {
    let site = site();
    let of_alice = |id: &i64| id % 2 == 0;
    let user = json!({ "scope": "read write", "regions": ["south"] });
    let alice = replica(&site, "a", user);
    let expected: Vec<i64> = (0..40).filter(|id| of_alice(id) || id % 3 == 1).collect();
    assert_eq!(ids(&alice), expected);
    let row = alice.collection("notes").unwrap().get(0).unwrap();
    assert_eq!(row[4], Value::Null, "the price is not hers to see");
    // One value where a list could be; an empty list.
    let one = replica(&site, "b", json!({ "scope": "read", "regions": "south" }));
    assert_eq!(ids(&one), expected);
    let empty = replica(&site, "c", json!({ "scope": "read", "regions": [] }));
    assert_eq!(ids(&empty), (0..40).filter(of_alice).collect::<Vec<_>>());
    // A claim that is missing, null or of another type: nothing at all.
    for claims in [
        json!({ "scope": "read" }),
        json!({ "scope": "read", "regions": { "$uuid": "01234567-89ab-cdef-0123-456789abcdef" } }),
        json!({ "scope": "read", "regions": [7] }),
    ] {
        assert_eq!(
            ids(&replica(&site, "d", claims.clone())),
            [0; 0],
            "{claims}"
        );
    }
    // Numbers tell as well.
    let reader = site
        .signer
        .token("alice", json!({ "scope": "read", "regions": ["south"] }));
    let status = site.ask("GET", "/v1/status", Some(&reader), "").json();
    assert_eq!(
        (&status["rows"], &status["tables"]),
        (&json!(0), &json!({}))
    );
    // Who administers sees everything.
    let admin = replica(&site, "e", json!({}));
    assert_eq!(ids(&admin).len(), 40);
}

#[test]
fn a_subscription_widens_nothing() {
    let site = site();
    let token = site
        .signer
        .token("alice", json!({ "scope": "read", "regions": [] }));
    let db = SyncDb::client("s").unwrap();
    db.subscribe(&Subscription::new("all", "notes")).unwrap();
    let of_ben = common::query::Filter::eq("owner", "ben");
    db.subscribe(&Subscription::new("ben", "notes").filter(of_ben))
        .unwrap();
    db.sync(&mut site.transport(&token)).unwrap();
    assert_eq!(
        ids(&db),
        (0..40).filter(|id| id % 2 == 0).collect::<Vec<_>>()
    );
}

#[test]
fn what_may_be_seen_may_not_all_be_changed() {
    let site = site();
    let claims = json!({ "scope": "read write", "regions": ["south"] });
    let token = site.signer.token("alice", claims.clone());
    let db = replica(&site, "w", claims);
    let server = site.servers[0].database().collection("notes").unwrap();
    let before = site.servers[0].digest().unwrap();
    // Ben's row in her region, her own given away, a row of Ben's that is not there yet, a row that she does not see.
    db.update("notes", 1, row! { "text": "hers now" }).unwrap();
    db.update("notes", 0, row! { "owner": "ben" }).unwrap();
    db.insert(
        "notes",
        row! { "id": 90, "owner": "ben", "region": "south", "text": "" },
    )
    .unwrap();
    db.insert(
        "notes",
        row! { "id": 3, "owner": "alice", "region": "south", "text": "taken" },
    )
    .unwrap();
    db.delete("notes", 7).unwrap();
    db.sync(&mut site.transport(&token)).unwrap();
    assert_eq!(db.rejected().unwrap().len(), 5);
    assert_eq!(site.servers[0].digest().unwrap(), before);
    // Her own.
    db.update("notes", 2, row! { "text": "better" }).unwrap();
    db.sync(&mut site.transport(&token)).unwrap();
    assert_eq!(server.get(2).unwrap()[3], Value::from("better"));
    assert_eq!(db.rejected().unwrap().len(), 5);
}

#[test]
fn who_may_only_read_changes_nothing() {
    let site = Site::new();
    fill(site.servers[0].database(), "text");
    for token in [
        site.signer.token("alice", json!({ "scope": "read" })),
        site.key(0, &[Scope::Read]),
    ] {
        let db = SyncDb::client(if token.starts_with("tdk_") { "k" } else { "t" }).unwrap();
        db.sync(&mut site.transport(&token)).unwrap();
        assert_eq!(ids(&db).len(), 40);
        let before = site.servers[0].digest().unwrap();
        db.update("notes", 1, row! { "text": "changed" }).unwrap();
        db.delete("notes", 2).unwrap();
        db.sync(&mut site.transport(&token)).unwrap();
        assert_eq!(db.rejected().unwrap().len(), 2);
        assert_eq!(site.servers[0].digest().unwrap(), before);
    }
}

#[test]
fn nobody_speaks_as_another_principals_replica() {
    let site = Site::new();
    fill(site.servers[0].database(), "text");
    let user = json!({ "scope": "read write" });
    let alice = site.signer.token("alice", user.clone());
    let mallory = site.signer.token("mallory", user);
    let phone = SyncDb::client("phone").unwrap();
    phone.sync(&mut site.transport(&alice)).unwrap();
    phone
        .update("notes", 1, row! { "text": "by alice" })
        .unwrap();
    phone.sync(&mut site.transport(&alice)).unwrap();
    let before = site.seqs();
    let false_phone = SyncDb::client("phone").unwrap();
    let error = false_phone.sync(&mut site.transport(&mallory)).unwrap_err();
    assert!(
        error.to_string().contains("belongs to another principal"),
        "{error}"
    );
    assert_eq!(site.seqs(), before);
}

#[test]
fn a_table_that_is_not_named_is_nobodys() {
    let signer = Signer::new("k1", Algorithm::Hs256);
    let mut options = permitted(&signer);
    options.permissions[0].table = "others".into();
    let (one, two) = (notes(), notes());
    fill(&one, "text");
    let site = Site::with(&options, signer, [one, two]);
    let db = replica(
        &site,
        "n",
        json!({ "scope": "read write", "regions": ["south"] }),
    );
    assert_eq!(ids(&db), [0; 0]);
}

#[test]
fn no_text_of_a_template_and_no_claim_makes_it_panic_or_let_more_through() {
    use common::utils::id_generator::SeededRng;
    let rng = SeededRng::new(11);
    let words = [
        "owner",
        "region",
        "price",
        "==",
        "in",
        "not",
        "(",
        ")",
        "claims.sub",
        "claims.regions",
        "claims",
        ".",
        "claims.a.b",
        "'x'",
        "'",
        "or",
        "and",
        "$x",
        "between",
        "1",
        "is null",
        "contains",
        "true",
        ",",
        "é",
        "`",
        "\0",
    ];
    let db = notes();
    let schema = db.collection("notes").unwrap().schema();
    let claims = [
        common::Map::new(),
        common::Map::from([
            ("sub".into(), "alice".into()),
            ("regions".into(), Value::from(vec![Value::from("x")])),
        ]),
        common::Map::from([
            ("sub".into(), Value::from(7)),
            ("regions".into(), Value::Null),
        ]),
    ];
    let mut read = 0;
    for _ in 0..30_000 {
        let length = 1 + rng.next_u64() % 8;
        let picked =
            (0..length).map(|_| words[usize::try_from(rng.next_u64()).unwrap() % words.len()]);
        let text = picked.collect::<Vec<_>>().join(" ");
        let Ok(template) = server::auth::Template::parse(&text) else {
            continue;
        };
        read += 1;
        let fits = template.check(&schema).is_ok();
        for claims in &claims {
            let bound = template.bind(claims, &schema);
            if let Some(filter) = &bound {
                assert!(!filter.has_parameters(), "{text}");
                assert!(fits, "{text} binds, and does not fit");
            }
        }
    }
    assert!(read > 100, "{read}");
}

#[test]
fn permissions_that_do_not_fit_are_errors_at_the_start() {
    let signer = Signer::new("k1", Algorithm::Hs256);
    let with = |rows: &str, columns: Option<&[&str]>| AuthOptions {
        permissions: vec![TablePermissions {
            table: "notes".into(),
            read: Some(part(rows, columns)),
            write: None,
        }],
        ..options(vec![signer.options()])
    };
    for (rows, columns, kind, says) in [
        ("ownr == claims.sub", None, ErrorKind::NotFound, "ownr"),
        ("price == 'much'", None, ErrorKind::Invalid, "price"),
        (
            "true",
            Some(&["text", "cost"] as &[&str]),
            ErrorKind::NotFound,
            "cost",
        ),
        (
            "owner starts with claims.sub",
            None,
            ErrorKind::Invalid,
            "claim0",
        ),
        ("owner == $me", None, ErrorKind::Invalid, "parameters"),
        ("owner == claims.", None, ErrorKind::Invalid, "claims."),
        ("owner == ", None, ErrorKind::Invalid, "expected"),
        ("mine(owner)", None, ErrorKind::NotFound, "mine"),
    ] {
        let options = with(rows, columns);
        let checked = options.permissions().map(drop);
        let checked = checked.and_then(|()| options.check_permissions(&notes()));
        let error = checked.unwrap_err();
        assert_eq!(error.kind(), kind, "{rows}: {error}");
        assert!(error.to_string().contains(says), "{rows}: {error}");
        assert!(
            error.to_string().contains("table `notes`"),
            "{rows}: {error}"
        );
    }
    let mut twice = with("true", None);
    twice.permissions.push(twice.permissions[0].clone());
    assert!(twice.permissions().is_err());
}
