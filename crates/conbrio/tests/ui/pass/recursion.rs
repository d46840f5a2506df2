//! A function that waits calls itself, ten thousand frames deep, without a box around anything.
// spec: S49, N9

use conbrio::prelude::*;

fn down(cx: &mut Cx, depth: u32) -> Result<u32, Cancelled> {
    if depth == 0 {
        cx.yield_now()?;
        return Ok(0);
    }
    Ok(down(cx, depth - 1)? + 1)
}

fn is_even(cx: &mut Cx, number: u32) -> Result<bool, Cancelled> {
    cx.checkpoint()?;
    if number == 0 {
        Ok(true)
    } else {
        is_odd(cx, number - 1)
    }
}

fn is_odd(cx: &mut Cx, number: u32) -> Result<bool, Cancelled> {
    cx.checkpoint()?;
    if number == 0 {
        Ok(false)
    } else {
        is_even(cx, number - 1)
    }
}

fn main() {
    conbrio::run(|cx| {
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let deep = n.task("deep").stack_size(8 << 20);
            assert_eq!(deep.spawn(|cx| down(cx, 10_000)).join(cx)?, 10_000);
            assert!(is_even(cx, 10)?);
            Ok(())
        })
    })
    .unwrap();
}
