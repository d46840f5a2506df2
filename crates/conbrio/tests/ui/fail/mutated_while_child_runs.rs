//! Attack: the body changes what a child reads.
//! Fails: the child has borrowed it for as long as the nursery lasts.
// spec: S1, S51, N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let mut data = vec![1, 2, 3];
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.spawn(|_| {
                let _ = data.len();
                Ok(())
            });
            data.push(4);
            Ok(())
        });
    });
}
