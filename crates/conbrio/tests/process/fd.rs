//! Waiting for descriptors that somebody else made.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::Arc;

use conbrio::io::{Read, Write};
use conbrio::lowlevel::{Fd, Interest, wait_readable, wait_writable};
use conbrio::prelude::*;
use conbrio::testing::{self, assert_checkpoints, settle};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use crate::support::{CUSHION, cancel_when_blocked, cancelled_before, on_workers, pattern};

fn is_nonblocking(fd: impl AsFd) -> bool {
    fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
}

/// Fills the socket until it takes no more.
fn fill(socket: &Fd<UnixStream>) -> usize {
    let mut total = 0;
    while let Ok(count) = socket.get_ref().write(&[7; 4096]) {
        total += count;
    }
    total
}

fn sockets() -> (Fd<UnixStream>, Fd<UnixStream>) {
    let (left, right) = UnixStream::pair().unwrap();
    (Fd::new(left).unwrap(), Fd::new(right).unwrap())
}

// spec: test_io.wait_basic
#[test]
fn readable_and_writable_by_an_fd() {
    on_workers(|cx| {
        let (left, right) = sockets();
        // At once, and a checkpoint all the same.
        assert_checkpoints(cx, |cx| left.wait(cx, Interest::Writable)).unwrap();
        let _ = cancelled_before(cx, |cx| left.wait(cx, Interest::Writable));
        // Until there is something.
        let _ = cancel_when_blocked(cx, |cx| left.wait(cx, Interest::Readable));
        cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(|cx| Ok(left.wait(cx, Interest::Readable)?));
            settle(cx, CUSHION)?;
            right.get_ref().write_all(b"x")
        })
        .unwrap();
        assert_checkpoints(cx, |cx| left.wait(cx, Interest::Readable)).unwrap();
        // Until there is room.
        let total = fill(&left);
        let _ = cancel_when_blocked(cx, |cx| left.wait(cx, Interest::Writable));
        cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(|cx| Ok(left.wait(cx, Interest::Writable)?));
            settle(cx, CUSHION)?;
            right.get_ref().read_exact(&mut vec![0; total])
        })
        .unwrap();
    });
}

// spec: test_io.wait_basic
#[test]
fn readable_and_writable_by_anything_that_has_a_descriptor() {
    on_workers(|cx| {
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        assert_checkpoints(cx, |cx| wait_writable(cx, &writer)).unwrap();
        let _ = cancelled_before(cx, |cx| wait_writable(cx, &writer));
        let _ = cancel_when_blocked(cx, |cx| wait_readable(cx, &reader));
        // Any number of tasks, and all are told.
        cx.nursery(|cx, n| -> std::io::Result<()> {
            for _ in 0..3 {
                n.spawn(|cx| Ok(wait_readable(cx, &reader)?));
            }
            settle(cx, CUSHION)?;
            writer.write_all(b"x")
        })
        .unwrap();
        reader.read_exact(&mut [0]).unwrap();
        assert!(!is_nonblocking(&reader) && !is_nonblocking(&writer), "its mode is left alone");
        // The end counts.
        drop(writer);
        wait_readable(cx, &reader).unwrap();
        // A full pipe, to the end of its reader.
        let (reader, writer) = std::io::pipe().unwrap();
        let writer = Fd::new(writer).unwrap();
        while (&mut writer.get_ref()).write(&[0; 4096]).is_ok() {}
        let _ = cancel_when_blocked(cx, |cx| wait_writable(cx, &writer));
        cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(|cx| Ok(wait_writable(cx, &writer)?));
            settle(cx, CUSHION)?;
            drop(reader);
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_io.double_read, test_io.double_write
#[test]
fn the_second_wait_in_a_direction_is_refused() {
    on_workers(|cx| {
        let (left, right) = sockets();
        fill(&left);
        for interest in [Interest::Readable, Interest::Writable] {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                let mut first = n.spawn(|cx| Ok(left.wait(cx, interest).is_err()));
                settle(cx, CUSHION)?;
                let error = left.wait(cx, interest).unwrap_err().into_failed().unwrap();
                assert_eq!(error.kind(), ErrorKind::ResourceBusy);
                assert!(error.to_string().contains("another task waits"), "{error}");
                first.cancel();
                let _ = first.join(cx);
                Ok(())
            })
            .unwrap();
            // The place is free again.
            let _ = cancel_when_blocked(cx, |cx| left.wait(cx, interest));
        }
        drop(right);
    });
}

// spec: test_io.interrupted_by_close
#[test]
fn closing_ends_the_waits_of_now_and_of_later() {
    on_workers(|cx| {
        let (left, _right) = sockets();
        fill(&left);
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut waits = [Interest::Readable, Interest::Writable].map(|interest| {
                n.spawn({
                    let left = &left;
                    move |cx| Ok(left.wait(cx, interest))
                })
            });
            settle(cx, CUSHION)?;
            left.notify_closing();
            for wait in &mut waits {
                let error = wait.join(cx)?.unwrap_err().into_failed().unwrap();
                assert_eq!(error.kind(), ErrorKind::NotConnected, "{error}");
                assert!(error.to_string().contains("closing"), "{error}");
            }
            Ok(())
        })
        .unwrap();
        let later = left.wait(cx, Interest::Readable).unwrap_err().into_failed().unwrap();
        assert_eq!(later.kind(), ErrorKind::NotConnected);
        let later = left.try_io(cx, Interest::Writable, |_| Ok(())).unwrap_err();
        assert_eq!(later.into_failed().unwrap().kind(), ErrorKind::NotConnected);
        // Again has no effect, and the socket itself is as it was.
        left.notify_closing();
        left.into_inner().shutdown(std::net::Shutdown::Both).unwrap();
    });
}

// What is woken by data looks again before it uses the descriptor.
// spec: test_unix_pipes.close_at_bad_time_for_receive_some, test_unix_pipes.close_at_bad_time_for_send_all
#[test]
fn closing_between_the_wake_and_the_step() {
    conbrio::Builder::new()
        .workers(1)
        .run(|cx| {
            let (reader, writer) = std::io::pipe().unwrap();
            let (reader, writer) = (Fd::new(reader).unwrap(), Fd::new(writer).unwrap());
            while (&mut writer.get_ref()).write(&[0; 4096]).is_ok() {}
            let kind = |read: Result<usize, conbrio::io::Error>| {
                read.unwrap_err().into_failed().unwrap().kind()
            };
            // On one worker nobody else runs between here and the end of the body.
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                let mut sending = n.spawn(|cx| Ok((&writer).write(cx, &[1; 100])));
                settle(cx, CUSHION)?;
                (&mut reader.get_ref()).read_exact(&mut [0; 8192]).unwrap();
                writer.notify_closing();
                assert_eq!(kind(sending.join(cx)?), ErrorKind::NotConnected);
                Ok(())
            })
            .unwrap();
            let (reader, mut writer) = std::io::pipe().unwrap();
            let reader = Fd::new(reader).unwrap();
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                let mut receiving = n.spawn(|cx| Ok((&reader).read(cx, &mut [0; 4])));
                settle(cx, CUSHION)?;
                writer.write_all(b"data").unwrap();
                reader.notify_closing();
                assert_eq!(kind(receiving.join(cx)?), ErrorKind::NotConnected);
                Ok(())
            })
            .unwrap();
            // Nothing was taken.
            let mut left = [0; 4];
            reader.into_inner().read_exact(&mut left).unwrap();
            assert_eq!(&left, b"data");
        })
        .unwrap();
}

// spec: test_io.socket_simultaneous_read_write
#[test]
fn both_directions_wake_on_their_own() {
    on_workers(|cx| {
        let (left, right) = sockets();
        let total = fill(&left);
        cx.nursery(|cx, n| -> std::io::Result<()> {
            let mut reading = n.spawn(|cx| Ok(left.wait(cx, Interest::Readable)?));
            let mut writing = n.spawn(|cx| Ok(left.wait(cx, Interest::Writable)?));
            settle(cx, CUSHION)?;
            assert!(!reading.is_finished() && !writing.is_finished());
            right.get_ref().write_all(b"x")?;
            reading.join(cx)?;
            settle(cx, CUSHION)?;
            assert!(!writing.is_finished());
            right.get_ref().read_exact(&mut vec![0; total])?;
            writing.join(cx)?;
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_io.socket_actual_streaming
#[test]
fn a_megabyte_each_way() {
    on_workers(|cx| {
        let data = pattern(1 << 20);
        let (left, right) = sockets();
        let (data, left, right) = (&data, &left, &right);
        cx.nursery(|_, n| -> std::io::Result<()> {
            for (from, to) in [(left, right), (right, left)] {
                n.spawn(move |cx| {
                    let mut writer = from;
                    writer.write_all(cx, data)?;
                    from.get_ref().shutdown(std::net::Shutdown::Write)
                });
                n.spawn(move |cx| {
                    let mut got = Vec::new();
                    let mut reader = to;
                    Read::read_to_end(&mut reader, cx, &mut got)?;
                    assert!(got == *data, "what came is not what was sent");
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_io.wait_on_invalid_object, test_io.notify_closing_on_invalid_object
#[test]
fn what_cannot_be_waited_for_is_named() {
    on_workers(|cx| {
        let file = std::fs::File::open("Cargo.toml").unwrap();
        let error = Fd::new(file.try_clone().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("a regular file"), "{error}");
        let error = wait_readable(cx, &file).unwrap_err().into_failed().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let directory = std::fs::File::open(".").unwrap();
        let error = wait_writable(cx, &directory).unwrap_err().into_failed().unwrap();
        assert!(error.to_string().contains("a directory"), "{error}");
        // What is always ready and no file does no harm.
        let null = Fd::new(std::fs::File::open("/dev/null").unwrap()).unwrap();
        null.wait(cx, Interest::Readable).unwrap();
        null.notify_closing();
    });
    testing::run(|cx| {
        let (reader, _writer) = std::io::pipe().unwrap();
        let error = wait_readable(cx, &reader).unwrap_err().into_failed().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    });
}

// spec: test_io.io_manager_statistics
#[test]
fn waits_are_counted() {
    conbrio::Builder::new()
        .workers(1)
        .run(|cx| {
            let before = cx.statistics().io_waits;
            let (left, _right) = sockets();
            fill(&left);
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.spawn(|cx| Ok(left.wait(cx, Interest::Readable).is_err()));
                n.spawn(|cx| Ok(left.wait(cx, Interest::Writable).is_err()));
                settle(cx, CUSHION)?;
                assert_eq!(cx.statistics().io_waits, before + 2);
                left.notify_closing();
                settle(cx, CUSHION)?;
                assert_eq!(cx.statistics().io_waits, before);
                Ok(())
            })
            .unwrap();
        })
        .unwrap();
}

// An owner closes its descriptor, and says nothing to those who wait at a duplicate. (Safe code cannot close
// the one that is lent to a wait.)
// spec: test_io.can_survive_unnotified_close
#[test]
fn closing_without_a_word_does_no_harm() {
    on_workers(|cx| {
        let (left, right) = UnixStream::pair().unwrap();
        let fd = Fd::new(left.try_clone().unwrap()).unwrap();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut first = n.spawn(|cx| Ok(fd.wait(cx, Interest::Readable)));
            settle(cx, CUSHION)?;
            drop(left);
            // Still there, and can be cancelled; and it hears what comes.
            settle(cx, CUSHION)?;
            assert!(!first.is_finished());
            first.cancel();
            let _ = first.join(cx);
            let mut second = n.spawn(|cx| Ok(fd.wait(cx, Interest::Readable)));
            settle(cx, CUSHION)?;
            drop(right);
            second.join(cx)?.unwrap();
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn they_may_go_to_other_tasks_and_be_shared() {
    fn may_go_anywhere<T: Send + Sync>() {}
    may_go_anywhere::<Fd<UnixStream>>();
    may_go_anywhere::<conbrio::io::PipeReader>();
    may_go_anywhere::<conbrio::io::PipeWriter>();
    may_go_anywhere::<conbrio::process::Command>();
    may_go_anywhere::<conbrio::process::Child>();
    may_go_anywhere::<conbrio::signal::Signals>();
}

#[test]
fn the_mode_is_given_back_by_the_last_who_needs_it() {
    on_workers(|cx| {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut first = Fd::new(reader.try_clone().unwrap()).unwrap();
        let mut second = Fd::new(reader.try_clone().unwrap()).unwrap();
        let writing = Fd::new(writer).unwrap();
        drop(first);
        assert!(is_nonblocking(&reader), "the second one would block its worker");
        let _ = cancel_when_blocked(cx, |cx| Read::read(&mut second, cx, &mut [0]));
        // Each open file by itself.
        assert!(!is_nonblocking(writing.into_inner()));
        first = Fd::new(reader.try_clone().unwrap()).unwrap();
        assert!(is_nonblocking(second.into_inner()), "handed back while the other needs it");
        drop(first);
        assert!(!is_nonblocking(&reader));
        // Somebody else has set it: it stays.
        let flags = fcntl_getfl(&reader).unwrap();
        rustix::fs::fcntl_setfl(&reader, flags | OFlags::NONBLOCK).unwrap();
        drop(Fd::new(reader.try_clone().unwrap()).unwrap());
        assert!(is_nonblocking(&reader));
    });
}

#[test]
fn the_mode_is_given_back() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let duplicate = reader.try_clone().unwrap();
    let fd = Fd::new(reader).unwrap();
    assert!(is_nonblocking(&duplicate), "duplicates share it");
    let reader = fd.into_inner();
    assert!(!is_nonblocking(&duplicate));
    drop(Fd::new(reader).unwrap());
    assert!(!is_nonblocking(&duplicate));
    // One that was set by the owner stays.
    let (left, _right) = UnixStream::pair().unwrap();
    left.set_nonblocking(true).unwrap();
    assert!(is_nonblocking(Fd::new(left).unwrap().into_inner()));
}

#[test]
fn eventfd_timerfd_and_datagrams() {
    on_workers(|cx| {
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap());
        let mut heard = Fd::new(Arc::clone(&bell)).unwrap();
        let mut count = [0; 8];
        let _ = cancel_when_blocked(cx, |cx| heard.read(cx, &mut [0; 8]));
        cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(|cx| Ok(heard.read(cx, &mut count).map(drop)?));
            settle(cx, CUSHION)?;
            rustix::io::write(&bell, &9_u64.to_ne_bytes())?;
            Ok(())
        })
        .unwrap();
        assert_eq!(u64::from_ne_bytes(count), 9);
        // Writing waits until what is there was read: the count is at its limit.
        rustix::io::write(&bell, &(u64::MAX - 1).to_ne_bytes()).unwrap();
        let _ = cancel_when_blocked(cx, |cx| heard.write(cx, &1_u64.to_ne_bytes()));

        let flags = TimerfdFlags::CLOEXEC;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags).unwrap();
        let soon = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        let never = Timespec::default();
        let when = Itimerspec { it_interval: never, it_value: soon };
        rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &when).unwrap();
        let mut timer = Fd::new(timer).unwrap();
        assert_eq!(timer.read(cx, &mut count).unwrap(), 8);
        assert_eq!(u64::from_ne_bytes(count), 1);

        let (left, right) = UnixDatagram::pair().unwrap();
        let left = Fd::new(left).unwrap();
        let mut buf = [0; 16];
        let got = cx.nursery(|cx, n| -> std::io::Result<usize> {
            n.spawn(|cx| {
                settle(cx, CUSHION)?;
                right.send(b"a datagram").map(drop)
            });
            Ok(left.try_io(cx, Interest::Readable, |left| left.recv(&mut buf))?)
        });
        assert_eq!(&buf[..got.unwrap()], b"a datagram");
        // Other errors come out, and a step that was interrupted is repeated.
        let mut times = 0;
        let error = left.try_io(cx, Interest::Readable, |_| -> std::io::Result<()> {
            times += 1;
            Err(if times < 3 { ErrorKind::Interrupted } else { ErrorKind::InvalidData }.into())
        });
        assert_eq!(error.unwrap_err().into_failed().unwrap().kind(), ErrorKind::InvalidData);
        // A step that says for ever that it would wait, where it would not, can be cancelled.
        let stubborn = cx.move_on_after(CUSHION, |cx| {
            left.try_io(cx, Interest::Writable, |_| -> std::io::Result<()> {
                Err(ErrorKind::WouldBlock.into())
            })
        });
        assert!(stubborn.unwrap().is_none());
    });
}

// The one end of a terminal echoes what is typed at it.
#[test]
fn a_terminal() {
    on_workers(|cx| {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = rustix::fs::open("/dev/ptmx", flags, rustix::fs::Mode::empty()).unwrap();
        let mut terminal = Fd::new(terminal).unwrap();
        let _ = cancel_when_blocked(cx, |cx| terminal.read(cx, &mut [0; 8]));
        terminal.write_all(cx, b"line\n").unwrap();
        let mut echo = [0; 6];
        terminal.read_exact(cx, &mut echo).unwrap();
        assert_eq!(&echo, b"line\r\n");
    });
}
