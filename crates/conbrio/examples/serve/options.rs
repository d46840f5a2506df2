//! The options of the command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

pub(crate) const HELP: &str = "\
usage: serve [FOLDER] [OPTIONS]

  --listen ADDRESS       where to listen, 127.0.0.1:8080 if not given; port 0 takes a free one
  --log                  print a line for each request to standard error
  --follow-symlinks      follow symbolic links that lead out of the folder
  --max-connections N    answer 503 beyond so many connections, 400 if not given
  --grace SECONDS        how long a drain waits for running responses, 10 if not given
  --workers N            worker threads, one for each processor if not given
  --quit-after SECONDS   end as if by Ctrl-C

Ctrl-C ends it when the running responses are done, or at once if pressed twice.";

/// What was asked for on the command line, or the defaults.
pub(crate) struct Options {
    pub(crate) folder: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) log: bool,
    pub(crate) follow_symlinks: bool,
    /// The default leaves room for two fds each under the usual limit of 1024.
    pub(crate) connections_max: usize,
    pub(crate) grace: Duration,
    pub(crate) workers: Option<NonZero<usize>>,
    pub(crate) quit_after: Option<Duration>,
    /// How long a connection may stay silent between requests.
    pub(crate) idle: Duration,
    /// How long the head of a request may take from its first byte on.
    pub(crate) head: Duration,
    /// How long the peer may take for each piece of a response.
    pub(crate) write: Duration,
}

impl Options {
    /// `None` if help was asked for; an error says which argument is wrong.
    pub(crate) fn from_arguments(
        mut arguments: impl Iterator<Item = OsString>,
    ) -> Result<Option<Options>, String> {
        let mut options = Options {
            folder: ".".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            log: false,
            follow_symlinks: false,
            connections_max: 400,
            grace: Duration::from_secs(10),
            workers: None,
            quit_after: None,
            idle: Duration::from_secs(60),
            head: Duration::from_secs(10),
            write: Duration::from_secs(30),
        };
        while let Some(argument) = arguments.next() {
            let name = argument.to_string_lossy().into_owned();
            let value = &mut arguments;
            match &*name {
                "--help" | "-h" => return Ok(None),
                "--log" => options.log = true,
                "--follow-symlinks" => options.follow_symlinks = true,
                "--listen" => options.listen = parse(&name, value)?,
                "--max-connections" => options.connections_max = parse(&name, value)?,
                "--workers" => options.workers = Some(parse(&name, value)?),
                "--grace" => options.grace = seconds(&name, value)?,
                "--quit-after" => options.quit_after = Some(seconds(&name, value)?),
                // In seconds as well, and not in the help: tests make them short.
                "--idle-timeout" => options.idle = seconds(&name, value)?,
                "--head-timeout" => options.head = seconds(&name, value)?,
                "--write-timeout" => options.write = seconds(&name, value)?,
                _ if name.starts_with('-') => return Err(format!("unknown option {name}")),
                _ => options.folder = argument.into(),
            }
        }
        Ok(Some(options))
    }
}

fn parse<T: FromStr>(
    name: &str,
    arguments: &mut impl Iterator<Item = OsString>,
) -> Result<T, String> {
    let value = arguments
        .next()
        .ok_or_else(|| format!("{name} needs a value"))?;
    let parsed = value.to_str().and_then(|value| value.parse().ok());
    parsed.ok_or_else(|| format!("{name} does not take {value:?}"))
}

fn seconds(name: &str, arguments: &mut impl Iterator<Item = OsString>) -> Result<Duration, String> {
    let value = parse(name, arguments)?;
    Duration::try_from_secs_f64(value).map_err(|_| format!("{name} does not take {value}"))
}
