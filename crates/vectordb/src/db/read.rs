//! How rows of a [`VectorCollection`] are read without a search: by id, in pages, counted; and deleted by filter.

use common::query::{Aggregate, Cursor, Filter, OrderBy, Query};
use common::{Committed, Record, RecordId, Result, Row, Text};

use super::collection::VectorCollection;
use super::run::payload;

/// Which rows are read, page by page in the order of their ids.
///
/// ```
/// use vectordb::Scroll;
/// let scroll = Scroll::new(100).select(["title", "vector"]);
/// assert_eq!(scroll.limit, 100);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Scroll {
    /// Most rows of a page; at least one.
    pub limit: usize,
    /// Which rows; all of them if none.
    pub filter: Option<Filter>,
    /// Which columns rows carry; all metadata, and no vector, if none.
    pub select: Option<Vec<Text>>,
    /// Where the page begins: after the one that gave this cursor; at the first row if none.
    pub after: Option<Cursor>,
}

impl Scroll {
    /// Pages of at most `limit` rows.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Only rows that pass the filter.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Rows carry these columns, vectors among them if they are named.
    #[must_use]
    pub fn select<N: Into<Text>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.select = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// The page after the one that gave this cursor.
    #[must_use]
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.after = Some(cursor);
        self
    }
}

/// Some rows in the order of their ids.
#[derive(Debug)]
pub struct Page {
    /// The rows with their ids.
    pub rows: Vec<(RecordId, Row)>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}

impl VectorCollection {
    /// A page of rows in the order of their ids.
    ///
    /// Each page is of the latest commit. Rows that are there all the time come just once, whatever is written between
    /// two pages; a row that comes or goes meanwhile may be in a page or not. Cost: a pass over the table for
    /// each page, or over the rows that an index on metadata leads to.
    ///
    /// ```
    /// use vectordb::{Metric, Scroll, VectorDb, VectorOptions};
    /// let db = VectorDb::new();
    /// let things = db.create_collection("things", VectorOptions::new(1, Metric::Euclidean), [])?;
    /// things.upsert_all((0..5_u8).map(|i| (i64::from(i), [f32::from(i)], common::row! {})))?;
    /// let first = things.scroll(&Scroll::new(3))?;
    /// let rest = things.scroll(&Scroll::new(3).after(first.next.expect("more rows")))?;
    /// assert_eq!((rest.rows.len(), rest.next.is_none()), (2, true));
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a page of no rows, for a filter that does not fit the columns and for a cursor of
    /// another table; [`common::ErrorKind::NotFound`] for a selected column that there is not.
    pub fn scroll(&self, scroll: &Scroll) -> Result<Page> {
        self.check_open()?;
        if scroll.limit == 0 {
            return Err(common::Error::invalid(
                "a page has at least one row (limit)",
            ));
        }
        let columns = self.columns(scroll.select.as_deref())?;
        let mut query = self.query(scroll.filter.as_ref()).limit(scroll.limit);
        for field in self.schema().key_fields() {
            query = query.order_by(OrderBy::ascending(common::query::Path::column(
                field.name.clone(),
            )));
        }
        query.after.clone_from(&scroll.after);
        let snapshot = self.table().database().snapshot();
        let result = query.run(&snapshot.view())?;
        let records = result.rows.iter().filter_map(|row| row.as_record());
        Ok(Page {
            rows: records.map(|r| (r.id(), payload(r, &columns))).collect(),
            next: result.cursor,
        })
    }

    /// Number of rows that pass a filter. Cost: a pass over the table, or over the rows that an index on metadata leads
    /// to.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a filter that does not fit the columns.
    pub fn count_matching(&self, filter: &Filter) -> Result<usize> {
        self.check_open()?;
        let query = self.query(Some(filter)).aggregate(Aggregate::count());
        let snapshot = self.table().database().snapshot();
        let result = query.run(&snapshot.view())?;
        let count = result.rows.first().and_then(|row| row.first()?.as_int());
        Ok(count
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(0))
    }

    /// The rows of these ids, vectors included, all of one commit; `None` for an id that no row has.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn get_many<I: Into<RecordId>>(
        &self,
        ids: impl IntoIterator<Item = I>,
    ) -> Result<Vec<Option<Record>>> {
        self.check_open()?;
        let snapshot = self.table().database().snapshot();
        let ids = ids.into_iter().map(Into::into);
        ids.map(|id: RecordId| snapshot.get(self.table(), id))
            .collect()
    }

    /// Removes the rows of these ids, in one commit; ids that no row has are passed over. What was committed tells how
    /// many there were.
    ///
    /// # Errors
    /// As [`common::database::Transaction::commit`]. Nothing is changed then.
    pub fn delete_all<I: Into<RecordId>>(
        &self,
        ids: impl IntoIterator<Item = I>,
    ) -> Result<Committed> {
        self.check_open()?;
        let ids: Vec<RecordId> = ids.into_iter().map(Into::into).collect();
        let mut transaction = self.table().database().begin();
        for id in ids {
            if transaction.get(self.table(), id.clone())?.is_some() {
                transaction.delete(self.table(), id)?;
            }
        }
        let committed = transaction.commit()?;
        self.follow_bulk()?;
        Ok(committed)
    }

    /// Removes the rows that pass a filter, in one commit.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a filter that does not fit the columns; otherwise as
    /// [`common::database::Transaction::commit`]. Nothing is changed then.
    pub fn delete_matching(&self, filter: &Filter) -> Result<Committed> {
        self.check_open()?;
        let query = self.query(Some(filter));
        let mut transaction = self.table().database().begin();
        let records = query.records(&transaction.view())?;
        for record in records {
            transaction.delete(self.table(), record.id())?;
        }
        let committed = transaction.commit()?;
        self.follow_bulk()?;
        Ok(committed)
    }

    fn query(&self, filter: Option<&Filter>) -> Query {
        let query = Query::from(self.name());
        match filter {
            Some(filter) => query.filter(filter.clone()),
            None => query,
        }
    }
}
