//! Calls that block a thread, on threads of their own.
//!
//! `call.rs` has the rules by which such a call may borrow from the task that waits for it.

mod call;
mod host;
mod line;
mod request;
mod thread_name;

use crate::cancel::Cancelled;
use crate::task::Cx;

use self::call::Options;

pub use self::host::Host;
pub(crate) use self::request::{Request, hand_over};

/// A call on a thread that may block, with options.
///
/// [`Cx::blocking_with`] and [`Cx::blocking_or_abandon`] are the same without options.
///
/// # Examples
///
/// ```
/// use conbrio::threads::Blocking;
///
/// conbrio::run(|cx| {
///     let call = Blocking::new().name("resolver");
///     let addresses = call.run(cx, |_| std::net::ToSocketAddrs::to_socket_addrs("127.0.0.1:80"));
///     assert_eq!(addresses.unwrap().unwrap().count(), 1);
/// });
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is called before `run`"]
pub struct Blocking {
    name: Option<String>,
}

impl Blocking {
    /// A call without options.
    pub fn new() -> Blocking {
        Blocking::default()
    }

    /// What the system calls the thread for the time of the call; debuggers and `top -H` show it.
    ///
    /// Of the name 15 bytes are kept. `std::thread::current().name()` stays what it was.
    pub fn name(mut self, name: impl Into<String>) -> Blocking {
        self.name = Some(name.into());
        self
    }

    /// As [`Cx::blocking_with`], with these options.
    ///
    /// # Cancellation
    ///
    /// As there: always a checkpoint, before `f` begins, and `f` is waited for.
    ///
    /// # Panics
    ///
    /// A panic of `f` goes on in the caller.
    pub fn run<F, R>(self, cx: &mut Cx, f: F) -> Result<R, Cancelled>
    where
        F: FnOnce(&Host) -> R + Send,
        R: Send,
    {
        let options = Options { name: self.name, uses_host: true, abandons: false };
        // SAFETY: it is not abandoned.
        unsafe { call::call(cx, options, f) }
    }

    /// As [`Cx::blocking_or_abandon`], with these options.
    ///
    /// # Cancellation
    ///
    /// As there: always a checkpoint, before `f` begins; later a cancellation leaves `f` behind.
    ///
    /// # Panics
    ///
    /// A panic of `f` goes on in the caller, if it is still there.
    pub fn run_or_abandon<F, R>(self, cx: &mut Cx, f: F) -> Result<R, Cancelled>
    where
        F: FnOnce(&Host) -> R + Send + 'static,
        R: Send + 'static,
    {
        let options = Options { name: self.name, uses_host: true, abandons: true };
        // SAFETY: closure and result are `'static`.
        unsafe { call::call(cx, options, f) }
    }
}

impl Cx {
    /// Runs `f` on a thread that may block, and waits for its value.
    ///
    /// For file access, name resolution, long computations, and libraries that block. `f` may borrow,
    /// and runs to its end: its thread is never abandoned. The threads are kept for a while and joined
    /// when the runtime ends; see [`Builder::blocking_threads`](crate::Builder::blocking_threads).
    ///
    /// If no thread can be made at all, `f` runs on the worker, which stands still meanwhile. So it does
    /// while the task unwinds from a panic, when nothing may wait.
    ///
    /// Costs two wake-ups of threads, some tens of microseconds, and three allocations.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, before `f` begins: on cancel `f` has not run. Once it has begun, it is waited
    /// for, whatever is cancelled meanwhile. See [`blocking_with`](Cx::blocking_with) for closures that
    /// look whether they are still wanted.
    ///
    /// # Panics
    ///
    /// A panic of `f` goes on in the caller.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// conbrio::run(|cx| -> std::io::Result<()> {
    ///     let path = String::from("Cargo.toml");
    ///     let text = cx.blocking(|| std::fs::read_to_string(&path))??;
    ///     assert!(text.contains("conbrio"));
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn blocking<F, R>(&mut self, f: F) -> Result<R, Cancelled>
    where
        F: FnOnce() -> R + Send,
        R: Send,
    {
        if std::thread::panicking() {
            return Ok(f());
        }
        // SAFETY: it is not abandoned.
        unsafe { call::call(self, Options::default(), |_: &Host| f()) }
    }

    /// Runs `f` on a thread that may block, with a [`Host`] through which it asks whether the task is
    /// cancelled, and lets the task run what needs a `cx`.
    ///
    /// Otherwise it is as [`blocking`](Cx::blocking): `f` may borrow, and is waited for. If the system refuses
    /// to make a thread and there is none yet, it waits until it can have one.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, before `f` begins: on cancel `f` has not run. Later, [`Host::check_cancelled`]
    /// tells `f` of a cancellation, and what `f` returns is what counts. It fails at once while the task
    /// unwinds.
    ///
    /// # Panics
    ///
    /// A panic of `f` goes on in the caller.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::time::Duration;
    ///
    /// // Computes until its time is over.
    /// let rounds = std::sync::atomic::AtomicU64::new(0);
    /// let ended = conbrio::run(|cx| {
    ///     cx.move_on_after(Duration::from_millis(5), |cx| {
    ///         cx.blocking_with(|host| -> Result<(), Cancelled> {
    ///             loop {
    ///                 host.check_cancelled()?;
    ///                 rounds.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    ///             }
    ///         })?
    ///     })
    /// });
    /// assert!(matches!(ended, Ok(None)));
    /// ```
    pub fn blocking_with<F, R>(&mut self, f: F) -> Result<R, Cancelled>
    where
        F: FnOnce(&Host) -> R + Send,
        R: Send,
    {
        Blocking::new().run(self, f)
    }

    /// Runs `f` on a thread that may block, and leaves it behind when the caller is cancelled.
    ///
    /// For calls that may never return, such as a name resolution by a broken server. `f` owns what it uses.
    /// When it is left behind, it goes on in its thread, nobody gets its value, and its thread is not joined:
    /// not even the end of the runtime waits for it, and the end of the process cuts it off. What it holds,
    /// such as a permit of a limiter that was moved into it, is held until it ends. Its panic is printed by
    /// the panic hook and reaches nobody.
    ///
    /// Give `f` a way to end: let it look at [`Host::check_cancelled`], or let the call have a timeout of its
    /// own. Every thread that is left behind counts towards
    /// [`Builder::blocking_threads`](crate::Builder::blocking_threads) until it has ended;
    /// [`RuntimeStatistics::blocking_abandoned`](crate::RuntimeStatistics) counts them.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, before `f` begins: on cancel `f` has not run. Also a cancellation while `f` waits
    /// for a thread means that it has not run, and that it was dropped. If it has begun, it is abandoned: here
    /// alone `Err(Cancelled)` does not mean that nothing has happened. If `f` has ended at that moment, its
    /// value is returned.
    ///
    /// # Panics
    ///
    /// A panic of `f` goes on in the caller, if it is still there.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::time::Duration;
    ///
    /// let (answer, question) = std::sync::mpsc::channel::<u32>();
    /// let ended = conbrio::run(|cx| {
    ///     cx.move_on_after(Duration::from_millis(1), |cx| {
    ///         // Nobody ever answers.
    ///         cx.blocking_or_abandon(move |_| question.recv())
    ///     })
    /// });
    /// assert!(matches!(ended, Ok(None)));
    /// # drop(answer);
    /// ```
    pub fn blocking_or_abandon<F, R>(&mut self, f: F) -> Result<R, Cancelled>
    where
        F: FnOnce(&Host) -> R + Send + 'static,
        R: Send + 'static,
    {
        Blocking::new().run_or_abandon(self, f)
    }
}
