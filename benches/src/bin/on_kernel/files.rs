//! Reads at random from a file in the page cache: pread(2), or a ring that always has so many under way.

use std::fs::File;
use std::hint::black_box;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use conbrio_bench_kit::files::{Offsets, PAGE_BYTES, Page, READS, prepare};
use conbrio_bench_kit::meter::Meter;
use io_uring::{IoUring, opcode, types::Fd};

pub(crate) fn measure(depth: usize, meter: &mut Meter) -> Option<f64> {
    let file = File::open(prepare().ok()?).ok()?;
    match std::env::var("FILES").ok()?.as_str() {
        // It cannot have several under way.
        "pread" if depth > 1 => None,
        "pread" => Some(meter.passes(READS, || {
            let mut page = Page::boxed();
            for offset in Offsets::new(1).take(READS) {
                file.read_exact_at(&mut page.0, offset).expect(READABLE);
                black_box(page.0[0]);
            }
        })),
        "ring" => Some(meter.passes(READS, || by_ring(&file, depth).expect(READABLE))),
        _ => None,
    }
}

fn by_ring(file: &File, depth: usize) -> io::Result<()> {
    let mut ring: IoUring =
        IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(64)?;
    let mut pages: Vec<Box<Page>> = (0..depth).map(|_| Page::boxed()).collect();
    let mut offsets = Offsets::new(1).take(READS);
    let mut free: Vec<usize> = (0..depth).collect();
    loop {
        while let Some(place) = free.pop() {
            let Some(offset) = offsets.next() else {
                free.push(place);
                break;
            };
            let buf = pages[place].0.as_mut_ptr();
            let read = opcode::Read::new(Fd(file.as_raw_fd()), buf, PAGE_BYTES as u32)
                .offset(offset)
                .build()
                .user_data(place as u64);
            // SAFETY: the page stays until its read has completed: it is not free before.
            unsafe { ring.submission().push(&read) }.expect("a place for each page");
        }
        if free.len() == depth {
            return Ok(());
        }
        ring.submit_and_wait(1)?;
        for entry in ring.completion() {
            assert_eq!(entry.result(), PAGE_BYTES as i32, "a page is read as a whole");
            let place = entry.user_data() as usize;
            black_box(pages[place].0[0]);
            free.push(place);
        }
    }
}

/// Why a read does not fail.
const READABLE: &str = "the file was made for this";
