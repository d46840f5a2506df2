//! Whether the arithmetic of a handshake fits on the stacks that tasks have.

use conbrio::Builder;
use conbrio::io::{Read, Write};
use conbrio::prelude::*;
use conbrio::testing::streams;
use conbrio::tls::{Acceptor, Connector};

use crate::support::{Certified, HOST, authority};

/// Half of what a task has unless it asks for more.
const STACK_BYTES: usize = 32 * 1024;

/// Both sides check a certificate of the other.
fn shakes_on_a_small_stack(server: &Certified, client: &Certified) {
    let root = authority().0.root.as_bytes();
    let acceptor = Acceptor::builder()
        .certificate_pem(server.certificate.as_bytes(), server.key.as_bytes())
        .client_root_pem(root)
        .build()
        .unwrap();
    let connector = Connector::builder()
        .root_pem(root)
        .certificate_pem(client.certificate.as_bytes(), client.key.as_bytes())
        .build()
        .unwrap();
    let (acceptor, connector) = (&acceptor, &connector);
    let run = Builder::new().stack_size(STACK_BYTES).run(|cx| {
        let (near, far) = streams::duplex();
        cx.nursery(|_, n| -> std::io::Result<()> {
            n.spawn(move |cx| {
                let mut stream = acceptor.accept(cx, far)?;
                Ok(stream.write_all(cx, &[1; 100_000])?)
            });
            n.spawn(move |cx| {
                let mut stream = connector.connect(cx, HOST, near)?;
                Ok(stream.read_exact(cx, &mut vec![0; 100_000])?)
            });
            Ok(())
        })
    });
    let shaken: Result<(), NurseryError<_>> = run.unwrap();
    shaken.unwrap();
}

#[test]
fn a_handshake_fits_on_half_a_stack() {
    let authority = &authority().0;
    shakes_on_a_small_stack(&authority.server(HOST), &authority.client("a client"));
    shakes_on_a_small_stack(&authority.server_for_openssl(HOST), &authority.client("a client"));
}
