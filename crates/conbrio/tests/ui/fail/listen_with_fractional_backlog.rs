//! Attack: room for one and a half connections.
//! Fails: a backlog is a whole number.
// spec: test_highlevel_open_tcp_listeners.open_tcp_listeners_backlog_float_error

use conbrio::net::ListenOptions;

fn main() {
    let _ = ListenOptions::new().backlog(1.5);
}
