//! TandemDB: in the process, and over HTTP on a socket of this machine.

use std::ops::ControlFlow;
use std::sync::Arc;

use bench::Result;
use bench::mobile::{Mobile, MobileTable};
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

pub(crate) struct Tandem {
    over_http: bool,
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
        Self::open(false)
    }

    pub(crate) fn over_http() -> Result<Box<dyn Subject>> {
        Self::open(true)
    }

    fn open(over_http: bool) -> Result<Box<dyn Subject>> {
        Ok(Box::new(Self {
            over_http,
            server: None,
            listening: None,
            client: SyncDb::client("phone")?,
            other: None,
        }))
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
        }
        let other = self.other.as_ref().ok_or("there is another client")?;
        self.exchange(other)?;
        let mut tx = other.begin();
        match change {
            Change::Edits(edits) => {
                for edit in edits {
                    let table = &before.tables[edit.table];
                    let schema = &table.schema;
                    let key = &table.rows[edit.row][..schema.key_columns];
                    let columns = edit.columns.iter().map(|(at, value)| (*at, value));
                    let collection = other.collection(&schema.name)?;
                    tx.update(&collection, RecordId::from(key), named(table, columns))?;
                }
            }
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
