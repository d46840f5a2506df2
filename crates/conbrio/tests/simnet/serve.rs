//! The accept loop of a server: every connection is handled, and nothing is left when it ends.

use std::io::ErrorKind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use conbrio::net::{Incoming, ServeOptions, serve};
use conbrio::prelude::*;

use crate::support::*;

/// Answers with a letter, in upper case, for as long as letters come.
fn shout(cx: &mut Cx, stream: &mut TcpStream) -> Io {
    let mut letter = [0];
    while stream.read(cx, &mut letter)? > 0 {
        stream.write_all(cx, &letter.to_ascii_uppercase())?;
    }
    Ok(())
}

fn ask(cx: &mut Cx, stream: &mut TcpStream) -> Io<u8> {
    stream.write_all(cx, b"x")?;
    let mut answer = [0];
    stream.read_exact(cx, &mut answer)?;
    Ok(answer[0])
}

// spec: test_highlevel_serve_listeners.serve_listeners_basic
#[test]
fn every_connection_of_every_listener_is_handled_and_closed() {
    on_two_hosts(|cx, _, server, client| {
        let listeners = server.enter(cx, |cx| -> Io<_> {
            Ok([TcpListener::bind(cx, SERVER)?, TcpListener::bind(cx, "10.0.0.1:81")?])
        })?;
        let peers = Mutex::new(Vec::new());
        cx.nursery(|cx, n| -> Io {
            let peers = &peers;
            let mut serving = n.spawn(move |cx| {
                let outcome = cx.cancel_scope(|cx, scope| -> Io {
                    n.spawn({
                        let (scope, client) = (scope.handle(), client.clone());
                        move |cx| {
                            let mut addresses = Vec::new();
                            for address in [SERVER, "10.0.0.1:81", SERVER] {
                                let mut stream =
                                    client.enter(cx, |cx| TcpStream::connect(cx, address))?;
                                assert_eq!(ask(cx, &mut stream)?, b'X');
                                addresses.push(stream.local_addr()?);
                                // The handler has returned, and so it is closed.
                                stream.shutdown(std::net::Shutdown::Write)?;
                                assert_eq!(read(cx, &mut stream)?, b"");
                            }
                            assert_eq!(*peers.lock().unwrap(), addresses);
                            let _waits = client.enter(cx, |cx| TcpStream::connect(cx, SERVER))?;
                            scope.cancel();
                            Ok(())
                        }
                    });
                    Ok(serve(cx, listeners, |cx, incoming| -> Io {
                        let Incoming { mut stream, peer, others, .. } = incoming;
                        peers.lock().unwrap().push(peer);
                        assert_eq!(others, 0);
                        shout(cx, &mut stream)
                    })?)
                });
                assert!(outcome?.is_none());
                Ok(())
            });
            serving.join(cx)?;
            // Both are closed, and so is the connection that was open.
            assert_eq!(server.open_sockets(), 0);
            for address in [SERVER, "10.0.0.1:81"] {
                let error = client.enter(cx, |cx| TcpStream::connect(cx, address)).failed();
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            }
            Ok(())
        })?;
        Ok(())
    });
}

// spec: test_highlevel_serve_listeners.serve_listeners_accept_capacity_error
#[test]
fn a_lack_of_files_is_waited_out() {
    on_two_hosts(|cx, _, server, client| {
        let listener = listen(cx, server)?;
        let shortages = AtomicUsize::new(0);
        cx.nursery(|cx, n| -> Io {
            n.spawn(|cx| {
                let options = ServeOptions::new().on_shortage(|error| {
                    assert_eq!(error.raw_os_error(), Some(24), "EMFILE: {error}");
                    shortages.fetch_add(1, SeqCst);
                });
                Ok(options
                    .serve(cx, [listener], |cx, mut incoming| shout(cx, &mut incoming.stream))?)
            });
            server.set_fd_limit(1);
            let mut stream = client.enter(cx, |cx| TcpStream::connect(cx, SERVER))?;
            stream.write_all(cx, b"x")?;
            cx.sleep(Duration::from_millis(950))?;
            assert_eq!(shortages.load(SeqCst), 10);
            server.set_fd_limit(None);
            let mut answer = [0];
            stream.read_exact(cx, &mut answer)?;
            assert_eq!(&answer, b"X");
            drop(stream);
            n.shutdown(seconds(1));
            Ok(())
        })?;
        assert_eq!(shortages.into_inner(), 10);
        Ok(())
    });
}

// spec: test_highlevel_serve_listeners.serve_listeners_connection_nursery
#[test]
fn an_error_of_a_handler_ends_the_server() {
    on_two_hosts(|cx, _, server, client| {
        let listener = listen(cx, server)?;
        let cancelled = AtomicUsize::new(0);
        cx.nursery(|cx, n| -> Io {
            let mut serving = n.spawn(|cx| {
                Ok(serve(cx, [listener], |cx, mut incoming| -> Io {
                    if incoming.others == 1 {
                        return Err(std::io::Error::other("the second is one too many"));
                    }
                    let outcome = shout(cx, &mut incoming.stream);
                    assert!(outcome.as_ref().is_err_and(|error| error.cancelled().is_some()));
                    cancelled.fetch_add(1, SeqCst);
                    outcome
                }))
            });
            let mut first = client.enter(cx, |cx| TcpStream::connect(cx, SERVER))?;
            assert_eq!(ask(cx, &mut first)?, b'X');
            let _second = client.enter(cx, |cx| TcpStream::connect(cx, SERVER))?;
            let Err(NurseryError::Failed(errors)) = serving.join(cx)? else {
                panic!("it goes on");
            };
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, ["the second is one too many"]);
            assert_eq!(server.open_sockets(), 0);
            Ok(())
        })?;
        assert_eq!(cancelled.into_inner(), 1);
        Ok(())
    });
}

#[test]
fn a_shutdown_closes_the_listeners_and_waits_for_the_handlers() {
    on_two_hosts(|cx, _, server, client| {
        let listener = listen(cx, server)?;
        cx.nursery(|cx, n| -> Io {
            let mut served = n.spawn(|cx| {
                Ok(serve(cx, [listener], |cx, mut incoming| shout(cx, &mut incoming.stream))?)
            });
            let mut first = client.enter(cx, |cx| TcpStream::connect(cx, SERVER))?;
            assert_eq!(ask(cx, &mut first)?, b'X');
            n.shutdown(seconds(60));
            cx.sleep(seconds(1))?;
            let error = client.enter(cx, |cx| TcpStream::connect(cx, SERVER)).failed();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            // The first one is still served.
            assert_eq!(ask(cx, &mut first)?, b'X');
            drop(first);
            served.join(cx)?;
            assert_eq!(server.open_sockets(), 0);
            Ok(())
        })?;
        Ok(())
    });
}

#[test]
fn the_grace_of_a_shutdown_ends() {
    on_two_hosts(|cx, _, server, client| {
        let listener = listen(cx, server)?;
        let begin = cx.now();
        let outcome = cx.cancel_scope(|cx, scope| {
            let handle = scope.handle();
            cx.nursery(|cx, n| -> Io {
                n.spawn(|cx| {
                    Ok(serve(cx, [listener], |cx, mut incoming| shout(cx, &mut incoming.stream))?)
                });
                let mut stays = client.enter(cx, |cx| TcpStream::connect(cx, SERVER))?;
                assert_eq!(ask(cx, &mut stays)?, b'X');
                handle.shutdown(seconds(5));
                Ok(cx.sleep_forever()?)
            })
        });
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
        assert!((seconds(5)..seconds(6)).contains(&(cx.now() - begin)));
        assert_eq!(server.open_sockets(), 0);
        Ok(())
    });
}

#[test]
fn beyond_the_limit_the_next_one_waits_for_a_place() {
    on_two_hosts(|cx, _, server, client| {
        let listener = listen(cx, server)?;
        let most = AtomicUsize::new(0);
        cx.nursery(|cx, n| -> Io {
            n.spawn(|cx| {
                let options = ServeOptions::new().connections_max(2);
                Ok(options.serve(cx, [listener], |cx, mut incoming| -> Io {
                    most.fetch_max(incoming.others + 1, SeqCst);
                    shout(cx, &mut incoming.stream)
                })?)
            });
            cx.nursery(|_, clients| -> Io {
                for _ in 0..10 {
                    clients.spawn(|cx| {
                        let mut stream = client.enter(cx, |cx| TcpStream::connect(cx, SERVER))?;
                        assert_eq!(ask(cx, &mut stream)?, b'X');
                        cx.sleep(seconds(1))?;
                        assert_eq!(ask(cx, &mut stream)?, b'X');
                        Ok(())
                    });
                }
                Ok(())
            })?;
            n.shutdown(seconds(1));
            Ok(())
        })?;
        assert_eq!(most.into_inner(), 2);
        Ok(())
    });
}

#[test]
fn whoever_waits_for_a_place_hears_of_a_shutdown() {
    on_two_hosts(|cx, _, server, client| {
        let listener = listen(cx, server)?;
        cx.nursery(|cx, n| -> Io {
            let mut served = n.spawn(|cx| {
                let options = ServeOptions::new().connections_max(1);
                Ok(options
                    .serve(cx, [listener], |cx, mut incoming| shout(cx, &mut incoming.stream))?)
            });
            let connect = |cx: &mut Cx| TcpStream::connect(cx, SERVER);
            let mut first = client.enter(cx, connect)?;
            assert_eq!(ask(cx, &mut first)?, b'X');
            let mut second = client.enter(cx, connect)?;
            assert!(waits(cx, |cx| second.read(cx, &mut [0])));
            n.shutdown(seconds(60));
            // It was never handled, and is told so.
            assert!(matches!(second.read(cx, &mut [0]), Ok(0) | Err(OrCancelled::Failed(_))));
            assert_eq!(ask(cx, &mut first)?, b'X');
            drop(first);
            served.join(cx).map_err(Into::into)
        })?;
        Ok(())
    });
}

#[test]
#[should_panic(expected = "a handler panics")]
fn a_panic_of_a_handler_goes_on_in_the_caller() {
    on_two_hosts(|cx, _, server, client| {
        let listener = listen(cx, server)?;
        cx.nursery(|cx, n| -> Io {
            n.spawn(|cx| Ok(serve(cx, [listener], |_, _| -> Io { panic!("a handler panics") })?));
            let _stream = client.enter(cx, |cx| TcpStream::connect(cx, SERVER))?;
            Ok(cx.sleep_forever()?)
        })?;
        Ok(())
    });
}

#[test]
#[should_panic(expected = "at most 0 connections")]
fn no_connections_at_all_are_refused() {
    let _ = ServeOptions::new().connections_max(0);
}
