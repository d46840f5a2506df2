//! The programs that are compared, where they lie, and those that are missing.
//!
//! `cargo xtask bench` writes a file with a line for each program: its key, its version, and its path or, after
//! an exclamation mark, why there is none.

use std::fs;
use std::io;
use std::path::Path;

use conbrio_bench_kit::child::Program;

/// Who is asked: a program, and how it is told which of its runtimes is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct System {
    pub(crate) key: &'static str,
    /// The head of its column.
    pub(crate) name: &'static str,
    program: &'static str,
    variable: Option<(&'static str, &'static str)>,
}

const fn system(key: &'static str, name: &'static str) -> System {
    System { key, name, program: key, variable: None }
}

const fn tokio(key: &'static str, name: &'static str, runtime: &'static str) -> System {
    System { key, name, program: "tokio", variable: Some(("TOKIO_RUNTIME", runtime)) }
}

pub(crate) const CONBRIO: System = system("conbrio", "conbrio");
pub(crate) const CURRENT: System = tokio("tokio-current", "tokio current-thread", "current-thread");
pub(crate) const MULTI: System = tokio("tokio-multi", "tokio multi-thread", "multi-thread");
pub(crate) const SMOL: System = system("smol", "smol");
pub(crate) const MAY: System = system("may", "may");
pub(crate) const RAYON: System = system("rayon", "rayon");
pub(crate) const GO: System = system("go", "Go");
/// Threads of the system, and loops on its calls without any runtime.
pub(crate) const KERNEL: System = system("kernel", "std threads");
pub(crate) const PREAD: System = System {
    key: "pread",
    name: "pread in a loop",
    program: "kernel",
    variable: Some(("FILES", "pread")),
};
pub(crate) const RING: System = System {
    key: "ring",
    name: "raw io_uring",
    program: "kernel",
    variable: Some(("FILES", "ring")),
};
pub(crate) const CONBRIO_URING: System = System {
    key: "conbrio-uring",
    name: "conbrio, io_uring",
    program: "conbrio",
    variable: Some(("CONBRIO_REACTOR", "uring")),
};
pub(crate) const CONBRIO_EPOLL: System = System {
    key: "conbrio-epoll",
    name: "conbrio, epoll",
    program: "conbrio",
    variable: Some(("CONBRIO_REACTOR", "epoll")),
};
pub(crate) const MONOIO: System = system("monoio", "monoio");
pub(crate) const COMPIO: System = system("compio", "compio");
pub(crate) const GLOMMIO: System = system("glommio", "glommio");
pub(crate) const WEB: System = system("web", "hyper, axum");
pub(crate) const NGINX: System = system("nginx", "nginx");
/// The example of that name.
pub(crate) const SERVE_EPOLL: System = System {
    key: "serve-epoll",
    name: "serve, epoll",
    program: "serve",
    variable: Some(("CONBRIO_REACTOR", "epoll")),
};
pub(crate) const SERVE_URING: System = System {
    key: "serve-uring",
    name: "serve, io_uring",
    program: "serve",
    variable: Some(("CONBRIO_REACTOR", "uring")),
};

#[derive(Debug)]
struct Entry {
    key: String,
    version: String,
    place: Result<Program, String>,
}

/// The programs there are.
#[derive(Debug)]
pub(crate) struct Programs(Vec<Entry>);

impl Programs {
    pub(crate) fn read(path: &Path) -> io::Result<Programs> {
        let text = fs::read_to_string(path)
            .map_err(|error| io::Error::other(format!("read {}: {error}", path.display())))?;
        let entries = text.lines().map(|line| {
            let mut fields = line.splitn(3, '\t');
            let (Some(key), Some(version), Some(place)) =
                (fields.next(), fields.next(), fields.next())
            else {
                return Err(io::Error::other(format!("{}: {line:?}", path.display())));
            };
            let place = match place.strip_prefix('!') {
                Some(reason) => Err(reason.to_owned()),
                None => Ok(Program::new(place)),
            };
            Ok(Entry { key: key.to_owned(), version: version.to_owned(), place })
        });
        entries.collect::<io::Result<Vec<_>>>().map(Programs)
    }

    /// How to run a system; `None` if its program is missing.
    pub(crate) fn of(&self, system: System) -> Option<Program> {
        let entry = self.0.iter().find(|entry| entry.key == system.program)?;
        let program = entry.place.as_ref().ok()?.clone();
        Some(match system.variable {
            Some((name, value)) => program.with(name, value),
            None => program,
        })
    }

    /// Why programs are missing.
    pub(crate) fn missing(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|entry| {
            let reason = entry.place.as_ref().err()?;
            Some(format!("{}: {reason}", entry.key))
        })
    }

    pub(crate) fn versions(&self) -> String {
        let versions: Vec<&str> = self
            .0
            .iter()
            .filter(|entry| entry.place.is_ok() && !entry.version.is_empty())
            .map(|entry| entry.version.as_str())
            .collect();
        versions.join(", ")
    }
}
