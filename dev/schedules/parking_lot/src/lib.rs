//! Takes the place of `parking_lot` in this folder's programs: the same locks, on shuttle's scheduler, which decides
//! at each of them who goes on. A panic ends a run, so that no lock is poisoned.

use shuttle::sync;

pub use shuttle::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

/// As `parking_lot::Mutex`.
#[derive(Debug, Default)]
pub struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A lock around a value.
    pub const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("a run ends with its first panic")
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }

    /// The value, which nobody else has.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().expect("a run ends with its first panic")
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.0.into_inner().expect("a run ends with its first panic")
    }
}

/// As `parking_lot::RwLock`.
#[derive(Debug, Default)]
pub struct RwLock<T>(sync::RwLock<T>);

impl<T> RwLock<T> {
    /// A lock around a value.
    pub const fn new(value: T) -> Self {
        Self(sync::RwLock::new(value))
    }

    /// Waits to read.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().expect("a run ends with its first panic")
    }

    /// Reads if nobody writes.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.0.try_read().ok()
    }

    /// Waits to write.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().expect("a run ends with its first panic")
    }

    /// Writes if nobody reads or writes.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.0.try_write().ok()
    }

    /// Whether somebody reads or writes: false, for the workspace asks only to have the lock in the cache.
    pub fn is_locked(&self) -> bool {
        false
    }

    /// The value, which nobody else has.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().expect("a run ends with its first panic")
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.0.into_inner().expect("a run ends with its first panic")
    }
}
