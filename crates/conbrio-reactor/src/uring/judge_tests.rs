//! What an interruption means, which no test can bring about from outside.

use super::*;

/// What the answer `result` means for an operation on a file.
fn judged(uring: &Uring, kind: Kind, is_cancelled: bool, result: i32) -> Option<Outcome> {
    let (direction, phase) = (Direction::Read, Phase::Perform);
    let mut wait = Wait { token: Token(1), fd: -1, direction, kind, phase, is_cancelled };
    let answer = Answer { user_data: 0, result, more: false, nonempty: false, buffer: None };
    uring.judge(&mut wait, Spot { index: 0, generation: 0 }, answer)
}

#[test]
fn an_interrupted_operation_is_begun_again_only_if_that_does_no_harm() {
    let uring = match Uring::new(RingOptions::default()) {
        Ok(uring) => uring,
        Err(refusal) => return println!("SKIPPED: {refusal}"),
    };
    for is_cancelled in [false, true] {
        // The fd is closed, or the name is gone, whatever the kernel says.
        for result in [EINTR, EAGAIN, 0, -libc::ENOENT, -libc::ECANCELED] {
            let outcome = judged(&uring, Kind::FileOnce, is_cancelled, result);
            assert_eq!(outcome, Some(Outcome::Done(result)));
        }
        let read = |result| judged(&uring, Kind::File, is_cancelled, result);
        assert_eq!(read(EINTR), Some(if is_cancelled { CANCELLED } else { Outcome::Ready }));
        assert_eq!(read(512), Some(Outcome::Done(512)));
        assert_eq!(read(-libc::EIO), Some(Outcome::Done(-libc::EIO)));
    }
}
