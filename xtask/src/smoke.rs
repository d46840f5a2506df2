//! Examples are run, not only built.
//!
//! The header of an example says how. Each `//! smoke: <arguments>` is one run of the release build,
//! which must end with status 0 within a minute; each `//! smoke-expect: <text>` below it must occur in
//! what that run prints on its standard output. Each `//! smoke-abort: <arguments>` is a run of a build
//! with `panic = "abort"`: with `//! smoke-abort-expect: <text>` below it, the process must die by
//! SIGABRT and have said this on its standard error; without, it must end with status 0.

use crate::source::Source;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// One run that the header of an example asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Smoke {
    pub(crate) package: String,
    pub(crate) example: String,
    pub(crate) aborts: bool,
    pub(crate) arguments: Vec<String>,
    pub(crate) expected: Vec<String>,
}

/// The runs that the examples of the tree ask for.
pub(crate) fn collect(sources: &[Source]) -> Result<Vec<Smoke>, String> {
    let mut runs = Vec::new();
    for source in sources {
        if let Some((package, example)) = example_of(&source.path) {
            let found = parse(package, example, &source.text)
                .map_err(|fault| format!("{}: {fault}", source.path))?;
            runs.extend(found);
        }
    }
    Ok(runs)
}

/// `crates/p/examples/e.rs` and `crates/p/examples/e/main.rs` are the example `e` of the package `p`.
fn example_of(path: &str) -> Option<(&str, &str)> {
    let (package, file) = path.strip_prefix("crates/")?.split_once("/examples/")?;
    let example = file.strip_suffix("/main.rs").or_else(|| file.strip_suffix(".rs"))?;
    (!example.contains('/') && !package.contains('/')).then_some((package, example))
}

fn parse(package: &str, example: &str, text: &str) -> Result<Vec<Smoke>, String> {
    let mut runs: Vec<Smoke> = Vec::new();
    let header = text.lines().map_while(|line| line.strip_prefix("//!"));
    for (index, line) in header.enumerate() {
        let Some((key, value)) =
            line.trim().split_once(':').filter(|(key, _)| key.starts_with("smoke"))
        else {
            continue;
        };
        let fault = |what: &str| Err(format!("header line {}: {what}", index + 1));
        let aborts = key.starts_with("smoke-abort");
        match key {
            "smoke" | "smoke-abort" => runs.push(Smoke {
                package: package.to_owned(),
                example: example.to_owned(),
                aborts,
                arguments: split_arguments(value)?,
                expected: Vec::new(),
            }),
            "smoke-expect" | "smoke-abort-expect" => match runs.last_mut() {
                Some(run) if run.aborts == aborts => run.expected.push(value.trim().to_owned()),
                _ => return fault("an expectation must follow the run that it belongs to"),
            },
            _ => {
                return fault(
                    "unknown key; there are smoke, smoke-expect, smoke-abort and smoke-abort-expect",
                );
            }
        }
    }
    Ok(runs)
}

/// Splits at spaces; quotes of either kind keep a part together.
fn split_arguments(line: &str) -> Result<Vec<String>, String> {
    let mut arguments = Vec::new();
    let mut current: Option<String> = None;
    let mut quote = None;
    for character in line.chars() {
        match quote {
            Some(open) if character == open => quote = None,
            Some(_) => current.get_or_insert_default().push(character),
            None if character == '"' || character == '\'' => {
                quote = Some(character);
                current.get_or_insert_default();
            }
            None if character.is_whitespace() => arguments.extend(current.take()),
            None => current.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err(format!("unclosed quote in the arguments `{}`", line.trim()));
    }
    arguments.extend(current);
    Ok(arguments)
}

/// Runs a built example and says what is wrong with how it ended.
pub(crate) fn run(smoke: &Smoke, binary: &Path) -> Result<(), String> {
    let ended = run_limited(Command::new(binary).args(&smoke.arguments), TIME_LIMIT)?;
    let said = if smoke.aborts { &ended.stderr } else { &ended.stdout };
    let must_abort = smoke.aborts && !smoke.expected.is_empty();
    let fault = if ended.timed_out {
        Some(format!("did not end within {} s", TIME_LIMIT.as_secs()))
    } else if must_abort && ended.status.signal() != Some(SIGABRT) {
        Some(format!("was to die by SIGABRT, ended with {}", ended.status))
    } else if !must_abort && !ended.status.success() {
        Some(format!("ended with {}", ended.status))
    } else {
        smoke
            .expected
            .iter()
            .find(|text| !said.contains(text.as_str()))
            .map(|text| format!("did not say `{text}`"))
    };
    fault.map_or(Ok(()), |fault| {
        Err(format!(
            "{fault}\n--- standard output\n{}\n--- standard error\n{}",
            ended.stdout, ended.stderr
        ))
    })
}

const TIME_LIMIT: Duration = Duration::from_secs(60);
/// The same number on every architecture of Linux.
const SIGABRT: i32 = 6;

/// How a command ended, and what it printed.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) timed_out: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command without input, and ends it and its children at the time limit.
pub(crate) fn run_limited(command: &mut Command, limit: Duration) -> Result<Ended, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that what the example has started ends with it.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("start {program}: {error}"))?;
    let group = format!("-{}", child.id());
    let stdout = read_aside(child.stdout.take());
    let stderr = read_aside(child.stderr.take());
    let (ended, waits) = mpsc::channel();
    let waiting = thread::spawn(move || {
        let status = child.wait();
        // The receiver may have stopped to listen at the time limit.
        let _ = ended.send(());
        status
    });
    let timed_out = waits.recv_timeout(limit).is_err();
    // Also on success: a grandchild that holds the pipes would keep the readers below from ending.
    let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    let status = waiting.join().expect("waiting for a process does not panic");
    let status = status.map_err(|error| format!("wait for {program}: {error}"))?;
    let join =
        |reader: thread::JoinHandle<String>| reader.join().expect("reading a pipe does not panic");
    Ok(Ended { status, timed_out, stdout: join(stdout), stderr: join(stderr) })
}

fn read_aside(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before an error is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_how_to_run() {
        let text = "//! Echo.\n//!\n//! smoke: --once \"a b\"\n//! smoke-expect: served 1\n//! smoke:\n\
                    //! smoke-abort: now\n//! smoke-abort-expect: boom\n\nfn main() {}\n//! smoke: late\n";
        let runs = parse("p", "echo", text).unwrap();
        let summary: Vec<_> = runs
            .iter()
            .map(|run| (run.aborts, run.arguments.join("|"), run.expected.join("|")))
            .collect();
        let expected = [(false, "--once|a b", "served 1"), (false, "", ""), (true, "now", "boom")];
        assert_eq!(
            summary,
            expected.map(|(aborts, arguments, text)| (
                aborts,
                arguments.to_owned(),
                text.to_owned()
            ))
        );
    }

    #[test]
    fn malformed_headers_are_refused() {
        assert!(parse("p", "e", "//! smoke-expect: x\n").is_err());
        assert!(parse("p", "e", "//! smoke: a\n//! smoke-abort-expect: x\n").is_err());
        assert!(parse("p", "e", "//! smoke-test: x\n").unwrap_err().contains("unknown key"));
        assert!(parse("p", "e", "//! smoke: 'x\n").unwrap_err().contains("quote"));
    }

    #[test]
    fn examples_are_found_by_path() {
        assert_eq!(example_of("crates/p/examples/e.rs"), Some(("p", "e")));
        assert_eq!(example_of("crates/p/examples/e/main.rs"), Some(("p", "e")));
        assert_eq!(example_of("crates/p/examples/e/part.rs"), None);
        assert_eq!(example_of("benches/examples/e.rs"), None);
    }

    fn shell(script: &str, aborts: bool, expected: &[&str]) -> Result<(), String> {
        let smoke = Smoke {
            package: String::new(),
            example: String::new(),
            aborts,
            arguments: vec!["-c".to_owned(), script.to_owned()],
            expected: expected.iter().map(|text| (*text).to_owned()).collect(),
        };
        run(&smoke, Path::new("/bin/sh"))
    }

    #[test]
    fn the_end_is_judged() {
        assert_eq!(shell("echo yes", false, &["yes"]), Ok(()));
        assert!(shell("echo yes >&2", false, &["yes"]).unwrap_err().starts_with("did not say"));
        assert!(shell("exit 3", false, &[]).unwrap_err().contains("3"));
        assert_eq!(shell("echo boom >&2; kill -ABRT $$", true, &["boom"]), Ok(()));
        assert!(shell("echo boom >&2", true, &["boom"]).unwrap_err().contains("SIGABRT"));
        assert_eq!(shell("exit 0", true, &[]), Ok(()));
    }

    #[test]
    fn a_run_that_hangs_is_ended_with_its_children() {
        let mut script = Command::new("/bin/sh");
        script.args(["-c", "echo begun; sleep 600 & sleep 600"]);
        let ended = run_limited(&mut script, Duration::from_millis(100)).unwrap();
        assert!(ended.timed_out && !ended.status.success());
    }
}
