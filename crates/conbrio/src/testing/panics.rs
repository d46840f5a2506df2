//! Hearing of panics, so that a search for a simpler failing run does not print each of them.
//!
//! The first exploration of a process puts a panic hook in front of the one that is there, for good. It
//! keeps the last panic of a thread that explores, and calls the other hook unless that thread has asked
//! for quiet. On all other threads, and outside of explorations, nothing changes. If the program installs
//! a hook of its own later, that one is called for every panic.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::Once;

/// A panic that was reported.
#[derive(Clone, Debug)]
pub(super) struct Caught {
    /// Where it was raised.
    pub(super) place: String,
}

/// What a thread that explores wants to hear. Panics are reported to a hook, which is called with nothing
/// but the panic; that is why this is a thread-local.
#[derive(Default)]
struct Ear {
    listens: bool,
    is_quiet: bool,
    last: Option<Caught>,
}

thread_local! {
    static EAR: RefCell<Ear> = RefCell::default();
}

/// Hears the panics of the runs of one exploration, which are on one thread.
#[derive(Default)]
pub(super) struct Catcher {
    /// What the thread listened to before: explorations nest, in a closure of `Cx::blocking`, say.
    around: Option<Ear>,
    stays_on_its_thread: PhantomData<*const ()>,
}

impl Catcher {
    pub(super) fn new() -> Catcher {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            let next = take_hook();
            set_hook(Box::new(move |panic| {
                if !heard(panic) {
                    next(panic);
                }
            }));
        });
        Catcher::default()
    }

    /// Listens from now on.
    pub(super) fn listen(&mut self, is_quiet: bool) {
        debug_assert!(self.around.is_none(), "one run after the other");
        let ear = Ear { listens: true, is_quiet, last: None };
        self.around = Some(EAR.replace(ear));
    }

    /// Stops listening, and hands out the last panic.
    pub(super) fn stop(&mut self) -> Option<Caught> {
        let around = self.around.take()?;
        EAR.replace(around).last
    }
}

impl Drop for Catcher {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether the panic is dealt with.
fn heard(panic: &PanicHookInfo<'_>) -> bool {
    // A thread that ends may have lost its ear, and a panic while it is borrowed would be one in here.
    let hear = |ear: &RefCell<Ear>| {
        let mut ear = ear.try_borrow_mut().ok()?;
        if ear.listens {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            ear.last = Some(Caught { place });
        }
        Some(ear.is_quiet)
    };
    EAR.try_with(hear).ok().flatten().unwrap_or(false)
}
