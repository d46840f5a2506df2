//! Tests that cannot share a process with others: they count, limit or change things of the whole process.

/// Runs this test binary again, with only the test `name`, which finds `name` in the environment.
#[track_caller]
pub(crate) fn in_a_process_of_its_own(name: &str, test: impl FnOnce()) {
    const VARIABLE: &str = "CONBRIO_TEST_CHILD";
    if std::env::var(VARIABLE).is_ok_and(|value| value == name) {
        return test();
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(VARIABLE, name)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{name} in its own process: {}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}
