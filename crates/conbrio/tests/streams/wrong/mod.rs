//! Streams with one mistake each: the checks find it, and name the rule.

mod mistakes;

use std::panic::{AssertUnwindSafe, catch_unwind};

use conbrio::prelude::*;
use conbrio::testing::streams;
use conbrio::testing::{
    check_clogged_stream, check_half_closeable_stream, check_one_way_stream, check_two_way_stream,
};

use self::mistakes::Mistake::{self, *};
use self::mistakes::{pair, two_way, wrap};
use crate::support::in_virtual_time;

/// The message with which a check refuses a stream, on one worker and on two.
#[track_caller]
fn refused(mistake: Mistake, check: fn(&mut Cx, Mistake)) -> String {
    let mut messages = [1, 2].map(|workers| {
        let run = || in_virtual_time(workers, |cx| check(cx, mistake));
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(()) => panic!("{mistake:?} was not found on {workers} workers"),
            Err(payload) => *payload.downcast::<String>().expect("a message"),
        }
    });
    std::mem::take(&mut messages[0])
}

#[track_caller]
fn refused_for(mistake: Mistake, check: fn(&mut Cx, Mistake), rule: &str, detail: &str) {
    let message = refused(mistake, check);
    assert!(message.contains(&format!("the rule \"{rule}\" is broken")), "{mistake:?}: {message}");
    assert!(message.contains(detail), "{mistake:?}: {message}");
}

fn one_way(cx: &mut Cx, mistake: Mistake) {
    check_one_way_stream(cx, |_| pair(mistake)).unwrap();
}

fn both_ways(cx: &mut Cx, mistake: Mistake) {
    check_two_way_stream(cx, |_| two_way(mistake)).unwrap();
}

fn by_halves(cx: &mut Cx, mistake: Mistake) {
    check_half_closeable_stream(cx, |_| two_way(mistake)).unwrap();
}

fn clogged(cx: &mut Cx, mistake: Mistake) {
    check_clogged_stream(cx, |_| match mistake {
        NeverGoesOn | CancelledBytesStay => wrap(mistake, streams::pipe()),
        _ => wrap(mistake, streams::lockstep_pipe()),
    })
    .unwrap();
}

#[test]
fn without_a_mistake_they_pass() {
    for workers in [1, 2] {
        in_virtual_time(workers, |cx| {
            one_way(cx, Nothing);
            both_ways(cx, Nothing);
            by_halves(cx, Nothing);
            clogged(cx, Nothing);
        });
    }
}

// spec: check_streams.one_way_data_passes
#[test]
fn readers_that_are_no_checkpoints() {
    const RULE: &str = "reading is a checkpoint, always, and takes nothing if cancelled";
    refused_for(ReadIsNoCheckpoint, one_way, RULE, "`read` in a cancelled scope succeeded");
    refused_for(ReadIntoNoRoomIsNoCheckpoint, one_way, RULE, "`read into no room`");
}

// spec: N17, S9
#[test]
fn readers_that_lose_bytes() {
    let rule = "reading is a checkpoint, always, and takes nothing if cancelled";
    refused_for(ReadTakesBeforeItsCheckpoint, one_way, rule, "");
    let rule = "a byte that comes together with a cancellation is not lost";
    refused_for(ReadLosesBytesInARace, one_way, rule, "");
}

// spec: check_streams.one_way_empty_send, check_streams.one_way_receive_size
#[test]
fn empty_buffers_that_do_something() {
    let rule = "reading into no room has no effect and does not wait";
    refused_for(ReadIntoNoRoomWaits, one_way, rule, "waited or failed");
    let rule = "writing no bytes has no effect";
    refused_for(WriteOfNothingEnds, one_way, rule, "");
    let rule = "writing is a checkpoint, always, and writes nothing if cancelled";
    refused_for(WriteOfNothingIsNoCheckpoint, one_way, rule, "`write of no bytes`");
}

// spec: check_streams.one_way_close_after_data
#[test]
fn readers_that_are_wrong_about_the_end() {
    let rule = "a reader that waits gets what is written";
    refused_for(EndBeforeTheEnd, one_way, rule, "`read` reported the end after 0 bytes");
    let rule = "all bytes arrive, in order, whatever the size of writes and reads";
    refused_for(EndOnlyOnce, one_way, rule, "`read` failed");
}

// spec: check_streams.one_way_data_passes
#[test]
fn readers_and_writers_that_count_wrongly() {
    let whole = "all bytes arrive, in order, whatever the size of writes and reads";
    refused_for(GivesAByteTwice, one_way, whole, "was written");
    refused_for(CountsABufferThatWasNotFilled, one_way, whole, "");
    refused_for(VectoredInWrongOrder, one_way, whole, "was written");
    refused_for(WriteTakesNothing, one_way, whole, "");
    let early = "what was written waits for the reader";
    refused_for(WriteReportsLess, one_way, early, "was written");
    refused_for(WriteReportsMore, one_way, early, "`write` of 5 bytes reported 6");
}

// spec: check_streams.one_way_data_passes
#[test]
fn bytes_that_never_arrive() {
    refused_for(FlushForgets, one_way, "a reader that waits gets what is written", "still waits");
}

// spec: N17
#[test]
fn writers_that_are_no_checkpoints() {
    const RULE: &str = "writing is a checkpoint, always, and writes nothing if cancelled";
    refused_for(WriteIsNoCheckpoint, one_way, RULE, "`write` in a cancelled scope succeeded");
    refused_for(FlushIsNoCheckpoint, one_way, RULE, "`flush` in a cancelled scope succeeded");
    refused_for(WritesAndReportsACancellation, one_way, RULE, "");
}

const READER_DROPPED: &str = "writes fail when the reader is dropped, and go on failing";

// spec: check_streams.one_way_receiver_closed
#[test]
fn writers_that_do_not_see_that_the_reader_has_gone() {
    refused_for(AcceptsWithoutReader, one_way, READER_DROPPED, "writes succeeded");
    refused_for(ReaderDropIsNotSeen, one_way, READER_DROPPED, "writes succeeded");
}

// spec: check_streams.one_way_receiver_closed
#[test]
fn writers_that_say_wrongly_that_the_reader_has_gone() {
    let detail = "succeeded after another had failed";
    refused_for(FailsOnlyOnce, one_way, READER_DROPPED, detail);
    refused_for(FailsWithAnotherKind, one_way, READER_DROPPED, "`InvalidData`");
}

// spec: check_streams.one_way_close_after_data, check_streams.one_way_forceful_close, check_streams.one_way_cancelled_close
#[test]
fn writers_whose_drop_is_not_seen() {
    let whole = "all bytes arrive, in order, whatever the size of writes and reads";
    refused_for(WriterDropIsNotSeen, one_way, whole, "still waits");
    let unwinding = "dropping the writer closes it while the task unwinds, too";
    refused_for(WriterDropIsNotSeenWhileUnwinding, one_way, unwinding, "still waits");
    let last = "after a dropped writer come its bytes, and then the end, for ever";
    refused_for(WriterDropLosesBytes, one_way, last, "reported the end after 0 bytes of 10");
}

#[test]
fn cancellations_out_of_season() {
    let message = refused(KeepsACancellation, one_way);
    assert!(message.contains("no scope around it was cancelled"), "{message}");
}

// spec: check_streams.two_way_duplex_random
#[test]
fn a_read_that_holds_up_a_write() {
    let rule = "a read that waits does not hold up a write";
    refused_for(OneDirectionAtATime, both_ways, rule, "still waits");
}

#[test]
fn a_mistake_in_one_direction_says_in_which() {
    for (is_there, words) in [(true, "from the first end"), (false, "from the second end")] {
        let check = |cx: &mut Cx| {
            check_two_way_stream(cx, |_| {
                let (mut first, mut second) = two_way(Nothing);
                let wrong = if is_there { &mut first } else { &mut second };
                wrong.writer.mistake = WriteReportsLess;
                (first, second)
            })
            .unwrap();
        };
        let panic = catch_unwind(AssertUnwindSafe(|| in_virtual_time(1, check))).unwrap_err();
        let message = panic.downcast::<String>().unwrap();
        assert!(message.contains(words), "{message}");
    }
}

// spec: check_streams.half_close_send_eof
#[test]
fn an_end_of_one_direction_that_is_not_seen_or_comes_too_early() {
    let end = "after `end_write` come the bytes, and then the end";
    refused_for(EndWriteDoesNothing, by_halves, end, "still waits");
    refused_for(EndWriteLosesBytes, by_halves, end, "reported the end after 0 bytes of 9");
}

// spec: check_streams.half_close_send_after_eof
#[test]
fn an_end_of_one_direction_that_ends_more_or_less_than_that() {
    let other = "`end_write` leaves the other direction open";
    refused_for(EndWriteClosesBoth, by_halves, other, "");
    let after = "a write after `end_write` fails, and nothing of it arrives";
    refused_for(AcceptsAfterEndWrite, by_halves, after, "`write` succeeded");
    let again = "`end_write` again has no effect";
    refused_for(SecondEndWriteFails, by_halves, again, "`end_write` failed");
}

// spec: N17
#[test]
fn ending_one_direction_without_a_checkpoint() {
    let checkpoint = "`end_write` is a checkpoint, always, and has no effect if cancelled";
    refused_for(EndWriteIsNoCheckpoint, by_halves, checkpoint, "succeeded");
    refused_for(EndWriteHappensThoughCancelled, by_halves, checkpoint, "");
}

// spec: check_streams.one_way_clogged_wait, check_streams.one_way_peer_close_wakes_wait
#[test]
fn waiting_writers_that_are_wrong() {
    let room = "a write that finds no room waits until the reader makes some";
    refused_for(NeverGoesOn, clogged, room, "still waits");
    let cancelled = "a write that is cancelled while it waits writes nothing";
    refused_for(CancelledBytesStay, clogged, cancelled, "");
    let dropped = "a writer that waits sees that the reader is dropped";
    refused_for(DoesNotSeeTheReaderDropped, clogged, dropped, "still waits");
}

#[test]
fn a_writer_that_does_not_wait_is_not_clogged() {
    let check = |cx: &mut Cx| check_clogged_stream(cx, |_| streams::pipe()).unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| in_virtual_time(1, check))).unwrap_err();
    let message = panic.downcast::<String>().unwrap();
    assert!(message.contains("the write did not wait: make pairs in which it must"), "{message}");
}

#[test]
fn the_message_begins_with_the_name_of_the_check() {
    for (check, name) in [
        (one_way as fn(&mut Cx, Mistake), "check_one_way_stream: "),
        (both_ways, "check_two_way_stream: from the first end to the second, "),
        (by_halves, "check_half_closeable_stream: from the first end to the second, "),
        (clogged, "check_clogged_stream: "),
    ] {
        let message = refused(WriteReportsMore, check);
        assert!(message.starts_with(name), "{message}");
    }
}

// spec: N17
#[test]
fn a_cancelled_check_ends_and_is_no_failure() {
    in_virtual_time(1, |cx| {
        for pace in 0..40 {
            let checked = cx.cancel_scope(|cx, scope| {
                let handle = scope.handle();
                cx.nursery(|cx, n| -> Result<(), Cancelled> {
                    n.spawn(move |cx| {
                        for _ in 0..pace * pace {
                            cx.yield_now()?;
                        }
                        handle.cancel();
                        Ok(())
                    });
                    check_half_closeable_stream(cx, |_| streams::lockstep_duplex())
                })
                .map_err(|error| match error {
                    NurseryError::Cancelled(cancelled) => cancelled,
                    error => panic!("{error:?}"),
                })
            });
            assert!(matches!(checked, Ok(None | Some(()))), "{checked:?}");
        }
    });
}
