//! Attack: a `cx` is kept in a static.
//! Fails: it is neither `'static` nor `Send`.
// spec: S48, N12

use conbrio::prelude::*;
use std::sync::Mutex;

static KEPT: Mutex<Option<&'static mut Cx>> = Mutex::new(None);

fn main() {
    conbrio::run(|cx| *KEPT.lock().unwrap() = Some(cx));
}
