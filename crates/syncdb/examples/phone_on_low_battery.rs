//! A phone at 15 % in a pocket: an hour of edits, four wake-ups. Run it with
//! `cargo run -p tandemdb-syncdb --example phone_on_low_battery`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;
use std::time::Duration;

use common::database::DatabaseOptions;
use common::schema::{Field, FieldType, Schema};
use common::utils::time::Clock;
use common::{Database, Result, row};
use syncdb::netsim::{Network, Profile};
use syncdb::power::{Decision, DeviceState, Measured, NetworkType, Priority, Scheduler};
use syncdb::{CountingTransport, SyncDb, SyncServer};

fn main() -> Result<()> {
    let db = Database::new();
    let notes = Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("text", FieldType::Text))
        .finish()?;
    db.create_collection(notes)?;
    let server = SyncServer::new(db)?;

    let network = Network::new(2026);
    let (cloud, node) = (network.add_node("cloud"), network.add_node("phone"));
    network.set_link(node, cloud, Profile::Wifi.options().loss(0.0))?;
    let clock = network.clock(node);
    let options = DatabaseOptions {
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        ..DatabaseOptions::default()
    };
    let phone = SyncDb::open(Database::with(options), "phone")?;
    phone.sync(&mut |request: &[u8]| server.handle(request))?;

    let device = DeviceState::default()
        .battery(0.15)
        .network(NetworkType::Cellular)
        .foreground(false);
    let mut scheduler = Scheduler::default();
    for minute in 0..60_u32 {
        let notes = phone.collection("notes")?;
        phone.transaction(|tx| {
            // Once an hour, somebody waits for it.
            tx.priority(if minute == 50 {
                Priority::Critical
            } else {
                Priority::Low
            });
            let text = format!("seen in minute {minute}");
            tx.insert(&notes, row! { "id": minute, "text": text })
                .map(drop)
        })?;
        let now = phone.database().clock().now();
        let waiting = phone.waiting()?;
        if let Decision::Sync { budget, why, .. } = scheduler.decide(now, &device, &waiting) {
            scheduler.start(now, &device, &waiting);
            let mut link = network.connect(node, cloud, |request: &[u8]| server.handle(request));
            let mut counted = CountingTransport::new(&mut link);
            let result = phone.sync_with(&budget, &mut counted);
            let measured = Measured {
                succeeded: result.is_ok(),
                bytes_up: counted.bytes_up(),
                bytes_down: counted.bytes_down(),
                // A real host reads a clock of processor time around its calls.
                ..Measured::default()
            };
            let then = phone.database().clock().now();
            let cost = scheduler.finish(then, &measured, minute.into());
            println!(
                "minute {minute:2}: {why}; {} notes went, {:.1} J",
                waiting.operations,
                cost.radio_mj / 1e3
            );
        }
        network.advance(Duration::from_mins(1));
    }
    let totals = scheduler.totals();
    println!(
        "{} wake-ups, {:.0} J",
        totals.wake_ups,
        totals.radio_mj / 1e3
    );
    assert!(totals.wake_ups <= 4, "and not one for each of 60 notes");
    Ok(())
}
