//! Keys of entities on the command line.

use common::{Error, RecordId, Result, Value};
use import::text_to_value;
use vectordb::feature::Entity;

/// Reads a key: the text as it is when the entity has one key column, else a record of CSV.
pub(super) fn parse(entity: &Entity, text: &str) -> Result<RecordId> {
    let wrong = |what: String| Error::invalid(format!("key `{text}` of `{}`: {what}", entity.name));
    let parts: Vec<String> = if entity.keys.len() == 1 {
        vec![text.to_owned()]
    } else {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(text.as_bytes());
        let record = reader.records().next().transpose();
        let record = record.map_err(|error| wrong(error.to_string()))?;
        record.iter().flatten().map(str::to_owned).collect()
    };
    if parts.len() != entity.keys.len() {
        let names: Vec<&str> = entity.keys.iter().map(|key| key.name.as_str()).collect();
        return Err(wrong(format!(
            "it has {} values; give {}, separated by commas, for {}",
            parts.len(),
            names.len(),
            names.join(", ")
        )));
    }
    let values = entity.keys.iter().zip(&parts).map(|(key, part)| {
        text_to_value(part, &key.ty).map_err(|reason| wrong(format!("`{}`: {reason}", key.name)))
    });
    let values: Vec<Value> = values.collect::<Result<_>>()?;
    Ok(RecordId::composite(values))
}

/// Reads several keys, each named once.
pub(super) fn parse_all(entity: &Entity, texts: &[String]) -> Result<Vec<RecordId>> {
    let mut ids: Vec<RecordId> = Vec::with_capacity(texts.len());
    for text in texts {
        let id = parse(entity, text)?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::schema::FieldType;

    #[test]
    fn commas_part_the_columns_of_a_key() {
        let one = Entity::new("e", [("a", FieldType::Text)]);
        let two = Entity::new("e", [("a", FieldType::Int), ("b", FieldType::Text)]);
        assert_eq!(parse(&one, "x,y").unwrap(), RecordId::from("x,y"));
        let id = RecordId::composite([Value::from(-7), Value::from("x,y")]);
        assert_eq!(parse(&two, "-7,\"x,y\"").unwrap(), id);
        for (text, says) in [
            ("7", "it has 1 values; give 2"),
            ("x,y", "`a`: "),
            ("", "has 0"),
        ] {
            let error = parse(&two, text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
