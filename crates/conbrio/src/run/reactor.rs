//! Which reactor a runtime has: the wish of the program or of the environment, and what is said about
//! what became of it.
//!
//! The invariant: a wish that is not met is told once for each runtime, with the reason.

use std::io;

use conbrio_reactor::{Choice, Info, RingOptions};

use super::builder::StartError;

/// Which mechanism of the operating system I/O waits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Reactor {
    /// What the variable `CONBRIO_REACTOR` says, or the best that the system offers.
    #[default]
    Auto,
    /// `epoll`.
    Epoll,
    /// `io_uring`; starting fails where the system has none that is good enough.
    Uring,
    /// `io_uring` where the system has one that is good enough, and `epoll` where it has not, with a
    /// warning to the logger of the `log` crate.
    /// [`RuntimeInfo::reactor_reason`](crate::RuntimeInfo::reactor_reason) says why.
    PreferUring,
}

/// What the workers make their reactors of.
pub(super) fn choice_of(reactor: Reactor) -> Result<Choice, StartError> {
    match reactor {
        Reactor::Epoll => return Ok(Choice::Epoll),
        Reactor::Uring => return Ok(Choice::Uring),
        Reactor::PreferUring => return Ok(Choice::PreferUring),
        Reactor::Auto => {}
    }
    match std::env::var_os("CONBRIO_REACTOR") {
        None => Ok(Choice::Auto),
        Some(value) => match value.to_str() {
            Some("auto" | "") => Ok(Choice::Auto),
            Some("epoll") => Ok(Choice::Epoll),
            Some("uring") => Ok(Choice::Uring),
            Some("prefer-uring") => Ok(Choice::PreferUring),
            _ => Err(StartError::new(
                "the reactor named by CONBRIO_REACTOR",
                invalid(format!("{value:?} is none of `auto`, `epoll`, `uring`, `prefer-uring`")),
            )),
        },
    }
}

/// The sizes of the rings, which `CONBRIO_RING` may change, for tests that need full queues:
/// `entries,buffers,batch`.
pub(super) fn ring_options() -> Result<RingOptions, StartError> {
    let Some(value) = std::env::var_os("CONBRIO_RING") else {
        return Ok(RingOptions::new());
    };
    value.to_str().and_then(parse_ring).ok_or_else(|| {
        let message = format!(
            "{value:?} is not `entries,buffers,batch`, three numbers such as `256,64,4`, the first two \
             positive"
        );
        StartError::new("rings of the sizes in CONBRIO_RING", invalid(message))
    })
}

fn parse_ring(value: &str) -> Option<RingOptions> {
    let mut numbers = value.split(',').map(|number| number.trim().parse::<u32>().ok());
    let mut next = || numbers.next().flatten();
    let (entries, buffers, batch) = (next()?, u16::try_from(next()?).ok()?, next()?);
    let is_fine = entries > 0 && buffers > 0 && numbers.next().is_none();
    is_fine.then(|| RingOptions::new().entries(entries).buffers(buffers).batch(batch as usize))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// Says to the logger what the reactors of a runtime are, `refused` of which by its workers besides the
/// first are not what was wished for.
///
/// If there is no logger that takes warnings, a wish of the environment is answered on standard error:
/// whoever set the variable looks there.
pub(super) fn tell(wish: Reactor, first: &Info, refused: &[String], workers: usize) {
    log::debug!("the reactor is {}: {}", first.backend, first.reason);
    let mut refusals = first.refused.iter().chain(refused);
    let Some(reason) = refusals.next() else {
        return;
    };
    let count = 1 + refusals.count();
    let by_whom =
        if wish == Reactor::Auto { "CONBRIO_REACTOR=prefer-uring" } else { "prefer-uring" };
    let message = if count == workers {
        format!("{by_whom} has led to epoll: {reason}")
    } else {
        format!("{by_whom} has led to epoll on {count} of {workers} workers: {reason}")
    };
    log::warn!("{message}");
    if wish == Reactor::Auto && !log::log_enabled!(log::Level::Warn) {
        eprintln!("conbrio: {message}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_of_a_ring_are_three_numbers() {
        let sizes = RingOptions::new().entries(1).buffers(2).batch(0);
        assert_eq!(parse_ring("1, 2,0"), Some(sizes));
        for wrong in ["", "1", "1,2", "0,1,1", "1,0,1", "1,2,3,4", "1,2,x", "1,70000,1", "-1,1,1"] {
            assert_eq!(parse_ring(wrong), None, "{wrong}");
        }
    }
}
