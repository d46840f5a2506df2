//! The work with crossbeam-channel: a thread for each task.

use conbrio_benches::meter::Meter;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::{OPERATIONS, Shape};

pub(crate) fn measure(shape: Shape, capacity: Option<usize>, mut meter: Meter) -> Meter {
    while meter.wants_more() {
        let pass = meter.start();
        match shape {
            Shape::PingPong => ping_pong(capacity),
            Shape::Many(producers, consumers) => many(capacity, producers, consumers),
        }
        meter.stop(pass, OPERATIONS);
    }
    meter
}

fn make(capacity: Option<usize>) -> (Sender<usize>, Receiver<usize>) {
    capacity.map_or_else(unbounded, bounded)
}

fn ping_pong(capacity: Option<usize>) {
    let (ping, pinged) = make(capacity);
    let (pong, ponged) = make(capacity);
    std::thread::scope(|s| {
        s.spawn(move || {
            for item in 0..OPERATIONS {
                ping.send(item).expect("nobody leaves");
                ponged.recv().expect("nobody leaves");
            }
        });
        s.spawn(move || {
            for _ in 0..OPERATIONS {
                pong.send(pinged.recv().expect("nobody leaves")).expect("nobody leaves");
            }
        });
    });
}

fn many(capacity: Option<usize>, producers: usize, consumers: usize) {
    let (tx, rx) = make(capacity);
    std::thread::scope(|s| {
        for _ in 0..producers {
            let tx = tx.clone();
            s.spawn(move || {
                for item in 0..OPERATIONS / producers {
                    tx.send(item).expect("nobody leaves");
                }
            });
        }
        for _ in 0..consumers {
            let rx = rx.clone();
            s.spawn(move || {
                for item in rx {
                    std::hint::black_box(item);
                }
            });
        }
        drop((tx, rx));
    });
}
