//! Project tasks, run as `cargo xtask <task>`.
//!
//! This crate owns the checks that keep the tree in shape: `ci` runs every step a change must pass,
//! `tidy` reads the sources for rules that neither rustc nor clippy knows, `spec` counts which lines
//! of `spec/ids.txt` are claimed by a test, `mutate` seeds mistakes that the tests must find,
//! `instructions` compares what the core operations cost with what they did, and `bench` compares them with
//! those of other runtimes. It has no dependencies, so that it builds in a second on a fresh clone.

mod bench;
mod ci;
mod instructions;
mod mutate;
mod mutate_list;
mod smoke;
mod source;
mod spec;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = workspace_root();
    let result = match arguments.split_first() {
        Some((&"ci", options)) => ci::main(&root, options),
        Some((&"tidy", [])) => tidy::main(&root),
        Some((&"spec", options)) => spec::main(&root, options),
        Some((&"mutate", options)) => mutate::main(&root, options),
        Some((&"bench", options)) => bench::main(&root, options),
        Some((&"instructions", options)) => instructions::main(&root, options),
        Some((&"help" | &"--help" | &"-h", _)) => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("unknown task or option: {arguments:?}\n\n{USAGE}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The folder that holds the workspace manifest, wherever the task was called from.
fn workspace_root() -> PathBuf {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest_dir.parent().expect("xtask lies in the workspace root").to_path_buf()
}

const USAGE: &str = "\
usage: cargo xtask <task>

  ci                 every check a change must pass, in order; stops at the first failure
  ci --asan          the test suite under AddressSanitizer
  ci --valgrind      the test suite under valgrind, on the epoll reactor
  ci --only <step>   one step by its name
  tidy               layers, unsafe, documentation sections, file sizes, links
  spec               which lines of spec/ids.txt are claimed by a test
  spec --missing     only the lines that are not
  spec --where <id>  the places that claim one line
  mutate             seeds mistakes into a copy of the tree and runs the campaign on each
  mutate --only <x>  those with <x> in their name
  instructions       what the core operations cost in instructions, against benches/instructions.txt
  instructions --bless  makes what they cost now the baseline
  bench              conbrio beside its rivals, everything; writes docs/compare.md
  bench <group> <x>  micro, many, mem, io, http, tls, file, process, growth; questions with <x> in their name
  bench --quick      shorter samples, for a first look";
