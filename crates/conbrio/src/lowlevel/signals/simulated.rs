//! The signals of a simulated run, as a listener hears them.
//!
//! The table of the run (`sched/sim/signals.rs`) counts the signals; here is the bell that it rings. The
//! invariant: a bell that rang while nobody waited rings for the next who waits.

use std::fmt;
use std::io;
use std::mem;
use std::ptr;
use std::sync::Arc;

use conbrio_reactor::sim::HostId;

use crate::cancel::OrCancelled;
use crate::lowlevel::host::HOST;
use crate::lowlevel::parking_lot::ParkingLot;
use crate::sched::{Bell, Simulation, Worker};
use crate::task::{Cx, local_here};

/// Listens in one simulated run, to the signals of one process.
pub(super) struct Ears {
    simulation: Arc<Simulation>,
    host: HostId,
    bell: Arc<ParkedBell>,
    /// The same, as the table knows it.
    shared: Arc<dyn Bell>,
}

/// Whether it has rung and nobody has heard it, and who waits for it.
struct ParkedBell(ParkingLot<bool>);

impl Bell for ParkedBell {
    fn ring(&self) {
        let mut rang = self.0.lock();
        *rang = rang.unpark_all() == 0;
    }
}

impl Ears {
    /// Ears in the run that the caller is a task of, if that is simulated.
    pub(super) fn of_this_run() -> Option<Ears> {
        let simulation = Worker::current()?.shared().options().simulation.clone()?;
        let host = local_here(&HOST).unwrap_or_default();
        let bell = Arc::new(ParkedBell(ParkingLot::default().named("a signal")));
        let shared = Arc::clone(&bell) as _;
        Some(Ears { simulation, host, bell, shared })
    }

    pub(super) fn wait(&self, cx: &mut Cx) -> Result<(), OrCancelled<io::Error>> {
        let here = cx.anchor().worker().simulation();
        if !here.is_some_and(|here| ptr::eq(here, &raw const *self.simulation)) {
            let message = "wait for a signal: these signals are of another run, which was simulated \
                           (make them where they are waited for)";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message).into());
        }
        let mut rang = self.bell.0.lock();
        if mem::take(&mut *rang) {
            return Ok(());
        }
        rang.park(cx, &mut ()).map_err(|error| match error {
            OrCancelled::Cancelled(cancelled) => cancelled.into(),
            OrCancelled::Failed(broken) => unreachable!("nobody breaks it: {broken}"),
        })
    }

    pub(super) fn begin(&self, number: i32) -> io::Result<u64> {
        self.simulation.signals.begin(self.host, number, Arc::clone(&self.shared))
    }

    pub(super) fn end(&self, number: i32) -> bool {
        self.simulation.signals.end(self.host, number, &self.shared)
    }

    pub(super) fn came(&self, number: i32) -> u64 {
        self.simulation.signals.came(self.host, number)
    }

    pub(super) fn take(&self, number: i32, seen: u64) {
        self.simulation.signals.take(self.host, number, seen);
    }

    pub(super) fn raise(&self, number: i32) {
        // It came before, so there is such a signal. To stop a process is not simulated: it has no effect.
        let _ = self.simulation.raise(self.host, number);
    }
}

impl fmt::Debug for Ears {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ears").field("host", &self.host).finish_non_exhaustive()
    }
}
