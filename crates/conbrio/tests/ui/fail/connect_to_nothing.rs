//! Attack: connecting without a host, or to a port that is no number.
//! Fails: neither is an address.
// spec: test_highlevel_open_tcp_stream.open_tcp_stream_input_validation

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let _ = TcpStream::connect(cx, (None::<&str>, 80));
        let _ = TcpStream::connect(cx, ("localhost", "http"));
    });
}
