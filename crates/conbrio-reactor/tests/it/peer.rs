//! The other side of a connection, which is not under test: a plain blocking socket, or one on the
//! simulated network that is worked by a reactor of its own.
//!
//! What it does has arrived when its method returns, as it has over the loopback of a kernel.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use conbrio_reactor::sim::{HostId, Network};
use conbrio_reactor::{Reactor, Source, op, os};
use socket2::SockRef;

use crate::support::{finish, localhost};

pub(crate) enum Peer {
    Real(TcpStream),
    Simulated { source: Option<Source>, reactor: Box<Reactor> },
}

/// A connected TCP pair: ours as a source for `reactor`, and the peer.
pub(crate) fn tcp_and_peer(reactor: &Reactor) -> (Source, Peer) {
    if let Some(network) = reactor.network() {
        let (ours, source) = simulated_pair(reactor);
        let reactor = Box::new(Reactor::simulated(network).unwrap());
        return (ours, Peer::Simulated { source: Some(source), reactor });
    }
    let (ours, peer) = real_tcp_and_peer();
    (ours, Peer::Real(peer))
}

/// The same from the kernel, for tests that need threads or look at its side of things.
pub(crate) fn real_tcp_and_peer() -> (Source, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let peer = TcpStream::connect(listener.local_addr().unwrap()).expect("a connection");
    let (ours, _) = listener.accept().expect("a connection");
    ours.set_nonblocking(true).unwrap();
    ours.set_nodelay(true).unwrap();
    peer.set_nodelay(true).unwrap();
    (Source::new_tcp(ours.into()), peer)
}

/// Two connected TCP sources.
pub(crate) fn tcp_pair(reactor: &Reactor) -> (Source, Source) {
    if reactor.network().is_some() {
        return simulated_pair(reactor);
    }
    let (ours, peer) = real_tcp_and_peer();
    peer.set_nonblocking(true).unwrap();
    (ours, Source::new_tcp(peer.into()))
}

fn simulated_pair(reactor: &Reactor) -> (Source, Source) {
    let host = HostId::default();
    let options = os::ListenOptions::default();
    let listener = reactor.tcp_listener(host, localhost(), options).unwrap();
    let address = os::local_address(&listener).unwrap();
    let client = reactor.tcp_socket(host, address).unwrap();
    finish(reactor, &mut op::Connect::new(&client, address)).unwrap();
    let (accepted, _) = finish(reactor, &mut op::Accept::new(&listener)).unwrap();
    (accepted, client)
}

/// Lets everything arrive that is on its way within a host, and no timer of a human scale end.
pub(crate) fn settle(network: &Network) {
    while let Some(next) = network.next_event()
        && next <= network.now() + Duration::from_millis(100)
    {
        network.advance(next);
    }
}

impl Peer {
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Peer::Real(stream) => stream.shutdown(how),
            Peer::Simulated { source, reactor } => {
                os::shutdown(source.as_ref().expect("it is there until it is dropped"), how)?;
                settle(reactor.network().unwrap());
                Ok(())
            }
        }
    }

    /// Ends the connection without politeness.
    pub(crate) fn reset(self) {
        SockRef::from(&self).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Keeps back small writes while `cork` is set.
    pub(crate) fn set_cork(&self, cork: bool) {
        // On the simulated network data and end are two packets that arrive at one time either way.
        SockRef::from(self).set_tcp_cork(cork).unwrap();
    }
}

impl Write for &Peer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Peer::Real(stream) => { stream }.write(data),
            Peer::Simulated { source, reactor } => {
                let source = source.as_ref().expect("it is there until it is dropped");
                let count = finish(reactor, &mut op::Send::new(source, data))?;
                settle(reactor.network().unwrap());
                Ok(count)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Peer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        (&*self).write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Peer::Real(stream) => stream.read(buffer),
            Peer::Simulated { source, reactor } => {
                let source = source.as_ref().expect("it is there until it is dropped");
                finish(reactor, &mut op::Recv::new(source, buffer))
            }
        }
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Peer::Real(stream) => stream.as_fd(),
            Peer::Simulated { source, .. } => {
                source.as_ref().expect("it is there until it is dropped").as_fd()
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Peer::Simulated { source, reactor } = self {
            drop(source.take());
            settle(reactor.network().unwrap());
        }
    }
}
