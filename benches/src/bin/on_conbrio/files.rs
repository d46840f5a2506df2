//! Reads at random from a file in the page cache, by so many tasks.

use std::hint::black_box;

use conbrio::fs::File;
use conbrio::{Cancelled, Cx};
use conbrio_bench_kit::files::{Offsets, Page, READS, prepare};
use conbrio_bench_kit::meter::Meter;

use crate::NOBODY;

pub(crate) fn measure(cx: &mut Cx, question: &str, tasks: usize, meter: &mut Meter) -> Option<f64> {
    if question != "file-read" {
        return None;
    }
    let path = prepare().ok()?;
    let file = File::open(cx, path).expect(NOBODY);
    let reads = READS / tasks;
    Some(meter.passes(reads * tasks, || {
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            for reader in 0..tasks {
                let file = &file;
                n.spawn(move |cx| {
                    let mut page = Page::boxed();
                    for offset in Offsets::new(reader as u64 + 1).take(reads) {
                        file.read_exact_at(cx, &mut page.0, offset).expect(NOBODY);
                        black_box(page.0[0]);
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .expect(NOBODY);
    }))
}
