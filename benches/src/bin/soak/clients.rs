//! Clients that behave, and what they have seen.

use std::fmt;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use conbrio::prelude::*;

use crate::connection::{Connection, Target};
use crate::wire::{self, Kind};

/// How many clients behave.
pub(crate) const GOOD: usize = 1_000;

/// Counters of one phase.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) requests: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) stored: AtomicU64,
    pub(crate) partings: AtomicU64,
    pub(crate) slowest_ms: AtomicU64,
    pub(crate) resets: AtomicU64,
    pub(crate) slow_readers: AtomicU64,
    pub(crate) stopped_peers: AtomicU64,
    pub(crate) floods: AtomicU64,
    pub(crate) full_disks: AtomicU64,
    /// What good clients have seen, the first few.
    errors: Mutex<Vec<String>>,
}

/// Whether the disk has room: its clients know when it has not.
#[derive(Default)]
pub(crate) struct Room {
    /// How often it was filled or cleared: odd while it is full.
    changes: AtomicU64,
}

impl Room {
    pub(crate) fn change(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }
}

impl Figures {
    fn fail(&self, what: String) {
        let mut errors = self.errors.lock().expect("no panic under it");
        if errors.len() < 10 {
            println!("soak: a good client has seen: {what}");
            errors.push(what);
        }
    }

    pub(crate) fn errors(&self) -> Vec<String> {
        self.errors.lock().expect("no panic under it").clone()
    }

    /// Whether there was some of each (of a full disk only where there can be one).
    pub(crate) fn has_happened(&self) -> bool {
        let faults =
            [&self.requests, &self.resets, &self.slow_readers, &self.stopped_peers, &self.floods];
        faults.iter().all(|count| count.load(Ordering::Relaxed) > 0)
    }

    /// Both together.
    pub(crate) fn and(self, other: Figures) -> Figures {
        let pairs = self.counters().into_iter().zip(other.counters());
        for ((_, mine), (_, theirs)) in pairs {
            mine.fetch_add(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let slowest = other.slowest_ms.load(Ordering::Relaxed);
        self.slowest_ms.fetch_max(slowest, Ordering::Relaxed);
        self.errors.lock().expect("no panic under it").extend(other.errors());
        self
    }

    fn counters(&self) -> [(&'static str, &AtomicU64); 9] {
        [
            ("requests", &self.requests),
            ("connections", &self.connections),
            ("stored", &self.stored),
            ("partings", &self.partings),
            ("resets", &self.resets),
            ("slow readers", &self.slow_readers),
            ("stopped peers", &self.stopped_peers),
            ("floods", &self.floods),
            ("full disks", &self.full_disks),
        ]
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.counters() {
            write!(f, "{} {name}, ", count.load(Ordering::Relaxed))?;
        }
        let slowest = self.slowest_ms.load(Ordering::Relaxed);
        write!(f, "slowest answer {slowest} ms, {} errors", self.errors().len())
    }
}

/// A client that behaves: it never ends by itself, and notes what goes wrong.
pub(crate) fn good(
    cx: &mut Cx,
    server: &Target,
    number: usize,
    figures: &Figures,
    room: &Room,
) -> io::Result<()> {
    let mut chance = Chance::new(number as u64);
    // Not all at once.
    cx.sleep(Duration::from_millis(chance.below(3_000)))?;
    loop {
        let talked = talk(cx, server, &mut chance, figures, room);
        cx.checkpoint()?;
        if let Err(error) = talked {
            figures.fail(format!("client {number}: {error}"));
            cx.sleep(Duration::from_secs(1))?;
        }
    }
}

/// One connection, with some requests.
fn talk(
    cx: &mut Cx,
    server: &Target,
    chance: &mut Chance,
    figures: &Figures,
    room: &Room,
) -> io::Result<()> {
    let mut stream = cx.fail_after(PATIENCE, |cx| server.connect(cx))?;
    figures.connections.fetch_add(1, Ordering::Relaxed);
    for _ in 0..1 + chance.below(40) {
        let length = match chance.below(20) {
            0 => chance.below(200_000),
            _ => chance.below(2_000),
        } as usize;
        let seed = chance.below(251);
        let payload: Vec<u8> = (0..length).map(|at| (at as u64 + seed) as u8).collect();
        let began = Instant::now();
        if chance.below(50) == 0 {
            cx.fail_after(PATIENCE, |cx| store(cx, &mut stream, &payload, room))?;
            figures.stored.fetch_add(1, Ordering::Relaxed);
        } else {
            cx.fail_after(PATIENCE, |cx| echo(cx, &mut stream, &payload))?;
        }
        figures.slowest_ms.fetch_max(began.elapsed().as_millis() as u64, Ordering::Relaxed);
        figures.requests.fetch_add(1, Ordering::Relaxed);
        cx.sleep(Duration::from_millis(chance.below(800)))?;
    }
    // The others go without a word.
    if chance.below(2) == 0 {
        cx.fail_after(PATIENCE, |cx| stream.part(cx))?;
        figures.partings.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn echo(cx: &mut Cx, stream: &mut Connection, payload: &[u8]) -> io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    let mut answer = vec![0; payload.len()];
    cx.nursery(|cx, n| -> io::Result<()> {
        n.spawn(move |cx| {
            writer.write_all(cx, &wire::header(Kind::Echo, payload.len()))?;
            Ok(writer.write_all(cx, payload)?)
        });
        Ok(reader.read_exact(cx, &mut answer)?)
    })?;
    if answer == payload {
        return Ok(());
    }
    Err(io::Error::other(format!("another answer than the {} bytes of the question", answer.len())))
}

fn store(cx: &mut Cx, stream: &mut Connection, payload: &[u8], room: &Room) -> io::Result<()> {
    let before = room.changes();
    wire::ask(cx, stream, Kind::Store, payload)?;
    let mut answer = [0; 4];
    stream.read_exact(cx, &mut answer)?;
    match &answer {
        wire::STORED => Ok(()),
        wire::FULL if before % 2 == 1 || room.changes() != before => Ok(()),
        wire::FULL => Err(io::Error::other("no room on a disk that is not full")),
        other => Err(io::Error::other(format!("{other:?} is no answer"))),
    }
}

/// xorshift64*: reproducible chance.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// A good client gives up when an answer takes this long: a flood lasts two seconds, and a machine that does many
/// other things slows everybody down.
const PATIENCE: Duration = Duration::from_secs(60);
