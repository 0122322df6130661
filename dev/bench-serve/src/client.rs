//! [`Client`]: one connection, and a write over it.

use crate::Result;
use crate::replica::Replica;
use crate::{http1, tandem};

/// One client with its connection.
pub(crate) enum Client {
    Http1(http1::Connection),
    Http2(tandem::Stream),
    Replica(Box<Replica>),
    Postgres(tokio_postgres::Client, tokio_postgres::Statement),
    Redis(redis::aio::MultiplexedConnection),
}

impl Client {
    /// Writes a row, and returns when the server says that it is on the disk.
    pub(crate) async fn upsert(&mut self, key: u64, text: &str) -> Result<()> {
        match self {
            Self::Http1(connection) => connection.put(key, text).await,
            Self::Http2(stream) => stream.put(key, text).await,
            Self::Replica(replica) => replica.upsert(key, text).await,
            Self::Postgres(client, upsert) => {
                let rows = client.execute(upsert, &[&key.cast_signed(), &text]).await?;
                if rows == 1 {
                    Ok(())
                } else {
                    Err(format!("{rows} rows were written in the place of one").into())
                }
            }
            Self::Redis(connection) => Ok(redis::cmd("SET")
                .arg(key)
                .arg(text)
                .query_async::<()>(connection)
                .await?),
        }
    }
}
