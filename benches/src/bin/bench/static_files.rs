//! Servers of files on the servers' core: nginx as a single process, and the example `serve`.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use conbrio_bench_kit::child::{Background, Program};
use conbrio_bench_kit::http::TEXT;

/// Starts nginx in the foreground, so that its processor time is that of one process.
pub(crate) fn nginx(program: &Program) -> io::Result<(Background, SocketAddr)> {
    let folder = folder()?;
    // nginx cannot take a port that the system chooses: one that was free a moment ago.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let own = folder.join(format!("nginx-{}", address.port()));
    fs::create_dir_all(&own)?;
    let (root, place) = (folder.display(), own.display());
    let configuration = format!(
        "daemon off; master_process off; pid {place}/pid; error_log {place}/errors;\n\
         events {{ worker_connections 2048; }}\n\
         http {{ client_body_temp_path {place}/a; proxy_temp_path {place}/b; fastcgi_temp_path {place}/c;\n\
         uwsgi_temp_path {place}/d; scgi_temp_path {place}/e; access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000000000;\n\
         open_file_cache max=16; default_type text/plain;\n\
         server {{ listen {address}; root {root}; }} }}\n"
    );
    let file = own.join("nginx.conf");
    fs::write(&file, configuration)?;
    let (file, errors) = (file.display().to_string(), own.join("errors").display().to_string());
    let program = program.clone().through(STARTER);
    let process = program.start_silent(&["-c", &file, "-e", &errors])?;
    // It says nothing when it is ready.
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        if begun.elapsed() > Duration::from_secs(5) {
            let errors = fs::read_to_string(own.join("errors")).unwrap_or_default();
            return Err(io::Error::other(format!("nginx does not listen: {errors}")));
        }
        std::thread::yield_now();
    }
    Ok((process, address))
}

/// Starts the example, which has one worker on its one core.
pub(crate) fn serve(program: &Program) -> io::Result<(Background, SocketAddr)> {
    let folder = folder()?.display().to_string();
    let program = program.clone().through(STARTER);
    let process = program.start(&[&folder, "--listen", "127.0.0.1:0"])?;
    let line = process.first_line();
    let address = line.strip_prefix("listening on http://").and_then(|rest| rest.split('/').next());
    let address = address.and_then(|address| address.parse().ok());
    let address =
        address.ok_or_else(|| io::Error::other(format!("it printed {line:?}, no address")))?;
    Ok((process, address))
}

/// What is served: the text that other servers answer with, and files of the three sizes.
fn folder() -> io::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("conbrio-bench-files-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let files =
        [("plaintext", TEXT.len()), ("1k", 1 << 10), ("100k", 100 << 10), ("10m", 10 << 20)];
    for (name, bytes) in files {
        let path = folder.join(name);
        if path.metadata().is_ok_and(|metadata| metadata.len() == bytes as u64) {
            continue;
        }
        let text = if name == "plaintext" { TEXT.into() } else { vec![b'x'; bytes] };
        fs::write(path, text)?;
    }
    Ok(folder)
}

/// On the core of all servers; and they do not read their standard input, so that they have to be ended
/// otherwise if this process is killed.
const STARTER: &[&str] = &["setpriv", "--pdeathsig", "KILL", "taskset", "-c", "0"];
