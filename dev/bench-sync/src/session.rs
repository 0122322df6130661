//! SQLite's session extension: what a connection changed, as bytes that another one applies.
//!
//! The functions are declared here because the bindings that come with `rusqlite` leave them out; they are those of
//! <https://sqlite.org/session/funclist.html>.
#![expect(
    unsafe_code,
    reason = "the extension has an interface in C; each call says why it is sound"
)]

use std::ffi::{c_char, c_int, c_void};
use std::ptr::{null, null_mut};

use bench::Result;
use rusqlite::{Connection, ffi};

/// The extension's own, never looked into.
#[repr(C)]
struct RawSession {
    _opaque: [u8; 0],
}

type Filter = unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int;
type Conflict = unsafe extern "C" fn(*mut c_void, c_int, *mut c_void) -> c_int;

// SAFETY: these are the declarations of sqlite3session.h, which is compiled in by `.cargo/config.toml`.
unsafe extern "C" {
    fn sqlite3session_create(
        db: *mut ffi::sqlite3,
        name: *const c_char,
        session: *mut *mut RawSession,
    ) -> c_int;
    fn sqlite3session_attach(session: *mut RawSession, table: *const c_char) -> c_int;
    fn sqlite3session_delete(session: *mut RawSession);
    fn sqlite3session_changeset(
        session: *mut RawSession,
        len: *mut c_int,
        bytes: *mut *mut c_void,
    ) -> c_int;
    fn sqlite3session_patchset(
        session: *mut RawSession,
        len: *mut c_int,
        bytes: *mut *mut c_void,
    ) -> c_int;
    fn sqlite3changeset_apply(
        db: *mut ffi::sqlite3,
        len: c_int,
        bytes: *mut c_void,
        filter: Option<Filter>,
        conflict: Conflict,
        context: *mut c_void,
    ) -> c_int;
}

/// Records what a connection changes.
pub(crate) struct Session<'db> {
    raw: *mut RawSession,
    /// A session ends before its connection.
    _db: &'db Connection,
}

impl<'db> Session<'db> {
    /// Begins to record, all tables.
    pub(crate) fn of(db: &'db Connection) -> Result<Self> {
        let mut raw = null_mut();
        // SAFETY: the handle is used while the connection is borrowed, and never closed.
        let handle = unsafe { db.handle() };
        // SAFETY: the handle is that of an open connection, and the name ends with a zero.
        check(unsafe { sqlite3session_create(handle, c"main".as_ptr(), &raw mut raw) })?;
        let session = Self { raw, _db: db };
        // SAFETY: the session was made above; no table's name means all of them.
        check(unsafe { sqlite3session_attach(session.raw, null()) })?;
        Ok(session)
    }

    /// What was changed: rows before and after, or as a patch without what does not say what to do.
    pub(crate) fn changes(&self, patch: bool) -> Result<Vec<u8>> {
        let (mut len, mut bytes) = (0, null_mut());
        let write = if patch {
            sqlite3session_patchset
        } else {
            sqlite3session_changeset
        };
        // SAFETY: the session is open, and both places are written before the call returns.
        check(unsafe { write(self.raw, &raw mut len, &raw mut bytes) })?;
        let len = usize::try_from(len)?;
        if bytes.is_null() {
            return Ok(Vec::new());
        }
        // SAFETY: the call above returned so many bytes, which are ours until they are freed below.
        let changes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), len) }.to_vec();
        // SAFETY: the bytes came from SQLite's allocator and are not used again.
        unsafe { ffi::sqlite3_free(bytes) };
        Ok(changes)
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // SAFETY: the session was made by `sqlite3session_create` and is deleted once.
        unsafe { sqlite3session_delete(self.raw) };
    }
}

/// Applies changes; one that does not fit is an error.
pub(crate) fn apply(db: &Connection, changes: &mut [u8]) -> Result<()> {
    unsafe extern "C" fn refuse(_: *mut c_void, _: c_int, _: *mut c_void) -> c_int {
        const ABORT: c_int = 2;
        ABORT
    }
    let len = c_int::try_from(changes.len())?;
    // SAFETY: the handle is used while the connection is borrowed, and never closed.
    let handle = unsafe { db.handle() };
    // SAFETY: the connection is open, the bytes live during the call, and the function takes no context.
    check(unsafe {
        sqlite3changeset_apply(
            handle,
            len,
            changes.as_mut_ptr().cast(),
            None,
            refuse,
            null_mut(),
        )
    })
}

fn check(code: c_int) -> Result<()> {
    if code == ffi::SQLITE_OK {
        Ok(())
    } else {
        Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into())
    }
}
