//! micro
use conbrio::*;
use std::time::Instant;
fn main() {
    let which = std::env::args().nth(1).unwrap_or("all".into());
    let n: u32 = std::env::args()
        .nth(2)
        .and_then(|s| s.parse().ok())
        .unwrap_or(1_000_000);
    conbrio::Builder::new()
        .workers(1)
        .run(|cx| {
            let is = |s: &str| which == "all" || which == s;
            for _ in 0..2 {
                let t = Instant::now();
                if is("yield1") {
                    for _ in 0..n {
                        cx.yield_now().unwrap();
                    }
                    println!("yield 1: {:.1}", t.elapsed().as_nanos() as f64 / n as f64);
                }
                let t = Instant::now();
                if is("cp") {
                    for _ in 0..n {
                        cx.checkpoint().unwrap();
                    }
                    println!(
                        "checkpoint: {:.1}",
                        t.elapsed().as_nanos() as f64 / n as f64
                    );
                }
                let t = Instant::now();
                if is("scope") {
                    for _ in 0..n {
                        let _ = cx.cancel_scope(|_, _| Ok::<_, Cancelled>(()));
                    }
                    println!("scope: {:.1}", t.elapsed().as_nanos() as f64 / n as f64);
                }
                let t = Instant::now();
                if is("moa") {
                    for _ in 0..n {
                        let _ = cx.move_on_after(std::time::Duration::from_secs(5), |_| {
                            Ok::<_, Cancelled>(())
                        });
                    }
                    println!(
                        "move_on_after: {:.1}",
                        t.elapsed().as_nanos() as f64 / n as f64
                    );
                }
                let t = Instant::now();
                if is("nursery") {
                    for _ in 0..n {
                        let _ = cx.nursery(|_, _| Ok::<_, Cancelled>(()));
                    }
                    println!("nursery: {:.1}", t.elapsed().as_nanos() as f64 / n as f64);
                }
                let t = Instant::now();
                if is("join") {
                    let _ = cx.nursery(|cx, nn| {
                        for _ in 0..n {
                            let mut c = nn.spawn(|_| Ok(1));
                            c.join(cx)?;
                        }
                        Ok::<_, Cancelled>(())
                    });
                    println!(
                        "spawn+join: {:.1}",
                        t.elapsed().as_nanos() as f64 / n as f64
                    );
                }
                let t = Instant::now();
                if is("batch") {
                    for _ in 0..n / 1000 {
                        let _ = cx.nursery(|_, nn| {
                            for _ in 0..1000 {
                                nn.spawn(|_| Ok(()));
                            }
                            Ok::<_, Cancelled>(())
                        });
                    }
                    println!(
                        "spawn batch 1000: {:.1}",
                        t.elapsed().as_nanos() as f64 / n as f64
                    );
                }
                let t = Instant::now();
                if is("yield1000") {
                    let _ = cx.nursery(|_, nn| {
                        for _ in 0..1000 {
                            nn.spawn(|cx| {
                                for _ in 0..n / 1000 {
                                    cx.yield_now()?;
                                }
                                Ok(())
                            });
                        }
                        Ok::<_, Cancelled>(())
                    });
                    println!(
                        "yield 1000: {:.1}",
                        t.elapsed().as_nanos() as f64 / n as f64
                    );
                }
            }
        })
        .unwrap();
}
