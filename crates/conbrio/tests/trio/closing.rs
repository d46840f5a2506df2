//! What a stream gets from its traits when it says no more than it must.

use conbrio::io::{Error, HalfClose, Read, Write};
use conbrio::prelude::*;

use crate::support::on_all_workers;

/// A stream with the functions that have no default, and no others.
struct Minimal {
    unread: &'static [u8],
    written: Vec<u8>,
    has_ended: bool,
}

impl Read for Minimal {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        cx.checkpoint()?;
        let count = buf.len().min(self.unread.len());
        let (now, later) = self.unread.split_at(count);
        buf[..count].copy_from_slice(now);
        self.unread = later;
        Ok(count)
    }
}

impl Write for Minimal {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        cx.checkpoint()?;
        self.written.extend(data);
        Ok(data.len())
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        Ok(cx.checkpoint()?)
    }
}

impl HalfClose for Minimal {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error> {
        cx.checkpoint()?;
        self.has_ended = true;
        Ok(())
    }
}

// spec: test_abc.AsyncResource_defaults
#[test]
fn closing_in_order_works_through_the_default() {
    on_all_workers(|cx| {
        let mut stream = Minimal { unread: &[7; 100_000], written: Vec::new(), has_ended: false };
        stream.write_all(cx, b"bye").unwrap();
        stream.finish(cx).unwrap();
        assert!(stream.has_ended && stream.unread.is_empty());
        assert_eq!(stream.written, b"bye");
        // Again has no effect, and a stream that was not finished is closed by its drop.
        stream.finish(cx).unwrap();
        drop(stream);
    });
}
