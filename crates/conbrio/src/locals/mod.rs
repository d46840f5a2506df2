//! One value for a whole runtime, by key.
//!
//! Values that belong to a part of the task tree are `LocalKey`s (`task/locals.rs`): a run-local belongs to
//! nobody in particular, so it is counted, and changing it is seen by every task.

use std::any::{Any, TypeId};
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, MutexGuard, PoisonError};

use crate::sched::{RunValues, Shared};
use crate::task::Cx;

/// Names a value that all tasks of a runtime share. Make it a `static`.
///
/// Each runtime has a value of its own, or none. It is for state that lasts as long as the runtime, such as
/// a cache or a pool of connections, and that a library needs without the program handing it around. What
/// belongs to a part of the program is better bound with [`Cx::with_local`].
///
/// Values are dropped when the runtime has ended.
///
/// # Examples
///
/// ```
/// use conbrio::RunLocalKey;
///
/// static GREETING: RunLocalKey<String> = RunLocalKey::new();
///
/// conbrio::run(|cx| {
///     assert_eq!(GREETING.get(cx), None);
///     let before = GREETING.set(cx, "hello".to_owned());
///     assert_eq!(*GREETING.get(cx).unwrap(), "hello");
///     GREETING.reset(cx, before);
///     assert_eq!(GREETING.get(cx), None);
/// });
/// ```
pub struct RunLocalKey<T> {
    /// Two keys of one type are told apart by their addresses, for which they must have a size.
    _has_a_size: u8,
    value: PhantomData<fn(T)>,
}

/// What a [`RunLocalKey`] was before it was [set](RunLocalKey::set).
#[must_use = "drop it if the value stays as it is; give it to `reset` to restore what was there before"]
pub struct Before<T: 'static> {
    value: Option<Arc<T>>,
    key: &'static RunLocalKey<T>,
    /// Compared only: the address of the runtime, which is kept from being used again.
    runtime: std::sync::Weak<Shared>,
}

impl<T: Send + Sync + 'static> RunLocalKey<T> {
    /// A key that has no value in any runtime.
    #[must_use]
    pub const fn new() -> RunLocalKey<T> {
        RunLocalKey { _has_a_size: 0, value: PhantomData }
    }

    /// The value in the runtime of the caller.
    pub fn get(&'static self, cx: &Cx) -> Option<Arc<T>> {
        self.look(&values(cx))
    }

    /// The value in the runtime of the caller; the one that `make` returns if there is none yet.
    ///
    /// `make` runs without a lock. If several tasks call it at the same time, the first value counts, and
    /// the others are dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// static HITS: conbrio::RunLocalKey<std::sync::atomic::AtomicU64> = conbrio::RunLocalKey::new();
    ///
    /// conbrio::run(|cx| {
    ///     HITS.get_or_init(cx, Default::default).fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    ///     assert_eq!(HITS.get(cx).unwrap().load(std::sync::atomic::Ordering::Relaxed), 1);
    /// });
    /// ```
    pub fn get_or_init(&'static self, cx: &Cx, make: impl FnOnce() -> T) -> Arc<T> {
        if let Some(value) = self.get(cx) {
            return value;
        }
        let made = Arc::new(make());
        let mut values = values(cx);
        if let Some(first) = self.look(&values) {
            // The lock is released before a value of the user's is dropped.
            drop(values);
            return first;
        }
        values.insert(self.id(), Arc::clone(&made) as _);
        made
    }

    /// Sets the value for all tasks of the caller's runtime. Returns what restores the former one.
    pub fn set(&'static self, cx: &Cx, value: T) -> Before<T> {
        let former = values(cx).insert(self.id(), Arc::new(value));
        Before { value: former.and_then(downcast), key: self, runtime: runtime_of(cx) }
    }

    /// Puts back the value that was there before a call of [`set`](RunLocalKey::set), from whatever task.
    /// Returns the value that was there now.
    ///
    /// # Panics
    ///
    /// If `before` comes from another key, or from another runtime.
    #[track_caller]
    pub fn reset(&'static self, cx: &Cx, before: Before<T>) -> Option<Arc<T>> {
        assert!(
            std::ptr::eq(self, before.key),
            "a run-local is reset with what `set` returned for another key: keep them apart"
        );
        assert!(
            before.runtime.ptr_eq(&runtime_of(cx)),
            "a run-local is reset with what `set` returned in another runtime: each has values of its own"
        );
        let mut values = values(cx);
        let former = match before.value {
            Some(value) => values.insert(self.id(), value as _),
            None => values.remove(&self.id()),
        };
        drop(values);
        former.and_then(downcast)
    }

    fn look(&'static self, values: &RunValues) -> Option<Arc<T>> {
        values.get(&self.id()).cloned().and_then(downcast)
    }

    fn id(&'static self) -> (TypeId, usize) {
        (TypeId::of::<T>(), std::ptr::from_ref(self).addr())
    }
}

fn runtime_of(cx: &Cx) -> std::sync::Weak<Shared> {
    Arc::downgrade(cx.task().worker().shared())
}

fn values(cx: &Cx) -> MutexGuard<'_, RunValues> {
    cx.task().worker().shared().run_values().lock().unwrap_or_else(PoisonError::into_inner)
}

fn downcast<T: Send + Sync + 'static>(value: Arc<dyn Any + Send + Sync>) -> Option<Arc<T>> {
    value.downcast().ok()
}

impl<T: Send + Sync + 'static> Default for RunLocalKey<T> {
    fn default() -> RunLocalKey<T> {
        RunLocalKey::new()
    }
}

impl<T> fmt::Debug for RunLocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = std::any::type_name::<T>();
        f.debug_struct("RunLocalKey").field("of", &of).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Before<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Before").field("was_set", &self.value.is_some()).finish_non_exhaustive()
    }
}
