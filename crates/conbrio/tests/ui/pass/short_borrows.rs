//! Arguments are borrowed for the call only, as in any function.
// spec: S50, S56

use conbrio::prelude::*;

fn common<'a>(cx: &mut Cx, a: &'a str, b: &str) -> Result<&'a str, Cancelled> {
    cx.yield_now()?;
    let length = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    Ok(&a[..length])
}

fn fill(cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Cancelled> {
    cx.yield_now()?;
    buf.fill(7);
    Ok(buf.len())
}

fn main() {
    let prefix = conbrio::run(|cx| -> Result<String, Cancelled> {
        let long = String::from("cancelled");
        let prefix = {
            let short = String::from("cancellation");
            common(cx, &long, &short)?
        };
        let mut buf = [0; 16];
        let (head, _) = buf.split_at_mut(8);
        assert_eq!(fill(cx, head)?, 8);
        assert_eq!(buf.iter().map(|&b| u32::from(b)).sum::<u32>(), 56);
        Ok(prefix.to_owned())
    });
    assert_eq!(prefix.unwrap(), "cancell");
}
