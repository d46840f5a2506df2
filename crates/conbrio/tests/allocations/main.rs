//! What allocates and what does not, counted by an allocator of the test's own.
//!
//! Everything is measured after a warm-up: queues, the timer store and the stacks have grown by then.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::{Builder, Cancelled};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: usize = 1_000;

/// Too short to be waited for by anybody but the timer store.
const A_MOMENT: Duration = Duration::from_micros(1);

/// How many allocations `ROUNDS` rounds make, after as many to warm up.
fn count(cx: &mut Cx, mut round: impl FnMut(&mut Cx)) -> usize {
    for _ in 0..ROUNDS {
        round(cx);
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..ROUNDS {
        round(cx);
    }
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

fn send_and_receive(cx: &mut Cx) -> std::io::Result<usize> {
    let mut listener = TcpListener::bind(cx, "127.0.0.1:0")?;
    let mut client = TcpStream::connect(cx, listener.local_addr()?)?;
    let (mut server, _) = listener.accept(cx)?;
    let mut counted = 0;
    cx.nursery(|cx, n| {
        n.spawn_local(cx, |cx| {
            let mut byte = [0];
            while server.read(cx, &mut byte)? > 0 {
                server.write_all(cx, &byte)?;
            }
            Ok(())
        });
        counted = count(cx, |cx| {
            let mut byte = [0];
            client.write_all(cx, b"x").unwrap();
            client.read_exact(cx, &mut byte).unwrap();
        });
        client.shutdown(std::net::Shutdown::Both)
    })?;
    Ok(counted)
}

/// One test, because the counter belongs to the process.
// spec: S1, S34, S44, S57
#[test]
fn waits_scopes_and_nurseries_allocate_nothing_and_a_spawn_at_most_once() {
    let outcome = Builder::new().workers(1).run(|cx| {
        type Round = fn(&mut Cx) -> Result<(), Cancelled>;
        let nothing: [(&str, Round); 8] = [
            ("checkpoint", |cx| cx.checkpoint()),
            ("yield", |cx| cx.yield_now()),
            ("sleep", |cx| cx.sleep(A_MOMENT)),
            ("scope", |cx| cx.cancel_scope(|cx, _| cx.checkpoint()).map(|_| ())),
            ("shield", |cx| cx.shield(|cx| cx.checkpoint())),
            ("timeout", |cx| {
                cx.move_on_after(Duration::from_secs(9), |cx| cx.checkpoint()).map(|_| ())
            }),
            ("timeout around a sleep", |cx| {
                cx.move_on_after(Duration::from_secs(9), |cx| cx.sleep(A_MOMENT)).map(|_| ())
            }),
            ("nursery", |cx| {
                cx.nursery(|cx, _| cx.checkpoint()).unwrap();
                Ok(())
            }),
        ];
        for (what, round) in nothing {
            assert_eq!(count(cx, |cx| round(cx).unwrap()), 0, "{what}");
        }
        let spawns = count(cx, |cx| {
            let spawned = cx.nursery(|cx, n| -> Result<u32, Cancelled> {
                let mut child = n.spawn(|cx| cx.checkpoint().map(|()| 1));
                n.spawn_local(cx, |cx| cx.yield_now());
                child.join(cx)
            });
            assert_eq!(spawned.unwrap(), 1);
        });
        assert!(spawns <= 2 * ROUNDS, "{spawns} allocations for {} spawns", 2 * ROUNDS);
        spawns
    });
    if !cfg!(feature = "sanitizer") {
        // The cells of tasks that have ended are used again.
        assert_eq!(outcome.unwrap(), 0);
    }
    let io = Builder::new().workers(1).run(|cx| send_and_receive(cx).unwrap());
    assert_eq!(io.unwrap(), 0, "reading and writing with waits in between");
}
