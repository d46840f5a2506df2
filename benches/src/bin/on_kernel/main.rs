//! The work of every question that needs no runtime: threads of the standard library, and loops on the system's
//! own calls.

mod epoll;
mod files;
mod processes;
mod threads;
mod uring;

use std::process::ExitCode;

use conbrio_bench_kit::program::{self, Abilities};

fn main() -> ExitCode {
    program::main(Abilities { sample: threads::sample, park: None, serve })
}

fn serve(what: &str) -> Option<std::io::Result<()>> {
    match what {
        "echo-epoll" => Some(epoll::serve(None)),
        "http-epoll" => Some(epoll::serve(Some(conbrio_bench_kit::http::ANSWER))),
        "echo-uring" => Some(uring::serve()),
        _ => None,
    }
}
