//! Attack: the value of a child reads a local of the body in its destructor, after the body's end.
//! Fails: the value may borrow only what outlives the nursery.
// spec: S1, S6, N12

use conbrio::prelude::*;

struct Inspector<'a>(&'a str);

impl Drop for Inspector<'_> {
    fn drop(&mut self) {
        println!("{}", self.0);
    }
}

fn main() {
    conbrio::run(|cx| {
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            let local = String::from("short");
            let borrowed = &*local;
            n.spawn(move |_| Ok(Inspector(borrowed)));
            Ok(())
        });
    });
}
