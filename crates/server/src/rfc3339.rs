//! Times in JSON as people write them: `2027-01-31T08:30:00Z`.

use common::Timestamp;
use common::utils::time::parse_timestamp;
use serde::{Deserialize, Deserializer, Serializer};

pub(crate) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(time)
}

/// The same for times that need not be there.
pub(crate) mod option {
    use super::{Deserialize, Deserializer, Serializer, Timestamp, parse_timestamp};

    #[expect(clippy::ref_option, reason = "serde passes the field by reference")]
    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Timestamp>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => to.collect_str(time),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let time = text.map(|text| parse_timestamp(&text).map(Timestamp));
        time.transpose().map_err(serde::de::Error::custom)
    }
}
