//! What a switch and a stack cost, in nanoseconds.
//!
//! Run: `cargo run --release -p conbrio-fiber --example switch`
//! Expect: one switch there and back in 4 ns or less, a warm stack in 10 ns or less, a cold one
//! under 2 us. A larger figure for many fibers than for one is the cache: each has its own stack.

use std::hint::black_box;
use std::time::Instant;

use conbrio_fiber::{Fiber, PoolOptions, Resumed, StackError, StackPool};

fn main() -> Result<(), StackError> {
    switches()?;
    for fibers in [8, 64, 1_000, 10_000] {
        round_robin(fibers)?;
    }
    warm_stacks()?;
    fibers_start_to_end()?;
    cold_stacks(100_000)?;
    trim(10_000)
}

/// One fiber, resumed again and again: the switch alone.
fn switches() -> Result<(), StackError> {
    let mut pool = StackPool::new(PoolOptions::default())?;
    let mut fiber = endless(&mut pool)?;
    let spent = best_of(5, 10_000_000, || assert_eq!(fiber.resume(), Resumed::Suspended));
    println!("resume + suspend, 1 fiber          {spent:8.2} ns");
    std::mem::forget(fiber);
    std::mem::forget(pool);
    Ok(())
}

/// Many fibers in turn: the switch and its cache misses.
fn round_robin(count: usize) -> Result<(), StackError> {
    let mut pool = StackPool::new(PoolOptions::default())?;
    let mut fibers = Vec::with_capacity(count);
    for _ in 0..count {
        fibers.push(endless(&mut pool)?);
    }
    let rounds = 5_000_000 / count;
    let spent = best_of(5, rounds, || {
        for fiber in &mut fibers {
            assert_eq!(fiber.resume(), Resumed::Suspended);
        }
    });
    println!("resume + suspend, {count:6} in turn    {:8.2} ns", spent / count as f64);
    std::mem::forget((fibers, pool));
    Ok(())
}

fn warm_stacks() -> Result<(), StackError> {
    let mut pool = StackPool::new(PoolOptions::default())?;
    let stack = pool.acquire(STACK_BYTES)?;
    pool.release(stack);
    let spent = best_of(5, 10_000_000, || {
        let stack = black_box(pool.acquire(STACK_BYTES)).expect("one stack is idle");
        pool.release(stack);
    });
    println!("acquire + release, warm            {spent:8.2} ns");
    Ok(())
}

fn fibers_start_to_end() -> Result<(), StackError> {
    let mut pool = StackPool::new(PoolOptions::default())?;
    let spent = best_of(5, 10_000_000, || {
        let stack = pool.acquire(STACK_BYTES).expect("one stack is idle or can be made");
        let mut fiber = Fiber::new(stack, |suspender| {
            black_box(suspender);
        });
        assert_eq!(fiber.resume(), Resumed::Finished);
        pool.release(fiber.into_stack());
    });
    println!("a fiber from start to end, warm    {spent:8.2} ns");
    Ok(())
}

fn cold_stacks(count: usize) -> Result<(), StackError> {
    let mut pool = StackPool::new(PoolOptions::default())?;
    let mut stacks = Vec::with_capacity(count);
    let begin = Instant::now();
    for _ in 0..count {
        stacks.push(pool.acquire(STACK_BYTES)?);
    }
    let spent = begin.elapsed().as_nanos() as f64 / count as f64;
    println!("acquire, cold, untouched           {spent:8.2} ns");
    let begin = Instant::now();
    for stack in stacks {
        pool.release(stack);
    }
    let spent = begin.elapsed().as_nanos() as f64 / count as f64;
    println!("release, first touch               {spent:8.2} ns");
    Ok(())
}

fn trim(count: usize) -> Result<(), StackError> {
    let mut pool = StackPool::new(PoolOptions::default().idle_stacks_max(0))?;
    let mut stacks = Vec::with_capacity(count);
    for _ in 0..count {
        stacks.push(pool.acquire(STACK_BYTES)?);
    }
    for stack in stacks {
        pool.release(stack);
    }
    let begin = Instant::now();
    let bytes = pool.trim();
    let spent = begin.elapsed().as_nanos() as f64 / count as f64;
    println!("trim, per stack                    {spent:8.2} ns ({} KiB)", bytes >> 10);
    Ok(())
}

fn endless(pool: &mut StackPool) -> Result<Fiber, StackError> {
    let stack = pool.acquire(STACK_BYTES)?;
    Ok(Fiber::new(stack, |suspender| {
        loop {
            suspender.suspend();
        }
    }))
}

/// The least time per call of `work`, over `repeats` runs of `calls` each.
fn best_of(repeats: usize, calls: usize, mut work: impl FnMut()) -> f64 {
    let runs = (0..repeats).map(|_| {
        let begin = Instant::now();
        (0..calls).for_each(|_| work());
        begin.elapsed().as_nanos() as f64 / calls as f64
    });
    runs.fold(f64::INFINITY, f64::min)
}

const STACK_BYTES: usize = 64 << 10;
