//! Cancelled at any time: the file holds what the result says, and nothing goes on behind anybody's back.

use std::io::SeekFrom;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conbrio::fs::{self, File};
use conbrio::io::{Incomplete, Read, Seek, Write};
use conbrio::prelude::*;

use crate::support::{
    Chance, Folder, descriptors, in_a_process_of_its_own, on_workers, pattern, rounds,
};

/// Runs `f` under a deadline between nothing and `limit_us`.
fn hurry<R, E: MaybeCancelled>(
    cx: &mut Cx,
    chance: &mut Chance,
    limit_us: usize,
    f: impl FnOnce(&mut Cx) -> Result<R, E>,
) -> Result<R, E> {
    // Now and then before it begins, or not at all, however busy the machine is.
    let limit = Duration::from_micros(match chance.below(8) {
        0 => 0,
        1 => 60_000_000,
        _ => chance.below(limit_us) as u64,
    });
    let mut outcome = None;
    let scope = cx.move_on_after(limit, |cx| {
        outcome = Some(f(cx));
        Ok::<(), Cancelled>(())
    });
    assert!(matches!(scope, Ok(Some(()))));
    outcome.unwrap()
}

/// How many bytes a result says were moved.
fn moved(result: Result<(), Incomplete>, length: usize) -> usize {
    match result {
        Ok(()) => length,
        Err(error) => {
            assert!(error.is_cancelled(), "{error}");
            error.done() as usize
        }
    }
}

/// The founding example: a write returns, or it was cancelled and the file was not written; nothing is written
/// later.
// spec: S24, S25, S26, S42, S55, N13
#[test]
fn the_file_holds_exactly_the_bytes_that_the_results_say() {
    let folders = || [Folder::new(), Folder::inside(std::path::Path::new("/dev/shm"))];
    on_workers(|cx| {
        let mut chance = Chance::new(3);
        for folder in folders() {
            let path = folder.at("file");
            let mut file = File::create_new(cx, &path).unwrap();
            let data = pattern(2_600_000);
            let (mut whole, mut parts, mut nothing) = (0, 0, 0);
            for round in 0..rounds(120, 5_000) {
                let length = match round % 3 {
                    0 => 1 + chance.below(9_000),
                    1 => 1 + chance.below(200_000),
                    _ => 1 + chance.below(data.len()),
                };
                let before = file.stream_position(cx).unwrap() as usize;
                let result = hurry(cx, &mut chance, 600, |cx| file.write_all(cx, &data[..length]));
                let count = moved(result, length);
                match count {
                    0 => nothing += 1,
                    count if count == length => whole += 1,
                    _ => parts += 1,
                }
                assert_eq!(cx.statistics().io_waits, 0, "nothing is pending");
                assert_eq!(file.stream_position(cx).unwrap() as usize, before + count);
                let written = std::fs::read(&path).unwrap();
                assert!(written.len() == before + count && written[before..] == data[..count]);
                if written.len() > 4_000_000 {
                    file.set_len(cx, 0).unwrap();
                    file.rewind(cx).unwrap();
                }
            }
            println!("{whole} whole, {parts} in part, {nothing} not at all");
            assert!(whole > 0 && nothing > 0);
        }
    });
}

// spec: S24, S55
#[test]
fn a_buffer_is_not_written_to_after_the_read_has_returned() {
    on_workers(|cx| {
        let folder = Folder::new();
        let data = pattern(3_000_000);
        std::fs::write(folder.at("file"), &data).unwrap();
        let mut file = File::open(cx, folder.at("file")).unwrap();
        file.sync_all(cx).unwrap();
        let mut chance = Chance::new(4);
        let mut buf = vec![0; 1_200_000];
        let mut cancelled = 0;
        for _ in 0..rounds(40, 4_000) {
            let start = chance.below(1_500_000);
            // From the device, mostly.
            let all = std::num::NonZeroU64::new(data.len() as u64);
            rustix::fs::fadvise(&file, 0, all, rustix::fs::Advice::DontNeed).unwrap();
            file.seek(cx, SeekFrom::Start(start as u64)).unwrap();
            let result = hurry(cx, &mut chance, 1_500, |cx| file.read_exact(cx, &mut buf));
            cancelled += usize::from(result.is_err());
            let count = moved(result, buf.len());
            assert!(buf[..count] == data[start..start + count]);
            assert_eq!(file.stream_position(cx).unwrap() as usize, start + count);
            // What came late would show here.
            buf.fill(255);
            cx.yield_now().unwrap();
            assert!(buf.iter().all(|byte| *byte == 255));
        }
        println!("{cancelled} cancelled");
        assert!(cancelled > 0);
    });
}

/// Many tasks, each with a buffer on its stack, and all of them cancelled at once, again and again.
// spec: N13, S55
#[test]
fn a_storm_of_cancellations_with_borrowed_buffers() {
    on_workers(|cx| {
        let folder = Folder::new();
        std::fs::write(folder.at("file"), pattern(1 << 20)).unwrap();
        let file =
            fs::OpenOptions::new().read(true).write(true).open(cx, folder.at("file")).unwrap();
        let mut chance = Chance::new(5);
        let steps = AtomicUsize::new(0);
        for _ in 0..rounds(10, 400) {
            let target = steps.load(Ordering::Relaxed) + chance.below(60);
            let ended = cx.cancel_scope(|cx, scope| {
                cx.nursery(|cx, n| -> std::io::Result<()> {
                    for task in 0..32_u64 {
                        let (file, steps) = (&file, &steps);
                        n.spawn(move |cx| -> std::io::Result<()> {
                            let mut buf = [0; 8 * 1024];
                            let place = task * 32 * 1024;
                            let expected = |at: usize| ((place as usize + at) % 251) as u8;
                            loop {
                                file.read_exact_at(cx, &mut buf, place)?;
                                let mut bytes = buf.iter().enumerate();
                                assert!(bytes.all(|(at, byte)| *byte == expected(at)));
                                file.write_all_at(cx, &buf, place)?;
                                steps.fetch_add(1, Ordering::Relaxed);
                                if task % 4 == 0 {
                                    file.sync_data(cx)?;
                                }
                            }
                        });
                    }
                    while steps.load(Ordering::Relaxed) <= target {
                        cx.yield_now()?;
                    }
                    scope.cancel();
                    Ok(())
                })
            });
            assert!(matches!(ended, Ok(None)), "{ended:?}");
            assert_eq!(cx.statistics().io_waits, 0);
        }
        assert!(steps.into_inner() > 0);
        assert!(std::fs::read(folder.at("file")).unwrap() == pattern(1 << 20));
    });
}

// spec: S25
#[test]
fn a_cancelled_copy_holds_the_beginning() {
    on_workers(|cx| {
        let folder = Folder::new();
        let data = pattern(20_000_000);
        std::fs::write(folder.at("from"), &data).unwrap();
        let mut chance = Chance::new(6);
        for _ in 0..rounds(4, 500) {
            let _ = std::fs::remove_file(folder.at("to"));
            let copied = hurry(cx, &mut chance, 4_000, |cx| {
                fs::copy(cx, folder.at("from"), folder.at("to"))
            });
            let count = moved(copied.map(drop), data.len());
            match std::fs::read(folder.at("to")) {
                Ok(written) => assert!(written == data[..count]),
                Err(_) => assert_eq!(count, 0),
            }
        }
    });
}

/// Names are made and removed as the results say, and no descriptor is lost.
// spec: S25, S26, test_file_io.aclose_cancelled
#[test]
fn cancelled_opening_closing_and_naming_is_all_or_nothing() {
    in_a_process_of_its_own(
        "cancel::cancelled_opening_closing_and_naming_is_all_or_nothing",
        || {
            on_workers(|cx| {
                let folder = Folder::new();
                let path = folder.at("file");
                let mut chance = Chance::new(8);
                let before = descriptors();
                let mut cancelled = [0; 5];
                for _ in 0..rounds(150, 5_000) {
                    let made = hurry(cx, &mut chance, 80, |cx| File::create_new(cx, &path));
                    assert_eq!(path.exists(), made.is_ok());
                    let Ok(file) = made else {
                        cancelled[0] += 1;
                        continue;
                    };
                    cancelled[1] +=
                        usize::from(hurry(cx, &mut chance, 80, |cx| file.close(cx)).is_err());
                    assert_eq!(descriptors(), before, "it is closed in any case");
                    let moved =
                        hurry(cx, &mut chance, 80, |cx| fs::rename(cx, &path, folder.at("new")));
                    assert_eq!(folder.names(), [if moved.is_ok() { "new" } else { "file" }]);
                    cancelled[2] += usize::from(moved.is_err());
                    let name = folder.at(&folder.names()[0]);
                    let linked = hurry(cx, &mut chance, 80, |cx| {
                        fs::hard_link(cx, &name, folder.at("link"))
                    });
                    assert_eq!(folder.at("link").exists(), linked.is_ok());
                    cancelled[3] += usize::from(linked.is_err());
                    let gone = hurry(cx, &mut chance, 80, |cx| fs::remove_file(cx, &name));
                    assert_eq!(name.exists(), gone.is_err());
                    cancelled[4] += usize::from(gone.is_err());
                    for name in folder.names() {
                        std::fs::remove_file(folder.at(name)).unwrap();
                    }
                }
                println!("cancelled: {cancelled:?}");
                assert!(cancelled.iter().sum::<usize>() > 0);
            });
        },
    );
}

// spec: test_file_io.aclose_cancelled
#[test]
fn closing_in_a_cancelled_scope_closes_and_says_cancelled() {
    in_a_process_of_its_own(
        "cancel::closing_in_a_cancelled_scope_closes_and_says_cancelled",
        || {
            on_workers(|cx| {
                let folder = Folder::new();
                let file = File::create(cx, folder.at("file")).unwrap();
                let before = descriptors();
                let outcome = cx.cancel_scope(|cx, scope| -> std::io::Result<()> {
                    scope.cancel();
                    let error = file.close(cx).unwrap_err();
                    assert!(error.cancelled().is_some());
                    Err(error.into())
                });
                assert!(matches!(outcome, Ok(None)));
                assert_eq!(descriptors(), before - 1);
            });
        },
    );
}

/// A task that unwinds may not wait; its files are closed all the same.
#[test]
fn files_are_not_waited_for_while_unwinding() {
    struct Late<'a>(&'a mut Cx, File);
    impl Drop for Late<'_> {
        fn drop(&mut self) {
            assert!(self.1.write_all(self.0, b"late").is_err());
            assert!(fs::metadata(self.0, "/").is_err());
        }
    }
    let folder = Folder::new();
    let panicked = std::panic::catch_unwind(|| {
        conbrio::run(|cx| {
            let file = File::create(cx, folder.at("file")).unwrap();
            let _late = Late(cx, file);
            std::panic::resume_unwind(Box::new("on purpose"));
        });
    });
    assert!(panicked.is_err());
    assert_eq!(std::fs::read(folder.at("file")).unwrap(), b"");
}
