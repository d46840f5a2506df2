//! Waiting inside code that knows nothing of it: `Iterator::next`, the closure of a sort, a destructor.
// spec: S17, S49

use conbrio::prelude::*;
use std::cmp::Ordering;

struct Countdown<'a> {
    cx: &'a mut Cx,
    left: u32,
}

impl Iterator for Countdown<'_> {
    type Item = Result<u32, Cancelled>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(self.cx.yield_now().map(|()| self.left))
    }
}

struct Goodbye<'a> {
    cx: &'a mut Cx,
    said: &'a mut bool,
}

impl Drop for Goodbye<'_> {
    fn drop(&mut self) {
        *self.said = self.cx.yield_now().is_ok();
    }
}

fn work(cx: &mut Cx) -> Result<(), Cancelled> {
    let sum: u32 = Countdown { cx, left: 5 }
        .filter(|i| *i.as_ref().unwrap() != 2)
        .sum::<Result<_, _>>()?;
    assert_eq!(sum, 4 + 3 + 1);

    let mut words = ["pear", "fig", "apple", "date"];
    let mut cancelled = None;
    words.sort_by(|a, b| match cx.yield_now() {
        Ok(()) => a.cmp(b),
        Err(error) => {
            cancelled = Some(error);
            Ordering::Equal
        }
    });
    assert!(cancelled.is_none());
    assert_eq!(words, ["apple", "date", "fig", "pear"]);

    let mut said = false;
    drop(Goodbye {
        cx,
        said: &mut said,
    });
    assert!(said);
    Ok(())
}

fn main() {
    conbrio::run(|cx| {
        cx.nursery(|_, n| {
            for _ in 0..4 {
                n.spawn(work);
            }
            Ok(())
        })
    })
    .unwrap();
}
