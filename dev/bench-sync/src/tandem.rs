//! TandemDB: in the process, and over HTTP on a socket of this machine.

use std::ops::ControlFlow;
use std::sync::Arc;

use bench::Result;
use bench::mobile::{Edit, Mobile, MobileTable};
use common::schema::IndexSpec;
use common::{Database, Record, RecordId, Row, Value};
use server::http::HttpTransport;
use server::{ServeOptions, serve};
use syncdb::{SyncDb, SyncServer};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::subject::{Cell, Change, Subject, Traffic, cells};

/// Columns with an index, on the server and, because the schema says so, on the client.
const INDEXES: [(&str, &[&str]); 4] = [
    ("users", &["city"]),
    ("tasks", &["project"]),
    ("messages", &["channel", "sender"]),
    ("products", &["category"]),
];

/// A server that listens on a socket of this machine.
struct Listening {
    runtime: Runtime,
    transport: HttpTransport,
    stop: Option<oneshot::Sender<()>>,
}

/// Increments after which a client has every shared dictionary that it will be given, with room to spare.
const INCREMENTS_MAX: u64 = 300;

pub(crate) struct Tandem {
    over_http: bool,
    /// Whether the client has exchanged so much before the first change that it has the shared dictionaries.
    in_use: bool,
    /// How many tables have such a dictionary.
    trained: usize,
    server: Option<Arc<SyncServer>>,
    listening: Option<Listening>,
    client: SyncDb,
    /// Makes the changes that the client then gets, as in life. It comes after the client's first sync, so that the
    /// server has nothing prepared for that.
    other: Option<SyncDb>,
}

/// Columns of a row by name.
fn named<'a>(table: &MobileTable, columns: impl Iterator<Item = (usize, &'a Value)>) -> Row {
    columns
        .map(|(at, value)| (table.schema.fields[at].name.clone(), value.clone()))
        .collect()
}

impl Tandem {
    pub(crate) fn in_process() -> Result<Box<dyn Subject>> {
        Self::open(false, false)
    }

    /// A client that was in use for a while: see [`Tandem::earn_dictionaries`].
    pub(crate) fn in_use() -> Result<Box<dyn Subject>> {
        Self::open(false, true)
    }

    pub(crate) fn over_http() -> Result<Box<dyn Subject>> {
        Self::open(true, false)
    }

    fn open(over_http: bool, in_use: bool) -> Result<Box<dyn Subject>> {
        Ok(Box::new(Self {
            over_http,
            in_use,
            trained: 0,
            server: None,
            listening: None,
            client: SyncDb::client("phone")?,
            other: None,
        }))
    }

    /// Lets rows change and change back, and the client follow, until the server has given it the shared dictionary of every
    /// table. They have paid for themselves by then, and what they took is in no figure.
    fn earn_dictionaries(&mut self, data: &Mobile) -> Result<()> {
        for round in 0..INCREMENTS_MAX {
            let here = self.client.database().collection("sync_dictionaries")?;
            if here.len() >= self.trained {
                return Ok(());
            }
            let edits = data.increment(350, 7_000 + round)?.edits;
            let back = edits.iter().map(|edit| {
                let row = &data.tables[edit.table].rows[edit.row];
                let columns = edit.columns.iter().map(|(at, _)| (*at, row[*at].clone()));
                Edit {
                    columns: columns.collect(),
                    ..edit.clone()
                }
            });
            let back: Vec<Edit> = back.collect();
            for edits in [edits, back] {
                self.edit(data, &edits)?;
                self.sync()?;
            }
        }
        Err("the client was not given the shared dictionaries".into())
    }

    fn edit(&self, data: &Mobile, edits: &[Edit]) -> Result<()> {
        let other = self.other.as_ref().ok_or("there is another client")?;
        let mut tx = other.begin();
        for edit in edits {
            let table = &data.tables[edit.table];
            let schema = &table.schema;
            let key = &table.rows[edit.row][..schema.key_columns];
            let columns = edit.columns.iter().map(|(at, value)| (*at, value));
            let collection = other.collection(&schema.name)?;
            tx.update(&collection, RecordId::from(key), named(table, columns))?;
        }
        tx.commit()?;
        self.exchange(other)
    }

    /// Brings another client in step.
    fn exchange(&self, other: &SyncDb) -> Result<()> {
        let server = self.server()?;
        let report = other.sync(&mut |request: &[u8]| server.handle(request))?;
        if report.converged && report.outcomes.keys().all(|outcome| outcome == "applied") {
            Ok(())
        } else {
            Err(format!("the other client: {report:?}").into())
        }
    }

    fn server(&self) -> Result<&SyncServer> {
        Ok(self.server.as_deref().ok_or("nothing was published")?)
    }
}

impl Listening {
    fn new(server: &Arc<SyncServer>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let transport = HttpTransport::new(&format!("http://{}", listener.local_addr()?))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let server = Arc::clone(server);
        runtime.spawn(serve(listener, server, ServeOptions::default(), async {
            let _ = stopped.await;
        }));
        Ok(Self {
            runtime,
            transport,
            stop: Some(stop),
        })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        // Lets the task see it, so that the server goes before the next subject comes.
        self.runtime
            .block_on(async { tokio::task::yield_now().await });
    }
}

impl Subject for Tandem {
    fn publish(&mut self, data: &Mobile) -> Result<()> {
        let db = Database::new();
        for table in &data.tables {
            let mut schema = table.schema.clone();
            for (name, columns) in INDEXES {
                if schema.name == name {
                    let indexes = columns.iter().map(|column| IndexSpec::hash([*column]));
                    schema.indexes.extend(indexes);
                }
            }
            let collection = db.create_collection(schema)?;
            db.load(&collection, &table.records())?;
        }
        let server = Arc::new(SyncServer::new(db)?);
        // As `tandem serve` does beside the requests.
        self.trained = server.train_dictionaries()?.len();
        self.listening = self
            .over_http
            .then(|| Listening::new(&server))
            .transpose()?;
        self.server = Some(server);
        Ok(())
    }

    fn change(&mut self, before: &Mobile, change: &Change) -> Result<()> {
        if self.other.is_none() {
            let other = SyncDb::client("laptop")?;
            self.exchange(&other)?;
            self.other = Some(other);
            if self.in_use {
                self.earn_dictionaries(before)?;
            }
        }
        if let Change::Edits(edits) = change {
            return self.edit(before, edits);
        }
        let other = self.other.as_ref().ok_or("there is another client")?;
        self.exchange(other)?;
        let mut tx = other.begin();
        match change {
            Change::Edits(_) => {}
            Change::Inserts(rows) => {
                for (table, row) in rows {
                    let table = &before.tables[*table];
                    let collection = other.collection(&table.schema.name)?;
                    tx.insert(&collection, named(table, row.iter().enumerate()))?;
                }
            }
            Change::Deletes(keys) => {
                for (table, key) in keys {
                    let collection = other.collection(&before.tables[*table].schema.name)?;
                    tx.delete(&collection, RecordId::from(key.as_slice()))?;
                }
            }
        }
        tx.commit()?;
        self.exchange(other)
    }

    fn sync(&mut self) -> Result<Traffic> {
        let report = match &mut self.listening {
            Some(listening) => self.client.sync(&mut listening.transport)?,
            None => {
                let server = self.server.as_deref().ok_or("nothing was published")?;
                self.client
                    .sync(&mut |request: &[u8]| server.handle(request))?
            }
        };
        if !report.converged || report.repaired {
            return Err(format!("not in step: {report:?}").into());
        }
        Ok(Traffic {
            up: report.bytes_up,
            down: report.bytes_down,
            round_trips: report.round_trips.into(),
        })
    }

    fn rows(&self, data: &Mobile) -> Result<Vec<Vec<Vec<Cell>>>> {
        let db = self.client.database();
        let read = |name: &str| -> Result<Vec<Vec<Cell>>> {
            let collection = self.client.collection(name)?;
            let mut rows = Vec::new();
            db.snapshot()
                .view()
                .scan(&collection, &mut |records: &[Record]| {
                    rows.extend(records.iter().map(|record| cells(record)));
                    ControlFlow::Continue(())
                })?;
            Ok(rows)
        };
        data.tables
            .iter()
            .map(|table| read(&table.schema.name))
            .collect()
    }
}
