//! What the attacks share: frames that notice late visitors, errors, a watchdog, random numbers.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use conbrio::{Cancelled, Cx, MaybeCancelled, NurseryError};

/// How many workers the attacks run on; more than the machine has, too.
pub(crate) const CREWS: [usize; 3] = [1, 2, 4];

/// A mark in a frame that others borrow. Whoever borrows it [`visit`](Canary::visit)s it; when the frame
/// ends, nobody may be there, and whoever comes later finds it dead.
pub(crate) struct Canary {
    song: AtomicU64,
    visitors: AtomicUsize,
}

impl Canary {
    pub(crate) fn new() -> Canary {
        Canary { song: AtomicU64::new(ALIVE), visitors: AtomicUsize::new(0) }
    }

    /// Looks whether the frame is alive.
    pub(crate) fn check(&self) {
        let song = self.song.load(Ordering::SeqCst);
        if song != ALIVE {
            eprintln!("a dead frame was visited: {song:#x}");
            // Not a panic: the nursery would catch it, and the memory is not to be trusted any more.
            std::process::abort();
        }
    }

    /// Stays in the frame until the guard is dropped.
    pub(crate) fn visit(&self) -> Visit<'_> {
        self.check();
        self.visitors.fetch_add(1, Ordering::SeqCst);
        Visit(self)
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        if self.visitors.load(Ordering::SeqCst) != 0 {
            eprintln!("a frame ended while somebody was in it");
            std::process::abort();
        }
        self.song.store(DEAD, Ordering::SeqCst);
    }
}

pub(crate) struct Visit<'a>(&'a Canary);

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.check();
        self.0.visitors.fetch_sub(1, Ordering::SeqCst);
    }
}

const ALIVE: u64 = 0x5147_1147_A11E_A11E;
const DEAD: u64 = 0xDEAD_DEAD_DEAD_DEAD;

/// The error of the attacks: a cancellation, or a real one with a number.
#[derive(Debug)]
pub(crate) enum Fault {
    Cancelled(Cancelled),
    /// The number tells them apart in a message.
    Broken(#[expect(dead_code, reason = "read by `Debug`")] u64),
}

impl From<Cancelled> for Fault {
    fn from(cancelled: Cancelled) -> Fault {
        Fault::Cancelled(cancelled)
    }
}

impl MaybeCancelled for Fault {
    fn cancelled(&self) -> Option<&Cancelled> {
        match self {
            Fault::Cancelled(cancelled) => Some(cancelled),
            Fault::Broken(_) => None,
        }
    }
}

/// What a nursery reports, as an error of the same type; having been stopped is none.
pub(crate) fn flatten(outcome: Result<(), NurseryError<Fault>>) -> Result<(), Fault> {
    match outcome {
        Ok(()) | Err(NurseryError::Stopped(_)) => Ok(()),
        Err(NurseryError::Cancelled(cancelled)) => Err(cancelled.into()),
        Err(NurseryError::Failed(errors)) => Err(errors.into_first()),
    }
}

/// The payload of a panic that an attack plans. It is raised without the message of a panic.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Planned(pub(crate) u64);

pub(crate) fn plan_panic(number: u64) -> ! {
    std::panic::resume_unwind(Box::new(Planned(number)))
}

/// Runs `main` on `workers` workers, and ends the process if that takes minutes: an attack that hangs
/// has succeeded, and must say so.
pub(crate) fn run<R: Send>(workers: usize, main: impl FnOnce(&mut Cx) -> R + Send) -> R {
    run_with(conbrio::Builder::new().workers(workers), main)
}

pub(crate) fn run_with<R: Send>(
    builder: conbrio::Builder,
    main: impl FnOnce(&mut Cx) -> R + Send,
) -> R {
    let _watch = Watchdog::new();
    builder.run(main).expect("the system has what a runtime needs")
}

/// Ends the process if it is not dropped in time.
pub(crate) struct Watchdog {
    _alive: mpsc::Sender<()>,
}

impl Watchdog {
    pub(crate) fn new() -> Watchdog {
        let (alive, watched) = mpsc::channel::<()>();
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        std::thread::spawn(move || {
            if watched.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("the attack '{test}' hangs");
                std::process::abort();
            }
        });
        Watchdog { _alive: alive }
    }
}

/// Far more than any attack takes, also under a sanitizer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether long campaigns were asked for; says so if not.
pub(crate) fn is_slow_wanted(campaign: &str) -> bool {
    let wanted = std::env::var_os("CONBRIO_SLOW_TESTS").is_some_and(|value| value != "0");
    if !wanted {
        eprintln!("SKIPPED: {campaign}: set CONBRIO_SLOW_TESTS=1 to run it");
    }
    wanted
}

/// Random numbers from a seed (Steele, Lea and Flood 2014, SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}
