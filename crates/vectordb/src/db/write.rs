//! How rows come into a [`VectorCollection`], change and go.

use common::{Committed, Error, RecordId, Result, Row};

use super::collection::VectorCollection;
use super::vectors::Vectors;

impl VectorCollection {
    /// Inserts a row of vectors and metadata, or replaces the one of this id as a whole, in one commit. A collection
    /// with one column of vectors takes its vector as it is, one with several takes [`Vectors`] by name.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a vector as [`Metric::prepare`](crate::Metric::prepare) says, and for metadata with every
    /// broken rule; [`common::ErrorKind::NotFound`] for a name that no vectors have. Nothing is changed then.
    pub fn upsert(
        &self,
        id: impl Into<RecordId>,
        vectors: impl Into<Vectors>,
        metadata: Row,
    ) -> Result<Committed> {
        let row = self.row(&id.into(), vectors.into(), metadata)?;
        let committed = self.table().upsert(row)?;
        self.follow()?;
        Ok(committed)
    }

    /// As [`VectorCollection::upsert`] for many rows, in one commit: all of them or none. Of two rows with the
    /// same id, the later one stays.
    ///
    /// Searches find the rows from the commit on. Where so many make an index be built anew, this returns when that is
    /// done; searches and other writers go on meanwhile.
    ///
    /// # Errors
    /// As [`VectorCollection::upsert`], with the number of the row in front.
    pub fn upsert_all<I: Into<RecordId>, V: Into<Vectors>>(
        &self,
        rows: impl IntoIterator<Item = (I, V, Row)>,
    ) -> Result<Committed> {
        // Checked before the writer's lock is taken: others may write meanwhile.
        self.upsert_rows(self.rows(rows)?)
    }

    /// As [`VectorCollection::upsert_all`] for rows that [`VectorCollection::row`] or [`VectorCollection::rows`] has checked: who
    /// tells what is wrong with each of many checks them one by one first, and not a second time here.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] with every broken rule of metadata, and the number of the row in front.
    pub fn upsert_rows(&self, rows: impl IntoIterator<Item = Row>) -> Result<Committed> {
        self.check_open()?;
        let mut transaction = self.table().database().begin();
        for (i, row) in rows.into_iter().enumerate() {
            transaction
                .upsert(self.table(), row)
                .map_err(|error| error.at(format!("row {i}")))?;
        }
        let committed = transaction.commit()?;
        self.follow_bulk()?;
        Ok(committed)
    }

    /// Rows of the table, checked as [`VectorCollection::upsert_all`] checks them, for a transaction of the caller's own:
    /// [`VectorCollection::table`] takes them.
    ///
    /// # Errors
    /// As [`VectorCollection::upsert_all`], but for the rules of metadata, which the transaction checks.
    pub fn rows<I: Into<RecordId>, V: Into<Vectors>>(
        &self,
        rows: impl IntoIterator<Item = (I, V, Row)>,
    ) -> Result<Vec<Row>> {
        let rows = rows.into_iter().enumerate();
        rows.map(|(i, (id, vectors, metadata))| {
            self.row(&id.into(), vectors.into(), metadata)
                .map_err(|error| error.at(format!("row {i}")))
        })
        .collect()
    }

    /// One row of the table, checked as [`VectorCollection::upsert`] checks it, for [`VectorCollection::upsert_rows`] or a
    /// transaction of the caller's own.
    ///
    /// ```
    /// use common::schema::{Field, FieldType};
    /// use common::{RecordId, Row, row};
    /// use vectordb::{CollectionOptions, Metric, VectorDb, VectorOptions};
    /// let db = VectorDb::new();
    /// let options = CollectionOptions::new().vectors(VectorOptions::new(2, Metric::Euclidean));
    /// let title = Field::new("title", FieldType::Text).nullable();
    /// let notes = db.create_collection("notes", options, [title])?;
    /// let first = notes.row(&RecordId::from(1), vec![0.0, 1.0].into(), row! { "title": "sea" })?;
    /// assert!(notes.row(&RecordId::from(2), vec![0.0].into(), Row::new()).is_err());
    /// notes.upsert_rows([first])?;
    /// assert_eq!(notes.count(), 1);
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`VectorCollection::rows`].
    pub fn row(&self, id: &RecordId, vectors: Vectors, metadata: Row) -> Result<Row> {
        self.check_open()?;
        let place = || format!("collection `{}`, id {id}", self.name());
        let schema = self.schema();
        let key = schema.key_fields();
        if key.len() != id.values().len() {
            return Err(Error::invalid(format!(
                "an id has {} value(s), not {}",
                key.len(),
                id.values().len()
            ))
            .at(place()));
        }
        let mut row = metadata;
        let given = key.iter().map(|field| &field.name);
        let given = given.chain(self.options().columns());
        if let Some(name) = given.into_iter().find(|name| row.get(name).is_some()) {
            return Err(
                Error::invalid(format!("`{name}` is no metadata; it is given beside it"))
                    .at(place()),
            );
        }
        for (field, value) in key.iter().zip(id.values()) {
            row.set(field.name.clone(), value.clone());
        }
        vectors
            .put(self.options(), &mut row)
            .map_err(|error| error.at(place()))?;
        Ok(row)
    }

    /// Changes metadata of a row; its vectors stay.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when there is no such row, [`common::ErrorKind::Invalid`] with every
    /// broken rule, and when a vector is among the changes: that is [`VectorCollection::update_vectors`].
    pub fn update(&self, id: impl Into<RecordId>, metadata: Row) -> Result<Committed> {
        self.check_open()?;
        let mut columns = self.options().columns();
        if let Some(column) = columns.find(|column| metadata.get(column).is_some()) {
            return Err(Error::invalid(format!(
                "`{column}` is no metadata; upsert replaces a vector"
            )));
        }
        let committed = self.table().update(id, metadata)?;
        self.follow()?;
        Ok(committed)
    }

    /// Changes the vectors that are given of a row; other vectors and the metadata stay.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when there is no such row; for the vectors as [`VectorCollection::upsert`].
    pub fn update_vectors(
        &self,
        id: impl Into<RecordId>,
        vectors: impl Into<Vectors>,
    ) -> Result<Committed> {
        self.check_open()?;
        let id = id.into();
        let mut changes = Row::new();
        vectors
            .into()
            .put(self.options(), &mut changes)
            .map_err(|error| error.at(format!("collection `{}`, id {id}", self.name())))?;
        let committed = self.table().update(id, changes)?;
        self.follow()?;
        Ok(committed)
    }

    /// Removes a row.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when there is no such row.
    pub fn delete(&self, id: impl Into<RecordId>) -> Result<Committed> {
        self.check_open()?;
        let committed = self.table().delete(id)?;
        self.follow()?;
        Ok(committed)
    }
}
