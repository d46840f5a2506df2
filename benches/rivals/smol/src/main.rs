//! The work of the questions that smol has an answer to.

use std::hint::black_box;
use std::io;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_lock::{Mutex, Semaphore};
use conbrio_bench_kit::census::Census;
use conbrio_bench_kit::counts::{
    BATCH, CAPACITY, FIB, FORKS, ITEMS, LONG, OPERATIONS, PARTIES, SPAWNS, WARM_ROUNDS, batches,
    patience,
};
use conbrio_bench_kit::http::BUF_BYTES;
use conbrio_bench_kit::meter::Meter;
use conbrio_bench_kit::program::{self, Abilities, Parked, Sample};
use smol::future::yield_now;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Executor, LocalExecutor, Task, Timer, channel};

fn main() -> ExitCode {
    program::main(Abilities { sample, park: Some(park), serve })
}

/// Lives as long as the program, as smol's own does.
static EXECUTOR: Executor<'static> = Executor::new();

fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Task<T> {
    EXECUTOR.spawn(work)
}

/// Runs `work` as a task, on so many threads.
fn run<T: Send + 'static>(workers: usize, work: impl Future<Output = T> + Send + 'static) -> T {
    for _ in 1..workers {
        std::thread::spawn(|| smol::block_on(EXECUTOR.run(std::future::pending::<()>())));
    }
    smol::block_on(EXECUTOR.run(spawn(work)))
}

fn sample(sample: Sample<'_>) -> Option<f64> {
    let Sample { question, tasks, workers, mut meter } = sample;
    if question == "spawn-local" {
        return Some(spawn_local(&mut meter));
    }
    let question = question.to_owned();
    run(workers, async move { measure(&question, tasks, &mut meter).await })
}

async fn measure(question: &str, tasks: usize, meter: &mut Meter) -> Option<f64> {
    if question == "yield" && tasks > 1 {
        return Some(yield_among(tasks, meter.budget()).await);
    }
    if let "sleepers" | "sleepers-cancel" | "sleepers-fire" = question {
        while meter.wants_more() {
            match question {
                "sleepers" => cancelled(tasks, meter, true).await,
                "sleepers-cancel" => cancelled(tasks, meter, false).await,
                _ => fired(tasks, meter).await,
            }
        }
        return Some(meter.ns_per_operation());
    }
    let children = if tasks > 1 { tasks } else { BATCH };
    let mutex = Mutex::new(0_u64);
    let semaphore = Semaphore::new(1);
    while meter.wants_more() {
        let pass = meter.start();
        let operations = match question {
            "yield" => {
                for _ in 0..OPERATIONS {
                    yield_now().await;
                }
                OPERATIONS
            }
            "spawn-join" => {
                for _ in 0..SPAWNS {
                    black_box(spawn(async { black_box(1_u64) }).await);
                }
                SPAWNS
            }
            "spawn-batch" => {
                for _ in 0..batches(children) {
                    spawn_batch(children).await;
                }
                batches(children) * children
            }
            "fib" => {
                black_box(fib(black_box(FIB)).await);
                FORKS
            }
            "race" => {
                for _ in 0..OPERATIONS / 10 {
                    black_box(race().await);
                }
                OPERATIONS / 10
            }
            "ping-pong" => {
                ping_pong().await;
                ITEMS
            }
            "fan-in" => {
                fan_in().await;
                ITEMS
            }
            "mutex" => {
                for _ in 0..OPERATIONS {
                    *mutex.lock().await += 1;
                }
                OPERATIONS
            }
            "semaphore" => {
                for _ in 0..OPERATIONS {
                    drop(semaphore.acquire().await);
                }
                OPERATIONS
            }
            "mutex-contended" => {
                contended().await;
                ITEMS
            }
            _ => return None,
        };
        meter.stop(pass, operations);
    }
    Some(meter.ns_per_operation())
}

fn spawn_local(meter: &mut Meter) -> f64 {
    // The work borrows the executor that it runs on, so that this lives as long as the program.
    let executor: &'static LocalExecutor<'static> = Box::leak(Box::new(LocalExecutor::new()));
    let mut own = Meter::new(meter.budget());
    let work = async move {
        while own.wants_more() {
            let pass = own.start();
            for _ in 0..SPAWNS {
                black_box(executor.spawn(async { black_box(1_u64) }).await);
            }
            own.stop(pass, SPAWNS);
        }
        own.ns_per_operation()
    };
    smol::block_on(executor.run(executor.spawn(work)))
}

async fn spawn_batch(children: usize) {
    let tasks: Vec<_> = (0..children).map(|_| spawn(async { black_box(1_u64) })).collect();
    for task in tasks {
        black_box(task.await);
    }
}

async fn yield_among(tasks: usize, budget: Duration) -> f64 {
    let census = Arc::new(Census::default());
    let mut children = Vec::with_capacity(tasks);
    for _ in 0..tasks {
        let census = Arc::clone(&census);
        children.push(spawn(async move {
            let mut tally = census.enter();
            while census.goes_on(&mut tally) {
                yield_now().await;
            }
            census.leave(tally);
        }));
    }
    while census.started() < tasks {
        yield_now().await;
    }
    for _ in 0..WARM_ROUNDS {
        yield_now().await;
    }
    let begun = census.begin();
    while begun.elapsed() < budget {
        yield_now().await;
    }
    let elapsed = census.end(begun);
    for child in children {
        child.await;
    }
    census.ns_per_yield(elapsed)
}

fn fib(n: u32) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if n < 2 {
            return u64::from(n);
        }
        let forked = spawn(fib(n - 1));
        let b = fib(n - 2).await;
        forked.await + b
    })
}

/// With tasks, as elsewhere; the loser has ended when it returns.
async fn race() -> u64 {
    let loser = spawn(std::future::pending::<()>());
    let winner = spawn(async { black_box(2) }).await;
    loser.cancel().await;
    winner
}

async fn ping_pong() {
    let (ping, pinged) = channel::bounded(1);
    let (pong, ponged) = channel::bounded(1);
    let other = spawn(async move {
        for _ in 0..ITEMS {
            let item: usize = pinged.recv().await.expect(OPEN);
            pong.send(item).await.expect(OPEN);
        }
    });
    for item in 0..ITEMS {
        ping.send(item).await.expect(OPEN);
        black_box(ponged.recv().await.expect(OPEN));
    }
    other.await;
}

async fn fan_in() {
    let (tx, rx) = channel::bounded(CAPACITY);
    for _ in 0..PARTIES {
        let tx = tx.clone();
        spawn(async move {
            for item in 0..ITEMS / PARTIES {
                tx.send(item).await.expect(OPEN);
            }
        })
        .detach();
    }
    drop(tx);
    while let Ok(item) = rx.recv().await {
        black_box::<usize>(item);
    }
}

async fn contended() {
    let mutex = Arc::new(Mutex::new(0_u64));
    let mut children = Vec::new();
    for _ in 0..PARTIES {
        let mutex = Arc::clone(&mutex);
        children.push(spawn(async move {
            for _ in 0..ITEMS / PARTIES {
                let mut value = mutex.lock().await;
                yield_now().await;
                *value += 1;
            }
        }));
    }
    for child in children {
        child.await;
    }
}

async fn asleep(tasks: usize, until: Instant) -> Vec<Task<()>> {
    let asleep = Arc::new(AtomicUsize::new(0));
    let mut children = Vec::with_capacity(tasks);
    for _ in 0..tasks {
        let asleep = Arc::clone(&asleep);
        children.push(spawn(async move {
            asleep.fetch_add(1, Ordering::Relaxed);
            Timer::at(until).await;
        }));
    }
    while asleep.load(Ordering::Relaxed) < tasks {
        yield_now().await;
    }
    children
}

async fn cancelled(tasks: usize, meter: &mut Meter, from_birth: bool) {
    let birth = meter.start();
    let children = asleep(tasks, Instant::now() + LONG).await;
    let death = meter.start();
    for child in children {
        child.cancel().await;
    }
    meter.stop(if from_birth { birth } else { death }, tasks);
}

async fn fired(tasks: usize, meter: &mut Meter) {
    let deadline = Instant::now() + patience(tasks);
    let children = asleep(tasks, deadline).await;
    let is_late = meter.is_warm() && Instant::now() >= deadline;
    for child in children {
        child.await;
    }
    // If some woke before all slept, the pass does not count.
    if !is_late {
        meter.stop_since(deadline, tasks);
    }
}

fn park(tasks: usize, parked: Parked) {
    run(1, async move {
        let started = Arc::new(AtomicUsize::new(0));
        let mut children = Vec::with_capacity(tasks);
        for _ in 0..tasks {
            let started = Arc::clone(&started);
            children.push(spawn(async move {
                started.fetch_add(1, Ordering::Relaxed);
                std::future::pending::<()>().await;
            }));
        }
        while started.load(Ordering::Relaxed) < tasks {
            yield_now().await;
        }
        parked();
        for child in children {
            child.cancel().await;
        }
        Timer::after(Duration::from_secs(5)).await;
        parked();
    });
}

fn serve(what: &str) -> Option<io::Result<()>> {
    (what == "echo").then(|| run(1, accept()))
}

async fn accept() -> io::Result<()> {
    let listener = smol::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        spawn(echo(stream)).detach();
    }
}

async fn echo(mut stream: smol::net::TcpStream) -> io::Result<()> {
    let mut buf = vec![0; BUF_BYTES];
    loop {
        let bytes = stream.read(&mut buf).await?;
        if bytes == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..bytes]).await?;
    }
}

/// Why sending and receiving do not fail here.
const OPEN: &str = "the other side is there";
