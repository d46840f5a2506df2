//! Signal handlers: the one place where signals of the system come in.
//!
//! Owns a table with an entry for each signal: how often it came, the bells to ring then, and what was done
//! with the signal before the first listener came. While an entry has listeners, its handler counts and
//! rings, nothing else; with the last one the earlier action comes back, and what nobody has taken is to be
//! raised again for it.
//!
//! Rules:
//! 1. A handler takes no lock and allocates nothing. It reads `bells` between raising and lowering `running`.
//! 2. Whoever changes an entry holds `CHANGES`, puts a new list in place of the old one, and frees the old
//!    one when it has seen `running` at zero afterwards. A handler that begins later sees the new list.
//! 3. A bell's descriptor stays open until its list has been freed.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use conbrio_reactor::{Source, op};
use rustix::event::{EventfdFlags, eventfd};

use crate::cancel::OrCancelled;
use crate::lowlevel::perform;
use crate::task::Cx;

/// A bell in the table.
#[derive(Debug)]
pub(super) struct Ears {
    /// An eventfd that a signal makes readable. Closed after the listening has ended (rule 3).
    bell: Source,
}

impl Ears {
    pub(super) fn new() -> io::Result<Ears> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Ears { bell: Source::new(bell) })
    }

    pub(super) fn wait(&self, cx: &mut Cx) -> Result<(), OrCancelled<io::Error>> {
        perform(cx, &mut op::Read::new(&self.bell, &mut [0; 8])).map(drop)
    }

    pub(super) fn begin(&self, number: i32) -> io::Result<u64> {
        begin(number, self.bell.as_raw_fd())
    }

    pub(super) fn end(&self, number: i32) -> bool {
        end(number, self.bell.as_raw_fd())
    }
}

/// How often a signal has come.
pub(super) fn came(number: i32) -> u64 {
    entry(number).came.load(Ordering::SeqCst)
}

/// Says that what came until the signal had come `seen` times was taken.
pub(super) fn take(number: i32, seen: u64) {
    entry(number).taken.fetch_max(seen, Ordering::SeqCst);
}

/// What there is for one signal.
struct Entry {
    /// How often it came, ever.
    came: AtomicU64,
    /// The value of `came` up to which some listener has taken it, or nobody was to.
    taken: AtomicU64,
    /// How many handlers are running between their first and their last look at `bells`.
    running: AtomicUsize,
    /// A leaked `Box<Vec<RawFd>>`, or null without listeners.
    bells: AtomicPtr<Vec<RawFd>>,
    /// What was done with the signal before; present while there are listeners.
    before: Mutex<Option<libc::sigaction>>,
}

// Signals belong to the process, and so does this. The numbers of the kernel are 1 to 64.
static TABLE: [Entry; NUMBERS] = [const { Entry::new() }; NUMBERS];

/// Held while an entry changes. Not taken by handlers.
static CHANGES: Mutex<()> = Mutex::new(());

impl Entry {
    const fn new() -> Entry {
        Entry {
            came: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            bells: AtomicPtr::new(ptr::null_mut()),
            before: Mutex::new(None),
        }
    }

    /// A copy of the bells. The caller holds `CHANGES`.
    fn copy_bells(&self) -> Vec<RawFd> {
        let bells = self.bells.load(Ordering::SeqCst);
        // SAFETY: it is null or a list that only a holder of `CHANGES` frees, which the caller is.
        unsafe { bells.as_ref() }.cloned().unwrap_or_default()
    }

    /// Rule 2. The caller holds `CHANGES`.
    fn replace_bells(&self, bells: Vec<RawFd>) {
        let new = if bells.is_empty() { ptr::null_mut() } else { Box::into_raw(Box::new(bells)) };
        let old = self.bells.swap(new, Ordering::SeqCst);
        // Handlers never wait for anything. One that interrupts this thread ends before this goes on.
        while self.running.load(Ordering::SeqCst) != 0 {
            std::thread::yield_now();
        }
        if !old.is_null() {
            // SAFETY: it was leaked here, and taken out of the entry once. A handler that is running now has
            // raised `running` after it was seen at zero, and so it loads `bells` after the swap; all of these
            // are sequentially consistent.
            drop(unsafe { Box::from_raw(old) });
        }
    }
}

fn entry(number: i32) -> &'static Entry {
    &TABLE[usize::try_from(number).expect("it was looked at when the listener was made")]
}

/// Adds a bell. Returns how often the signal has come.
fn begin(number: i32, bell: RawFd) -> io::Result<u64> {
    let in_range = usize::try_from(number).is_ok_and(|at| (1..NUMBERS).contains(&at));
    if !in_range {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no such signal"));
    }
    let _changes = lock(&CHANGES);
    let entry = entry(number);
    let mut bells = entry.copy_bells();
    let is_first = bells.is_empty();
    bells.push(bell);
    let came = entry.came.load(Ordering::SeqCst);
    if is_first {
        // What came when nobody listened was for nobody here.
        entry.taken.store(came, Ordering::SeqCst);
    }
    // Before the handler, so that the first signal rings.
    entry.replace_bells(bells);
    if is_first {
        match exchange(number, Some(&our_action())) {
            Ok(before) => *lock(&entry.before) = Some(before),
            Err(error) => {
                entry.replace_bells(Vec::new());
                return Err(error);
            }
        }
    }
    Ok(came)
}

/// Takes a bell away; with the last one, the earlier action comes back. True if the signal came, no listener
/// has taken it, and none is left that could.
fn end(number: i32, bell: RawFd) -> bool {
    let _changes = lock(&CHANGES);
    let entry = entry(number);
    let mut bells = entry.copy_bells();
    if let Some(at) = bells.iter().position(|other| *other == bell) {
        bells.swap_remove(at);
    }
    let is_last = bells.is_empty();
    if is_last && let Some(before) = lock(&entry.before).take() {
        // If somebody has put another handler there meanwhile, that one stays. What is asked for is in range,
        // so that neither call fails.
        if exchange(number, None).is_ok_and(|now| now.sa_sigaction == our_action().sa_sigaction) {
            let _ = exchange(number, Some(&before));
        }
    }
    // After the handler has gone, which would ring no bell but still count. (One that another thread has
    // entered before, and that has not come to its first instruction here yet, is counted too late to be
    // raised again. Nothing tells that thread from one that is not there.)
    entry.replace_bells(bells);
    is_last && entry.came.load(Ordering::SeqCst) != entry.taken.load(Ordering::SeqCst)
}

/// Sends a signal to the process: a thread that does not block it will handle it.
pub(super) fn raise(number: i32) {
    // SAFETY: no memory is involved.
    unsafe { libc::kill(libc::getpid(), number) };
}

/// sigaction(2): sets the action if there is one to set, and returns the one before.
fn exchange(number: i32, action: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut before = MaybeUninit::<libc::sigaction>::uninit();
    let action = action.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the new action is valid or null, and `before` is valid for a write. If the action is ours, the
    // handler is async-signal-safe by rule 1; if it is one that was there before, that is as it was.
    if unsafe { libc::sigaction(number, action, before.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has filled it.
    Ok(unsafe { before.assume_init() })
}

fn our_action() -> libc::sigaction {
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: valid for a write, which initializes it.
    unsafe { libc::sigemptyset(mask.as_mut_ptr()) };
    libc::sigaction {
        sa_sigaction: on_signal as *const () as usize,
        // SAFETY: initialized by the line above.
        sa_mask: unsafe { mask.assume_init() },
        // On the signal stack where a thread has one: the stack that is interrupted may be a small one.
        sa_flags: libc::SA_RESTART | libc::SA_ONSTACK,
        sa_restorer: None,
    }
}

/// Rule 1.
extern "C" fn on_signal(number: i32) {
    let Some(entry) = usize::try_from(number).ok().and_then(|at| TABLE.get(at)) else { return };
    // The interrupted code may be between a failed system call and its look at the error.
    // SAFETY: the location is the thread's own.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: valid for the thread's whole life.
    let kept = unsafe { *errno };
    entry.running.fetch_add(1, Ordering::SeqCst);
    // Before the bells: whoever is rung finds the signal.
    entry.came.fetch_add(1, Ordering::SeqCst);
    let bells = entry.bells.load(Ordering::SeqCst);
    // SAFETY: null, or a list that is not freed while `running` is raised (rule 2).
    if let Some(bells) = unsafe { bells.as_ref() } {
        for bell in bells {
            // If its count is at the limit, it is readable anyway.
            // SAFETY: the eight bytes are valid; the descriptor is open by rule 3.
            unsafe { libc::write(*bell, (&raw const ONE).cast(), size_of::<u64>()) };
        }
    }
    entry.running.fetch_sub(1, Ordering::SeqCst);
    // SAFETY: as above.
    unsafe { *errno = kept };
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is added to an eventfd.
static ONE: u64 = 1;

/// One more than the highest number of a signal on Linux.
const NUMBERS: usize = 65;
