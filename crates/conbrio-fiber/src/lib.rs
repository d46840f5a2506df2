//! Stacks for tasks and the switch between them.
//!
//! This crate owns three things: memory for stacks ([`StackPool`]), the computation that runs on
//! one ([`Fiber`] and its [`Suspender`]), and the message a user reads when a stack was too small
//! ([`install_overflow_handler`]). It knows nothing of tasks, scheduling or input and output.
//!
//! Two rules hold everywhere:
//!
//! * **Pinned.** A stack, its pool and its fiber stay on the thread that made them; none of the
//!   types is `Send`.
//! * **Run to completion.** A fiber that has started is resumed until it has finished. Its frames
//!   may be borrowed from elsewhere, so dropping it half-way aborts the process.
//!
//! ```
//! use conbrio_fiber::{Fiber, PoolOptions, Resumed, StackPool};
//!
//! let mut pool = StackPool::new(PoolOptions::default())?;
//! let stack = pool.acquire(64 * 1024)?;
//! let mut fiber = Fiber::new(stack, |suspender| {
//!     println!("first half");
//!     suspender.suspend();
//!     println!("second half");
//! });
//! assert_eq!(fiber.resume(), Resumed::Suspended);
//! assert_eq!(fiber.resume(), Resumed::Finished);
//! pool.release(fiber.into_stack());
//! # Ok::<(), conbrio_fiber::StackError>(())
//! ```
//!
//! # Stacks under valgrind and AddressSanitizer
//!
//! Every stack is registered with valgrind. For AddressSanitizer turn on the feature `sanitizer`
//! and run with `ASAN_OPTIONS=detect_stack_use_after_return=0`, since each finished fiber would
//! otherwise keep its fake stack.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("conbrio-fiber supports 64-bit Linux only");

mod fatal;
mod fiber;
mod overflow;
mod shadow;
mod stack;

pub use fiber::{Fiber, Resumed, Suspender};
pub use overflow::{AlternateStack, Label, install_overflow_handler};
pub use stack::{
    AddressSpaceLimit, GuardKind, PoolOptions, PoolStatistics, Stack, StackError, StackPool,
};
