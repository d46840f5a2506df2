//! Half a minute of load with misbehaving clients among the good ones. Opt-in: `CONBRIO_SLOW_TESTS=1`.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;

use super::support::{Server, tool};

const SECONDS: &str = "30";
const RESIDENT_GROWTH_MAX: usize = 16 << 20;

/// What a client does to the server for as long as the load lasts.
type Misdeed = fn(&Server);

const MISDEEDS: [Misdeed; 5] = [
    // Vanishes in the middle of a large response.
    |server| {
        let mut client = server.connect();
        client.send("GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n");
        client.head();
    },
    // Vanishes in the middle of a head.
    |server| server.connect().send("GET /ten.txt HTTP/1.1\r\nHo"),
    // Does not say anything.
    |server| drop(server.connect()),
    // Is slow, and is cut off for it.
    |server| {
        let mut client = server.connect();
        client.send("GET /ten.txt");
        assert_eq!(client.answer(true).status, 408);
    },
    // Sends nonsense.
    |server| {
        let mut client = server.connect();
        client.send("\0\x01nonsense\r\n\r\n");
        assert_eq!(client.answer(true).status, 400);
    },
];

#[test]
fn good_clients_do_not_notice_bad_ones() {
    if std::env::var_os("CONBRIO_SLOW_TESTS").is_none() {
        let _ = writeln!(
            std::io::stderr(),
            "\n=== SKIPPED: the load on serve; set CONBRIO_SLOW_TESTS=1"
        );
        return;
    }
    let mut server = Server::start(&["--timeout", "0.2"]);
    server.folder.write_big();
    let url = server.url("/ten.txt");
    assert_eq!(server.get("/ten.txt").status, 200);
    let fds = server.fd_count();
    // Once for warmth, so that what is kept for reuse is there before it is counted.
    let load = |seconds| tool("wrk", &["-t", "2", "-c", "256", "-d", seconds, "--latency", &url]);
    let Some(warm) = load("3") else { return };
    assert!(warm.status.success());
    server.expect_fds(fds);
    let resident = server.resident_bytes();

    let (over, misdeeds) = (AtomicBool::new(false), AtomicUsize::new(0));
    let output = thread::scope(|scope| {
        for misdeed in MISDEEDS {
            let (server, over, misdeeds) = (&server, &over, &misdeeds);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    misdeed(server);
                    // A good client beside it, which also keeps the misdeeds from piling up.
                    assert_eq!(server.get("/ten.txt").text(), "0123456789");
                    misdeeds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let output = load(SECONDS);
        over.store(true, Ordering::Relaxed);
        output
    });
    let report = String::from_utf8(output.expect("wrk ran before").stdout).unwrap();
    assert!(report.contains("Requests/sec"), "{report}");
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");

    server.expect_fds(fds);
    let grown = server.resident_bytes().saturating_sub(resident);
    server.signal(Signal::INT);
    let (line, log) = server.expect_success();
    let misdeeds = misdeeds.into_inner();
    let _ = writeln!(
        std::io::stderr(),
        "\n{report}{misdeeds} misdeeds; resident {resident} + {grown} bytes\n{line}{log}"
    );
    assert!(grown < RESIDENT_GROWTH_MAX, "resident memory has grown by {grown} bytes");
}
