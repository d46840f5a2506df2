//! The rules that types enforce: programs in `ui/pass` compile and run, those in `ui/fail` do not compile.
//!
//! Each program in `ui/fail` is one attack; its first lines say what it attacks and why it must fail. The
//! compiler's words, in the `.stderr` file beside it, are compared, so that a program cannot begin to
//! fail for another reason. After a change of the API: run with `TRYBUILD=overwrite`, and read what has
//! changed.

#![cfg(not(any(loom, feature = "sanitizer")))]

use std::env;
use std::io::{self, Write as _};
use std::process::Command;

/// The release whose messages the `.stderr` files hold. Others word them differently.
const MESSAGES_OF: &str = "rustc 1.95.";

#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    let version = compiler_version();
    if version.starts_with(MESSAGES_OF) {
        cases.compile_fail("tests/ui/fail/*.rs");
    } else {
        // Not `eprintln!`, which the test harness keeps to itself when a test succeeds.
        let _ = writeln!(
            io::stderr(),
            "\n\
             ==========================================================================\n\
             SKIPPED: the programs in tests/ui/fail, which must not compile.\n\
             Their messages are those of {MESSAGES_OF}x; this is {version}\n\
             ==========================================================================\n"
        );
    }
}

fn compiler_version() -> String {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&compiler).arg("--version").output();
    let output = output.unwrap_or_else(|error| panic!("run {}: {error}", compiler.display()));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
