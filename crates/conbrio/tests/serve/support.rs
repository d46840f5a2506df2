//! A running example `serve`, a folder for it, and a client that speaks HTTP byte by byte.
//!
//! Nothing here polls: whoever waits for the server waits in a read, with a limit of time.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{self, Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything takes, so that a hang becomes a failure.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The example, which `cargo test` builds before the tests of its package, but not if `--test` picks one.
pub(crate) fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own path");
    let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps/<test>");
    let binary = profile.join("examples/serve");
    assert!(
        binary.exists(),
        "{} is missing: build it with `cargo build -p conbrio --example serve`",
        binary.display()
    );
    // Without this an old server would pass in place of the one that was changed.
    let built = fs::metadata(&binary).unwrap().modified().unwrap();
    let sources = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/serve"));
    for source in sources.into_iter().flatten() {
        let source = source.unwrap();
        assert!(
            source.metadata().unwrap().modified().unwrap() <= built,
            "{} is newer than the example: build it with `cargo build -p conbrio --example serve`",
            source.path().display()
        );
    }
    binary
}

/// A folder that goes when it is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A folder with some files, and beside it, out of the served part, `secret.txt`.
    pub(crate) fn new() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("conbrio-serve-{}-{number}", process::id()));
        fs::create_dir_all(path.join("www/sub folder")).unwrap();
        fs::create_dir_all(path.join("www/indexed")).unwrap();
        fs::write(path.join("secret.txt"), "secret").unwrap();
        let folder = Folder(path);
        folder.write("ten.txt", b"0123456789");
        folder.write("empty.bin", b"");
        folder.write("indexed/index.html", b"<p>index");
        folder.write("sub folder/a&b <c>.txt", b"odd");
        folder
    }

    pub(crate) fn www(&self) -> PathBuf {
        self.0.join("www")
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.www().join(name), content).unwrap();
    }

    /// A file that no socket buffer holds.
    pub(crate) fn write_big(&self) {
        fs::File::create(self.www().join("big.bin")).unwrap().set_len(BIG_BYTES as u64).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) const BIG_BYTES: usize = 32 << 20;

/// A running server. It is killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    pub(crate) folder: Folder,
}

impl Server {
    pub(crate) fn start(options: &[&str]) -> Server {
        let mut command = Command::new(binary());
        command.args(options);
        Server::start_command(command)
    }

    /// Starts it with a limit of open files.
    pub(crate) fn start_with_fds(fds_max: usize, options: &[&str]) -> Server {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {fds_max}; exec \"$0\" \"$@\"");
        command.arg("-c").arg(script).arg(binary()).args(options);
        Server::start_command(command)
    }

    fn start_command(mut command: Command) -> Server {
        let folder = Folder::new();
        let mut child = command
            .arg(folder.www())
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the server");
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line
            .trim_end()
            .strip_prefix("listening on http://")
            .and_then(|rest| rest.strip_suffix('/')?.parse().ok())
            .unwrap_or_else(|| panic!("the server says {line:?} instead of its address"));
        Server { child, stdout, address, folder }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client(BufReader::new(stream))
    }

    /// GET on a connection of its own, which is closed by both sides when this returns.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.get_with(path, "")
    }

    /// The same with more lines in the head.
    pub(crate) fn get_with(&self, path: &str, lines: &str) -> Answer {
        let mut client = self.connect();
        let answer = client.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n"));
        client.finish();
        client.expect_end();
        answer
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn fd_count(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    pub(crate) fn resident_bytes(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
    }

    /// Asks, one request after the other, until the server has no more open files than `count`.
    pub(crate) fn expect_fds(&self, count: usize) {
        let began = Instant::now();
        while self.fd_count() > count {
            assert!(began.elapsed() < LIMIT, "{} fds are open, not {count}", self.fd_count());
            assert_eq!(self.get("/ten.txt").status, 200);
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end, which must be a success; the closing line and the log.
    pub(crate) fn expect_success(&mut self) -> (String, String) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the server ended with {status}: {log}");
        assert!(line.starts_with("served ") && line.contains(" requests ("), "{line:?}");
        (line, log)
    }

    /// Ends it by SIGINT, and expects that `count` connections were cut off.
    pub(crate) fn expect_cut_off(&mut self, count: usize) {
        self.signal(Signal::INT);
        let (line, log) = self.expect_success();
        assert!(line.contains(&format!("; {count} connections were cut off")), "{line:?} {log}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection to a server.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Says that no more is sent.
    pub(crate) fn finish(&mut self) {
        self.0.get_mut().shutdown(Shutdown::Write).unwrap();
    }

    /// Sends and reads one answer. Knows by the first word whether a body comes.
    pub(crate) fn ask(&mut self, request: &str) -> Answer {
        self.send(request);
        self.answer(!request.starts_with("HEAD "))
    }

    pub(crate) fn answer(&mut self, has_body: bool) -> Answer {
        let mut answer = self.head();
        let length = answer.header("Content-Length").map_or(0, |text| text.parse().unwrap());
        answer.body = vec![0; if has_body { length } else { 0 }];
        self.0.read_exact(&mut answer.body).unwrap();
        answer
    }

    pub(crate) fn head(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let count = self.0.read_line(&mut head).unwrap();
            assert!(count > 0, "the connection ended in the middle of a head: {head:?}");
        }
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line in {head:?}"));
        Answer { status, head, body: Vec::new() }
    }

    /// Reads to the end of the stream; what came.
    pub(crate) fn rest(&mut self) -> std::io::Result<usize> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes)
    }

    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        assert_eq!(self.rest().unwrap(), 0, "the connection goes on");
    }
}

/// One response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Runs a tool, which apt installs if it is missing and may be installed; `None` if it is not there.
pub(crate) fn tool(name: &str, arguments: &[impl AsRef<OsStr>]) -> Option<Output> {
    let run = || Command::new(name).args(arguments).output();
    let output = run().or_else(|_| {
        let mut install = Command::new("apt-get");
        let _ = install.args(["install", "-y", "-q", name]).output();
        run()
    });
    if output.is_err() {
        // Not `eprintln!`, which the test harness keeps to itself when a test succeeds.
        let _ = writeln!(std::io::stderr(), "\n=== SKIPPED: no `{name}` here, and apt has none");
    }
    output.ok()
}
