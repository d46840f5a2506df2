//! How much work a pass does: the same for all systems. The program in Go has a copy.

use std::time::Duration;

/// Children that are spawned together before any of them is joined.
pub const BATCH: usize = 1_000;
/// Children that a pass spawns in all, at least.
pub const SPAWNS: usize = 50_000;
/// Threads cost a thousand times as much.
pub const SPAWNED_THREADS: usize = 500;
/// Cheap operations in a pass.
pub const OPERATIONS: usize = 100_000;
/// Operations that cost about a nanosecond.
pub const BRANCHES: usize = 1_000_000;
/// A deadline that never comes.
pub const LONG: Duration = Duration::from_secs(3600);
/// Items or round trips that a pass sends through a channel.
pub const ITEMS: usize = 20_000;
/// The buffer of a channel between several producers and one consumer.
pub const CAPACITY: usize = 1_024;
/// Producers for one consumer; receivers of a broadcast; tasks that want one lock.
pub const PARTIES: usize = 4;
/// `fib(FIB)` is computed by forks down to `fib(1)`.
pub const FIB: u32 = 18;
/// Forks in `fib(FIB)`: each call with an argument above 1 forks once.
pub const FORKS: usize = 4_180;
/// Items that are mapped in a pass, and how many at the same time.
pub const MAPPED: usize = 10_000;
/// How many items are mapped at the same time.
pub const MAP_LIMIT: usize = 16;
/// Programs that a pass starts and waits for.
pub const PROCESSES: usize = 96;
/// A program that ends at once.
pub const PROGRAM: &str = "/bin/true";
/// How often the first task yields before yields are counted: each is a round of all others.
pub const WARM_ROUNDS: usize = 3;

/// Passes of a batch that make `SPAWNS` children, at least one.
pub fn batches(children: usize) -> usize {
    (SPAWNS / children.max(1)).max(1)
}

/// More than enough time to spawn so many when stacks are warm: nobody sleeps until a moment that passes while
/// others are still being spawned. The first pass, which does not count, may be later.
pub fn patience(tasks: usize) -> Duration {
    Duration::from_millis(100) + Duration::from_nanos(2_500) * tasks as u32
}
