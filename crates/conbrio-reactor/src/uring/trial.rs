//! Whether a ring that the kernel has given us is good enough: features, operations, a self-test.
//!
//! Some machines have a ring and lie about it: filters that answer "no such call" to some calls only,
//! kernels with backports, emulations. A worker that found out later could not go back, because frames
//! would already wait for completions (rule R6). So it is found out here, when nothing is in flight.

use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use io_uring::{Probe, opcode, types};

use super::refusal::{Refusal, Step};
use super::ring::{Answer, Ring};
use crate::{Source, Timeout, os};

/// Looks at what the kernel promises, and then whether it keeps it.
pub(super) fn examine(ring: &Ring) -> Result<(), Refusal> {
    features(ring)?;
    operations(ring)?;
    self_test(ring)
}

fn features(ring: &Ring) -> Result<(), Refusal> {
    let params = ring.params();
    let needed = [
        ("NODROP", params.is_feature_nodrop()),
        ("SUBMIT_STABLE", params.is_feature_submit_stable()),
        ("FAST_POLL", params.is_feature_fast_poll()),
        ("EXT_ARG", params.is_feature_ext_arg()),
        ("NATIVE_WORKERS", params.is_feature_native_workers()),
        ("RW_CUR_POS", params.is_feature_rw_cur_pos()),
        ("CQE_SKIP", params.is_feature_skip_cqe_on_success()),
    ];
    match needed.iter().find(|(_, has)| !has) {
        Some((name, _)) => {
            Err(Refusal::ours(Step::Features, format!("the kernel does not have {name}")))
        }
        None => Ok(()),
    }
}

fn operations(ring: &Ring) -> Result<(), Refusal> {
    let mut probe = Probe::new();
    ring.submitter()
        .register_probe(&mut probe)
        .map_err(|error| Refusal::new(Step::Operations, error))?;
    match NEEDED.iter().find(|(_, code)| !probe.is_supported(*code)) {
        Some((name, _)) => {
            Err(Refusal::ours(Step::Operations, format!("the kernel does not know {name}")))
        }
        None => Ok(()),
    }
}

/// A completion, a cancellation and a transfer.
fn self_test(ring: &Ring) -> Result<(), Refusal> {
    let (ours, peer) = os::unix_pair().map_err(|error| Refusal::new(Step::Descriptors, error))?;
    // On the heap, so that it can be left to a kernel that does not answer (rule R3).
    let mut buffer = Box::new([0u8; 4]);
    let result = exercise(ring, &ours, &peer, &mut buffer);
    if result.is_err() {
        std::mem::forget(buffer);
    }
    result
}

fn exercise(
    ring: &Ring,
    ours: &Source,
    peer: &Source,
    buffer: &mut [u8; 4],
) -> Result<(), Refusal> {
    // SAFETY: it points to nothing.
    unsafe { ring.push(opcode::Nop::new().build().user_data(FIRST)) };
    expect(ring, FIRST, 0, "an empty operation")?;
    let receive = opcode::Recv::new(types::Fd(ours.as_raw_fd()), buffer.as_mut_ptr(), 4)
        .ioprio(super::entry::POLL_FIRST)
        .build();
    // SAFETY: the caller leaves the buffer alone, and for ever if this fails.
    unsafe { ring.push(receive.clone().user_data(SECOND)) };
    // SAFETY: it points to nothing.
    unsafe { ring.push(super::entry::cancel(SECOND)) };
    expect(ring, SECOND, -libc::ECANCELED, "a cancelled receive")?;
    // SAFETY: as above; the first one has ended.
    unsafe { ring.push(receive.user_data(THIRD)) };
    ring.enter(Timeout::Now).map_err(refused)?;
    rustix::io::write(peer, b"ring").map_err(|error| refused(error.into()))?;
    expect(ring, THIRD, 4, "a receive")?;
    if buffer == b"ring" {
        Ok(())
    } else {
        Err(Refusal::ours(Step::SelfTest, "a receive has brought the wrong bytes"))
    }
}

/// Waits for one completion, which has to say so.
fn expect(ring: &Ring, user_data: u64, result: i32, what: &str) -> Result<(), Refusal> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        ring.enter(Timeout::After(PATIENCE)).map_err(refused)?;
        while let Some(answer) = ring.next() {
            let Answer { user_data: seen, result: got, more, .. } = answer;
            if seen != user_data {
                // The canceller's own completion, which it may or may not have.
                continue;
            }
            if got == result && !more {
                return Ok(());
            }
            let message = format!("{what} has ended with {got} instead of {result}");
            return Err(Refusal::ours(Step::SelfTest, message));
        }
    }
    Err(Refusal::ours(Step::SelfTest, format!("{what} has not ended")))
}

fn refused(error: io::Error) -> Refusal {
    Refusal::new(Step::SelfTest, error)
}

/// Names that no wait has.
const FIRST: u64 = super::BELL + 1;
const SECOND: u64 = super::BELL + 2;
const THIRD: u64 = super::BELL + 3;

/// A kernel that needs longer for nothing is not the one we want.
const PATIENCE: Duration = Duration::from_secs(5);

/// What requests become. Files are looked for as well: whoever knows the rest knows them (5.6 to 5.15).
const NEEDED: &[(&str, u8)] = &[
    ("NOP", opcode::Nop::CODE),
    ("POLL_ADD", opcode::PollAdd::CODE),
    ("ASYNC_CANCEL", opcode::AsyncCancel::CODE),
    ("RECV", opcode::Recv::CODE),
    ("SEND", opcode::Send::CODE),
    ("RECVMSG", opcode::RecvMsg::CODE),
    ("SENDMSG", opcode::SendMsg::CODE),
    ("ACCEPT", opcode::Accept::CODE),
    ("CONNECT", opcode::Connect::CODE),
    ("READ", opcode::Read::CODE),
    ("WRITE", opcode::Write::CODE),
    ("READV", opcode::Readv::CODE),
    ("WRITEV", opcode::Writev::CODE),
    ("FSYNC", opcode::Fsync::CODE),
    ("FALLOCATE", opcode::Fallocate::CODE),
    ("OPENAT", opcode::OpenAt::CODE),
    ("CLOSE", opcode::Close::CODE),
    ("STATX", opcode::Statx::CODE),
    ("RENAMEAT", opcode::RenameAt::CODE),
    ("UNLINKAT", opcode::UnlinkAt::CODE),
    ("MKDIRAT", opcode::MkDirAt::CODE),
    ("SYMLINKAT", opcode::SymlinkAt::CODE),
    ("LINKAT", opcode::LinkAt::CODE),
];
