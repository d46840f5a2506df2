//! The work in conbrio.

use conbrio::channel::{self, Receiver, Sender};
use conbrio::{Cancelled, Cx};
use conbrio_benches::meter::Meter;

use crate::{OPERATIONS, Shape};

pub(crate) fn measure(
    shape: Shape,
    capacity: Option<usize>,
    workers: usize,
    meter: Meter,
) -> Meter {
    conbrio::Builder::new()
        .workers(workers)
        .run(|cx| {
            let mut meter = meter;
            while meter.wants_more() {
                let pass = meter.start();
                match shape {
                    Shape::PingPong => ping_pong(cx, capacity),
                    Shape::Many(producers, consumers) => many(cx, capacity, producers, consumers),
                }
                meter.stop(pass, OPERATIONS);
            }
            meter
        })
        .expect("a runtime")
}

fn make(capacity: Option<usize>) -> (Sender<usize>, Receiver<usize>) {
    match capacity {
        Some(items) => channel::bounded(items),
        None => channel::unbounded(),
    }
}

fn ping_pong(cx: &mut Cx, capacity: Option<usize>) {
    let (ping, pinged) = make(capacity);
    let (pong, ponged) = make(capacity);
    cx.nursery(|_, n| -> Result<(), Cancelled> {
        n.spawn(move |cx| {
            for item in 0..OPERATIONS {
                ping.send(cx, item).expect("nobody leaves");
                ponged.recv(cx).expect("nobody leaves");
            }
            Ok(())
        });
        n.spawn(move |cx| {
            for _ in 0..OPERATIONS {
                let item = pinged.recv(cx).expect("nobody leaves");
                pong.send(cx, item).expect("nobody leaves");
            }
            Ok(())
        });
        Ok(())
    })
    .expect("nobody fails");
}

fn many(cx: &mut Cx, capacity: Option<usize>, producers: usize, consumers: usize) {
    let (tx, rx) = make(capacity);
    cx.nursery(|_, n| -> Result<(), Cancelled> {
        for _ in 0..producers {
            let tx = tx.clone();
            n.spawn(move |cx| {
                for item in 0..OPERATIONS / producers {
                    tx.send(cx, item).expect("nobody leaves");
                }
                Ok(())
            });
        }
        for _ in 0..consumers {
            let rx = rx.clone();
            n.spawn(move |cx| {
                while let Ok(item) = rx.recv(cx) {
                    std::hint::black_box(item);
                }
                Ok(())
            });
        }
        drop((tx, rx));
        Ok(())
    })
    .expect("nobody fails");
}
