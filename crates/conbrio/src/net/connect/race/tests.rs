//! When attempts begin, who wins, and that nothing of the others is left: in virtual time, with attempts
//! that take as long as they are told to.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::{first_of, mix_families};
use crate::cancel::MaybeCancelled;
use crate::io::Error;
use crate::net::AddressErrors;
use crate::task::Cx;
use crate::testing;

/// What becomes of an attempt, and after how many milliseconds.
#[derive(Clone, Copy)]
enum Ends {
    Well(u64),
    Badly(u64),
}
use Ends::{Badly, Well};

/// What an attempt has made, and is counted as open until it is dropped.
#[derive(Debug)]
struct Made {
    address: SocketAddr,
    open: Rc<Cell<usize>>,
}

impl Drop for Made {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
    }
}

/// What was seen of a race.
struct Seen {
    outcome: Result<SocketAddr, Error>,
    /// Which addresses were tried, and after how many milliseconds, in the order in which they began.
    begun: Vec<(&'static str, u64)>,
    took_ms: u64,
}

impl Seen {
    fn winner(&self) -> String {
        self.outcome.as_ref().unwrap().ip().to_string()
    }

    fn error(self) -> io::Error {
        self.outcome.unwrap_err().into_failed().unwrap()
    }
}

const DEFAULT: Option<Duration> = Some(super::super::ATTEMPT_DELAY);

fn race(delay: Option<Duration>, scenario: &[(&'static str, Ends)]) -> Seen {
    race_until(None, delay, scenario)
}

/// The caller is cancelled after so many milliseconds. When it is over, nothing but the winner is open.
fn race_until(
    end_ms: Option<u64>,
    delay: Option<Duration>,
    scenario: &[(&'static str, Ends)],
) -> Seen {
    testing::run(|cx| {
        let (open, begun) = (Rc::new(Cell::new(0)), RefCell::new(Vec::new()));
        let start = cx.now();
        let elapsed = |cx: &Cx| u64::try_from((cx.now() - start).as_millis()).unwrap();
        let mut addrs: Vec<SocketAddr> =
            scenario.iter().map(|(ip, _)| SocketAddr::new(ip.parse().unwrap(), 80)).collect();
        mix_families(&mut addrs);
        let attempt = |cx: &mut Cx, address: SocketAddr| {
            let found = |(ip, _): &&(&str, Ends)| *ip == address.ip().to_string();
            let (ip, ends) = scenario.iter().find(found).expect("it is of the scenario");
            begun.borrow_mut().push((*ip, elapsed(cx)));
            open.set(open.get() + 1);
            let made = Made { address, open: Rc::clone(&open) };
            match *ends {
                Well(after) => {
                    cx.sleep(Duration::from_millis(after))?;
                    Ok(made)
                }
                Badly(after) => {
                    cx.sleep(Duration::from_millis(after))?;
                    let text = format!("connect to {address}: made to fail");
                    Err(io::Error::new(ErrorKind::ConnectionRefused, text).into())
                }
            }
        };
        let mut outcome = None;
        let mut race = |cx: &mut Cx| outcome = Some(first_of(cx, &addrs, delay, attempt));
        match end_ms {
            None => race(cx),
            Some(end) => {
                let ended = cx.move_on_after(Duration::from_millis(end), |cx| {
                    race(cx);
                    cx.checkpoint()
                });
                assert!(matches!(ended, Ok(None)));
            }
        }
        let outcome = outcome.unwrap();
        assert_eq!(open.get(), usize::from(outcome.is_ok()), "of those that are open");
        let outcome = outcome.map(|made| made.address);
        Seen { outcome, begun: begun.into_inner(), took_ms: elapsed(cx) }
    })
}

// spec: test_highlevel_open_tcp_stream.one_host_quick_success
// spec: test_highlevel_open_tcp_stream.one_host_slow_success
#[test]
fn one_address_that_answers() {
    for after in [123, 81_000] {
        let seen = race(DEFAULT, &[("1.2.3.4", Well(after))]);
        assert_eq!((seen.winner().as_str(), seen.took_ms), ("1.2.3.4", after));
    }
}

// spec: test_highlevel_open_tcp_stream.one_host_quick_fail
// spec: test_highlevel_open_tcp_stream.one_host_slow_fail
// spec: test_highlevel_open_tcp_stream.one_host_failed_after_connect
#[test]
fn one_address_that_fails() {
    for after in [82, 100_000] {
        let seen = race(DEFAULT, &[("83.1.1.1", Badly(after))]);
        assert_eq!(seen.took_ms, after);
        let error = seen.error();
        assert_eq!(error.to_string(), "connect to 83.1.1.1:80: made to fail");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(AddressErrors::of(&error).unwrap().len(), 1);
    }
}

// spec: test_highlevel_open_tcp_stream.basic_fallthrough
#[test]
fn addresses_begin_a_quarter_of_a_second_apart() {
    let seen =
        race(DEFAULT, &[("1.1.1.1", Well(1000)), ("2.2.2.2", Well(1000)), ("3.3.3.3", Well(200))]);
    assert_eq!(seen.begun, [("1.1.1.1", 0), ("2.2.2.2", 250), ("3.3.3.3", 500)]);
    assert_eq!((seen.winner().as_str(), seen.took_ms), ("3.3.3.3", 700));
}

// spec: test_highlevel_open_tcp_stream.early_success
#[test]
fn no_more_begin_than_are_needed() {
    let seen =
        race(DEFAULT, &[("1.1.1.1", Well(1000)), ("2.2.2.2", Well(100)), ("3.3.3.3", Well(200))]);
    assert_eq!(seen.begun, [("1.1.1.1", 0), ("2.2.2.2", 250)]);
    assert_eq!((seen.winner().as_str(), seen.took_ms), ("2.2.2.2", 350));
}

// spec: test_highlevel_open_tcp_stream.custom_delay
#[test]
fn the_delay_can_be_chosen() {
    let seen = race(
        Some(Duration::from_millis(450)),
        &[("1.1.1.1", Well(2000)), ("2.2.2.2", Well(2000)), ("3.3.3.3", Well(100))],
    );
    assert_eq!(seen.begun, [("1.1.1.1", 0), ("2.2.2.2", 450), ("3.3.3.3", 900)]);
    assert_eq!((seen.winner().as_str(), seen.took_ms), ("3.3.3.3", 1000));
}

// spec: test_highlevel_open_tcp_stream.none_default
#[test]
fn the_default_delay_is_that_of_the_rfc() {
    let seen = race(DEFAULT, &[("1.1.1.1", Well(300)), ("2.2.2.2", Well(10))]);
    assert_eq!(seen.begun, [("1.1.1.1", 0), ("2.2.2.2", 250)]);
    assert_eq!((seen.winner().as_str(), seen.took_ms), ("2.2.2.2", 260));
}

#[test]
fn without_a_delay_they_take_turns() {
    let seen =
        race(None, &[("1.1.1.1", Badly(70_000)), ("2.2.2.2", Badly(1)), ("3.3.3.3", Well(5))]);
    assert_eq!(seen.begun, [("1.1.1.1", 0), ("2.2.2.2", 70_000), ("3.3.3.3", 70_001)]);
    assert_eq!((seen.winner().as_str(), seen.took_ms), ("3.3.3.3", 70_006));
}

// spec: test_highlevel_open_tcp_stream.custom_errors_expedite
#[test]
fn a_failure_lets_the_next_begin_at_once() {
    let seen = race(
        DEFAULT,
        &[
            ("1.1.1.1", Badly(100)),
            ("2.2.2.2", Badly(200)),
            ("3.3.3.3", Well(10_000)),
            ("4.4.4.4", Well(250)),
        ],
    );
    assert_eq!(seen.begun, [("1.1.1.1", 0), ("2.2.2.2", 100), ("3.3.3.3", 300), ("4.4.4.4", 550)]);
    assert_eq!((seen.winner().as_str(), seen.took_ms), ("4.4.4.4", 800));
}

#[test]
fn a_failure_of_an_earlier_one_does_not() {
    let seen =
        race(DEFAULT, &[("1.1.1.1", Badly(300)), ("2.2.2.2", Well(1000)), ("3.3.3.3", Well(10))]);
    assert_eq!(seen.begun, [("1.1.1.1", 0), ("2.2.2.2", 250), ("3.3.3.3", 500)]);
}

// spec: test_highlevel_open_tcp_stream.all_fail
#[test]
fn all_errors_are_reported() {
    let seen = race(
        DEFAULT,
        &[
            ("1.1.1.1", Badly(100)),
            ("2.2.2.2", Badly(200)),
            ("3.3.3.3", Badly(10_000)),
            ("4.4.4.4", Badly(250)),
        ],
    );
    assert_eq!(seen.took_ms, 100 + 200 + 10_000);
    let error = seen.error();
    let errors = AddressErrors::of(&error).unwrap();
    let tried: Vec<String> = errors.iter().map(|(address, _)| address.ip().to_string()).collect();
    assert_eq!(tried, ["1.1.1.1", "2.2.2.2", "4.4.4.4", "3.3.3.3"], "in order of time");
    let text = error.to_string();
    assert_eq!(text.matches("made to fail").count(), 4, "{text}");
    assert!(std::error::Error::source(errors).unwrap().to_string().contains("3.3.3.3"));
}

// spec: test_highlevel_open_tcp_stream.multi_success
#[test]
fn of_several_that_answer_at_once_one_is_kept() {
    // They were begun at different times, and all answer a second after the first was begun.
    let seen = race(
        Some(Duration::from_millis(100)),
        &[
            ("1.1.1.1", Badly(900)),
            ("2.2.2.2", Well(900)),
            ("3.3.3.3", Well(800)),
            ("4.4.4.4", Well(700)),
            ("5.5.5.5", Badly(600)),
        ],
    );
    assert!(["2.2.2.2", "3.3.3.3", "4.4.4.4"].contains(&seen.winner().as_str()));
    assert_eq!(seen.took_ms, 1000);
}

// spec: test_highlevel_open_tcp_stream.does_reorder
#[test]
fn the_other_family_comes_second() {
    let seen = race(
        Some(Duration::from_secs(1)),
        &[("1.1.1.1", Badly(10_000)), ("2.2.2.2", Well(1000)), ("::3", Well(500))],
    );
    assert_eq!(seen.begun, [("1.1.1.1", 0), ("::3", 1000)]);
    assert_eq!((seen.winner().as_str(), seen.took_ms), ("::3", 1500));
}

// spec: test_highlevel_open_tcp_stream.reorder_for_rfc_6555_section_5_4
#[test]
fn only_one_address_changes_its_place() {
    let check = |before: &[&str], after: &[&str]| {
        let parse = |text: &&str| text.parse::<SocketAddr>().unwrap();
        let mut addrs: Vec<SocketAddr> = before.iter().map(parse).collect();
        mix_families(&mut addrs);
        assert_eq!(addrs, after.iter().map(parse).collect::<Vec<_>>());
    };
    check(&[], &[]);
    for one in ["10.0.0.1:80", "[fd00::1]:80"] {
        check(&[one], &[one]);
        check(&[one, one, one], &[one, one, one]);
    }
    let (a, b, c) = ("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80");
    let (x, y) = ("[fd00::1]:80", "[fd00::2]:80");
    check(&[a, x, b, y], &[a, x, b, y]);
    check(&[a, b, c, x, y], &[a, x, b, c, y]);
    check(&[x, y, a, b], &[x, a, y, b]);
}

// spec: test_highlevel_open_tcp_stream.cancel
#[test]
fn a_cancellation_ends_all_attempts() {
    let seen = race_until(
        Some(5_000),
        DEFAULT,
        &[("1.1.1.1", Badly(10_000)), ("2.2.2.2", Badly(200)), ("3.3.3.3", Badly(10_000))],
    );
    assert!(seen.outcome.unwrap_err().cancelled().is_some());
    assert_eq!(seen.took_ms, 5_000);
    // And one that comes while others have still to begin.
    let seen = race_until(
        Some(300),
        DEFAULT,
        &[("1.1.1.1", Well(10_000)), ("2.2.2.2", Well(200)), ("3.3.3.3", Well(10_000))],
    );
    assert!(seen.outcome.unwrap_err().cancelled().is_some());
    assert_eq!(seen.begun.len(), 2);
    assert_eq!(seen.took_ms, 300);
}

// spec: test_highlevel_open_tcp_stream.no_hosts
#[test]
fn no_address_at_all_is_an_error() {
    let error = race(DEFAULT, &[]).error();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), "connect: there is no address to try");
    assert!(AddressErrors::of(&error).is_none());
}

#[test]
#[should_panic(expected = "an attempt panics")]
fn a_panic_of_an_attempt_goes_on_in_the_caller() {
    testing::run(|cx| {
        let addrs = [SocketAddr::from(([10, 0, 0, 1], 80)), SocketAddr::from(([10, 0, 0, 2], 80))];
        let _ = first_of(cx, &addrs, DEFAULT, |_, _| -> Result<(), Error> {
            panic!("an attempt panics")
        });
    });
}
