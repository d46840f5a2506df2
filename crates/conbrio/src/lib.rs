//! Structured concurrency for Rust: nurseries and cancel scopes on stackful tasks that run to completion.
//!
//! A function that may wait takes `cx: &mut Cx` and is called like any other function. Children borrow
//! from their parent's stack, run on all cores, and have ended when their nursery returns. Cancellation
//! is a value, `Err(Cancelled)`, that the cancelled code sees and answers.
//!
//! ```
//! use conbrio::prelude::*;
//! use std::time::Duration;
//!
//! let numbers = vec![1_u64, 2, 3, 4];
//! let sum = conbrio::run(|cx| {
//!     let (left, right) = numbers.split_at(2);
//!     // Whatever has not ended after five seconds is cancelled.
//!     cx.fail_after(Duration::from_secs(5), |cx| {
//!         cx.nursery(|cx, n| -> Result<u64, Cancelled> {
//!             let mut left = n.spawn(|_| Ok(left.iter().sum::<u64>()));
//!             let mut right = n.spawn(|_| Ok(right.iter().sum::<u64>()));
//!             Ok(left.join(cx)? + right.join(cx)?)
//!         })
//!     })
//! });
//! assert_eq!(sum.unwrap(), 10);
//! ```
//!
//! # Guarantees
//!
//! * **No task outlives its nursery.** Nothing is detached. [`Cx::nursery`] returns when the last child
//!   has ended; every error is kept, and every panic comes out.
//! * **A started task runs to completion**, on the thread on which it began. It is never dropped
//!   half-way, so that what it borrows, and what borrows from it, stays valid.
//! * **Every accepted child begins**, also in a cancelled nursery, where it sees the cancellation at its
//!   first checkpoint. (If no stack can be had for it, the nursery panics and says which limit was met.)
//! * **Completion wins.** `Err(Cancelled)` means that the operation had no effect; an operation that
//!   completed is reported as completed, and the cancellation shows at the next checkpoint.
//! * **Every function that waits is a checkpoint**, always, and says so under "Cancellation".
//!
//! # The contract on thread locals
//!
//! A call that takes `cx` is a point at which other tasks may run on this thread. Do not make such a call
//! inside a closure that was given to a function which installs a *dynamically scoped* thread local around
//! it, such as `scoped_tls::ScopedKey::set`: such functions rely on closures returning in
//! last-in-first-out order, and with tasks they would leave dangling pointers behind, without any `unsafe`
//! in your code.
//!
//! The exact claim: the crate is meant to be sound with respect to the standard library and every crate
//! whose thread-local state does not assume that closures return in last-in-first-out order. The guide
//! has a chapter on it, with what is safe but surprising.
//!
//! # Where things are
//!
//! | For | See |
//! |---|---|
//! | starting a runtime | [`run`](run()), [`Builder`], [`RuntimeInfo`] |
//! | the capability to wait, and all operations that belong to no object | [`Cx`] |
//! | children | [`Cx::nursery`], [`Nursery`], [`Child`], [`NurseryError`] |
//! | deadlines, cancelling, shields, shutdown | [`Cx::move_on_after`], [`Cx::fail_after`], [`Cx::cancel_scope`], [`Cx::shield`], [`Cx::cleanup`], [`CancelHandle`] |
//! | join, race, retry, supervise and others | [`concurrent`] |
//! | what a cancellation says | [`Cancelled`], [`OrCancelled`], [`MaybeCancelled`] |
//! | TCP; reading and writing | [`net`], [`io`] |
//! | files, directories, watching them | [`fs`] |
//! | TLS, with the feature `tls` | module `tls` |
//! | signals of the operating system | [`signal`] |
//! | other programs | [`process`] |
//! | events, locks, permits | [`sync`] |
//! | items from task to task; one of several things | [`channel`], [`Cx::select`] |
//! | time | [`Cx::sleep`], [`Cx::interval`], [`Clock`] |
//! | code that blocks, or needs a big stack | [`Cx::blocking`], [`Cx::on_thread_stack`], [`threads`] |
//! | threads that talk to tasks | [`threads`], [`Cx::portal`] |
//! | values that tasks inherit; one for a runtime | [`LocalKey`], [`RunLocalKey`] |
//! | state that libraries keep in the thread | [`Cx::around_turns`] |
//! | futures of other crates | [`Cx::wait`] |
//! | observing tasks and workers | [`instrument`] |
//! | tests | [`testing`] |
//! | waits of your own | [`lowlevel`] |
//!
//! # Features
//!
//! * `anyhow`: [`MaybeCancelled`] for `anyhow::Error`.
//! * `hickory`: a resolver that asks name servers itself, `net::DnsResolver`.
//! * `tracing`: spans of `tracing` around code that waits, [`Cx`]`::in_span`.
//! * `tls`: TLS over any stream, the module `tls`; `tls-native-roots` also trusts whom the system trusts.
//! * `sanitizer`: lets AddressSanitizer follow the switches between stacks.
//!
//! # Platforms
//!
//! 64-bit Linux only so far, tested on x86_64.

mod blocking;
mod cancel;
pub mod channel;
mod clock;
pub mod concurrent;
pub mod fs;
pub mod instrument;
mod interop;
pub mod io;
mod locals;
pub mod lowlevel;
pub mod net;
mod nursery;
pub mod process;
mod run;
mod sched;
mod scope;
pub mod signal;
pub mod sync;
mod task;
pub mod testing;
pub mod threads;
mod time;
mod timer;
#[cfg(feature = "tls")]
pub mod tls;
mod util;

pub use cancel::{CancelSource, Cancelled, MaybeCancelled, OrCancelled, OrTimedOut, TimedOut};
pub use clock::{Clock, Idle, SystemClock};
pub use locals::{Before, RunLocalKey};
pub use nursery::{
    Child, Errors, LocalChild, Nursery, NurseryError, NurseryPanic, StartError, Started, Stopped,
    TaskBuilder,
};
pub use run::{Builder, Reactor, RuntimeError, RuntimeInfo, RuntimeStatistics, run};
pub use scope::{CancelHandle, CancelScope};
pub use task::{Cx, LocalKey, Turn};
pub use time::{Interval, MissedTicks};

pub mod prelude;

/// The code in the README and in the guide runs with the tests of the documentation.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../README.md")]
    mod readme {}
    #[doc = include_str!("../../../docs/guide/first-steps.md")]
    mod first_steps {}
    #[doc = include_str!("../../../docs/guide/nurseries.md")]
    mod nurseries {}
    #[doc = include_str!("../../../docs/guide/panics.md")]
    mod panics {}
    #[doc = include_str!("../../../docs/guide/cancellation.md")]
    mod cancellation {}
    #[doc = include_str!("../../../docs/guide/timeouts.md")]
    mod timeouts {}
    #[doc = include_str!("../../../docs/guide/shutdown.md")]
    mod shutdown {}
    #[doc = include_str!("../../../docs/guide/from-trio.md")]
    mod from_trio {}
    #[doc = include_str!("../../../docs/guide/from-go.md")]
    mod from_go {}
    #[doc = include_str!("../../../docs/guide/combinators.md")]
    mod combinators {}
    #[doc = include_str!("../../../docs/guide/network.md")]
    mod network {}
    #[doc = include_str!("../../../docs/guide/files.md")]
    mod files {}
    #[doc = include_str!("../../../docs/guide/reactors.md")]
    mod reactors {}
    #[doc = include_str!("../../../docs/guide/tls.md")]
    mod tls {}
    #[doc = include_str!("../../../docs/guide/channels.md")]
    mod channels {}
    #[doc = include_str!("../../../docs/guide/thread-locals.md")]
    mod thread_locals {}
    #[doc = include_str!("../../../docs/guide/blocking.md")]
    mod blocking {}
    #[doc = include_str!("../../../docs/guide/threads.md")]
    mod threads {}
    #[doc = include_str!("../../../docs/guide/locals.md")]
    mod locals {}
    #[doc = include_str!("../../../docs/guide/sync.md")]
    mod sync {}
    #[doc = include_str!("../../../docs/guide/testing.md")]
    mod testing {}
    #[doc = include_str!("../../../docs/guide/from-tokio.md")]
    mod from_tokio {}
}
