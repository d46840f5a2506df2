//! Reads at random from a file in the page cache, by `tokio::fs`: each task has a file of its own, as a file has
//! one position.

use std::hint::black_box;
use std::io::SeekFrom;

use conbrio_bench_kit::files::{Offsets, Page, READS, prepare};
use conbrio_bench_kit::meter::Meter;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::task::JoinSet;

use crate::NO_PANIC;

pub(crate) async fn measure(question: &str, tasks: usize, meter: &mut Meter) -> Option<f64> {
    if question != "file-read" {
        return None;
    }
    let path = prepare().ok()?;
    // They cost a hundred times as much as a read by this thread.
    let reads = READS / 8 / tasks;
    while meter.wants_more() {
        let pass = meter.start();
        let mut readers = JoinSet::new();
        for reader in 0..tasks {
            let path = path.clone();
            readers.spawn(async move {
                let mut file = File::open(path).await.expect(READABLE);
                let mut page = Page::boxed();
                for offset in Offsets::new(reader as u64 + 1).take(reads) {
                    file.seek(SeekFrom::Start(offset)).await.expect(READABLE);
                    file.read_exact(&mut page.0).await.expect(READABLE);
                    black_box(page.0[0]);
                }
            });
        }
        while let Some(ended) = readers.join_next().await {
            ended.expect(NO_PANIC);
        }
        meter.stop(pass, reads * tasks);
    }
    Some(meter.ns_per_operation())
}

/// Why a read does not fail.
const READABLE: &str = "the file was made for this";
