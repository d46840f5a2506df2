//! Small programs with bugs that only some orders show, and one without.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use conbrio::prelude::*;

fn in_parallel<const N: usize>(
    cx: &mut Cx,
    names: [&'static str; N],
    step: impl Fn(&mut Cx, &'static str) -> Result<(), Cancelled> + Sync,
) {
    cx.nursery(|_, n| -> Result<(), Cancelled> {
        for name in names {
            let step = &step;
            n.task(name).spawn(move |cx| step(cx, name));
        }
        Ok(())
    })
    .unwrap();
}

/// Two tasks add one each, in two steps.
pub(crate) fn lost_update(cx: &mut Cx) {
    let counter = AtomicU32::new(0);
    in_parallel(cx, ["one", "two"], |cx, _| {
        let seen = counter.load(Relaxed);
        cx.checkpoint()?;
        counter.store(seen + 1, Relaxed);
        Ok(())
    });
    assert_eq!(counter.into_inner(), 2, "an update was lost");
}

/// A lock that is taken by looking and then storing. If `may_stop`, a task may be stopped in between.
pub(crate) fn lock(cx: &mut Cx, may_stop: bool) {
    let is_held = AtomicBool::new(false);
    let inside = AtomicU32::new(0);
    in_parallel(cx, ["one", "two", "three"], |cx, _| {
        while is_held.load(Relaxed) {
            cx.yield_now()?;
        }
        if may_stop {
            cx.checkpoint()?;
        }
        is_held.store(true, Relaxed);
        assert_eq!(inside.fetch_add(1, Relaxed), 0, "two tasks are inside");
        cx.checkpoint()?;
        inside.fetch_sub(1, Relaxed);
        is_held.store(false, Relaxed);
        Ok(())
    });
}

/// One waits for a wake-up that the other may have given before.
pub(crate) fn lost_wake(cx: &mut Cx) {
    let is_ready = AtomicBool::new(false);
    let sleeper: Mutex<Option<CancelHandle>> = Mutex::new(None);
    in_parallel(cx, ["waits", "wakes"], |cx, name| {
        if name == "wakes" {
            is_ready.store(true, Relaxed);
            if let Some(sleeper) = sleeper.lock().unwrap().take() {
                sleeper.cancel();
            }
        } else if !is_ready.load(Relaxed) {
            cx.checkpoint()?;
            cx.cancel_scope(|cx, scope| {
                *sleeper.lock().unwrap() = Some(scope.handle());
                cx.sleep_forever().map(|_| ())
            })?;
        }
        Ok(())
    });
}

/// Something is wrong for one moment, late in a long run of one task, and the other looks once, early in
/// its own.
pub(crate) fn short_moment(cx: &mut Cx) {
    let is_wrong = AtomicBool::new(false);
    in_parallel(cx, ["long", "short"], |cx, name| {
        if name == "short" {
            cx.checkpoint()?;
            assert!(!is_wrong.load(Relaxed), "it was seen");
            return Ok(());
        }
        for step in 0..60 {
            is_wrong.store(step == 50, Relaxed);
            cx.checkpoint()?;
        }
        Ok(())
    });
}

/// Three tasks must come in one order of six, with a preemption: it needs three ordered moments.
pub(crate) fn three_in_order(cx: &mut Cx) {
    let state = AtomicU32::new(0);
    in_parallel(cx, ["first", "second", "third"], |cx, name| {
        let turn = match name {
            "first" => 1,
            "second" => 2,
            _ => 3,
        };
        for _ in 0..turn * 4 {
            cx.checkpoint()?;
        }
        // The order is third, second, first.
        if state.load(Relaxed) == 3 - turn {
            state.fetch_add(1, Relaxed);
        }
        cx.checkpoint()?;
        assert!(turn != 1 || state.load(Relaxed) != 3, "all three have come in the rare order");
        Ok(())
    });
}
