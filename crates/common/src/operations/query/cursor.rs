//! [`Cursor`]: where a page of results ended, as a token for the next one.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::core::base::Value;
use crate::error::{Error, Result};
use crate::limits::{KEY_COLUMNS_MAX, Limits};

/// Version of the token's layout: version byte, 8 bytes of checksum, JSON of the body.
const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 8;
/// Most values in a cursor: the columns of an order and the keys of joined tables.
const VALUES_MAX: usize = 16 * KEY_COLUMNS_MAX;

/// Where a page ended: the values that the last row was ordered by, its key among them.
///
/// The next page begins after that row, even if it was deleted meanwhile; rows are neither repeated nor
/// skipped, whatever was written between two pages. A cursor fits only queries with the same table and
/// order. Outside the process it travels as an opaque token; the checksum finds damage, it is no
/// signature: a cursor opens nothing that the query itself does not.
///
/// ```
/// use common::query::Cursor;
/// assert!(Cursor::parse("bm9uc2Vuc2U", &common::Limits::default()).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// Which table and order the cursor belongs to.
    pub(super) fingerprint: u64,
    /// Values of the order's keys in the last row.
    pub(super) values: Vec<Value>,
}

impl Cursor {
    /// The opaque token: letters, digits, `-` and `_` only.
    pub fn token(&self) -> String {
        let body = (self.fingerprint, &self.values);
        // Values have a JSON form except extensions without a name, which no schema lets in.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut bytes = vec![VERSION];
        bytes.extend(checksum(&body));
        bytes.extend(body);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for a token that is damaged or was not made here,
    /// [`crate::ErrorKind::Unsupported`] for one of a later version, [`crate::ErrorKind::LimitExceeded`]
    /// beyond [`Limits::bytes_max`].
    pub fn parse(token: &str, limits: &Limits) -> Result<Self> {
        limits.check_bytes(token.len())?;
        let damaged = || Error::invalid("the cursor is damaged; begin again without one");
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| damaged())?;
        let (&version, rest) = bytes.split_first().ok_or_else(damaged)?;
        let (sum, body) = rest.split_at_checked(CHECKSUM_BYTES).ok_or_else(damaged)?;
        if sum != checksum(body) {
            return Err(damaged());
        }
        if version != VERSION {
            return Err(Error::unsupported(format!(
                "the cursor is of version {version}, this library reads version {VERSION}"
            )));
        }
        let (fingerprint, values): (u64, Vec<Value>) =
            serde_json::from_slice(body).map_err(|_| damaged())?;
        if values.is_empty() || values.len() > VALUES_MAX {
            return Err(damaged());
        }
        Ok(Self {
            fingerprint,
            values,
        })
    }
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut sum = [0; CHECKSUM_BYTES];
    let digest = Sha256::digest(body);
    sum.iter_mut()
        .zip(digest.iter())
        .for_each(|(to, from)| *to = *from);
    sum
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.token())
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.token())
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let token = String::deserialize(deserializer)?;
        Self::parse(&token, &Limits::default()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn cursor() -> Cursor {
        Cursor {
            fingerprint: u64::MAX,
            values: vec![Value::from("Oulu"), Value::Null, Value::from(1.0)],
        }
    }

    #[test]
    fn a_token_reads_back_and_stays_the_same() {
        let token = cursor().token();
        assert_eq!(
            token,
            "ASQl7f5O5ozCWzE4NDQ2NzQ0MDczNzA5NTUxNjE1LFsiT3VsdSIsbnVsbCwxLjBdXQ"
        );
        assert_eq!(Cursor::parse(&token, &Limits::default()).unwrap(), cursor());
    }

    #[test]
    fn every_change_of_a_token_is_noticed() {
        let token = cursor().token();
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(Cursor::parse(&changed, &Limits::default()).is_err(), "{at}");
            assert!(Cursor::parse(&token[..at], &Limits::default()).is_err());
        }
        let limits = Limits::default().bytes_max(token.len() - 1);
        let error = Cursor::parse(&token, &limits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    }
}
