//! Starting a program that ends at once, and waiting for it, by so many tasks.

use conbrio::process::Command;
use conbrio::{Cancelled, Cx};
use conbrio_bench_kit::counts::{PROCESSES, PROGRAM};
use conbrio_bench_kit::meter::Meter;

use crate::NOBODY;

pub(crate) fn measure(cx: &mut Cx, question: &str, tasks: usize, meter: &mut Meter) -> Option<f64> {
    if question != "process" {
        return None;
    }
    let times = PROCESSES / tasks;
    Some(meter.passes(times * tasks, || {
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            for _ in 0..tasks {
                n.spawn(move |cx| {
                    for _ in 0..times {
                        assert!(Command::new(PROGRAM).status(cx).expect(NOBODY).success());
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .expect(NOBODY);
    }))
}
