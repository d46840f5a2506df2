//! Who is asked for a name, and what a cancellation leaves of the question.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use conbrio::io::Error;
use conbrio::net::{
    Resolve, SystemResolver, TcpStream, ToAddrs, Wildcard, name_of, resolve, with_resolver,
};
use conbrio::prelude::*;
use conbrio::testing::network::{Network, NetworkOptions};
use conbrio::testing::{Builder, cancel_at_every_checkpoint, run};

use crate::support::*;

/// Counts the questions, and answers each with the same addresses.
struct Counting<'a>(&'a AtomicUsize, Vec<SocketAddr>);

impl Resolve for Counting<'static> {
    fn resolve(&self, _: &mut Cx, _: &str, _: u16) -> Result<Vec<SocketAddr>, Error> {
        self.0.fetch_add(1, SeqCst);
        Ok(self.1.clone())
    }

    fn name_of(&self, _: &mut Cx, ip: IpAddr) -> Result<String, Error> {
        Ok(format!("host-{ip}"))
    }
}

// spec: test_socket.custom_hostname_resolver
#[test]
fn a_resolver_is_in_force_inside_and_in_children() {
    let nobody = |cx: &mut Cx| resolve(cx, "a.test:80").failed().kind() == ErrorKind::NotFound;
    run(|cx| {
        assert!(nobody(cx));
        let outer = Slow("a.test", vec![address("10.0.0.1:0")]);
        with_resolver(cx, outer, |cx| -> Io {
            let inner = Arc::new(Slow("b.test", vec![address("10.0.0.2:0")]));
            cx.nursery(|cx, n| -> Io {
                with_resolver(cx, inner, |cx| {
                    assert!(nobody(cx));
                    assert_eq!(resolve(cx, ("b.test", 81))?, [address("10.0.0.2:81")]);
                    // A child is where its nursery was opened.
                    let mut child = n.spawn(|cx| Ok(resolve(cx, "a.test:80")?));
                    assert_eq!(child.join(cx)?, [address("10.0.0.1:80")]);
                    cx.nursery(|cx, n| -> Io {
                        let mut child = n.spawn(|cx| Ok(resolve(cx, "b.test:80")?));
                        assert_eq!(child.join(cx)?, [address("10.0.0.2:80")]);
                        Ok(())
                    })?;
                    Ok::<(), std::io::Error>(())
                })?;
                assert_eq!(resolve(cx, "a.test:80")?, [address("10.0.0.1:80")]);
                Ok(())
            })?;
            Ok(())
        })
        .unwrap();
        assert!(nobody(cx));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            with_resolver(cx, Slow("a.test", Vec::new()), |_| panic!("with a resolver"))
        }));
        assert!(panicked.is_err());
        assert!(nobody(cx), "it is in force after a panic");
    });
}

// spec: test_socket.custom_hostname_resolver, test_socket.SocketType_resolve
#[test]
fn only_names_are_looked_up() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    run(|cx| {
        let resolver = Counting(&ASKED, vec![address("10.0.0.1:7")]);
        with_resolver(cx, Box::new(resolver) as Box<dyn Resolve>, |cx| {
            for literal in ["127.0.0.1:0", "[::1]:0"] {
                assert_eq!(resolve(cx, literal).unwrap(), [address(literal)]);
                resolve(cx, address(literal)).unwrap();
            }
            resolve(cx, Wildcard(0)).unwrap();
            assert_eq!(ASKED.load(SeqCst), 0);
            // What it says counts, be it another port.
            assert_eq!(resolve(cx, "example.test:80").unwrap(), [address("10.0.0.1:7")]);
            assert_eq!(ASKED.load(SeqCst), 1);
            assert_eq!(name_of(cx, IpAddr::from([10, 0, 0, 1])).unwrap(), "host-10.0.0.1");
        });
    });
}

#[test]
fn no_addresses_and_no_names_are_errors_that_name_what_was_asked_for() {
    run(|cx| {
        with_resolver(cx, Slow("none.test", Vec::new()), |cx| {
            let error = TcpStream::connect(cx, "none.test:80").failed();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            let error = TcpStream::connect(cx, "other.test:80").failed();
            assert!(error.to_string().contains("other.test"), "{error}");
            let error = name_of(cx, IpAddr::from([10, 0, 0, 1])).failed();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("10.0.0.1"), "{error}");
        });
        let error = name_of(cx, IpAddr::from([10, 0, 0, 1])).failed();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("10.0.0.1"), "{error}");
    });
}

// spec: test_socket.getaddrinfo, test_socket.getnameinfo
#[test]
fn the_system_knows_this_machine() {
    on_workers(|cx| {
        let found = SystemResolver::new().resolve(cx, "localhost", 80)?;
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()));
        assert!(found.iter().all(|address| address.port() == 80));
        let abandoning = SystemResolver::new().abandon_on_cancel(true);
        assert_eq!(abandoning.resolve(cx, "localhost", 80)?, found);
        let name = name_of(cx, IpAddr::from([127, 0, 0, 1]));
        match name.map_err(Error::into_failed) {
            Ok(name) => assert!(!name.is_empty()),
            // A machine without /etc/hosts.
            Err(error) => assert!(error.unwrap().to_string().contains("127.0.0.1")),
        }
        Ok(())
    });
}

// spec: test_socket.getnameinfo
#[test]
fn the_simulated_network_knows_its_hosts_in_both_directions() {
    let slow = NetworkOptions::new().lookup_latency(millis(40));
    Builder::new().network(slow).run(|cx| {
        let network = Network::of(cx);
        let host = network.host([10, 0, 0, 1]);
        network.name("db.test", [host.address()]);
        let start = cx.now();
        assert_eq!(name_of(cx, host.address()).unwrap(), "db.test");
        assert_eq!(cx.now() - start, millis(40));
        assert_eq!(SystemResolver::new().name_of(cx, host.address()).unwrap(), "db.test");
        assert_eq!(name_of(cx, IpAddr::from([127, 0, 0, 1])).unwrap(), "localhost");
    });
}

#[test]
fn an_abandoned_question_does_not_hold_up_its_task() {
    // Nothing is asked here that could be slow; what is checked is that both ways answer the same.
    on_workers(|cx| {
        let resolver = SystemResolver::new().abandon_on_cancel(true);
        with_resolver(cx, resolver, |cx| {
            let outcome = cx.cancel_scope(|cx, scope| -> Io {
                scope.cancel();
                resolve(cx, "localhost:0")?;
                Ok(())
            });
            assert!(matches!(outcome, Ok(None)));
            assert!(resolve(cx, "localhost:0").is_ok());
            let name = cx.move_on_after(millis(5_000), |cx| name_of(cx, [127, 0, 0, 1].into()));
            assert!(!matches!(name, Ok(None)), "it hangs");
        });
        Ok(())
    });
}

// N17: net::resolve, net::name_of, net::with_resolver, net::Resolve::{resolve, name_of}
// N17: net::SystemResolver::{resolve, name_of}, net::Arc::{resolve, name_of}
#[test]
fn a_question_that_was_cancelled_can_be_put_again() {
    for way in 0..7 {
        let points = cancel_at_every_checkpoint(|cx, trial| {
            let host = Network::of(cx).host([10, 0, 0, 1]);
            Network::of(cx).name("a.test", [host.address()]);
            let ask = |cx: &mut Cx| -> Result<String, Error> {
                let text = |addresses: Vec<SocketAddr>| addresses[0].ip().to_string();
                let slow = Slow("a.test", vec![address("10.0.0.1:0")]);
                match way {
                    0 => resolve(cx, "a.test:80").map(text),
                    1 => with_resolver(cx, slow, |cx| resolve(cx, "a.test:80")).map(text),
                    2 => SystemResolver::new().resolve(cx, "a.test", 80).map(text),
                    3 => name_of(cx, host.address()),
                    4 => SystemResolver::new().name_of(cx, host.address()),
                    5 => Arc::new(slow).resolve(cx, "a.test", 80).map(text),
                    _ => Arc::new(SystemResolver::new()).name_of(cx, host.address()),
                }
            };
            let mut outcome = trial.run(cx, ask);
            if was_cancelled(trial, &outcome) {
                outcome = ask(cx);
            }
            assert!(["10.0.0.1", "a.test"].contains(&outcome.unwrap().as_str()));
        });
        assert!(points >= 2, "{way}: {points} points");
    }
    let points = cancel_at_every_checkpoint(|cx, trial| {
        let outcome = trial.run(cx, |cx| Slow("a", Vec::new()).name_of(cx, [10, 0, 0, 1].into()));
        match outcome.map_err(Error::into_failed) {
            Err(Ok(error)) => assert_eq!(error.kind(), ErrorKind::Unsupported),
            Err(Err(_)) => assert!(trial.is_cancelled()),
            Ok(name) => panic!("{name}"),
        }
    });
    assert!(points >= 1);
}

// N17: net::Wildcard::to_addrs
#[test]
fn a_wildcard_needs_no_resolver() {
    let points = cancel_at_every_checkpoint(|cx, trial| {
        let outcome = trial.run(cx, |cx| {
            cx.checkpoint()?;
            Wildcard(80).to_addrs(cx)
        });
        if !was_cancelled(trial, &outcome) {
            assert_eq!(outcome.unwrap(), [address("[::]:80"), address("0.0.0.0:80")]);
        }
    });
    assert_eq!(points, 1, "it is no checkpoint by itself");
}
