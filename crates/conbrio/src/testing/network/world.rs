//! What joins the network to the simulator: its events are the world's, its decisions come from the
//! seed, and its reactors are those of the workers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use conbrio_reactor::Reactor;
use conbrio_reactor::sim::{Decide, Network};

use super::NetworkOptions;
use crate::clock::Ticks;
use crate::sched::World;
use crate::util::choices::Choices;

/// The network of one simulated run.
#[derive(Debug)]
pub(in crate::testing) struct SimulatedNetwork {
    network: Network,
}

impl SimulatedNetwork {
    pub(in crate::testing) fn new(
        options: &NetworkOptions,
        choices: Arc<Choices>,
    ) -> SimulatedNetwork {
        let decisions = Arc::new(Decisions(choices));
        SimulatedNetwork { network: Network::new(options.options.clone(), decisions) }
    }
}

impl World for SimulatedNetwork {
    fn next_event(&self) -> Option<Ticks> {
        // A tick is a nanosecond.
        self.network.next_event().map(|at| Ticks::try_from(at.as_nanos()).unwrap_or(Ticks::MAX))
    }

    fn advance(&self, now: Ticks) {
        self.network.advance(Duration::from_nanos(now));
    }

    fn reactor(&self) -> io::Result<Reactor> {
        Reactor::simulated(&self.network)
    }

    fn adopt(&self, reactor: &mut Reactor) {
        reactor.join(&self.network);
    }
}

/// Draws the decisions of the network from the seed of the run.
struct Decisions(Arc<Choices>);

impl Decide for Decisions {
    fn below(&self, what: &'static str, bound: usize) -> usize {
        self.0.below(what, bound)
    }

    fn happens(&self, what: &'static str, per_mille: u16) -> bool {
        self.0.happens(what, per_mille)
    }
}
