//! The reactors that a test runs on.

use conbrio::{Builder, Reactor};

/// Those that the machine has, or only epoll if `CONBRIO_TEST_REACTORS` says so: valgrind stops all threads
/// while one waits in a ring.
pub(crate) fn reactors() -> impl Iterator<Item = Reactor> {
    let only_epoll = std::env::var("CONBRIO_TEST_REACTORS").is_ok_and(|value| value == "epoll");
    let started = if only_epoll {
        Err("CONBRIO_TEST_REACTORS is epoll".to_owned())
    } else {
        let ran = Builder::new().workers(1).reactor(Reactor::Uring).run(|_| ());
        ran.map_err(|error| error.to_string())
    };
    let uring = match started {
        Ok(()) => Some(Reactor::Uring),
        Err(reason) => {
            println!("SKIPPED on io_uring: {reason}");
            None
        }
    };
    std::iter::once(Reactor::Epoll).chain(uring)
}
