//! Threads, channels and locks of the standard library.

use std::hint::black_box;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread;

use conbrio_bench_kit::counts::{CAPACITY, ITEMS, OPERATIONS, PARTIES, SPAWNED_THREADS};
use conbrio_bench_kit::program::Sample;

pub(crate) fn sample(sample: Sample<'_>) -> Option<f64> {
    let Sample { question, workers, mut meter, .. } = sample;
    if question == "process" {
        // What it starts would be on its core, too.
        return Some(crate::processes::measure(sample.tasks, &mut meter));
    }
    if workers == 1 {
        // On one core, as tasks are on one worker.
        conbrio_bench_kit::os::pin(0).ok()?;
    }
    let ns = match question {
        "file-read" => return crate::files::measure(sample.tasks, &mut meter),
        "yield" if sample.tasks == 1 => {
            meter.passes(OPERATIONS, || (0..OPERATIONS).for_each(|_| thread::yield_now()))
        }
        "spawn-join" => meter.passes(SPAWNED_THREADS, || {
            for _ in 0..SPAWNED_THREADS {
                black_box(thread::spawn(|| black_box(1_u64)).join().expect(NO_PANIC));
            }
        }),
        "ping-pong" | "wake-across" => meter.passes(ITEMS / 4, ping_pong),
        "fan-in" => meter.passes(ITEMS, fan_in),
        "mutex" => {
            let mutex = Mutex::new(0_u64);
            meter.passes(OPERATIONS, || {
                (0..OPERATIONS).for_each(|_| *black_box(&mutex).lock().expect(NO_PANIC) += 1);
            })
        }
        "mutex-contended" => meter.passes(ITEMS, contended),
        _ => return None,
    };
    Some(ns)
}

fn ping_pong() {
    let (ping, pinged) = sync_channel(1);
    let (pong, ponged) = sync_channel(1);
    let other = thread::spawn(move || {
        for item in pinged {
            pong.send(item).expect(NO_PANIC);
        }
    });
    for item in 0..ITEMS / 4 {
        ping.send(item).expect(NO_PANIC);
        black_box(ponged.recv().expect(NO_PANIC));
    }
    drop(ping);
    other.join().expect(NO_PANIC);
}

fn fan_in() {
    let (tx, rx) = sync_channel(CAPACITY);
    for _ in 0..PARTIES {
        let tx = tx.clone();
        thread::spawn(move || {
            for item in 0..ITEMS / PARTIES {
                tx.send(item).expect(NO_PANIC);
            }
        });
    }
    drop(tx);
    for item in rx {
        black_box(item);
    }
}

/// They give way while they hold it, as the tasks do.
fn contended() {
    let mutex = Arc::new(Mutex::new(0_u64));
    let threads: Vec<_> = (0..PARTIES)
        .map(|_| {
            let mutex = Arc::clone(&mutex);
            thread::spawn(move || {
                for _ in 0..ITEMS / PARTIES {
                    let mut value = mutex.lock().expect(NO_PANIC);
                    thread::yield_now();
                    *value += 1;
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect(NO_PANIC);
    }
}

/// Why a join or a send does not fail here.
const NO_PANIC: &str = "no thread of this work panics or leaves early";
