//! The suites under tools that watch memory: AddressSanitizer and valgrind.
//!
//! Everything is built first. Then each test program runs by itself under a time limit, so that one that
//! fails or hangs does not hide the others, and all failures are told together at the end.
//!
//! What a tool finds goes to files, one for each process. A file with a finding fails the step whatever the
//! tests say, for some of them start processes that are meant to fail. What cannot work under a tool
//! stands in a list with the reason, and each run says so.

use super::{Done, FEATURES_OF_CONBRIO, Machine, host_triple, output};
use crate::smoke::{Ended, run_limited};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub(super) fn asan(machine: &Machine) -> Result<Done, String> {
    let host = host_triple()?;
    let libraries = PathBuf::from(output("rustc", &["--print", "sysroot"])?.trim())
        .join("lib/rustlib")
        .join(&host)
        .join("lib");
    let is_runtime = |name: &str| name.starts_with("librustc") && name.ends_with("_rt.asan.a");
    let has_runtime = fs::read_dir(&libraries).is_ok_and(|entries| {
        entries.flatten().any(|entry| is_runtime(&entry.file_name().to_string_lossy()))
    });
    if !has_runtime {
        let reason = format!("no AddressSanitizer runtime in {}", libraries.display());
        return Ok(Done::Skipped(reason));
    }
    let build = Build {
        machine,
        variables: vec![
            // The flag is unstable; this lets the installed stable compiler take it.
            ("RUSTC_BOOTSTRAP", "1".into()),
            ("RUSTFLAGS", "-Zsanitizer=address".into()),
            machine.own_target_dir("asan"),
        ],
        // Without the feature the switches look like stray accesses to stacks.
        features: format!("conbrio/sanitizer,{FEATURES_OF_CONBRIO}"),
        // Named so that build scripts and macros stay without the sanitizer.
        target: Some(host),
    };
    let tool = Tool {
        name: "asan",
        reactors: &["epoll", "uring"],
        limit: Duration::from_secs(600),
        unfit: ASAN_UNFIT,
        command: |program, reports| {
            let mut command = Command::new(program);
            // Fake stacks would be shared between the fibers of a thread. Leaks are not looked for: several
            // tests forget handles on purpose. Faults are left to the handlers that are under test.
            let mut options = OsString::from(
                "detect_stack_use_after_return=0:detect_leaks=0:handle_segv=0:log_path=",
            );
            options.push(reports);
            command.env("ASAN_OPTIONS", options);
            command
        },
        is_finding: |report| report.contains("ERROR: AddressSanitizer"),
    };
    tool.run(machine, &build)
}

pub(super) fn valgrind(machine: &Machine) -> Result<Done, String> {
    if output("valgrind", &["--version"]).is_err() {
        return Ok(Done::Skipped("valgrind is not installed".to_owned()));
    }
    let build = Build {
        machine,
        variables: vec![machine.own_target_dir("valgrind")],
        features: FEATURES_OF_CONBRIO.to_owned(),
        target: None,
    };
    let tool = Tool {
        name: "valgrind",
        // It takes what the kernel writes through a ring for uninitialised, and stops all threads while one
        // waits in a ring.
        reactors: &["epoll"],
        limit: Duration::from_secs(480),
        unfit: VALGRIND_UNFIT,
        command: |program, reports| {
            let mut command = Command::new("valgrind");
            command.args(VALGRIND);
            let mut file = OsString::from("--log-file=");
            file.push(reports);
            file.push(".%p");
            command.arg(file).arg(program);
            // For the suites that try all reactors.
            command.env("CONBRIO_TEST_REACTORS", "epoll");
            command
        },
        // Other lines are about system calls that valgrind does not know and answers with ENOSYS.
        is_finding: |report| report.lines().any(|line| line.starts_with("==")),
    };
    tool.run(machine, &build)
}

const VALGRIND: &[&str] = &[
    "--quiet",
    "--error-exitcode=9",
    // A change of the stack pointer beyond a task's whole stack is a switch, not a large frame.
    "--max-stackframe=49152",
    "--fair-sched=yes",
];

/// What a tool cannot run: a suite, the beginning of a test's name (or nothing, for the whole suite), and why.
type Unfit = (&'static str, &'static str, &'static str);

const ASAN_UNFIT: &[Unfit] = &[("conbrio/ui", "", "it runs the compiler, and nothing of ours")];

const VALGRIND_UNFIT: &[Unfit] = &[
    ("conbrio/ui", "", "it runs the compiler, and nothing of ours"),
    (
        "conbrio/tls",
        "",
        "what ring derives keys from is uninitialised in its eyes, from inside of ring on, and it takes over 8 minutes",
    ),
    (
        "conbrio/process",
        "spawn::what_cannot_be_started_is_named",
        "valgrind makes a fork of a vfork, which cannot tell the parent that there is no such program",
    ),
    (
        "conbrio-reactor/lib",
        "epoll::sys::tests::both_timings_keep_the_lower_bound_and_see_an_event",
        "valgrind 3.19 knows no epoll_pwait2, which is half of the test",
    ),
    (
        "conbrio/serve",
        "simulated::",
        "valgrind 3.19 knows no openat2, with which every file is opened",
    ),
    (
        "conbrio/unix",
        "streams::a_peer_with_a_name_that_is_too_long_is_nobody",
        "valgrind looks for the end of a socket's name that fills its place and has none",
    ),
];

/// How the programs are built.
struct Build<'a> {
    machine: &'a Machine,
    variables: Vec<(&'static str, OsString)>,
    features: String,
    target: Option<String>,
}

/// A test program.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    /// `conbrio/io`; the tests in the library itself are `conbrio/lib`.
    suite: String,
    /// Where the manifest of its package lies, where cargo would start it.
    folder: PathBuf,
    path: PathBuf,
}

impl Build<'_> {
    fn programs(&self) -> Result<Vec<Program>, String> {
        let mut flags = vec!["--features", self.features.as_str()];
        if let Some(target) = &self.target {
            flags.extend(["--target", target]);
        }
        // Some tests run the examples.
        let examples = ["build", "-p", "conbrio", "--examples"];
        self.machine.cargo_with(&self.variables, &[&examples, &flags[..]].concat())?;
        let tests = ["test", "--no-run", "-p", "conbrio-fiber", "-p", "conbrio-reactor"];
        let tests = [&tests[..], &["-p", "conbrio", "--lib", "--tests"], &flags[..]].concat();
        self.machine.cargo_with(&self.variables, &tests)?;
        // The second time only to hear where they are.
        let asked = [&tests[..], &["--message-format", "json"]].concat();
        let told = self.machine.command(&self.variables, &asked).output();
        let told = told.map_err(|error| format!("ask cargo for the test programs: {error}"))?;
        let programs: Vec<Program> =
            String::from_utf8_lossy(&told.stdout).lines().filter_map(program).collect();
        if programs.is_empty() {
            return Err("cargo names no test program".to_owned());
        }
        Ok(programs)
    }
}

/// The test program that a message of cargo tells of.
fn program(message: &str) -> Option<Program> {
    let executable = field(message, "executable")?;
    // The target says whether it could be tested, the profile whether it is.
    let (_, profile) = message.split_once("\"profile\":")?;
    if !profile.contains("\"test\":true") {
        return None;
    }
    let folder = Path::new(field(message, "manifest_path")?).parent()?;
    let is_library = message.contains("\"kind\":[\"lib\"]");
    let (_, target) = message.split_once("\"target\":")?;
    let name = if is_library { "lib" } else { field(target, "name")? };
    Some(Program {
        suite: format!("{}/{name}", folder.file_name()?.to_str()?),
        folder: folder.to_path_buf(),
        path: PathBuf::from(executable),
    })
}

/// The string that stands for `key` first in a line of JSON. Paths with quotes in them are not for us.
fn field<'a>(message: &'a str, key: &str) -> Option<&'a str> {
    let (_, value) = message.split_once(&format!("\"{key}\":\""))?;
    value.split_once('"').map(|(value, _)| value)
}

/// How the programs run.
struct Tool {
    name: &'static str,
    reactors: &'static [&'static str],
    /// For one program on one reactor.
    limit: Duration,
    unfit: &'static [Unfit],
    /// Given the program, and how the names of the files for findings begin.
    command: fn(&Path, &Path) -> Command,
    is_finding: fn(&str) -> bool,
}

impl Tool {
    fn run(&self, machine: &Machine, build: &Build<'_>) -> Result<Done, String> {
        let programs = build.programs()?;
        let folder = machine.target_dir.join(self.name).join("reports");
        // Those of an earlier run would be taken for ours.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)
            .map_err(|error| format!("make {}: {error}", folder.display()))?;
        let mut faults = Vec::new();
        let mut table = vec!["| suite | reactor | tests | seconds | result |".to_owned()];
        table.push("|---|---|---|---|---|".to_owned());
        for program in &programs {
            // Only runs of tasks listen to the variable.
            let reactors = match program.suite.starts_with("conbrio/") {
                true => self.reactors,
                false => &self.reactors[..1],
            };
            for reactor in reactors {
                let Some(ran) = self.run_program(program, reactor, &folder)? else {
                    continue;
                };
                let result = if ran.faults.is_empty() { "ok" } else { "FAILED" };
                let line = format!(
                    "| {} | {reactor} | {} | {:.0} | {result} |",
                    program.suite, ran.tests, ran.seconds
                );
                println!("{line}");
                table.push(line);
                for fault in &ran.faults {
                    println!("{fault}");
                }
                faults.extend(ran.faults);
            }
        }
        println!("\n{}", table.join("\n"));
        for (suite, tests, reason) in self.unfit {
            println!("SKIPPED: {suite} {tests}: {reason}");
        }
        if faults.is_empty() { Ok(Done::Passed) } else { Err(faults.join("\n")) }
    }

    fn run_program(
        &self,
        program: &Program,
        reactor: &str,
        folder: &Path,
    ) -> Result<Option<Ran>, String> {
        let unfit = || self.unfit.iter().filter(|(suite, ..)| *suite == program.suite);
        if unfit().any(|(_, tests, _)| tests.is_empty()) {
            return Ok(None);
        }
        let name = format!("{}-{reactor}", program.suite.replace('/', "-"));
        let mut command = (self.command)(&program.path, &folder.join(&name));
        command.current_dir(&program.folder).env("CONBRIO_REACTOR", reactor);
        for (_, tests, _) in unfit() {
            command.args(["--skip", tests]);
        }
        let began = Instant::now();
        let ended = run_limited(&mut command, self.limit)?;
        let seconds = began.elapsed().as_secs_f64();
        let mut faults = Vec::new();
        if let Some(fault) = self.fault(&ended) {
            let Ended { stdout, stderr, .. } = &ended;
            faults.push(format!("{name}: {fault}\n{stdout}\n{stderr}"));
        }
        faults.extend(self.findings(folder, &name)?);
        Ok(Some(Ran { tests: passed(&ended.stdout), seconds, faults }))
    }

    fn fault(&self, ended: &Ended) -> Option<String> {
        if ended.timed_out {
            return Some(format!("did not end within {} s", self.limit.as_secs()));
        }
        (!ended.status.success()).then(|| format!("ended with {}", ended.status))
    }

    /// What the tool has written about the processes of one run.
    fn findings(&self, folder: &Path, name: &str) -> Result<Vec<String>, String> {
        let fault = |error: std::io::Error| format!("read {}: {error}", folder.display());
        let mut findings = Vec::new();
        for entry in fs::read_dir(folder).map_err(fault)? {
            let path = entry.map_err(fault)?.path();
            let is_ours = path
                .file_name()
                .and_then(|file| file.to_str()?.strip_prefix(name)?.strip_prefix('.'))
                .is_some();
            if is_ours {
                let bytes = fs::read(&path).map_err(fault)?;
                let report = String::from_utf8_lossy(&bytes);
                if (self.is_finding)(&report) {
                    findings.push(format!("{name}: {}\n{report}", path.display()));
                }
            }
        }
        Ok(findings)
    }
}

struct Ran {
    /// How many passed.
    tests: usize,
    seconds: f64,
    faults: Vec<String>,
}

/// How many tests passed, by the last line that says so.
fn passed(stdout: &str) -> usize {
    let told = stdout.lines().rev().find_map(|line| line.strip_prefix("test result: "));
    let count = told.and_then(|line| {
        line.split_once(" passed").and_then(|(before, _)| before.rsplit(' ').next()?.parse().ok())
    });
    count.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_tells_of_test_programs() {
        let message = |target: &str, executable: &str| {
            format!(
                "{{\"reason\":\"compiler-artifact\",\"package_id\":\"path+file:///w/crates/a#0.1.0\",\
                 \"manifest_path\":\"/w/crates/a/Cargo.toml\",\"target\":{target},\
                 \"profile\":{{\"opt_level\":\"0\",\"test\":true}},\"features\":[],\
                 \"executable\":{executable},\"fresh\":true}}"
            )
        };
        let suite = |target, executable| program(&message(target, executable));
        let it = "{\"kind\":[\"test\"],\"crate_types\":[\"bin\"],\"name\":\"it\",\"test\":true}";
        let expected = Program {
            suite: "a/it".to_owned(),
            folder: "/w/crates/a".into(),
            path: "/t/it-1".into(),
        };
        assert_eq!(suite(it, "\"/t/it-1\""), Some(expected));
        let library = "{\"kind\":[\"lib\"],\"crate_types\":[\"lib\"],\"name\":\"a\"}";
        assert_eq!(suite(library, "\"/t/a-1\"").unwrap().suite, "a/lib");
        assert_eq!(suite(library, "null"), None);
        let plain =
            message(it, "\"/t/it-1\"").replace("\"0\",\"test\":true", "\"0\",\"test\":false");
        assert_eq!(program(&plain), None);
        assert_eq!(program("{\"reason\":\"build-finished\",\"success\":true}"), None);
    }

    #[test]
    fn the_tests_that_passed_are_counted() {
        let text = "running 3 tests\ntest result: ok. 12 passed; 0 failed; 0 ignored\n\n";
        assert_eq!(passed(text), 12);
        assert_eq!(passed("killed"), 0);
    }
}
