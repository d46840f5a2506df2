//! Attack: the port to listen at is no number.
//! Fails: the second half of such an address is a `u16`.
// spec: test_highlevel_open_tcp_listeners.open_tcp_listeners_port_checking

fn main() {
    conbrio::run(|cx| conbrio::net::listen(cx, ("localhost", "not a port")).unwrap());
}
