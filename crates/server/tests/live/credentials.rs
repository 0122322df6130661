//! Who may connect, and for how long.

use std::sync::Arc;

use common::schema::{Field, FieldType, Schema};
use common::utils::time::ManualClock;
use common::{Database, ErrorKind, Timestamp, row};
use futures_util::SinkExt as _;
use server::auth::{ApiKeyOptions, ApiKeys, Scope};
use server::client::{ClientOptions, LiveReplica, LiveReplicaOptions, WebSocketTransport};
use server::{App, Auth, AuthOptions, ServeOptions, Tenant};
use syncdb::{SyncDb, SyncServer};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::support::{closing_code, sync};
use crate::listening::Listening;

const SECOND: i64 = 1_000_000;

#[test]
fn a_connection_ends_with_its_credentials_whether_it_is_idle_or_asks() {
    let clock = Arc::new(ManualClock::new(1_000 * SECOND));
    let db = Database::new();
    let notes = Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .finish()
        .unwrap();
    let notes = db.create_collection(notes).unwrap();
    notes.insert(row! { "id": 1 }).unwrap();
    let keys = ApiKeys::new(db.clone());
    let mut wanted = ApiKeyOptions::new("phone", [Scope::Read]);
    wanted.expires = Some(Timestamp(1_000 * SECOND + SECOND / 5));
    let key = keys
        .create(&wanted, None, Timestamp(1_000 * SECOND))
        .unwrap();
    let tenant = Tenant::new(Tenant::DEFAULT, Arc::new(SyncServer::new(db).unwrap()));
    let auth = Auth::with_clock(&AuthOptions::default(), clock.clone()).unwrap();
    let app = App::new([tenant], auth);
    let listening = Listening::start(app, ServeOptions::default());
    let address = listening.address;
    let phone = SyncDb::client("phone").unwrap();
    let connect = async |secret: &str| {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut request = format!("ws://{address}/v1/live")
            .into_client_request()
            .unwrap();
        let value = format!("Bearer {secret}").parse().unwrap();
        request.headers_mut().insert("authorization", value);
        client_async(request, stream).await
    };
    listening.runtime.block_on(async {
        for wrong in ["", "x", "eyJhbGciOiJub25lIn0.e30."] {
            match connect(wrong).await {
                Err(Error::Http(response)) => assert_eq!(response.status(), 401),
                other => panic!("{other:?}"),
            }
        }
        let mut idle = connect(&key.secret).await.unwrap().0;
        let mut asking = connect(&key.secret).await.unwrap().0;
        sync(&mut idle, &phone).await;
        sync(&mut asking, &phone).await;
        clock.set(2_000 * SECOND);
        let request = phone.session().unwrap().next_message().unwrap().unwrap();
        // It may have ended before that.
        let _ = asking.send(Message::binary(request)).await;
        assert_eq!(closing_code(&mut asking).await, Some(4401));
        assert_eq!(closing_code(&mut idle).await, Some(4401));
    });
    // Trying again with the same does not help, so a replica that is kept in sync gives up.
    let options = ClientOptions::default().credentials(key.secret).unwrap();
    let transport = WebSocketTransport::with(&format!("http://{address}"), options).unwrap();
    let live = LiveReplica::start(
        Arc::new(phone),
        transport,
        LiveReplicaOptions::default(),
        drop,
    );
    let error = live.unwrap().wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}
