//! The work of the questions that may has an answer to.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use conbrio_bench_kit::census::Census;
use conbrio_bench_kit::counts::{
    BATCH, CAPACITY, FIB, FORKS, ITEMS, LONG, OPERATIONS, PARTIES, SPAWNS, WARM_ROUNDS, batches,
    patience,
};
use conbrio_bench_kit::http::{BUF_BYTES, TEXT};
use conbrio_bench_kit::meter::Meter;
use conbrio_bench_kit::program::{self, Abilities, Parked, Sample};
use may::coroutine::{self, JoinHandle};
use may::net::{TcpListener, TcpStream};
use may::sync::{Mutex, Semphore, SyncFlag, mpsc};
use may_minihttp::{HttpServer, HttpService, Request, Response};

fn main() -> ExitCode {
    program::main(Abilities { sample, park: Some(park), serve })
}

/// All of `may::go!`'s safety is in this: no work of these questions uses thread locals or blocks its thread.
fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    // SAFETY: the work neither keeps references to thread locals across a switch nor overflows its stack.
    unsafe { coroutine::spawn(work) }
}

fn sample(sample: Sample<'_>) -> Option<f64> {
    let Sample { question, tasks, workers, mut meter } = sample;
    if tasks > TASKS_MAX {
        return None;
    }
    may::config().set_workers(workers);
    let question = question.to_owned();
    // The work is in a coroutine, as it is in a task elsewhere.
    spawn(move || measure(&question, tasks, &mut meter)).join().expect(NO_PANIC)
}

fn measure(question: &str, tasks: usize, meter: &mut Meter) -> Option<f64> {
    let ns = match question {
        "yield" if tasks > 1 => yield_among(tasks, meter.budget()),
        "yield" => {
            meter.passes(OPERATIONS, || (0..OPERATIONS).for_each(|_| coroutine::yield_now()))
        }
        "spawn-join" => meter.passes(SPAWNS, || {
            for _ in 0..SPAWNS {
                black_box(spawn(|| black_box(1_u64)).join().expect(NO_PANIC));
            }
        }),
        "spawn-batch" => {
            let children = if tasks > 1 { tasks } else { BATCH };
            let times = batches(children);
            meter.passes(times * children, || (0..times).for_each(|_| spawn_batch(children)))
        }
        "spawn-nursery" => {
            let times = batches(BATCH);
            meter.passes(times * BATCH, || (0..times).for_each(|_| spawn_scope()))
        }
        "fib" => meter.passes(FORKS, || {
            black_box(fib(black_box(FIB)));
        }),
        "ping-pong" => meter.passes(ITEMS, ping_pong),
        "fan-in" => meter.passes(ITEMS, fan_in),
        "mutex" => {
            let mutex = Mutex::new(0_u64);
            meter.passes(OPERATIONS, || {
                (0..OPERATIONS).for_each(|_| *mutex.lock().expect(NO_PANIC) += 1);
            })
        }
        "mutex-contended" => meter.passes(ITEMS, contended),
        "semaphore" => {
            let semaphore = Semphore::new(1);
            meter.passes(OPERATIONS, || {
                for _ in 0..OPERATIONS {
                    semaphore.wait();
                    semaphore.post();
                }
            })
        }
        "sleepers" | "sleepers-cancel" => {
            while meter.wants_more() {
                cancelled(tasks, meter, question == "sleepers");
            }
            meter.ns_per_operation()
        }
        "sleepers-fire" => {
            while meter.wants_more() {
                fired(tasks, meter);
            }
            meter.ns_per_operation()
        }
        _ => return None,
    };
    Some(ns)
}

fn spawn_batch(children: usize) {
    let handles: Vec<_> = (0..children).map(|_| spawn(|| black_box(1_u64))).collect();
    for handle in handles {
        black_box(handle.join().expect(NO_PANIC));
    }
}

fn spawn_scope() {
    coroutine::scope(|scope| {
        for _ in 0..BATCH {
            // SAFETY: as in `spawn`.
            unsafe { scope.spawn(|| black_box(1_u64)) };
        }
    });
}

fn yield_among(tasks: usize, budget: Duration) -> f64 {
    let census = Arc::new(Census::default());
    // A coroutine that yields leaves no turn to one that was spawned and has not begun: all begin first.
    let gate = Arc::new(SyncFlag::new());
    let handles: Vec<_> = (0..tasks)
        .map(|_| {
            let (census, gate) = (Arc::clone(&census), Arc::clone(&gate));
            spawn(move || {
                let mut tally = census.enter();
                gate.wait();
                while census.goes_on(&mut tally) {
                    coroutine::yield_now();
                }
                census.leave(tally);
            })
        })
        .collect();
    while census.started() < tasks {
        coroutine::sleep(PAUSE);
    }
    gate.fire();
    (0..WARM_ROUNDS).for_each(|_| coroutine::yield_now());
    let begun = census.begin();
    while begun.elapsed() < budget {
        coroutine::yield_now();
    }
    let elapsed = census.end(begun);
    for handle in handles {
        handle.join().expect(NO_PANIC);
    }
    census.ns_per_yield(elapsed)
}

fn fib(n: u32) -> u64 {
    if n < 2 {
        return u64::from(n);
    }
    let forked = spawn(move || fib(n - 1));
    let b = fib(n - 2);
    forked.join().expect(NO_PANIC) + b
}

/// may's bounded channel has no capacity of one; these hold one item because each waits for the answer.
fn ping_pong() {
    let (ping, pinged) = mpsc::channel();
    let (pong, ponged) = mpsc::channel();
    let other = spawn(move || {
        for _ in 0..ITEMS {
            let item: usize = pinged.recv().expect(NO_PANIC);
            pong.send(item).expect(NO_PANIC);
        }
    });
    for item in 0..ITEMS {
        ping.send(item).expect(NO_PANIC);
        black_box(ponged.recv().expect(NO_PANIC));
    }
    other.join().expect(NO_PANIC);
}

/// may's channels have no limit: a semaphore is what a user would bound them with.
fn fan_in() {
    let (tx, rx) = mpsc::channel();
    let room = Arc::new(Semphore::new(CAPACITY));
    for _ in 0..PARTIES {
        let (tx, room) = (tx.clone(), Arc::clone(&room));
        spawn(move || {
            for item in 0..ITEMS / PARTIES {
                room.wait();
                tx.send(item).expect(NO_PANIC);
            }
        });
    }
    drop(tx);
    while let Ok(item) = rx.recv() {
        room.post();
        black_box::<usize>(item);
    }
}

fn contended() {
    let mutex = Arc::new(Mutex::new(0_u64));
    let handles: Vec<_> = (0..PARTIES)
        .map(|_| {
            let mutex = Arc::clone(&mutex);
            spawn(move || {
                for _ in 0..ITEMS / PARTIES {
                    let mut value = mutex.lock().expect(NO_PANIC);
                    coroutine::yield_now();
                    *value += 1;
                }
            })
        })
        .collect();
    for handle in handles {
        handle.join().expect(NO_PANIC);
    }
}

fn asleep(tasks: usize, until: Instant) -> Vec<JoinHandle<()>> {
    let asleep = Arc::new(AtomicUsize::new(0));
    let handles = (0..tasks)
        .map(|_| {
            let asleep = Arc::clone(&asleep);
            spawn(move || {
                asleep.fetch_add(1, Ordering::Relaxed);
                coroutine::sleep(until.saturating_duration_since(Instant::now()));
            })
        })
        .collect();
    while asleep.load(Ordering::Relaxed) < tasks {
        coroutine::sleep(PAUSE);
    }
    handles
}

fn cancelled(tasks: usize, meter: &mut Meter, from_birth: bool) {
    let birth = meter.start();
    let handles = asleep(tasks, Instant::now() + LONG);
    let death = meter.start();
    for handle in &handles {
        // SAFETY: nothing of the work holds what a cancelled coroutine must give back.
        unsafe { handle.coroutine().cancel() };
    }
    for handle in handles {
        // A cancelled coroutine ends by a panic of its own kind.
        let _ = handle.join();
    }
    meter.stop(if from_birth { birth } else { death }, tasks);
}

fn fired(tasks: usize, meter: &mut Meter) {
    let deadline = Instant::now() + patience(tasks);
    let handles = asleep(tasks, deadline);
    let is_late = meter.is_warm() && Instant::now() >= deadline;
    for handle in handles {
        handle.join().expect(NO_PANIC);
    }
    // If some woke before all slept, the pass does not count.
    if !is_late {
        meter.stop_since(deadline, tasks);
    }
}

fn park(tasks: usize, parked: Parked) {
    may::config().set_workers(1);
    if tasks > TASKS_MAX {
        eprintln!("may has no memory for {tasks} coroutines: see vm.max_map_count");
        std::process::exit(1);
    }
    let handles = spawn(move || asleep(tasks, Instant::now() + LONG)).join().expect(NO_PANIC);
    parked();
    for handle in &handles {
        // SAFETY: as in `cancelled`.
        unsafe { handle.coroutine().cancel() };
    }
    for handle in handles {
        let _ = handle.join();
    }
    std::thread::sleep(Duration::from_secs(5));
    parked();
}

fn serve(what: &str) -> Option<io::Result<()>> {
    may::config().set_workers(1);
    match what {
        "echo" => Some(spawn(accept).join().expect(NO_PANIC)),
        "http" => Some(plain_text()),
        _ => None,
    }
}

fn accept() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        spawn(move || echo(stream));
    }
    Ok(())
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buf = vec![0; BUF_BYTES];
    loop {
        let bytes = stream.read(&mut buf)?;
        if bytes == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..bytes])?;
    }
}

#[derive(Clone)]
struct PlainText;

impl HttpService for PlainText {
    fn call(&mut self, _: Request<'_, '_, '_>, answer: &mut Response<'_>) -> io::Result<()> {
        answer.header("Content-Type: text/plain").body(TEXT);
        Ok(())
    }
}

fn plain_text() -> io::Result<()> {
    // It says no port that it was given: one that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let server = HttpServer(PlainText).start(address)?;
    println!("{address}");
    let _ = server.join();
    Ok(())
}

/// Each stack has a guard page of its own, and at twice this number the kernel has no mappings left
/// (`vm.max_map_count`); may then does not end.
const TASKS_MAX: usize = 30_000;
const PAUSE: Duration = Duration::from_micros(200);
/// Why a join, a lock or a receive does not fail here.
const NO_PANIC: &str = "nobody panics or leaves early in this work";
