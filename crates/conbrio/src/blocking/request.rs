//! A closure that a thread hands to a task, and waits for.
//!
//! The closure may borrow from the frames of the thread, which stays in [`hand_over`] until the closure has
//! run, or was dropped without having run. Whoever takes a [`Request`] does one or the other.
//!
//! Rule: the frames of the thread may be gone as soon as the reply is there. So no function is still running
//! then that took the closure or its value as an argument, in a type that shows what it borrows: to the
//! compiler, what is passed in borrows something that stays until the call returns. The closure is in a
//! `MaybeUninit`, which shows nothing, and the value is never an argument of what sends it.

use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::task::Cx;

/// What a task is to run. It does not unwind.
pub(crate) type Request = Box<dyn FnOnce(&mut Cx) + Send>;

/// Gives `f` to `post`, and waits on this thread until it has run. Returns its value, or nothing if it was
/// dropped before it ran. A panic of `f` goes on here.
pub(crate) fn hand_over<F, R>(f: F, post: impl FnOnce(Request)) -> Option<R>
where
    F: FnOnce(&mut Cx) -> R + Send,
    R: Send,
{
    let reply = Arc::new(Reply { state: Mutex::new(State::Open), changed: Condvar::new() });
    let sender = Sender(Some(Arc::clone(&reply)));
    let parcel = Parcel { f: Closure(MaybeUninit::new(f)), sender };
    let request: Box<dyn FnOnce(&mut Cx) + Send + '_> = Box::new(move |cx| parcel.run(cx));
    // SAFETY: only the lifetime changes. What the request borrows is gone when the reply comes, which is
    // the last that it does: `Parcel` sees to that if it runs, and the order of its fields if it does not.
    // This frame stays until then: the wait below is uninterruptible, and a panic of `post` aborts.
    let request =
        unsafe { std::mem::transmute::<Box<dyn FnOnce(&mut Cx) + Send + '_>, Request>(request) };
    let guard = crate::util::abort::AbortGuard::new("handing a closure to a task panicked");
    post(request);
    guard.disarm();
    match reply.wait() {
        Some(Ok(value)) => Some(value),
        Some(Err(payload)) => resume_unwind(payload),
        None => None,
    }
}

/// The closure, and whom to tell. The fields are dropped in this order.
struct Parcel<F, R> {
    f: Closure<F>,
    sender: Sender<R>,
}

impl<F: FnOnce(&mut Cx) -> R, R> Parcel<F, R> {
    fn run(self, cx: &mut Cx) {
        let Parcel { f, mut sender } = self;
        // The call, which takes the closure, is over before the reply is sent.
        let result = catch_unwind(AssertUnwindSafe(|| f.into_inner()(cx)));
        if let Some(reply) = sender.0.take() {
            *reply.lock() = State::Sent(Some(result));
            reply.tell();
        }
    }
}

/// A closure of which no type shows what it borrows.
struct Closure<F>(MaybeUninit<F>);

impl<F> Closure<F> {
    fn into_inner(self) -> F {
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: it is initialized from the start, and `this` is neither dropped nor read again.
        unsafe { this.0.assume_init_read() }
    }
}

impl<F> Drop for Closure<F> {
    fn drop(&mut self) {
        // SAFETY: it is initialized: `into_inner` alone takes it out, and forgets the rest.
        unsafe { self.0.assume_init_drop() };
    }
}

/// Says that the closure has not run, unless the reply was sent.
struct Sender<R>(Option<Arc<Reply<R>>>);

impl<R> Drop for Sender<R> {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            *reply.lock() = State::Sent(None);
            reply.tell();
        }
    }
}

struct Reply<R> {
    state: Mutex<State<R>>,
    changed: Condvar,
}

enum State<R> {
    Open,
    Sent(Option<std::thread::Result<R>>),
}

impl<R> Reply<R> {
    fn lock(&self) -> std::sync::MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state has changed. The waiting frame may be gone by now; the reply is counted, and without a
    /// value when the waiting thread has let go of it.
    fn tell(&self) {
        self.changed.notify_one();
    }

    fn wait(&self) -> Option<std::thread::Result<R>> {
        let mut state = self.lock();
        loop {
            match std::mem::replace(&mut *state, State::Open) {
                State::Sent(result) => return result,
                State::Open => {}
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
