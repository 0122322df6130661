//! How an app behaves for two riders of a train: eight hours of edits over links with tunnels, in less than a second.
//!
//! Run it with `cargo run -p tandemdb-syncdb --example phone_in_a_train`. Put your own app in the place of `edit`,
//! and your own seed in the place of 2026.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;
use std::time::Duration;

use common::database::DatabaseOptions;
use common::schema::{Field, FieldType, Schema};
use common::utils::time::Clock;
use common::{Database, Result, row};
use syncdb::netsim::{Network, NodeId, Profile};
use syncdb::{SyncDb, SyncServer};

fn main() -> Result<()> {
    let network = Network::new(2026);
    let cloud = network.add_node("cloud");
    let db = Database::new();
    let notes = Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("text", FieldType::Text))
        .finish()?;
    db.create_collection(notes)?;
    let server = SyncServer::new(db)?;

    let phones = ["anna", "ben"].map(|name| -> Result<(NodeId, SyncDb)> {
        let node = network.add_node(name);
        network.set_link(node, cloud, Profile::TrainTunnel.options())?;
        // The phone's clock is the network's, which passes as fast as events do.
        let clock = network.clock(node);
        let options = DatabaseOptions {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ..DatabaseOptions::default()
        };
        clock.jump(i64::try_from(node.index()).unwrap_or_default() * 3_000_000);
        Ok((node, SyncDb::open(Database::with(options), name)?))
    });
    let phones = phones.into_iter().collect::<Result<Vec<_>>>()?;

    let (mut failed, mut done) = (0, 0);
    for minute in 0..480 {
        for (node, phone) in &phones {
            edit(phone, minute)?;
            let mut transport =
                network.connect(*node, cloud, |request: &[u8]| server.handle(request));
            match phone.sync(&mut transport) {
                Ok(_) => done += 1,
                // A tunnel: what was written waits in the queue.
                Err(_) => failed += 1,
            }
        }
        network.advance(Duration::from_secs(50));
    }
    for (node, phone) in &phones {
        network.set_link(*node, cloud, Profile::Wifi.options())?;
        let mut transport = network.connect(*node, cloud, |request: &[u8]| server.handle(request));
        while phone.sync(&mut transport).is_err() {}
    }
    for (node, phone) in &phones {
        let mut transport = network.connect(*node, cloud, |request: &[u8]| server.handle(request));
        while !phone
            .sync(&mut transport)
            .is_ok_and(|report| report.converged)
        {}
        assert_eq!(phone.digest()?, server.digest()?);
    }
    let total = network.total();
    println!(
        "{:.1} hours: {done} syncs went well, {failed} did not",
        network.now().as_secs_f64() / 3_600.0
    );
    println!(
        "{} messages, {} lost, {} cut, {} bytes; {} rows here, there and everywhere",
        total.sent,
        total.lost,
        total.cut,
        total.bytes_sent,
        server.status().rows
    );
    assert!(failed > 0 && server.status().rows > 0);
    Ok(())
}

/// What the app does in one minute.
fn edit(phone: &SyncDb, minute: i64) -> Result<()> {
    // Before the first sync there is no table.
    if phone.collection("notes").is_ok() {
        let text = format!("minute {minute} of {}", phone.replica());
        phone.upsert("notes", row! { "id": minute % 60, "text": text })?;
    }
    Ok(())
}
