//! Attack: an object outside the runtime keeps the `cx` of the main task.
//! Fails: it lives as long as the call of the closure.
// spec: S48, N12

use conbrio::prelude::*;

#[derive(Default)]
struct Connection<'a> {
    cx: Option<&'a mut Cx>,
}

fn main() {
    let mut connection = Connection::default();
    conbrio::run(|cx| connection.cx = Some(cx));
    let _ = connection.cx.unwrap().checkpoint();
}
