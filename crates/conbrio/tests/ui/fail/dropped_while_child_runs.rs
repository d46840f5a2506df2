//! Attack: the body drops what a child reads.
//! Fails: the child has borrowed it for as long as the nursery lasts.
// spec: S1, S6, N12

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let data = vec![1, 2, 3];
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            let data = &data;
            n.spawn(|_| {
                let _ = data.len();
                Ok(())
            });
            Ok(())
        });
        let _ = cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.spawn(|_| {
                let _ = data.len();
                Ok(())
            });
            drop(data);
            Ok(())
        });
    });
}
