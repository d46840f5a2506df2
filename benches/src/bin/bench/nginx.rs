//! nginx with one worker on the servers' core, and a file that holds what the other servers answer.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use conbrio_bench_kit::child::{Background, Program};
use conbrio_bench_kit::http::TEXT;

/// Starts it in the foreground, as a single process, so that its processor time is that of one process.
pub(crate) fn start(program: &Program) -> io::Result<(Background, SocketAddr)> {
    let folder = std::env::temp_dir().join(format!("conbrio-bench-nginx-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("plaintext"), TEXT)?;
    // nginx cannot take a port that the system chooses: one that was free a moment ago.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let place = folder.display();
    let configuration = format!(
        "daemon off; master_process off; pid {place}/pid; error_log {place}/errors;\n\
         events {{ worker_connections 2048; }}\n\
         http {{ client_body_temp_path {place}/a; proxy_temp_path {place}/b; fastcgi_temp_path {place}/c;\n\
         uwsgi_temp_path {place}/d; scgi_temp_path {place}/e; access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000000000;\n\
         open_file_cache max=16; default_type text/plain;\n\
         server {{ listen {address}; root {place}; }} }}\n"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration)?;
    let program = program.clone().through(STARTER);
    let (file, errors) = (file.display().to_string(), folder.join("errors").display().to_string());
    let process = program.start_silent(&["-c", &file, "-e", &errors])?;
    // It says nothing when it is ready.
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        if begun.elapsed() > Duration::from_secs(5) {
            let errors = fs::read_to_string(folder.join("errors")).unwrap_or_default();
            return Err(io::Error::other(format!("nginx does not listen: {errors}")));
        }
        std::thread::yield_now();
    }
    Ok((process, address))
}

/// On the core of all servers; and it does not read its standard input, so that it has to be ended otherwise if this
/// process is killed.
const STARTER: &[&str] = &["setpriv", "--pdeathsig", "KILL", "taskset", "-c", "0"];
