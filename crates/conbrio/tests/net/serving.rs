//! The accept loop of a server where the system sets limits, and limits of its own.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use conbrio::net::{ServeOptions, listen};
use conbrio::prelude::*;
use conbrio::sync::Event;
use conbrio::testing::network::Network;
use conbrio::testing::{cancel_at_every_checkpoint, run, settle};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::*;

/// Says what it hears until the other side ends.
fn echo(cx: &mut Cx, stream: &mut TcpStream) -> Io {
    let mut letter = [0];
    while stream.read(cx, &mut letter)? > 0 {
        stream.write_all(cx, &letter)?;
    }
    Ok(())
}

// spec: test_highlevel_serve_listeners.serve_listeners_accept_capacity_error
#[test]
fn when_files_run_out_connections_wait() {
    in_a_process_of_its_own("serving::when_files_run_out_connections_wait", || {
        on_workers(|cx| {
            let listeners = listen(cx, "127.0.0.1:0")?;
            let address = listeners[0].local_addr()?;
            let (shortage, errors) = (Event::new(), AtomicUsize::new(0));
            cx.nursery(|cx, n| -> Io {
                n.spawn(|cx| {
                    let options = ServeOptions::new().on_shortage(|error| {
                        assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
                        errors.fetch_add(1, SeqCst);
                        shortage.set();
                    });
                    Ok(options
                        .serve(cx, listeners, |cx, mut incoming| echo(cx, &mut incoming.stream))?)
                });
                let mut first = TcpStream::connect(cx, address)?;
                say(cx, &mut first)?;
                // The next descriptor is the client's, and then there is none.
                let before = getrlimit(Resource::Nofile);
                let next = std::fs::File::open("/dev/null")?.as_raw_fd();
                let limit = u64::try_from(next + 1).unwrap();
                let limit = Rlimit { current: Some(limit), maximum: before.maximum };
                setrlimit(Resource::Nofile, limit)?;
                let mut second = TcpStream::connect(cx, address)?;
                shortage.wait(cx)?;
                // Those that are there are served on.
                say(cx, &mut first)?;
                setrlimit(Resource::Nofile, before)?;
                say(cx, &mut second)?;
                n.shutdown(millis(0));
                Ok(())
            })
            .or_else(stopped)?;
            assert!(errors.into_inner() > 0);
            Ok(())
        });
    });
}

fn say(cx: &mut Cx, stream: &mut TcpStream) -> Io {
    let mut answer = [0];
    stream.write_all(cx, b"x")?;
    stream.read_exact(cx, &mut answer)?;
    assert_eq!(&answer, b"x");
    Ok(())
}

/// The end of a nursery whose children were cancelled when the grace of a shutdown was over.
fn stopped(error: NurseryError<std::io::Error>) -> Result<(), NurseryError<std::io::Error>> {
    if matches!(error, NurseryError::Stopped(_)) { Ok(()) } else { Err(error) }
}

#[test]
fn a_connection_that_takes_too_long_is_cut_off() {
    run(|cx| {
        let network = Network::of(cx);
        let (server, client) = (network.host([10, 0, 0, 1]), network.host([10, 0, 0, 2]));
        network.set_options(network.options().latency(millis(1)..=millis(1)));
        let listeners = server.enter(cx, |cx| listen(cx, "10.0.0.1:80")).unwrap();
        let cancelled = AtomicUsize::new(0);
        cx.nursery(|cx, n| -> Io {
            n.spawn(|cx| {
                let options = ServeOptions::new().connection_timeout(millis(500));
                Ok(options.serve(cx, listeners, |cx, mut incoming| {
                    let outcome = echo(cx, &mut incoming.stream);
                    let was_cancelled =
                        outcome.as_ref().is_err_and(|error| error.cancelled().is_some());
                    cancelled.fetch_add(usize::from(was_cancelled), SeqCst);
                    outcome
                })?)
            });
            let connect = |cx: &mut Cx| TcpStream::connect(cx, "10.0.0.1:80");
            let mut quick = client.enter(cx, connect)?;
            say(cx, &mut quick)?;
            drop(quick);
            let mut slow = client.enter(cx, connect)?;
            let start = cx.now();
            say(cx, &mut slow)?;
            assert_eq!(slow.read(cx, &mut [0])?, 0, "it is closed");
            assert!((millis(495)..=millis(505)).contains(&(cx.now() - start)));
            assert_eq!(cancelled.load(SeqCst), 1);
            // The server goes on.
            let mut next = client.enter(cx, connect)?;
            say(cx, &mut next)?;
            drop(next);
            n.shutdown(millis(10_000));
            Ok(())
        })
        .unwrap();
        assert_eq!(cancelled.into_inner(), 1);
        assert_eq!(server.open_sockets(), 0);
    });
}

#[test]
fn an_error_of_a_handler_counts_also_under_a_limit() {
    run(|cx| {
        let listeners = listen(cx, "127.0.0.1:0").unwrap();
        let address = listeners[0].local_addr().unwrap();
        let options = ServeOptions::new().connection_timeout(millis(500));
        let outcome = cx.nursery(|_, n| -> Io {
            n.spawn(move |cx| {
                let mut stream = TcpStream::connect(cx, address)?;
                let _ = stream.read(cx, &mut [0]);
                Ok(())
            });
            n.spawn(|cx| {
                Ok(options.serve(cx, listeners, |_, _| Err(std::io::Error::other("broken")))?)
            });
            Ok(())
        });
        let error = std::io::Error::from(outcome.unwrap_err());
        assert!(error.to_string().contains("broken"), "{error}");
    });
}

// N17: net::ServeOptions::serve
#[test]
fn a_server_with_limits_that_is_cancelled_leaves_no_handler() {
    let points = cancel_at_every_checkpoint(|cx, trial| {
        let listeners = listen(cx, "127.0.0.1:0").unwrap();
        let address = listeners[0].local_addr().unwrap();
        let (began, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let hears = AtomicBool::new(false);
        cx.nursery(|cx, n| -> Io {
            let mut client = n.spawn(move |cx| {
                settle(cx, std::time::Duration::ZERO)?;
                if let Ok(mut stream) = TcpStream::connect(cx, address) {
                    // It hears nothing, and is cut off.
                    let _ = stream.read(cx, &mut [0]);
                }
                Ok(())
            });
            let outcome = trial.run(cx, |cx| {
                cx.nursery(|cx, n| -> Io {
                    n.spawn(|cx| {
                        let options =
                            ServeOptions::new().connection_timeout(millis(50)).connections_max(1);
                        Ok(options.serve(cx, listeners, |cx, mut incoming| -> Io {
                            began.fetch_add(1, SeqCst);
                            let outcome = echo(cx, &mut incoming.stream);
                            ended.fetch_add(1, SeqCst);
                            outcome
                        })?)
                    });
                    cx.sleep(millis(200))?;
                    hears.store(true, SeqCst);
                    n.shutdown(millis(100));
                    Ok(())
                })
            });
            assert!(was_cancelled(trial, &outcome) || hears.load(SeqCst));
            client.join(cx)?;
            Ok(())
        })
        .unwrap();
        assert_eq!(began.load(SeqCst), ended.load(SeqCst));
        TcpListener::bind(cx, address).unwrap();
    });
    assert!(points >= 5, "{points} points");
}
