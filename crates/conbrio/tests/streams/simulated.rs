//! The checks in simulated runs: many orders, each repeatable, and a simulated network.

use conbrio::prelude::*;
use conbrio::testing::{
    Builder, check_clogged_stream, check_half_closeable_stream, check_one_way_stream, streams,
};

use crate::support::tcp;

/// A duplex of 1 MiB in small pieces takes many turns.
const STEPS_MAX: u64 = 50_000_000;

fn with_seeds(test: impl Fn(&mut Cx)) {
    for seed in 0..SEEDS {
        Builder::new().seed(seed).steps_max(STEPS_MAX).run(&test);
    }
}

const SEEDS: u64 = 10;

// spec: N18, test_testing.memory_streams_with_generic_tests
#[test]
fn a_pipe_in_many_orders() {
    with_seeds(|cx| check_one_way_stream(cx, |_| streams::pipe()).unwrap());
}

// spec: N18, test_testing.lockstep_streams_with_generic_tests
#[test]
fn a_lockstep_pipe_in_many_orders() {
    with_seeds(|cx| {
        check_one_way_stream(cx, |_| streams::lockstep_pipe()).unwrap();
        check_clogged_stream(cx, |_| streams::lockstep_pipe()).unwrap();
    });
}

#[test]
fn simulated_connections() {
    Builder::new().steps_max(STEPS_MAX).run(|cx| check_half_closeable_stream(cx, tcp).unwrap());
}

#[test]
fn clogged_simulated_connections() {
    with_seeds(|cx| {
        check_clogged_stream(cx, |cx| {
            let (mut left, right) = tcp(cx);
            streams::clog(cx, &mut left).unwrap();
            (left, right)
        })
        .unwrap();
    });
}
