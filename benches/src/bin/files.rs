//! What do files cost in tasks, beside the bare system call, threads, and `tokio::fs`?
//!
//! Random reads of 4 KiB out of the system's memory, one at a time and 32 at a time, and copying a file from
//! beginning to end. What would change our minds: a cached read one at a time above 1.2 times pread(2), for then
//! the way through the task is too dear; 32 at a time slower than threads.
//!
//! The sides take turns in one process, so that a change of the machine's mood meets all of them.
//!
//! Run: `cargo run --release -p conbrio-benches --bin files`

use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use conbrio::fs::File;
use conbrio::io::{Read, Write};
use conbrio::{Builder, Reactor};

const FILE_BYTES: u64 = 64 << 20;
const PAGE: usize = 4096;
const READS: u64 = 40_000;
const DEPTH: u64 = 32;
const ROUNDS: usize = 9;

/// One way to do the work: its name, and the time that it took.
type Way<'a> = (&'a str, Box<dyn Fn() -> Duration + 'a>);

fn main() {
    let folder = std::env::temp_dir().join(format!("conbrio-files-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("make a folder");
    let path = folder.join("file");
    let content: Vec<u8> = (0..FILE_BYTES).map(|at| (at % 251) as u8).collect();
    std::fs::write(&path, content).expect("write the file");
    let mut all = Vec::new();
    std::fs::File::open(&path).and_then(|mut file| file.read_to_end(&mut all)).expect("warm up");
    drop(all);

    println!("4 KiB at random, in memory, one at a time: ns for each");
    compare(
        READS,
        &[
            ("pread in a loop", Box::new(|| pread(&path, READS))),
            ("conbrio, epoll", Box::new(|| on_conbrio(Reactor::Epoll, &path, 1))),
            ("conbrio, io_uring", Box::new(|| on_conbrio(Reactor::PreferUring, &path, 1))),
            ("tokio::fs", Box::new(|| on_tokio(&path, 1))),
        ],
    );
    println!("\n4 KiB at random, in memory, {DEPTH} at a time: ns for each");
    compare(
        READS,
        &[
            ("pread in a loop", Box::new(|| pread(&path, READS))),
            ("threads", Box::new(|| threads(&path))),
            ("conbrio, epoll", Box::new(|| on_conbrio(Reactor::Epoll, &path, DEPTH))),
            ("conbrio, io_uring", Box::new(|| on_conbrio(Reactor::PreferUring, &path, DEPTH))),
            ("tokio::fs", Box::new(|| on_tokio(&path, DEPTH))),
        ],
    );
    println!("\ncopying in steps of 64 KiB: ns for each KiB");
    let to = folder.join("copy");
    compare(
        FILE_BYTES / 1024,
        &[
            ("read and write", Box::new(|| copy_std(&path, &to))),
            ("conbrio, epoll", Box::new(|| copy_conbrio(Reactor::Epoll, &path, &to))),
            ("conbrio, io_uring", Box::new(|| copy_conbrio(Reactor::PreferUring, &path, &to))),
            ("tokio::fs", Box::new(|| copy_tokio(&path, &to))),
        ],
    );
    println!("\ncopying as a whole: ns for each KiB");
    compare(
        FILE_BYTES / 1024,
        &[
            ("std::fs::copy", Box::new(|| timed(|| drop(std::fs::copy(&path, &to))))),
            ("conbrio::fs::copy", Box::new(|| copy_whole(&path, &to))),
            ("tokio::fs::copy", Box::new(|| copy_whole_tokio(&path, &to))),
        ],
    );
    let _ = std::fs::remove_dir_all(&folder);
}

/// The sides take turns; the first round warms up. The ratio is to the first side.
fn compare(units: u64, ways: &[Way<'_>]) {
    let mut samples = vec![Vec::new(); ways.len()];
    for round in 0..=ROUNDS {
        for (at, (_, run)) in ways.iter().enumerate() {
            let time = run().as_nanos() as f64 / units as f64;
            if round > 0 {
                samples[at].push(time);
            }
        }
    }
    let mut first = None;
    for ((name, _), samples) in ways.iter().zip(&mut samples) {
        samples.sort_by(f64::total_cmp);
        let (least, median, most) = (samples[0], samples[ROUNDS / 2], samples[ROUNDS - 1]);
        let base = *first.get_or_insert(median);
        println!("{name:<20}{median:>9.0} ({least:.0}-{most:.0})   {:.2}", median / base);
    }
}

fn timed(f: impl FnOnce()) -> Duration {
    let start = Instant::now();
    f();
    start.elapsed()
}

/// Offsets of whole pages in no order.
fn offset(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random % (FILE_BYTES / PAGE as u64) * PAGE as u64
}

fn pread(path: &Path, reads: u64) -> Duration {
    let file = std::fs::File::open(path).expect("open");
    let (mut buf, mut random) = ([0; PAGE], 1);
    timed(|| {
        for _ in 0..reads {
            assert_eq!(file.read_at(&mut buf, offset(&mut random)).expect("read"), PAGE);
        }
    })
}

fn threads(path: &Path) -> Duration {
    timed(|| {
        std::thread::scope(|scope| {
            for _ in 0..DEPTH {
                scope.spawn(|| pread(path, READS / DEPTH));
            }
        });
    })
}

fn on_conbrio(reactor: Reactor, path: &Path, depth: u64) -> Duration {
    let builder = Builder::new().reactor(reactor);
    let time = builder.run(|cx| -> std::io::Result<Duration> {
        let file = File::open(cx, path)?;
        let start = Instant::now();
        cx.nursery(|_, n| -> std::io::Result<()> {
            for task in 0..depth {
                let file = &file;
                n.spawn(move |cx| {
                    let (mut buf, mut random) = ([0; PAGE], task + 1);
                    for _ in 0..READS / depth {
                        let count = file.read_at(cx, &mut buf, offset(&mut random))?;
                        assert_eq!(count, PAGE);
                    }
                    Ok(())
                });
            }
            Ok(())
        })?;
        Ok(start.elapsed())
    });
    time.expect("a runtime").expect("reads")
}

/// It has no read at an offset: what its users write is a seek and a read, or a closure for a thread.
fn on_tokio(path: &Path, depth: u64) -> Duration {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("tokio");
    let file = Arc::new(std::fs::File::open(path).expect("open"));
    runtime.block_on(async {
        let start = Instant::now();
        let tasks: Vec<_> = (0..depth)
            .map(|task| {
                let file = Arc::clone(&file);
                tokio::spawn(async move {
                    let mut random = task + 1;
                    let mut buf = vec![0; PAGE];
                    // A part of the reads: each takes tens of microseconds.
                    for _ in 0..READS / depth / TOKIO_SHARE {
                        let (file, at) = (Arc::clone(&file), offset(&mut random));
                        let read = move || (file.read_at(&mut buf, at), buf);
                        let (count, back) = tokio::task::spawn_blocking(read).await.expect("read");
                        assert_eq!(count.expect("read"), PAGE);
                        buf = back;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a task");
        }
        start.elapsed() * TOKIO_SHARE as u32
    })
}

fn copy_std(from: &Path, to: &Path) -> Duration {
    timed(|| {
        let mut from = std::fs::File::open(from).expect("open");
        let mut to = std::fs::File::create(to).expect("create");
        let mut buf = vec![0; 64 * 1024];
        loop {
            let count = from.read(&mut buf).expect("read");
            if count == 0 {
                break;
            }
            to.write_all(&buf[..count]).expect("write");
        }
    })
}

fn copy_conbrio(reactor: Reactor, from: &Path, to: &Path) -> Duration {
    let builder = Builder::new().workers(1).reactor(reactor);
    let time = builder.run(|cx| -> std::io::Result<Duration> {
        let start = Instant::now();
        let (mut from, mut to) = (File::open(cx, from)?, File::create(cx, to)?);
        let mut buf = vec![0; 64 * 1024];
        loop {
            let count = Read::read(&mut from, cx, &mut buf)?;
            if count == 0 {
                return Ok(start.elapsed());
            }
            Write::write_all(&mut to, cx, &buf[..count])?;
        }
    });
    time.expect("a runtime").expect("a copy")
}

fn copy_tokio(from: &Path, to: &Path) -> Duration {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("tokio");
    runtime.block_on(async {
        let start = Instant::now();
        let mut from = tokio::fs::File::open(from).await.expect("open");
        let mut to = tokio::fs::File::create(to).await.expect("create");
        let mut buf = vec![0; 64 * 1024];
        loop {
            let count = from.read(&mut buf).await.expect("read");
            if count == 0 {
                break;
            }
            to.write_all(&buf[..count]).await.expect("write");
        }
        to.flush().await.expect("flush");
        start.elapsed()
    })
}

fn copy_whole(from: &Path, to: &Path) -> Duration {
    let time = Builder::new()
        .workers(1)
        .run(|cx| timed(|| assert_eq!(conbrio::fs::copy(cx, from, to).expect("copy"), FILE_BYTES)));
    time.expect("a runtime")
}

fn copy_whole_tokio(from: &Path, to: &Path) -> Duration {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("tokio");
    runtime.block_on(async {
        let start = Instant::now();
        assert_eq!(tokio::fs::copy(from, to).await.expect("copy"), FILE_BYTES);
        start.elapsed()
    })
}

/// Tokio's reads are so many times fewer.
const TOKIO_SHARE: u64 = 8;
