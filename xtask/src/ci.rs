//! `cargo xtask ci`: every check a change must pass, in the order of what is quickest to tell.
//!
//! The steps are a table; each is a function that returns what it did. The first failure ends the run
//! and is reported with the command that failed. A step that cannot run on this machine says so loudly
//! when it is met and again at the end, because a skipped check proves nothing.

mod memory;

use crate::instructions::{self, Outcome};
use crate::smoke::{self, Smoke};
use crate::source::{self, Source};
use crate::tidy;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

pub(crate) fn main(root: &Path, options: &[&str]) -> Result<(), String> {
    let machine = Machine { root: root.to_path_buf(), target_dir: target_dir(root) };
    let named = |name: &str| {
        STEPS.iter().chain(EXTRA_STEPS).filter(|step| step.name == name).collect::<Vec<_>>()
    };
    let steps: Vec<&Step> = match options {
        [] => STEPS.iter().collect(),
        ["--asan"] => named("asan"),
        ["--valgrind"] => named("valgrind"),
        ["--only", name] => named(name),
        _ => Vec::new(),
    };
    if steps.is_empty() {
        let names: Vec<&str> = STEPS.iter().chain(EXTRA_STEPS).map(|step| step.name).collect();
        return Err(format!(
            "unknown options {options:?}; the steps for `--only` are {}",
            names.join(", ")
        ));
    }
    run_steps(&machine, &steps)
}

struct Step {
    name: &'static str,
    run: fn(&Machine) -> Result<Done, String>,
}

/// How a step ended that did not fail.
enum Done {
    Passed,
    /// The reason.
    Skipped(String),
    /// There is nothing in the tree that the step is for; this is no gap.
    NothingToDo(String),
}

const STEPS: &[Step] = &[
    Step { name: "fmt", run: |machine| machine.cargo(&["fmt", "--all", "--check"]) },
    Step { name: "clippy", run: clippy },
    Step { name: "tidy", run: |machine| tidy::main(&machine.root).map(|()| Done::Passed) },
    Step { name: "test", run: |machine| machine.cargo(&["test", "--workspace"]) },
    Step { name: "features", run: features },
    Step { name: "doc", run: doc },
    Step { name: "examples", run: examples },
    Step { name: "abort", run: abort },
    Step { name: "loom", run: loom },
    Step { name: "msrv", run: msrv },
    Step { name: "instructions", run: instructions },
];

/// Steps that run only when they are asked for by name.
const EXTRA_STEPS: &[Step] =
    &[Step { name: "asan", run: memory::asan }, Step { name: "valgrind", run: memory::valgrind }];

fn run_steps(machine: &Machine, steps: &[&Step]) -> Result<(), String> {
    let began = Instant::now();
    let mut skipped = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        println!("\n=== {} ({} of {})", step.name, index + 1, steps.len());
        let step_began = Instant::now();
        let done = (step.run)(machine);
        let seconds = step_began.elapsed().as_secs_f64();
        match done {
            Ok(Done::Passed) => println!("=== {}: passed in {seconds:.1} s", step.name),
            Ok(Done::NothingToDo(reason)) => println!("=== {}: nothing to do, {reason}", step.name),
            Ok(Done::Skipped(reason)) => {
                println!("=== {}: SKIPPED: {reason}", step.name);
                skipped.push(format!("SKIPPED: {}: {reason}", step.name));
            }
            Err(message) => {
                return Err(format!("\n=== {}: FAILED after {seconds:.1} s\n{message}", step.name));
            }
        }
    }
    println!("\n{} steps in {:.1} s", steps.len(), began.elapsed().as_secs_f64());
    for line in &skipped {
        println!("{line}");
    }
    println!("ci: {}", if skipped.is_empty() { "passed" } else { "passed, with steps skipped" });
    Ok(())
}

/// Where the steps run.
struct Machine {
    root: PathBuf,
    target_dir: PathBuf,
}

impl Machine {
    fn cargo(&self, arguments: &[&str]) -> Result<Done, String> {
        self.cargo_with(&[], arguments)
    }

    /// Runs cargo in the workspace root with some variables set.
    fn cargo_with(
        &self,
        variables: &[(&str, OsString)],
        arguments: &[&str],
    ) -> Result<Done, String> {
        let set =
            variables.iter().map(|(name, value)| format!("{name}='{}' ", value.to_string_lossy()));
        let shown = format!("{}cargo {}", set.collect::<String>(), arguments.join(" "));
        println!("$ {shown}");
        match self.command(variables, arguments).status() {
            Ok(status) if status.success() => Ok(Done::Passed),
            Ok(status) => Err(format!("{status} from: {shown}")),
            Err(error) => Err(format!("start {shown}: {error}")),
        }
    }

    fn command(&self, variables: &[(&str, OsString)], arguments: &[&str]) -> Command {
        // Not the cargo that runs this task: only the one in the path knows `+toolchain`.
        let mut command = Command::new("cargo");
        command.args(arguments).current_dir(&self.root);
        // The flags of the step alone decide; those of the caller would make it another one.
        for name in ["RUSTFLAGS", "RUSTDOCFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
            command.env_remove(name);
        }
        // Nothing here is built twice, and what makes that quick takes gigabytes.
        command.env("CARGO_INCREMENTAL", "0");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A build with other flags has a folder of its own, so that it does not undo the usual build.
    fn own_target_dir(&self, name: &str) -> (&'static str, OsString) {
        ("CARGO_TARGET_DIR", self.target_dir.join(name).into_os_string())
    }

    fn sources(&self) -> Result<Vec<Source>, String> {
        source::read_tree(&self.root)
    }
}

pub(crate) fn target_dir(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

/// With all features, and what some of them change also without.
fn clippy(machine: &Machine) -> Result<Done, String> {
    let deny = ["--", "-D", "warnings"];
    let all = ["clippy", "--workspace", "--all-targets", "--features", FEATURES_OF_WORKSPACE];
    machine.cargo(&[&all[..], &deny].concat())?;
    machine.cargo(&[&["clippy", "-p", "conbrio", "--lib", "--examples"], &deny[..]].concat())
}

/// The tests of what is built only if a feature asks for it.
fn features(machine: &Machine) -> Result<Done, String> {
    let with = |first: &[&'static str], last: &[&'static str]| {
        [first, &["-p", "conbrio", "--features", FEATURES], last].concat()
    };
    machine.cargo(&with(
        &["test"],
        &["--lib", "--test", "net", "--test", "threads", "--test", "tls"],
    ))?;
    machine.cargo(&with(&["test", "--doc"], &["--", "cancelled", "interop", "resolve", "tls"]))?;
    let serve = ["--", ".", "--tls", "--listen", "127.0.0.1:0", "--quit-after", "1"];
    machine.cargo(&[&with(&["run"], &["--example", "serve"])[..], &serve].concat())
}

/// Those that users turn on.
const FEATURES: &str = "anyhow,hickory,tls,tls-native-roots,tracing";
/// The same, named as whoever builds several packages has to.
const FEATURES_OF_CONBRIO: &str =
    "conbrio/anyhow,conbrio/hickory,conbrio/tls,conbrio/tls-native-roots,conbrio/tracing";
/// The same, and those of the benches.
const FEATURES_OF_WORKSPACE: &str = "conbrio/anyhow,conbrio/hickory,conbrio/tls,\
    conbrio/tls-native-roots,conbrio/tracing,conbrio-benches/tls";

fn doc(machine: &Machine) -> Result<Done, String> {
    let doc = ["doc", "--workspace", "--no-deps", "--features", FEATURES_OF_WORKSPACE];
    machine.cargo_with(&[("RUSTDOCFLAGS", "-D warnings".into())], &doc)
}

fn examples(machine: &Machine) -> Result<Done, String> {
    let runs = smoke_runs(machine, false)?;
    machine.cargo(&["build", "--workspace", "--examples", "--release"])?;
    for run in &runs {
        run_smoke(machine, run, "release")?;
    }
    println!("{} runs of examples", runs.len());
    Ok(Done::Passed)
}

fn abort(machine: &Machine) -> Result<Done, String> {
    let runs = smoke_runs(machine, true)?;
    if runs.is_empty() {
        return Ok(Done::NothingToDo("no example has a line `//! smoke-abort:`".to_owned()));
    }
    let manifest = machine.root.join("Cargo.toml");
    let manifest = std::fs::read_to_string(&manifest)
        .map_err(|error| format!("read {}: {error}", manifest.display()))?;
    if !manifest.lines().any(|line| line.trim() == "[profile.abort]") {
        let add = "[profile.abort]\ninherits = \"dev\"\npanic = \"abort\"";
        return Err(format!("no profile `abort` in the workspace manifest; add\n{add}"));
    }
    for run in &runs {
        machine.cargo(&[
            "build",
            "--profile",
            "abort",
            "-p",
            &run.package,
            "--example",
            &run.example,
        ])?;
        run_smoke(machine, run, "abort")?;
    }
    Ok(Done::Passed)
}

fn smoke_runs(machine: &Machine, aborts: bool) -> Result<Vec<Smoke>, String> {
    let runs = smoke::collect(&machine.sources()?)?;
    Ok(runs.into_iter().filter(|run| run.aborts == aborts).collect())
}

fn run_smoke(machine: &Machine, run: &Smoke, profile: &str) -> Result<(), String> {
    let binary = machine.target_dir.join(profile).join("examples").join(&run.example);
    let shown = format!("{} {}", binary.display(), run.arguments.join(" "));
    println!("$ {shown}");
    smoke::run(run, &binary).map_err(|fault| format!("{}: {fault}\nfrom: {shown}", run.example))
}

fn loom(machine: &Machine) -> Result<Done, String> {
    let mut sources =
        machine.sources()?.into_iter().filter(|source| source.path.starts_with("crates/conbrio/"));
    if !sources.any(|source| source.path.ends_with(".rs") && source.code.contains("cfg(loom)")) {
        return Ok(Done::NothingToDo("no file of crates/conbrio has cfg(loom)".to_owned()));
    }
    let variables = [("RUSTFLAGS", "--cfg loom".into()), machine.own_target_dir("loom")];
    let test = ["test", "-p", "conbrio", "--release", "--lib", "loom_"];
    // The tests are picked by their name; a name that fits none would pass without a word.
    let list = machine.command(&variables, &[&test[..], &["--", "--list"]].concat()).output();
    let list = list.map_err(|error| format!("list the loom tests: {error}"))?;
    if list.status.success() && !String::from_utf8_lossy(&list.stdout).contains(": test") {
        return Err(
            "a file has cfg(loom), but no test of the library has `loom_` in its path".to_owned()
        );
    }
    machine.cargo_with(&variables, &test)
}

fn msrv(machine: &Machine) -> Result<Done, String> {
    let version = workspace_rust_version(&machine.root)?;
    let installed = output("rustup", &["toolchain", "list"]).unwrap_or_default();
    let is_version = |name: &&str| {
        name.strip_prefix(&version)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
    };
    let Some(toolchain) =
        installed.lines().filter_map(|line| line.split_whitespace().next()).find(is_version)
    else {
        let install = format!("rustup toolchain install {version} --profile minimal");
        return Ok(Done::Skipped(format!("toolchain {version} is not installed; run `{install}`")));
    };
    let toolchain = format!("+{toolchain}");
    machine.cargo_with(&[machine.own_target_dir("msrv")], &[&toolchain, "check", "--workspace"])
}

fn instructions(machine: &Machine) -> Result<Done, String> {
    instructions::check(&machine.root).map(|outcome| match outcome {
        Outcome::Passed => Done::Passed,
        Outcome::Skipped(reason) => Done::Skipped(reason),
    })
}

fn workspace_rust_version(root: &Path) -> Result<String, String> {
    let path = root.join("Cargo.toml");
    let manifest = std::fs::read_to_string(&path)
        .map_err(|error| format!("read {}: {error}", path.display()))?;
    let version = manifest.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "rust-version").then(|| value.trim().trim_matches('"').to_owned())
    });
    version.ok_or_else(|| {
        "no rust-version in the workspace manifest; state the oldest compiler supported".to_owned()
    })
}

fn host_triple() -> Result<String, String> {
    let version = output("rustc", &["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}

/// What a command prints on its standard output.
fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    let shown = format!("{program} {}", arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("start {shown}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{} from: {shown}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
