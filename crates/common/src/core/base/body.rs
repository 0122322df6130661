//! [`Body`]: a record's one allocation: counts and metadata, then the values, then the longer texts.
#![expect(
    unsafe_code,
    reason = "values of any number and the bytes of their texts in one allocation"
)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::hint::black_box;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use smallvec::SmallVec;

use super::id::Seq;
use super::record::Metadata;
use super::text::Text;
use super::time::Timestamp;
use super::value::Value;
use super::value_input::ValueInput;

/// Longest text that lies in the record, in bytes. To copy a longer one with every new version would cost more than
/// to count who shares it.
const TEXT_BYTES_MAX: usize = 256;
/// Most columns of a key.
const KEY_COLUMNS_MAX: usize = 255;
/// Most columns of a record.
const COLUMNS_MAX: usize = (1 << 23) - 1;
/// More owners than this mean that owners are leaked; the count must not begin anew.
const OWNERS_MAX: u32 = u32::MAX / 2;
/// Set in [`Head::shape`] when dropping a value does something.
const OWNS: u32 = 1 << 31;
const KEY_SHIFT: u32 = 23;
/// Values that are copied without an allocation in between.
const VALUES_INLINE: usize = 16;

/// Values on their way into a record.
pub(crate) type Inputs<'v> = SmallVec<[ValueInput<'v>; VALUES_INLINE]>;

/// Flat and without padding, so that the first key column shares the first cache line.
#[repr(C)]
struct Head {
    owners: AtomicU32,
    /// Bytes of text behind the values.
    tail: u32,
    seq: Seq,
    created: Timestamp,
    updated: Timestamp,
    revision: u32,
    /// From the highest bit: [`OWNS`], 8 bits of key columns, 23 bits of columns.
    shape: u32,
}

/// A counted reference to the allocation.
pub(super) struct Body(NonNull<Head>);

// SAFETY: what is behind the pointer is only read once it is made, but for the atomic count and for the metadata,
// which is written by a sole owner; values are `Send` and `Sync`.
unsafe impl Send for Body {}
// SAFETY: as above.
unsafe impl Sync for Body {}

const fn columns_of(shape: u32) -> usize {
    (shape & ((1 << KEY_SHIFT) - 1)) as usize
}

fn layout(columns: usize, tail: usize) -> Layout {
    const _: () =
        assert!(size_of::<Head>() == 40 && size_of::<Head>().is_multiple_of(align_of::<Value>()));
    const _: () = assert!(align_of::<Head>() >= align_of::<Value>());
    let size = size_of::<Head>() + columns * size_of::<Value>() + tail;
    // Below 2^23 columns of at most 24 + 256 bytes each, which no address space refuses.
    Layout::from_size_align(size, align_of::<Head>()).unwrap_or(Layout::new::<Head>())
}

/// The text of a value that belongs behind the values.
#[inline]
fn tail_of(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text)
            if (text.is_within() || text.is_heap_allocated()) && text.len() <= TEXT_BYTES_MAX =>
        {
            Some(text)
        }
        _ => None,
    }
}

/// As [`tail_of`], of a value that comes in.
#[inline]
fn tail_of_input<'v>(input: &'v ValueInput<'_>) -> Option<&'v str> {
    match input {
        ValueInput::Text(text) => {
            let fits = (Text::INLINE_BYTES + 1..=TEXT_BYTES_MAX).contains(&text.len());
            fits.then_some(*text)
        }
        ValueInput::Value(value) => tail_of(value),
    }
}

#[inline]
const fn owns(value: &Value) -> bool {
    match value {
        Value::Text(text) => text.is_heap_allocated(),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Timestamp(_)
        | Value::Date(_)
        | Value::Uuid(_) => false,
        Value::Bytes(_)
        | Value::List(_)
        | Value::Map(_)
        | Value::Vector(_)
        | Value::Extension(_) => true,
    }
}

/// A body whose values are written one after the other.
struct Draft {
    head: NonNull<Head>,
    columns: usize,
    written: usize,
    tail: usize,
    filled: usize,
    owns: bool,
}

impl Draft {
    fn new(columns: usize, tail: usize) -> Self {
        let layout = layout(columns, tail);
        assert!(
            layout.size() == size_of::<Head>() + columns * size_of::<Value>() + tail,
            "a record fits the address space"
        );
        // SAFETY: the layout is at least as large as `Head`, and so not empty.
        let start = unsafe { alloc(layout) };
        let Some(head) = NonNull::new(start).map(NonNull::cast::<Head>) else {
            handle_alloc_error(layout)
        };
        Self {
            head,
            columns,
            written: 0,
            tail,
            filled: 0,
            owns: false,
        }
    }

    /// Writes the next value.
    #[inline]
    fn push(&mut self, value: Value) {
        assert!(self.written < self.columns, "there is room for the value");
        self.owns |= owns(&value);
        // SAFETY: the place is inside the allocation, aligned as `Value`, and not written yet.
        unsafe {
            let values = self.head.add(1).cast::<Value>();
            values.add(self.written).write(value);
        }
        self.written += 1;
    }

    /// Writes the next value, a text of which the bytes go behind the values.
    #[inline]
    fn push_text(&mut self, text: &str) {
        let len = text.len();
        assert!(len <= self.tail - self.filled, "there is room for the text");
        // SAFETY: the tail begins behind the values and has `tail` bytes, of which `len` from `filled` on were just
        // found to be there and not written yet; the text lies elsewhere, for these are new. They live as long as
        // the body whose value is made here, are not written again, and are the text's UTF-8.
        let within = unsafe {
            let values = self.head.add(1).cast::<Value>();
            let start = values.add(self.columns).cast::<u8>().add(self.filled);
            start.copy_from_nonoverlapping(NonNull::from(text.as_bytes()).cast(), len);
            Text::within(start, len)
        };
        self.filled += len;
        self.push(Value::Text(within));
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "`Body::check` compared with the greatest numbers; a text has at most 256 bytes"
    )]
    fn finish(self, metadata: Metadata, key_columns: usize) -> Body {
        assert!(self.written == self.columns, "every value is written");
        let Metadata {
            seq,
            created,
            updated,
            revision,
        } = metadata;
        let owns = if self.owns { OWNS } else { 0 };
        let head = Head {
            owners: AtomicU32::new(1),
            tail: self.tail as u32,
            seq,
            created,
            updated,
            revision,
            shape: owns | (key_columns as u32) << KEY_SHIFT | self.columns as u32,
        };
        // SAFETY: the allocation begins with room for a head.
        unsafe { self.head.write(head) };
        Body(self.head)
    }
}

impl Body {
    fn check(key_columns: usize, columns: usize) {
        assert!(
            (1..=columns.min(KEY_COLUMNS_MAX)).contains(&key_columns),
            "a record has 1 to {KEY_COLUMNS_MAX} key columns and a value for each"
        );
        assert!(
            columns <= COLUMNS_MAX,
            "a record has at most {COLUMNS_MAX} values"
        );
    }

    /// A body that takes the values out of their places, where it leaves others.
    #[inline]
    pub(super) fn of(
        metadata: Metadata,
        key_columns: usize,
        values: &mut [ValueInput<'_>],
    ) -> Self {
        Self::check(key_columns, values.len());
        let tail = values.iter().filter_map(tail_of_input).map(str::len).sum();
        let mut draft = Draft::new(values.len(), tail);
        for value in values {
            match tail_of_input(value) {
                Some(text) => draft.push_text(text),
                None => draft.push(value.take()),
            }
        }
        draft.finish(metadata, key_columns)
    }

    /// A body with copies of the values.
    pub(super) fn copy_of(metadata: Metadata, key_columns: usize, values: &[&Value]) -> Self {
        Self::check(key_columns, values.len());
        let texts = values.iter().filter_map(|value| tail_of(value));
        let mut draft = Draft::new(values.len(), texts.map(str::len).sum());
        for value in values {
            match tail_of(value) {
                Some(text) => draft.push_text(text),
                None => draft.push((*value).clone()),
            }
        }
        draft.finish(metadata, key_columns)
    }

    #[inline]
    const fn head(&self) -> &Head {
        // SAFETY: the allocation begins with a head and lives as long as this owner; the head is only written
        // through `&mut self` by a sole owner, but for the count, which is atomic.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    pub(super) const fn values(&self) -> &[Value] {
        let columns = columns_of(self.head().shape);
        // SAFETY: so many values were written behind the head, and are not written again while there is an owner.
        unsafe { std::slice::from_raw_parts(self.0.add(1).cast().as_ptr(), columns) }
    }

    #[inline]
    pub(super) const fn key_columns(&self) -> usize {
        (self.head().shape >> KEY_SHIFT) as usize & KEY_COLUMNS_MAX
    }

    #[inline]
    pub(super) const fn seq(&self) -> Seq {
        self.head().seq
    }

    pub(super) const fn metadata(&self) -> Metadata {
        let head = self.head();
        Metadata {
            seq: head.seq,
            created: head.created,
            updated: head.updated,
            revision: head.revision,
        }
    }

    /// Sets the metadata, if there is no other owner; whether it did.
    pub(super) fn set_metadata(&mut self, metadata: Metadata) -> bool {
        // With `Acquire`, what other owners read before they went away happened before.
        if self.head().owners.load(Ordering::Acquire) != 1 {
            return false;
        }
        // SAFETY: this is the only owner and is borrowed exclusively, so nobody else has a reference to the head.
        let head = unsafe { self.0.as_mut() };
        head.seq = metadata.seq;
        head.created = metadata.created;
        head.updated = metadata.updated;
        head.revision = metadata.revision;
        true
    }

    /// Asks for all cache lines of the values at once, for whoever will read them: counting an owner is an atomic
    /// write, and what is read after it waits for it.
    #[inline]
    pub(super) fn touch(&self) {
        // About as many values as lie on two lines.
        for value in self.values().iter().skip(3).step_by(4) {
            black_box(value.kind());
        }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    fn layout(&self) -> Layout {
        let head = self.head();
        layout(columns_of(head.shape), head.tail as usize)
    }

    /// Bytes of the allocation.
    pub(super) fn bytes(&self) -> usize {
        self.layout().size()
    }

    #[cold]
    #[inline(never)]
    fn free(&mut self) {
        let layout = self.layout();
        let head = self.head();
        if head.shape & OWNS != 0 {
            let values = std::ptr::slice_from_raw_parts_mut(
                // SAFETY: behind the head, in the same allocation.
                unsafe { self.0.add(1) }.cast::<Value>().as_ptr(),
                columns_of(head.shape),
            );
            // SAFETY: there is no other owner, and none comes; the values are dropped once.
            unsafe { values.drop_in_place() };
        }
        // SAFETY: allocated with this layout; there is no other owner. A head needs no drop.
        unsafe { dealloc(self.0.as_ptr().cast(), layout) };
    }
}

impl Clone for Body {
    #[inline]
    fn clone(&self) -> Self {
        // A new owner comes from one that exists, so nothing needs to be ordered.
        if self.head().owners.fetch_add(1, Ordering::Relaxed) > OWNERS_MAX {
            // Taken back, so that no number of caught panics brings the count to its end.
            self.head().owners.fetch_sub(1, Ordering::Relaxed);
            panic!("a record has more than {OWNERS_MAX} owners");
        }
        Self(self.0)
    }
}

impl Drop for Body {
    #[inline]
    fn drop(&mut self) {
        if self.head().owners.fetch_sub(1, Ordering::Release) == 1 {
            // All that other owners did happens before the end.
            fence(Ordering::Acquire);
            self.free();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn mixed() -> Vec<Value> {
        vec![
            Value::from(7),
            Value::from("short"),
            Value::from("a text that is too long to lie in a value"),
            Value::Null,
            Value::from("x".repeat(TEXT_BYTES_MAX)),
            Value::from("y".repeat(TEXT_BYTES_MAX + 1)),
            Value::from(vec![Value::from("inside a list, and longer than a value")]),
            Value::from(vec![1_u8, 2, 3]),
            Value::Text(Text::new_static(
                "a text of the program, of more than 23 bytes",
            )),
            Value::from(2.5),
        ]
    }

    fn body(values: Vec<Value>) -> Body {
        let mut inputs: Inputs<'_> = values.into_iter().map(ValueInput::from).collect();
        Body::of(Metadata::default(), 1, &mut inputs)
    }

    #[test]
    fn values_come_back_and_copies_of_them_outlive_the_record() {
        let first = body(mixed());
        assert_eq!(first.values(), mixed());
        let Value::Text(text) = &first.values()[2] else {
            panic!("a text")
        };
        assert!(text.is_within());
        let refs: Vec<&Value> = first.values().iter().collect();
        let second = Body::copy_of(Metadata::default(), 2, &refs);
        let third = second.clone();
        let values = first.values().to_vec();
        drop(first);
        drop(second);
        assert_eq!(third.values(), mixed());
        assert_eq!(third.key_columns(), 2);
        drop(third);
        assert_eq!(values, mixed());
    }

    #[test]
    fn what_values_own_goes_with_the_last_owner() {
        let bytes: Arc<[u8]> = Arc::from([1_u8, 2].as_slice());
        let first = body(vec![Value::from(1), Value::Bytes(Arc::clone(&bytes))]);
        let second = first.clone();
        drop(first);
        assert_eq!(Arc::strong_count(&bytes), 2);
        drop(second);
        assert_eq!(Arc::strong_count(&bytes), 1);
        assert_eq!(body(vec![Value::from("x")]).head().shape & OWNS, 0);
    }

    #[test]
    fn metadata_changes_for_a_sole_owner_only() {
        let mut first = body(mixed());
        let metadata = Metadata {
            seq: Seq(3),
            revision: 2,
            ..Metadata::default()
        };
        let second = first.clone();
        assert!(!first.set_metadata(metadata));
        drop(second);
        assert!(first.set_metadata(metadata));
        assert_eq!(first.metadata(), metadata);
    }

    #[test]
    fn owners_on_several_threads_come_and_go() {
        let first = body(mixed());
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let mine = first.clone();
                scope.spawn(move || {
                    for _ in 0..100 {
                        assert_eq!(mine.clone().values().len(), 10);
                    }
                });
            }
            drop(first);
        });
    }

    #[test]
    #[should_panic(expected = "key columns")]
    fn a_key_needs_its_values() {
        body(vec![]);
    }
}
