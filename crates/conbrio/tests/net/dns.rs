//! The resolver that asks name servers itself, on a simulated network where the servers are the test's.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use conbrio::io::Error;
use conbrio::net::{DnsResolver, Resolve, UdpSocket, name_of, resolve, with_resolver};
use conbrio::prelude::*;
use conbrio::testing::network::{Host, Network, NetworkOptions};
use conbrio::testing::{cancel_at_every_checkpoint, run};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, PTR};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::support::*;

const SERVER: &str = "10.0.0.53:53";
const SPARE: &str = "10.0.0.54:53";

/// How a server answers a question.
type Answers = fn(&Message, Way) -> Vec<Message>;

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Udp,
    Tcp,
}

fn absolute(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

/// An answer without records.
fn empty(question: &Message, code: ResponseCode) -> Message {
    let mut answer = question.clone().into_response();
    answer.metadata.response_code = code;
    answer
}

fn add(answer: &mut Message, name: &str, data: RData) {
    answer.add_answer(Record::from_rdata(absolute(name), 60, data));
}

/// An orderly server: `www.test` has addresses of both families and an alias, `v4.test` has one of the one.
fn orderly(question: &Message, _: Way) -> Vec<Message> {
    let query = &question.queries[0];
    let (name, kind) = (query.name().to_ascii().to_lowercase(), query.query_type());
    let mut answer = empty(question, ResponseCode::NoError);
    match (name.as_str(), kind) {
        ("www.test.", RecordType::A) => {
            add(&mut answer, "www.test", RData::A(A::new(10, 0, 0, 1)));
            add(&mut answer, "www.test", RData::A(A::new(10, 0, 0, 2)));
            // Of another name: it is no answer to the question.
            add(&mut answer, "evil.test", RData::A(A::new(6, 6, 6, 6)));
        }
        ("www.test.", RecordType::AAAA) => {
            add(&mut answer, "www.test", RData::AAAA(AAAA::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)));
        }
        ("alias.test.", RecordType::A | RecordType::AAAA) => {
            // In no order, and with a link that leads elsewhere.
            add(&mut answer, "b.test", RData::CNAME(CNAME(absolute("v4.test"))));
            add(&mut answer, "alias.test", RData::CNAME(CNAME(absolute("b.test"))));
            if kind == RecordType::A {
                add(&mut answer, "v4.test", RData::A(A::new(10, 0, 0, 4)));
            }
        }
        ("circle.test.", _) => {
            add(&mut answer, "circle.test", RData::CNAME(CNAME(absolute("circle2.test"))));
            add(&mut answer, "circle2.test", RData::CNAME(CNAME(absolute("circle.test"))));
        }
        ("v4.test." | "db.sub.test.", RecordType::A) => {
            add(&mut answer, &name, RData::A(A::new(10, 0, 0, 4)));
        }
        ("v4.test." | "db.sub.test." | "mail.test.", _) => {}
        ("1.0.0.10.in-addr.arpa.", RecordType::PTR) => {
            add(&mut answer, &name, RData::PTR(PTR(absolute("www.test"))));
        }
        _ => answer = empty(question, ResponseCode::NXDomain),
    }
    vec![answer]
}

/// Runs `test` on a client, with servers at two addresses; a server without answers is silent.
fn with_servers(answers: [Option<Answers>; 2], test: impl FnOnce(&mut Cx, &Asked, &Host)) {
    run(|cx| in_world(cx, answers, test));
}

/// How often each server was asked, over UDP and over TCP.
#[derive(Default)]
struct Asked([[AtomicUsize; 2]; 2]);

impl Asked {
    fn of(&self, server: usize) -> [usize; 2] {
        [0, 1].map(|way| self.0[server][way].load(SeqCst))
    }
}

fn in_world(cx: &mut Cx, answers: [Option<Answers>; 2], test: impl FnOnce(&mut Cx, &Asked, &Host)) {
    let network = Network::of(cx);
    network.set_options(NetworkOptions::new().latency(SHORT..=SHORT));
    let client = network.host([10, 0, 0, 100]);
    let asked = Asked::default();
    cx.nursery(|cx, n| -> Io {
        for (index, (address, answers)) in [SERVER, SPARE].into_iter().zip(answers).enumerate() {
            let address: SocketAddr = address.parse().unwrap();
            let host = network.host(address.ip());
            let (socket, listener) = host.enter(cx, |cx| -> Io<_> {
                Ok((UdpSocket::bind(cx, address)?, TcpListener::bind(cx, address)?))
            })?;
            let asked = &asked.0[index];
            n.spawn(move |cx| serve_udp(cx, socket, answers, &asked[0]));
            n.spawn(move |cx| serve_tcp(cx, listener, answers, &asked[1]));
        }
        client.enter(cx, |cx| test(cx, &asked, &client));
        n.cancel();
        Ok(())
    })
    .unwrap();
}

fn serve_udp(
    cx: &mut Cx,
    mut socket: UdpSocket,
    answers: Option<Answers>,
    asked: &AtomicUsize,
) -> Io {
    let mut buf = [0; 1500];
    loop {
        let (count, from) = socket.recv_from(cx, &mut buf)?;
        asked.fetch_add(1, SeqCst);
        let question = Message::from_vec(&buf[..count]).unwrap();
        for answer in answers.map_or(Vec::new(), |answers| answers(&question, Way::Udp)) {
            socket.send_to(cx, &answer.to_vec().unwrap(), from)?;
        }
    }
}

fn serve_tcp(
    cx: &mut Cx,
    mut listener: TcpListener,
    answers: Option<Answers>,
    asked: &AtomicUsize,
) -> Io {
    loop {
        let (mut stream, _) = listener.accept(cx)?;
        asked.fetch_add(1, SeqCst);
        let mut length = [0; 2];
        // Whoever gives up is no concern of the server.
        if stream.read_exact(cx, &mut length).is_err() {
            continue;
        }
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(cx, &mut question)?;
        let question = Message::from_vec(&question).unwrap();
        for answer in answers.map_or(Vec::new(), |answers| answers(&question, Way::Tcp)) {
            let answer = answer.to_vec().unwrap();
            let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
            let _ = stream.write_all(cx, &[&length[..], &answer].concat());
        }
    }
}

fn resolver() -> DnsResolver {
    DnsResolver::new([address(SERVER), address(SPARE)])
}

fn ips(cx: &mut Cx, resolver: &DnsResolver, host: &str) -> Vec<String> {
    let found = resolver.resolve(cx, host, 80).unwrap();
    assert!(found.iter().all(|address| address.port() == 80));
    found.iter().map(|address| address.ip().to_string()).collect()
}

// spec: test_socket.custom_hostname_resolver
#[test]
fn addresses_of_both_families_are_found() {
    with_servers([Some(orderly), None], |cx, asked, client| {
        let resolver = resolver();
        let start = cx.now();
        assert_eq!(ips(cx, &resolver, "www.test"), ["fd00::1", "10.0.0.1", "10.0.0.2"]);
        assert_eq!(cx.now() - start, 2 * SHORT, "both questions are on their way at once");
        assert_eq!(ips(cx, &resolver, "WWW.Test."), ["fd00::1", "10.0.0.1", "10.0.0.2"]);
        assert_eq!(ips(cx, &resolver, "alias.test"), ["10.0.0.4"]);
        assert_eq!(ips(cx, &resolver, "10.9.9.9"), ["10.9.9.9"]);
        assert_eq!(asked.of(0), [6, 0]);
        assert_eq!(asked.of(1), [0, 0]);
        assert_eq!(client.open_sockets(), 0);
        with_resolver(cx, resolver, |cx| {
            assert_eq!(resolve(cx, "v4.test:7").unwrap(), [address("10.0.0.4:7")]);
            assert_eq!(name_of(cx, [10, 0, 0, 1].into()).unwrap(), "www.test");
            let error = name_of(cx, [10, 0, 0, 9].into()).failed();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.to_string().contains("10.0.0.9"), "{error}");
        });
    });
}

#[test]
fn what_is_not_there_is_not_found() {
    with_servers([Some(orderly), None], |cx, asked, _| {
        for (host, text) in [
            ("nobody.test", "there is no such host"),
            ("mail.test", "the host has no address"),
            ("circle.test", "the host has no address"),
        ] {
            let error = resolver().resolve(cx, host, 80).failed();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert_eq!(error.to_string(), format!("resolve {host:?}: {text}"));
        }
        // It is an answer: nobody else is asked, nor once more.
        assert_eq!((asked.of(0), asked.of(1)), ([6, 0], [0, 0]));
        let long = "x".repeat(64);
        for host in ["", ".", "a..b", long.as_str()] {
            let error = resolver().resolve(cx, host, 80).failed();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{host}: {error}");
        }
        assert_eq!(asked.of(0), [6, 0]);
    });
}

#[test]
fn names_of_this_machine_are_asked_of_nobody() {
    with_servers([None, None], |cx, asked, _| {
        let resolver = resolver().hosts("10.0.0.7 db.test db # comment\nfd00::7 db\n");
        assert_eq!(ips(cx, &resolver, "db"), ["10.0.0.7", "fd00::7"]);
        assert_eq!(ips(cx, &resolver, "DB.test"), ["10.0.0.7"]);
        for localhost in ["localhost", "Localhost.", "deep.in.localhost"] {
            assert_eq!(ips(cx, &resolver, localhost), ["::1", "127.0.0.1"]);
        }
        assert_eq!(resolver.name_of(cx, [10, 0, 0, 7].into()).unwrap(), "db.test");
        assert_eq!((asked.of(0), asked.of(1)), ([0, 0], [0, 0]));
    });
}

#[test]
fn a_short_name_is_looked_for_in_the_search_list() {
    with_servers([Some(orderly), None], |cx, asked, _| {
        let resolver = resolver().search(["no.test", "sub.test"]);
        // No dot: the list comes first.
        assert_eq!(ips(cx, &resolver, "db"), ["10.0.0.4"]);
        assert_eq!(asked.of(0), [4, 0]);
        // A dot: as it is first, and then the list.
        assert_eq!(ips(cx, &resolver, "v4.test"), ["10.0.0.4"]);
        assert_eq!(asked.of(0), [6, 0]);
        let resolver = resolver.ndots(2).search(["test", "b.test"]);
        assert_eq!(ips(cx, &resolver, "db.sub"), ["10.0.0.4"]);
        assert_eq!(asked.of(0), [8, 0]);
        // With a dot at its end it is as it is.
        let error = resolver.resolve(cx, "db.sub.", 80).failed();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(asked.of(0), [10, 0]);
    });
}

#[test]
fn a_silent_server_costs_its_time_and_the_next_one_is_asked() {
    with_servers([None, Some(orderly)], |cx, asked, _| {
        let resolver = resolver().timeout(Duration::from_secs(3));
        let start = cx.now();
        assert_eq!(ips(cx, &resolver, "v4.test"), ["10.0.0.4"]);
        assert_eq!(cx.now() - start, Duration::from_secs(3) + 2 * SHORT);
        assert_eq!((asked.of(0), asked.of(1)), ([2, 0], [2, 0]));
    });
    with_servers([None, None], |cx, asked, client| {
        let resolver = resolver().timeout(Duration::from_secs(3)).attempts(3);
        let start = cx.now();
        let error = resolver.resolve(cx, "v4.test", 80).failed();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(
            error.to_string(),
            "resolve \"v4.test\": name server 10.0.0.54:53: no answer within 3s"
        );
        assert_eq!(cx.now() - start, Duration::from_secs(18));
        assert_eq!((asked.of(0), asked.of(1)), ([6, 0], [6, 0]));
        assert_eq!(client.open_sockets(), 0);
    });
}

#[test]
fn a_server_that_cannot_answer_is_passed_over() {
    fn failing(question: &Message, _: Way) -> Vec<Message> {
        vec![empty(question, ResponseCode::ServFail)]
    }
    with_servers([Some(failing), Some(orderly)], |cx, asked, _| {
        assert_eq!(ips(cx, &resolver(), "v4.test"), ["10.0.0.4"]);
        assert_eq!((asked.of(0), asked.of(1)), ([2, 0], [2, 0]));
    });
    with_servers([Some(failing), Some(failing)], |cx, _, _| {
        let error = resolver().resolve(cx, "v4.test", 80).failed();
        assert!(error.to_string().contains("10.0.0.54:53: Server Failure"), "{error}");
    });
    // Nobody is there at all: the error of the network, and no waiting.
    run(|cx| {
        let client = Network::of(cx).host([10, 0, 0, 100]);
        let _server = Network::of(cx).host([10, 0, 0, 53]);
        let resolver = DnsResolver::new([address(SERVER)]);
        let start = cx.now();
        let error = client.enter(cx, |cx| resolver.resolve(cx, "v4.test", 80)).failed();
        assert!(error.to_string().contains(SERVER), "{error}");
        assert!(cx.now() - start <= Duration::from_secs(10));
    });
}

#[test]
fn a_long_answer_comes_over_tcp() {
    fn long(question: &Message, way: Way) -> Vec<Message> {
        let mut answer = orderly(question, way).remove(0);
        if way == Way::Udp {
            answer.answers.clear();
            answer.metadata.truncation = true;
        }
        vec![answer]
    }
    with_servers([Some(long), None], |cx, asked, client| {
        assert_eq!(ips(cx, &resolver(), "www.test"), ["fd00::1", "10.0.0.1", "10.0.0.2"]);
        assert_eq!(asked.of(0), [2, 2]);
        assert_eq!(ips(cx, &resolver().only_tcp(true), "v4.test"), ["10.0.0.4"]);
        assert_eq!(asked.of(0), [2, 4]);
        assert_eq!(client.open_sockets(), 0);
    });
}

#[test]
fn a_server_without_extensions_is_asked_without() {
    fn old(question: &Message, way: Way) -> Vec<Message> {
        if question.edns.is_some() {
            let mut refusal = empty(question, ResponseCode::FormErr);
            refusal.edns = None;
            refusal.queries.clear();
            return vec![refusal];
        }
        orderly(question, way)
    }
    with_servers([Some(old), None], |cx, asked, _| {
        assert_eq!(ips(cx, &resolver(), "v4.test"), ["10.0.0.4"]);
        assert_eq!(asked.of(0), [4, 0]);
    });
}

#[test]
fn what_is_no_answer_to_the_question_is_ignored() {
    fn forging(question: &Message, way: Way) -> Vec<Message> {
        let forge = |change: fn(&mut Message)| {
            let mut forged = empty(question, ResponseCode::NoError);
            add(&mut forged, "v4.test", RData::A(A::new(6, 6, 6, 6)));
            change(&mut forged);
            forged
        };
        let mut answers = vec![
            forge(|forged| forged.metadata.id ^= 1),
            forge(|forged| forged.queries.clear()),
            forge(|forged| {
                forged.queries[0].set_name(absolute("other.test"));
            }),
            question.clone(),
        ];
        answers.extend(orderly(question, way));
        answers
    }
    with_servers([Some(forging), None], |cx, asked, _| {
        assert_eq!(ips(cx, &resolver(), "v4.test"), ["10.0.0.4"]);
        assert_eq!(asked.of(0), [2, 0]);
        // A connection has one answer only.
        let error = resolver().only_tcp(true).attempts(1).resolve(cx, "v4.test", 80).failed();
        assert!(error.to_string().contains(SPARE), "{error}");
    });
}

#[test]
fn one_family_is_enough() {
    fn only_v4(question: &Message, way: Way) -> Vec<Message> {
        match question.queries[0].query_type() {
            RecordType::A => orderly(question, way),
            _ => Vec::new(),
        }
    }
    with_servers([Some(only_v4), None], |cx, asked, _| {
        let resolver = resolver().timeout(millis(100)).attempts(1);
        assert_eq!(ips(cx, &resolver, "www.test"), ["10.0.0.1", "10.0.0.2"]);
        // But what is not known is not said not to be there.
        let error = resolver.resolve(cx, "nobody.test", 80).failed();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let before = asked.of(0)[0];
        let text = format!("nameserver {}\noptions no-aaaa\n", address(SERVER).ip());
        let resolver = DnsResolver::from_resolv_conf(&text);
        assert_eq!(ips(cx, &resolver, "www.test"), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(asked.of(0)[0], before + 1);
    });
}

#[test]
fn servers_take_turns_if_they_are_to() {
    with_servers([Some(orderly), Some(orderly)], |cx, asked, _| {
        let text = "nameserver 10.0.0.53\nnameserver 10.0.0.54\noptions rotate no-aaaa\n";
        let resolver = DnsResolver::from_resolv_conf(text);
        for _ in 0..6 {
            assert_eq!(ips(cx, &resolver, "v4.test"), ["10.0.0.4"]);
        }
        assert_eq!((asked.of(0), asked.of(1)), ([3, 0], [3, 0]));
    });
}

#[test]
fn lost_packets_are_asked_for_again() {
    for seed in 0..8 {
        let builder = conbrio::testing::Builder::new().seed(seed);
        builder.run(|cx| {
            in_world(cx, [Some(orderly), Some(orderly)], |cx, _, client| {
                let network = Network::of(cx);
                network.set_options(network.options().datagram_loss(0.3).datagram_duplication(0.3));
                let resolver = resolver().timeout(millis(100)).attempts(50);
                assert_eq!(ips(cx, &resolver, "www.test"), ["fd00::1", "10.0.0.1", "10.0.0.2"]);
                assert_eq!(client.open_sockets(), 0);
            });
        });
    }
}

// N17: net::DnsResolver::{resolve, name_of}
#[test]
fn a_question_that_is_called_off_leaves_no_socket() {
    for (way, points_min) in [(0, 6), (1, 10), (2, 5)] {
        let points = cancel_at_every_checkpoint(|cx, trial| {
            in_world(cx, [None, Some(orderly)], |cx, _, client| {
                let resolver = resolver().only_tcp(way == 1).search(["sub.test"]);
                let ask = |cx: &mut Cx| -> Result<String, Error> {
                    match way {
                        2 => resolver.name_of(cx, [10, 0, 0, 1].into()),
                        _ => Ok(resolver.resolve(cx, "v4.test", 80)?[0].to_string()),
                    }
                };
                let mut outcome = trial.run(cx, ask);
                assert_eq!(client.open_sockets(), 0);
                if was_cancelled(trial, &outcome) {
                    outcome = ask(cx);
                }
                assert!(["10.0.0.4:80", "www.test"].contains(&outcome.unwrap().as_str()));
            });
        });
        assert!(points >= points_min, "{way}: {points} points");
    }
}

// N17: net::DnsResolver::from_system
#[test]
fn the_files_of_the_system_are_read() {
    let points = cancel_at_every_checkpoint(|cx, trial| {
        let outcome = trial.run(cx, DnsResolver::from_system);
        if !was_cancelled(trial, &outcome) {
            let resolver = outcome.unwrap();
            let found = resolver.resolve(cx, "localhost", 80).unwrap();
            assert!(found.iter().all(|address| address.ip().is_loopback()));
        }
    });
    assert!(points >= 1);
}

#[test]
#[should_panic(expected = "a resolver without name servers")]
fn a_resolver_needs_a_server() {
    let _ = DnsResolver::new([]);
}
