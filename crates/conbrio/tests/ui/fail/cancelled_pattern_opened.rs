//! Attack: the inside of a cancellation is taken out and put into another.
//! Fails: the field is private.
// spec: S39, test_cancelled.Cancelled_init

use conbrio::Cancelled;

fn open(cancelled: Cancelled) {
    let Cancelled(_inside) = cancelled;
}

fn main() {
    let _: fn(Cancelled) = open;
}
