//! Code that knows only `std::io` runs in a task, with a stream that was joined with `cx`.
// spec: S7, S49

use conbrio::io::With;
use conbrio::prelude::*;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

fn count_lines(reader: impl Read) -> io::Result<usize> {
    let mut count = 0;
    for line in BufReader::new(reader).lines() {
        line?;
        count += 1;
    }
    Ok(count)
}

fn work(cx: &mut Cx) -> io::Result<()> {
    let mut text = &b"first\nsecond\nthird\n"[..];
    assert_eq!(count_lines(With::new(&mut text, cx))?, 3);
    // The adapter is gone, and `cx` is free again.
    cx.yield_now()?;
    let mut sink = Vec::new();
    let mut writer = BufWriter::new(With::new(&mut sink, cx));
    write!(writer, "{} + {}", 1, 2)?;
    drop(writer);
    assert_eq!(sink, b"1 + 2");
    Ok(())
}

fn main() {
    conbrio::run(work).unwrap();
}
