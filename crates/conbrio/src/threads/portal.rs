//! The way from threads into a part of the task tree.

use std::fmt;
use std::sync::Arc;

use crate::blocking::hand_over;
use crate::cancel::Cancelled;
use crate::lowlevel::in_task;
use crate::nursery::Nursery;
use crate::task::{Cx, LocalKey};

use super::dispatch::{Attendant, Entry, Lobby, dispatch};

/// Lets any thread have closures run by tasks. Made by [`Cx::portal`].
///
/// It can be cloned, sent and shared, and may outlive the call that made it; then it is closed, and every
/// call says so.
pub struct Portal {
    lobby: Arc<Lobby>,
}

/// What a [`Portal`] is doing. Returned by [`Portal::statistics`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortalStatistics {
    /// Calls that nobody has taken up yet.
    pub calls_waiting: usize,
    /// Whether it takes no more calls.
    pub is_closed: bool,
}

/// The part of the program that a [`Portal`] led to has ended. The closure was dropped and did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortalClosed(());

impl Cx {
    /// Runs `body`, and meanwhile whatever threads hand over through the [`Portal`].
    ///
    /// For what comes from outside of the runtime: callbacks of C libraries, threads of one's own, signal
    /// libraries. It is a nursery: [`Portal::run`] makes a child of it, closures of [`Portal::run_soon`] run
    /// in a child of it one after the other, and nothing of that outlives this call. When `body` returns, the
    /// portal closes, what was handed over before still begins, all calls that run are cancelled, and this
    /// waits for their end.
    ///
    /// While the task unwinds nothing can begin, so that a portal that is opened in a destructor then is closed
    /// from the start.
    ///
    /// Inside, also in children, [`current_portal`](Cx::current_portal) finds it.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself. Waits for the calls that run, which are cancelled then.
    ///
    /// # Panics
    ///
    /// If `body` panics. If a closure given to [`Portal::run_soon`] panics, there is nobody else to tell: the
    /// body and all calls are cancelled, further closures still run, and when all have ended the panic goes
    /// on here. (With more than one, the payload is a [`NurseryPanic`](crate::NurseryPanic).)
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// conbrio::run(|cx| {
    ///     let answer = cx.portal(|cx, portal| {
    ///         // The portal may also be borrowed.
    ///         std::thread::scope(|s| {
    ///             let thread = s.spawn(|| portal.run(|cx| cx.task_name().to_owned()));
    ///             cx.blocking(|| thread.join().unwrap())
    ///         })
    ///     });
    ///     assert_eq!(answer.unwrap().unwrap(), "portal call");
    /// });
    /// ```
    pub fn portal<R>(&mut self, body: impl FnOnce(&mut Cx, &Portal) -> R) -> R {
        let portal = Portal { lobby: Arc::new(Lobby::new()) };
        let outcome = self.with_local(&PORTAL, &portal, |cx| {
            cx.nursery(|cx, n| -> Result<R, Cancelled> {
                let lobby = &portal.lobby;
                let attendant = Attendant(lobby);
                n.task("portal").spawn(move |cx| {
                    dispatch(cx, n, attendant);
                    Ok(())
                });
                // Also if the body unwinds.
                let _close = CloseOnDrop { lobby, nursery: n };
                Ok(body(cx, &portal))
            })
        });
        match outcome {
            Ok(value) => value,
            Err(error) => unreachable!("neither the body nor a child of a portal fails: {error}"),
        }
    }

    /// The innermost [`portal`](Cx::portal) around the caller, or around one of the nurseries that it is in.
    ///
    /// # Examples
    ///
    /// ```
    /// conbrio::run(|cx| {
    ///     assert_eq!(cx.current_portal(), None);
    ///     cx.portal(|cx, portal| assert_eq!(cx.current_portal().as_ref(), Some(portal)));
    /// });
    /// ```
    pub fn current_portal(&self) -> Option<Portal> {
        self.local(&PORTAL).cloned()
    }
}

static PORTAL: LocalKey<Portal> = LocalKey::new();

/// Closes a portal when its body has ended.
struct CloseOnDrop<'a, 'scope, 'env> {
    lobby: &'a Lobby,
    nursery: &'scope Nursery<'scope, 'env, Cancelled>,
}

impl Drop for CloseOnDrop<'_, '_, '_> {
    fn drop(&mut self) {
        self.lobby.close();
        self.nursery.cancel_with("the portal was closed");
    }
}

impl Portal {
    /// Runs `f` in a task, and waits on this thread for its value.
    ///
    /// The task is a child of the [`Cx::portal`] that this was made by. `f` may borrow from this thread and
    /// wait as long as it likes; it is cancelled when that call ends, and then sees it as every task does.
    /// A cancellation is no failure of the portal: it is up to `f` what it returns.
    ///
    /// Costs two wake-ups of threads and a spawn.
    ///
    /// In a simulated run of [`testing`](crate::testing) a thread that a task waits for must not call this:
    /// there all tasks stand still until the thread has ended.
    ///
    /// # Errors
    ///
    /// [`PortalClosed`] if that call has ended. Then `f` was dropped.
    ///
    /// # Panics
    ///
    /// A panic of `f` goes on in the caller, and does not harm the portal. Panics if it is called in a task,
    /// which has a `cx` already and would block its worker.
    #[track_caller]
    pub fn run<F, R>(&self, f: F) -> Result<R, PortalClosed>
    where
        F: FnOnce(&mut Cx) -> R + Send,
        R: Send,
    {
        assert!(
            !in_task(),
            "`Portal::run` was called in a task, which it would block: use the `cx` that is there"
        );
        // If it is closed the request comes back and is dropped, which says so.
        let post = |request| drop(self.lobby.push(Entry::Run(request)));
        hand_over(f, post).ok_or(PortalClosed(()))
    }

    /// Has `f` run soon, in the order of these calls, and does not wait for it.
    ///
    /// It can be called from everywhere, also in tasks. `f` should be short: the closures run one after the
    /// other in one task, on the stack of a worker. Between two rounds other tasks have their turn, so that a
    /// closure which hands itself over again starves nobody.
    ///
    /// # Errors
    ///
    /// [`PortalClosed`] if the call of [`Cx::portal`] has ended. Then `f` was dropped. If there is no error,
    /// `f` runs.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc;
    ///
    /// conbrio::run(|cx| {
    ///     let (sender, receiver) = mpsc::channel();
    ///     cx.portal(|_, portal| {
    ///         for number in 0..3 {
    ///             let sender = sender.clone();
    ///             portal.run_soon(move || sender.send(number).unwrap()).unwrap();
    ///         }
    ///     });
    ///     assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    /// });
    /// ```
    pub fn run_soon(&self, f: impl FnOnce() + Send + 'static) -> Result<(), PortalClosed> {
        self.accepted(self.lobby.push(Entry::Soon(None, Box::new(f))))
    }

    /// As [`run_soon`](Portal::run_soon), unless a call with this key waits already: then that one is enough,
    /// and `f` is dropped.
    ///
    /// For "there is news": a thousand of them before the first is looked at are one. The key is forgotten
    /// when its closure begins, so that what comes later is not missed, also when it comes from inside.
    ///
    /// # Errors
    ///
    /// As [`run_soon`](Portal::run_soon).
    pub fn run_soon_once(
        &self,
        key: u64,
        f: impl FnOnce() + Send + 'static,
    ) -> Result<(), PortalClosed> {
        self.accepted(self.lobby.push(Entry::Soon(Some(key), Box::new(f))))
    }

    /// Hands back, as `Err`, what comes too late.
    pub(super) fn push(&self, entry: Entry) -> Result<Option<Entry>, Entry> {
        self.lobby.push(entry)
    }

    /// The entry that was not taken is dropped here, when no lock is held.
    fn accepted(&self, pushed: Result<Option<Entry>, Entry>) -> Result<(), PortalClosed> {
        pushed.map(drop).map_err(|_refused| PortalClosed(()))
    }

    /// What it is doing.
    pub fn statistics(&self) -> PortalStatistics {
        let (calls_waiting, is_closed) = self.lobby.look();
        PortalStatistics { calls_waiting, is_closed }
    }
}

impl Clone for Portal {
    fn clone(&self) -> Portal {
        Portal { lobby: Arc::clone(&self.lobby) }
    }
}

/// Two are equal if they lead to the same place.
impl PartialEq for Portal {
    fn eq(&self, other: &Portal) -> bool {
        Arc::ptr_eq(&self.lobby, &other.lobby)
    }
}

impl Eq for Portal {}

impl fmt::Debug for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Portal").field("statistics", &self.statistics()).finish()
    }
}

impl PortalClosed {
    pub(super) fn new() -> PortalClosed {
        PortalClosed(())
    }
}

impl fmt::Display for PortalClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the portal is closed: the call of `Cx::portal` that it was made by has ended")
    }
}

impl std::error::Error for PortalClosed {}
