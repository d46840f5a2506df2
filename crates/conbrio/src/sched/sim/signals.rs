//! The signals of a simulated run: who listens, how often each came, and which are on their way.
//!
//! Owns what the kernel owns elsewhere. A host of the simulated network is a process here, with signals of
//! its own; no signal of the system comes in, and none goes out. The invariant: a signal that arrives is
//! counted and rings the bell of each listener, or, without a listener, has its default effect.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conbrio_reactor::sim::HostId;

use crate::clock::{NEVER, Ticks};
use crate::util::atomic::{AtomicBool, Ordering};
use crate::util::footprint;

use super::Simulation;

/// Rings when a signal comes.
pub(crate) trait Bell: Send + Sync {
    fn ring(&self);
}

/// All signals of one run.
#[derive(Default)]
pub(crate) struct SimulatedSignals {
    state: Mutex<State>,
    /// Whether `State::ended_by` is there: looked at between any two steps. Only a hint.
    is_over: AtomicBool,
}

/// A process and the number of a signal.
type Key = (HostId, i32);

#[derive(Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    /// Signals on their way, by the time at which they arrive.
    coming: BTreeMap<(Ticks, u64), Key>,
    /// Tells apart what arrives at the same time.
    serial: u64,
    /// When something arrived last.
    now: Ticks,
    /// The signal that has ended a process, the first one.
    ended_by: Option<i32>,
}

/// What there is for one signal of one process.
#[derive(Default)]
struct Entry {
    /// How often it came while somebody listened.
    came: u64,
    /// The value of `came` up to which some listener has taken it, or nobody was to.
    taken: u64,
    bells: Vec<Arc<dyn Bell>>,
}

impl SimulatedSignals {
    /// Adds a bell. Returns how often the signal has come.
    pub(crate) fn begin(&self, host: HostId, number: i32, bell: Arc<dyn Bell>) -> io::Result<u64> {
        check(number)?;
        // What the C library keeps for itself, and what the kernel lets nobody catch: sigaction(2).
        if KEPT_BY_LIBC.contains(&number) || [libc::SIGKILL, libc::SIGSTOP].contains(&number) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let mut state = self.lock();
        let entry = state.entries.entry((host, number)).or_default();
        if entry.bells.is_empty() {
            // What came when nobody listened was for nobody here.
            entry.taken = entry.came;
        }
        entry.bells.push(bell);
        Ok(entry.came)
    }

    /// Takes a bell away. True if the signal came, no listener has taken it, and none is left that could.
    pub(crate) fn end(&self, host: HostId, number: i32, bell: &Arc<dyn Bell>) -> bool {
        let mut state = self.lock();
        let entry = state.entries.entry((host, number)).or_default();
        if let Some(at) = entry.bells.iter().position(|other| Arc::ptr_eq(other, bell)) {
            entry.bells.swap_remove(at);
        }
        entry.bells.is_empty() && entry.came != entry.taken
    }

    /// How often the signal came while somebody listened.
    pub(crate) fn came(&self, host: HostId, number: i32) -> u64 {
        self.lock().entries.get(&(host, number)).map_or(0, |entry| entry.came)
    }

    /// A listener has taken what came until the signal had come `seen` times.
    pub(crate) fn take(&self, host: HostId, number: i32, seen: u64) {
        let mut state = self.lock();
        let entry = state.entries.entry((host, number)).or_default();
        entry.taken = entry.taken.max(seen);
    }

    /// When the next signal arrives that is on its way.
    pub(super) fn next_arrival(&self) -> Ticks {
        self.lock().coming.first_key_value().map_or(NEVER, |((at, _), _)| *at)
    }

    /// Lets everything arrive that is due.
    pub(crate) fn advance(&self, now: Ticks) {
        let mut state = self.lock();
        state.now = state.now.max(now);
        // Ends: nothing that comes of it sends another.
        while let Some(first) = state.coming.first_entry().filter(|first| first.key().0 <= now) {
            let key = first.remove();
            let bells = self.arrive(&mut state, key);
            drop(state);
            for bell in bells {
                bell.ring();
            }
            state = self.lock();
        }
    }

    /// The signal has arrived. Returns whom to tell when the lock is free.
    fn arrive(&self, state: &mut State, (host, number): Key) -> Vec<Arc<dyn Bell>> {
        if let Some(entry) = state.entries.get_mut(&(host, number))
            && !entry.bells.is_empty()
        {
            entry.came += 1;
            return entry.bells.clone();
        }
        // Whoever sends one that stops sees to it that somebody listens; that one has gone since then.
        if !IGNORED.contains(&number) && !STOPPING.contains(&number) {
            state.ended_by.get_or_insert(number);
            self.is_over.store(true, Ordering::Relaxed);
        }
        Vec::new()
    }

    /// The signal that has ended a process, told once.
    pub(crate) fn take_end(&self) -> Option<i32> {
        if !self.is_over.load(Ordering::Relaxed) {
            return None;
        }
        self.is_over.store(false, Ordering::Relaxed);
        self.lock().ended_by.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        footprint::touch(self);
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Simulation {
    /// Sends a signal to a process. It arrives at once in the ordinary run of things, or a little later,
    /// perhaps behind one that was sent after it. One that is on its way already takes the place of a
    /// second one, unless it is a real-time signal: signal(7).
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there is no such signal; `Unsupported` for one that would stop a process, unless
    /// somebody listens to it now.
    pub(crate) fn raise(&self, host: HostId, number: i32) -> io::Result<()> {
        check(number)?;
        let signals = &self.signals;
        let mut state = signals.lock();
        let is_heard = state.entries.get(&(host, number)).is_some_and(|it| !it.bells.is_empty());
        if STOPPING.contains(&number) && !is_heard {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "it would stop the process, which is not simulated",
            ));
        }
        if number < FIRST_OF_REAL_TIME && state.coming.values().any(|key| *key == (host, number)) {
            return Ok(());
        }
        let late = self.choices.below("how late a signal arrives", LATE_STEPS);
        if late == 0 {
            let bells = signals.arrive(&mut state, (host, number));
            drop(state);
            for bell in bells {
                bell.ring();
            }
        } else {
            state.serial += 1;
            let at = state.now.saturating_add(late as Ticks * LATE_STEP);
            let serial = state.serial;
            state.coming.insert((at, serial), (host, number));
        }
        Ok(())
    }
}

fn check(number: i32) -> io::Result<()> {
    if (1..=LAST).contains(&number) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no such signal"))
}

/// The name of a signal, for messages.
pub(super) fn name_of(number: i32) -> String {
    let name = signal_hook::low_level::signal_name(number);
    name.map_or_else(|| format!("signal {number}"), str::to_owned)
}

impl fmt::Debug for SimulatedSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let listeners: usize = state.entries.values().map(|entry| entry.bells.len()).sum();
        f.debug_struct("SimulatedSignals")
            .field("listeners", &listeners)
            .field("coming", &state.coming.len())
            .finish_non_exhaustive()
    }
}

/// The highest number of a signal on Linux.
const LAST: i32 = 64;
/// From here on each one counts: the kernel's `SIGRTMIN`.
const FIRST_OF_REAL_TIME: i32 = 32;
/// nptl(7).
const KEPT_BY_LIBC: [i32; 2] = [32, 33];
/// What does nothing to a process that does not catch it: signal(7).
const IGNORED: [i32; 4] = [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH];
const STOPPING: [i32; 4] = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
/// A signal arrives up to so many steps late, the first of them being none: a thread handles it when it
/// gets a processor. In nanoseconds: within a millisecond, so that packets may come first.
const LATE_STEPS: usize = 8;
const LATE_STEP: Ticks = 1_000_000 / (LATE_STEPS as Ticks - 1);
