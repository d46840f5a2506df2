//! Filling a stream up.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::cancel::{Cancelled, OrCancelled};
use crate::io::{Error, Write};
use crate::nursery::NurseryError;
use crate::task::Cx;
use crate::testing::settle;

/// Writes zeros until the writer has to wait, and says how many bytes it took.
///
/// It has to wait when everything has been at rest for 5 ms of real time, and for as much by the clock of
/// the runtime. For [`check_clogged_stream`](crate::testing::check_clogged_stream).
///
/// # Cancellation
///
/// Always a checkpoint. On cancel some bytes may have been written.
///
/// # Errors
///
/// What the writer has met.
///
/// # Panics
///
/// If it takes 256 MiB and still does not wait.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::testing::{check_clogged_stream, streams};
///
/// conbrio::run(|cx| {
///     check_clogged_stream(cx, |cx| {
///         let mut listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
///         let address = listener.local_addr().unwrap();
///         let mut client = TcpStream::connect(cx, address).unwrap();
///         streams::clog(cx, &mut client).unwrap();
///         (client, listener.accept(cx).unwrap().0)
///     })
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn clog(cx: &mut Cx, writer: &mut (impl Write + Send)) -> Result<u64, Error> {
    cx.checkpoint()?;
    let (count, mut failure) = (AtomicU64::new(0), None);
    let filled = cx.nursery(|cx, n| -> Result<(), Cancelled> {
        n.spawn(|cx| {
            failure = fill(cx, writer, &count)?;
            Ok(())
        });
        loop {
            // Once by the real time that the kernel takes, and once by the runtime's, which moves what is
            // on its way in a simulated network.
            settle(cx, CUSHION)?;
            let before = count.load(Ordering::Relaxed);
            cx.sleep(CUSHION)?;
            settle(cx, Duration::ZERO)?;
            if count.load(Ordering::Relaxed) == before {
                break;
            }
        }
        n.cancel();
        Ok(())
    });
    if let Err(NurseryError::Cancelled(cancelled)) = filled {
        return Err(cancelled.into());
    }
    if let Some(error) = failure {
        return Err(error.into());
    }
    let count = count.into_inner();
    assert!(count < BYTES_MAX, "the writer took {count} bytes without waiting: it has no limit");
    Ok(count)
}

/// Writes until it is cancelled, or fails, or has written far too much.
fn fill(
    cx: &mut Cx,
    writer: &mut impl Write,
    count: &AtomicU64,
) -> Result<Option<io::Error>, Cancelled> {
    while count.load(Ordering::Relaxed) < BYTES_MAX {
        let result = writer.write(cx, &ZEROS).and_then(|written| {
            count.fetch_add(written as u64, Ordering::Relaxed);
            writer.flush(cx)
        });
        match result.map_err(OrCancelled::into_failed) {
            Ok(()) => {}
            Err(Ok(error)) => return Ok(Some(error)),
            Err(Err(cancelled)) => return Err(cancelled),
        }
    }
    Ok(None)
}

const ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];

/// Far more than the buffers of any socket.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Loopback delivers at once; this is for the threads on the way.
const CUSHION: Duration = Duration::from_millis(5);
