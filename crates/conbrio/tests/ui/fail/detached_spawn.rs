//! Attack: a task that belongs to no nursery.
//! Fails: there is no function that starts one.
// spec: S16

fn main() {
    conbrio::run(|cx| {
        conbrio::spawn(|_| ());
        cx.spawn(|_| ());
    });
}
