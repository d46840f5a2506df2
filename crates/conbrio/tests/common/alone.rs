//! Tests that cannot share a process with others: they count, limit or change things of the whole process.

use std::process::{Command, ExitStatus};

/// Runs this test binary again, with only the test `name`, which finds `name` in the environment.
#[track_caller]
pub(crate) fn in_a_process_of_its_own(name: &str, test: impl FnOnce()) {
    if let Some((status, text)) = run_alone(name, test) {
        assert!(
            status.success() && text.contains("1 passed"),
            "{name} in its own process: {status}\n{text}"
        );
    }
}

/// The same for a test that may end its process. Says how it ended, and what it wrote; in that process
/// itself `None`.
pub(crate) fn run_alone(name: &str, test: impl FnOnce()) -> Option<(ExitStatus, String)> {
    const VARIABLE: &str = "CONBRIO_TEST_CHILD";
    if std::env::var(VARIABLE).is_ok_and(|value| value == name) {
        test();
        return None;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(VARIABLE, name)
        .output()
        .unwrap();
    let (out, err) = (&output.stdout, &output.stderr);
    let text = format!("{}\n{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    Some((output.status, text))
}
