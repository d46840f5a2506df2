//! Minimal.
use std::sync::atomic::*;
fn main() {
    let hits = AtomicUsize::new(0);
    let t = std::time::Instant::now();
    let r = conbrio::run(|cx| {
        cx.nursery(|cx, n| -> Result<u32, conbrio::Cancelled> {
            for _ in 0..1000 {
                let hits = &hits;
                n.spawn(move |cx| {
                    hits.fetch_add(1, Ordering::Relaxed);
                    for _ in 0..10 {
                        cx.yield_now()?;
                    }
                    Ok(())
                });
            }
            let mut c = n.spawn(|cx| {
                cx.yield_now()?;
                Ok(5)
            });
            c.join(cx)
        })
    });
    println!("{r:?} {} {:?}", hits.load(Ordering::Relaxed), t.elapsed());
    let r = conbrio::run(|cx| {
        cx.nursery(|cx, n| -> Result<(), conbrio::Cancelled> {
            n.spawn(|cx| {
                cx.cancel_scope(|cx, s| {
                    s.cancel();
                    cx.checkpoint()
                })
            });
            n.spawn(|cx| {
                cx.move_on_after(std::time::Duration::from_millis(20), |cx| {
                    cx.wait_shutdown()
                })
            });
            Ok(())
        })
    });
    println!("{r:?} {:?}", t.elapsed());
}
