//! One step of reading or writing a stream socket: what streams and their halves share.
//!
//! Owns the rule for empty buffers: they are a checkpoint and no system call, because receiving nothing
//! would wait for data to come.

use std::io::{IoSlice, IoSliceMut};

use conbrio_reactor::{Source, op};

use crate::io::Error;
use crate::lowlevel::perform;
use crate::task::Cx;

pub(super) fn read(source: &Source, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
    if buf.is_empty() {
        return Ok(cx.checkpoint().map(|()| 0)?);
    }
    perform(cx, &mut op::Recv::new(source, buf))
}

/// Reads into a buffer of the worker, and lends it to `f`.
pub(super) fn read_with<R>(
    source: &Source,
    cx: &mut Cx,
    f: impl FnOnce(&[u8]) -> R,
) -> Result<R, Error> {
    // The task stays with its worker, and the operation with that worker's reactor.
    let lender = cx.anchor().worker().reactor().lender();
    let bytes = perform(cx, &mut op::RecvLent::new(source, lender))?;
    Ok(f(&bytes))
}

pub(super) fn peek(source: &Source, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
    if buf.is_empty() {
        return Ok(cx.checkpoint().map(|()| 0)?);
    }
    perform(cx, &mut op::Recv::peek(source, buf))
}

pub(super) fn read_vectored(
    source: &Source,
    cx: &mut Cx,
    bufs: &mut [IoSliceMut<'_>],
) -> Result<usize, Error> {
    // One system call takes 1024 buffers; empty ones in front must not use that up.
    let Some(first) = bufs.iter().position(|buf| !buf.is_empty()) else {
        return Ok(cx.checkpoint().map(|()| 0)?);
    };
    perform(cx, &mut op::RecvVectored::new(source, &mut bufs[first..]))
}

pub(super) fn write(source: &Source, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
    if data.is_empty() {
        return Ok(cx.checkpoint().map(|()| 0)?);
    }
    perform(cx, &mut op::Send::new(source, data))
}

pub(super) fn write_vectored(
    source: &Source,
    cx: &mut Cx,
    bufs: &[IoSlice<'_>],
) -> Result<usize, Error> {
    let Some(first) = bufs.iter().position(|buf| !buf.is_empty()) else {
        return Ok(cx.checkpoint().map(|()| 0)?);
    };
    perform(cx, &mut op::SendVectored::new(source, &bufs[first..]))
}
