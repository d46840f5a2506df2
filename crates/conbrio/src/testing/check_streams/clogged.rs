//! What holds for a writer that has to wait because nobody reads.
//!
//! What the writer wrote before is not known here; so each rule looks at the last bytes that come.

use std::sync::atomic::{AtomicBool, Ordering};

use super::one_way::check_rules;
use super::rule::{Checked, Stop, must, rule};
use super::steps::{
    attempt_fails, both, cancel_at_rest, filled, read_to_end, rest, says_broken, send,
};
use crate::cancel::OrCancelled;
use crate::io::{Read, Write};
use crate::task::Cx;

pub(super) fn check<W: Write + Send, R: Read + Send>(
    cx: &mut Cx,
    make: &mut dyn FnMut(&mut Cx) -> (W, R),
) -> Checked {
    for is_last in [false, false, true] {
        cx.checkpoint()?;
        let (w, r) = make(cx);
        let mut waited = false;
        rule(cx, "a write that finds no room waits until the reader makes some", |cx| {
            waited = waits_for_room(cx, w, r, is_last)?;
            Ok(())
        })?;
        if waited {
            break;
        }
    }
    check_rules(
        cx,
        make,
        &[
            ("a write that is cancelled while it waits writes nothing", cancelled_zeros),
            ("a write that is cancelled while it waits writes nothing", cancelled_ones),
            ("a `write_all` that is cancelled counts what it wrote", counts),
            ("a writer that waits sees that the reader is dropped", reader_dropped),
            ("a writer that was cancelled while it waited can be dropped", dropped_after_cancel),
        ],
    )
}

/// Reads all that comes, and sees that it ends with `tail`; says what was before it.
fn ends_with(cx: &mut Cx, r: &mut impl Read, tail: &[u8]) -> Checked<Vec<u8>> {
    let mut got = read_to_end(cx, r, false)?;
    let is_there = got.ends_with(tail);
    must(is_there, || {
        let last = &got[got.len().saturating_sub(tail.len())..];
        format!("the last bytes that came are {last:?}, and {tail:?} was written last")
    })?;
    got.truncate(got.len() - tail.len());
    Ok(got)
}

/// Whether the write has waited. The buffers of sockets may grow when they were full already, as the kernel
/// gets round to it on a busy machine: so a pair in which it does not wait is an error only if it `is_last`.
fn waits_for_room<W: Write + Send, R: Read + Send>(
    cx: &mut Cx,
    mut w: W,
    mut r: R,
    is_last: bool,
) -> Checked<bool> {
    let is_done = AtomicBool::new(false);
    let ((), waited) = both(
        cx,
        |cx| {
            send(cx, &mut w, MARK)?;
            is_done.store(true, Ordering::Release);
            drop(w);
            Ok(())
        },
        |cx| {
            rest(cx)?;
            let waited = !is_done.load(Ordering::Acquire);
            must(waited || !is_last, || {
                "the write did not wait: make pairs in which it must, as with `streams::clog`"
                    .to_owned()
            })?;
            ends_with(cx, &mut r, MARK)?;
            Ok(waited)
        },
    )?;
    Ok(waited)
}

fn cancelled_zeros<W: Write + Send, R: Read + Send>(cx: &mut Cx, w: W, r: R) -> Checked {
    cancelled(cx, w, r, 0)
}

/// The other bytes: what the writer wrote before may have ended with zeros.
fn cancelled_ones<W: Write + Send, R: Read + Send>(cx: &mut Cx, w: W, r: R) -> Checked {
    cancelled(cx, w, r, 1)
}

fn cancelled<W: Write + Send, R: Read + Send>(
    cx: &mut Cx,
    mut w: W,
    mut r: R,
    byte: u8,
) -> Checked {
    let data = [byte; 32];
    let mut kept = Vec::new();
    // More than once: what is done to call it off must leave the writer as it was.
    for _ in 0..2 {
        match cancel_at_rest(cx, |cx| w.write(cx, &data))? {
            Ok(count) => kept.resize(kept.len() + count, byte),
            Err(OrCancelled::Cancelled(_)) => {}
            Err(error) => return Err(Stop::failed("write", error)),
        }
        if let Err(error @ OrCancelled::Failed(_)) = cancel_at_rest(cx, |cx| w.flush(cx))? {
            return Err(Stop::failed("flush", error));
        }
    }
    kept.extend_from_slice(MARK);
    let before = both(
        cx,
        |cx| {
            send(cx, &mut w, MARK)?;
            drop(w);
            Ok(())
        },
        |cx| ends_with(cx, &mut r, &kept),
    )?
    .1;
    // The one that is in doubt is found with the other byte.
    let is_in_doubt = byte == 0 && before.iter().all(|byte| *byte == 0);
    must(is_in_doubt || before.last() != Some(&byte), || {
        format!("the byte {byte} came once more than calls had reported it as written")
    })
}

fn counts<W: Write + Send, R: Read + Send>(cx: &mut Cx, mut w: W, mut r: R) -> Checked {
    let data = [2; 200];
    let mut first = [0; 150];
    let (written, read) = both(
        cx,
        |cx| {
            let written = cancel_at_rest(cx, |cx| w.write_all(cx, &data))?;
            let written = match written {
                Ok(()) => data.len(),
                Err(error) if error.is_cancelled() => error.done() as usize,
                Err(error) => return Err(Stop::incomplete("write_all", error)),
            };
            must(written <= data.len(), || {
                format!("`write_all` of {} bytes reported {written}", data.len())
            })?;
            send(cx, &mut w, MARK)?;
            drop(w);
            Ok(written)
        },
        |cx| {
            let count = r.read(cx, &mut first).map_err(|error| Stop::failed("read", error))?;
            let mut got = first[..filled(count, first.len())?].to_vec();
            rest(cx)?;
            got.extend(read_to_end(cx, &mut r, false)?);
            Ok(got)
        },
    )?;
    let tail = [&data[..written], MARK].concat();
    must(read.ends_with(&tail), || {
        format!("`write_all` counted {written} bytes of {}, and others came", data.len())
    })?;
    let before = read.len() - tail.len();
    must(read[..before].last() != Some(&2), || {
        format!("`write_all` counted {written} bytes of {}, and more came", data.len())
    })
}

fn reader_dropped<W: Write + Send, R: Read + Send>(cx: &mut Cx, mut w: W, r: R) -> Checked {
    both(
        cx,
        |cx| loop {
            // What is still taken after the reader has gone is not the point here.
            if attempt_fails(cx, &mut w)? {
                return Ok(());
            }
        },
        |cx| {
            rest(cx)?;
            drop(r);
            Ok(())
        },
    )?;
    Ok(())
}

fn dropped_after_cancel<W: Write + Send, R: Read + Send>(
    cx: &mut Cx,
    mut w: W,
    mut r: R,
) -> Checked {
    match cancel_at_rest(cx, |cx| w.write(cx, MARK))? {
        Ok(_) | Err(OrCancelled::Cancelled(_)) => {}
        Err(error) => return says_broken("write", error),
    }
    drop(w);
    // The end, or a broken connection: but something, for ever.
    read_to_end(cx, &mut r, true)?;
    let again = read_to_end(cx, &mut r, true)?;
    must(again.is_empty(), || format!("{} bytes came after the end", again.len()))
}

/// The last bytes that a rule writes.
const MARK: &[u8] = b"the last";
