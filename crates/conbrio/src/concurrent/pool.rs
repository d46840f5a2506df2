//! Pools of objects that are dear to make: connections, mostly.
//!
//! Invariant: idle objects, objects in use, objects being made, and objects that may still be made are as
//! many as the pool says. Somebody waits only while nothing is idle and nothing may be made. What becomes
//! free goes to whoever waits longest.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::cancel::{Cancelled, OrCancelled};
use crate::lowlevel::ParkingLot;
use crate::task::Cx;

/// Lends objects out, makes them when they are needed, up to a number, and takes them back for the next.
///
/// What is idle is lent first, the latest first, which is most likely to be in good order; then new ones are
/// made; then one waits until one comes back, first come first served. An object that is broken must not
/// come back: see [`with`](Pool::with), which sees to that, and [`Pooled::discard`].
///
/// # Examples
///
/// ```
/// use conbrio::concurrent::Pool;
/// use conbrio::prelude::*;
/// use std::io;
///
/// # struct Connection;
/// # impl Connection {
/// #     fn open(cx: &mut Cx, _: &str) -> io::Result<Connection> { cx.checkpoint()?; Ok(Connection) }
/// #     fn query(&mut self, cx: &mut Cx, _: &str) -> io::Result<u32> { cx.yield_now()?; Ok(7) }
/// # }
/// # conbrio::run(|cx| -> io::Result<()> {
/// let server = String::from("db.example");
/// let pool = Pool::new(4, |cx| Connection::open(cx, &server));
/// cx.nursery(|_, n| -> io::Result<()> {
///     for _ in 0..10 {
///         n.spawn(|cx| {
///             // If the query fails, the connection is not used again.
///             let answer = pool.with(cx, |cx, connection| connection.query(cx, "select 7"))?;
///             assert_eq!(answer, 7);
///             Ok(())
///         });
///     }
///     Ok(())
/// })?;
/// assert!(pool.statistics().idle <= 4);
/// # Ok(()) }).unwrap();
/// ```
pub struct Pool<'a, T, E> {
    shelf: Shelf<T>,
    make: Make<'a, T, E>,
    is_good: Option<Check<'a, T>>,
}

type Make<'a, T, E> = Box<dyn Fn(&mut Cx) -> Result<T, E> + Send + Sync + 'a>;

type Check<'a, T> = Box<dyn Fn(&mut T) -> bool + Send + Sync + 'a>;

/// What a [`Pool`] is doing. Returned by [`Pool::statistics`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatistics {
    /// Objects that nobody uses.
    pub idle: usize,
    /// Objects that are lent out or are being made.
    pub in_use: usize,
    /// Tasks that wait for one.
    pub tasks_waiting: usize,
}

impl<'a, T, E> Pool<'a, T, E> {
    /// A pool of at most `max` objects, made by `make` when there is need for them.
    ///
    /// # Panics
    ///
    /// If `max` is zero.
    #[track_caller]
    pub fn new(
        max: usize,
        make: impl Fn(&mut Cx) -> Result<T, E> + Send + Sync + 'a,
    ) -> Pool<'a, T, E> {
        assert!(max > 0, "a pool of no objects lends nothing: it holds at least one");
        let state = State { idle: Vec::new(), unmade: max, max };
        let lot = ParkingLot::with_state(state).named("an object of a pool");
        Pool { shelf: Shelf(lot), make: Box::new(make), is_good: None }
    }

    /// Asks `is_good` of each idle object before it is lent again, and makes another one instead if it is
    /// not.
    pub fn check(mut self, is_good: impl Fn(&mut T) -> bool + Send + Sync + 'a) -> Self {
        self.is_good = Some(Box::new(is_good));
        self
    }

    /// Lends an object, and waits for one if all are in use.
    ///
    /// It goes back to the pool when the guard is dropped, unless the task is unwinding: then, and with
    /// [`Pooled::discard`], it is dropped, and another one may be made.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was taken.
    ///
    /// # Errors
    ///
    /// What making the object failed with, or a [`Cancelled`] as `E`.
    pub fn get(&self, cx: &mut Cx) -> Result<Pooled<'_, T>, E>
    where
        E: From<Cancelled>,
    {
        cx.checkpoint()?;
        // From here on the place is ours, and is given back if anything below fails.
        let place = match self.shelf.take(cx)? {
            (place, Some(mut object)) => match &self.is_good {
                Some(is_good) if !is_good(&mut object) => place,
                _ => return Ok(place.lend(object)),
            },
            (place, None) => place,
        };
        let object = (self.make)(cx)?;
        Ok(place.lend(object))
    }

    /// Lends an object to `f`, and takes it back only if `f` succeeds.
    ///
    /// An object with which something has failed, was cancelled, or has panicked half-way is not used again.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel before `f` nothing was taken.
    ///
    /// # Errors
    ///
    /// As [`get`](Pool::get), and those of `f`.
    pub fn with<R>(
        &self,
        cx: &mut Cx,
        f: impl FnOnce(&mut Cx, &mut T) -> Result<R, E>,
    ) -> Result<R, E>
    where
        E: From<Cancelled>,
    {
        let mut object = self.get(cx)?;
        let result = f(cx, &mut object);
        if result.is_err() {
            Pooled::discard(object);
        }
        result
    }

    /// A snapshot of what the pool is doing.
    pub fn statistics(&self) -> PoolStatistics {
        let state = self.shelf.0.lock();
        PoolStatistics {
            idle: state.idle.len(),
            in_use: state.max - state.idle.len() - state.unmade,
            tasks_waiting: state.waiting(),
        }
    }
}

impl<T, E> fmt::Debug for Pool<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}

/// An object lent by a [`Pool`], which goes back when this is dropped.
#[must_use = "the object goes back to the pool when this is dropped"]
pub struct Pooled<'p, T> {
    place: Option<Place<'p, T>>,
    /// `None` only at the end.
    object: Option<T>,
}

impl<T> Pooled<'_, T> {
    /// Drops the object, which is not to be used again. The pool may make another one.
    ///
    /// Not a method, so that it hides none of the object.
    pub fn discard(pooled: Self) {
        drop(Pooled::detach(pooled));
    }

    /// Takes the object out of the pool, which may make another one.
    pub fn detach(mut pooled: Self) -> T {
        // The place goes back when this ends.
        pooled.object.take().expect(LENT)
    }
}

impl<T> Deref for Pooled<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.object.as_ref().expect(LENT)
    }
}

impl<T> DerefMut for Pooled<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.object.as_mut().expect(LENT)
    }
}

const LENT: &str = "the object is there as long as it is lent";

impl<T> Drop for Pooled<'_, T> {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        match self.object.take() {
            Some(object) if !std::thread::panicking() => place.put_back(object),
            // First the object goes, and then its place: there are never more than the pool says.
            broken => {
                drop(broken);
                drop(place);
            }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Pooled<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pooled").field(&**self).finish()
    }
}

/// The objects of a pool, and who waits for one.
struct Shelf<T>(ParkingLot<State<T>, Given<T>>);

struct State<T> {
    idle: Vec<T>,
    /// How many may be made besides those that there are.
    unmade: usize,
    max: usize,
}

/// What a waiting task gets.
enum Given<T> {
    Nothing,
    Object(T),
    /// The permission to make one.
    Place,
}

impl<T> Shelf<T> {
    /// Takes an object, or the permission to make one.
    fn take(&self, cx: &mut Cx) -> Result<(Place<'_, T>, Option<T>), Cancelled> {
        let mut state = self.0.lock();
        if let Some(object) = state.idle.pop() {
            return Ok((Place(self), Some(object)));
        }
        if state.unmade > 0 {
            state.unmade -= 1;
            return Ok((Place(self), None));
        }
        let mut given = Given::Nothing;
        match state.park(cx, &mut given) {
            Ok(()) => {}
            Err(OrCancelled::Cancelled(cancelled)) => return Err(cancelled),
            Err(OrCancelled::Failed(broken)) => unreachable!("nobody breaks it: {broken}"),
        }
        match given {
            Given::Object(object) => Ok((Place(self), Some(object))),
            Given::Place => Ok((Place(self), None)),
            Given::Nothing => unreachable!("who is unparked was given something"),
        }
    }
}

/// The right to have one object. Given back when dropped.
struct Place<'p, T>(&'p Shelf<T>);

impl<'p, T> Place<'p, T> {
    fn lend(self, object: T) -> Pooled<'p, T> {
        Pooled { place: Some(self), object: Some(object) }
    }

    /// Gives the place back together with an object.
    fn put_back(self, object: T) {
        let mut object = Some(object);
        let mut state = self.0.0.lock();
        let give = |_: &mut State<T>, given: &mut Given<T>| {
            *given = object.take().map_or(Given::Nothing, Given::Object);
        };
        state.unpark_with(give);
        if let Some(object) = object {
            state.idle.push(object);
        }
        drop(state);
        std::mem::forget(self);
    }
}

impl<T> Drop for Place<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        if state.unpark_with(|_, given| *given = Given::Place).is_none() {
            state.unmade += 1;
        }
    }
}
