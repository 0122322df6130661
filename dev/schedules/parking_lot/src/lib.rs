//! Takes the place of `parking_lot` in this folder's programs: the same locks, on shuttle's scheduler, which decides
//! at each of them who goes on. A panic ends a run, so that no lock is poisoned.

use std::ops::{Deref, DerefMut};

use shuttle::sync;

pub use shuttle::sync::{RwLockReadGuard, RwLockWriteGuard};

/// As `parking_lot::MutexGuard`. Empty only while [`Condvar::wait`] has what is in it.
#[derive(Debug)]
pub struct MutexGuard<'a, T>(Option<sync::MutexGuard<'a, T>>);

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().expect("nobody looks while it waits")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_deref_mut().expect("nobody looks while it waits")
    }
}

/// As `parking_lot::Condvar`.
#[derive(Debug, Default)]
pub struct Condvar(sync::Condvar);

impl Condvar {
    /// Nobody waits yet.
    pub const fn new() -> Self {
        Self(sync::Condvar::new())
    }

    /// As `wait`. Time does not pass here, so it ends only when somebody notifies.
    pub fn wait_for<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        _longest: std::time::Duration,
    ) -> WaitTimeoutResult {
        self.wait(guard);
        WaitTimeoutResult(())
    }

    /// Gives the lock up until somebody notifies.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        if let Some(held) = guard.0.take() {
            let held = self.0.wait(held);
            guard.0 = Some(held.expect("a run ends with its first panic"));
        }
    }

    /// Wakes one who waits.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// As `parking_lot::WaitTimeoutResult`.
#[derive(Debug)]
pub struct WaitTimeoutResult(());

impl WaitTimeoutResult {
    /// Whether the time was over: never.
    pub const fn timed_out(&self) -> bool {
        false
    }
}

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
        MutexGuard(Some(
            self.0.lock().expect("a run ends with its first panic"),
        ))
    }

    /// Whether somebody has it.
    pub fn is_locked(&self) -> bool {
        self.0.try_lock().is_err()
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        Some(MutexGuard(Some(self.0.try_lock().ok()?)))
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
