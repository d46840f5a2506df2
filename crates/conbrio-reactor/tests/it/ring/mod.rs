//! What only io_uring can get wrong: memory that is lent to the kernel, names of operations, full queues,
//! forks, and machines that forbid it.

/// Instantiates tests that need a ring.
macro_rules! ring_suite {
    ($($name:ident),* $(,)?) => {
        mod on_a_ring {
            $(#[test] fn $name() { crate::support::on_uring(super::$name) })*
        }
    };
}

mod fork;
mod lend;
mod load;
mod names;
mod races;
mod refusals;
mod sends;
