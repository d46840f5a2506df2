//! Attack: inner nurseries are collected and used when the outer one has ended.
//! Fails: a nursery does not live longer than the call of its body.
// spec: N12, test_run.asyncexitstack_nursery_misnest
// spec: test_run.asyncexitstack_nursery_misnest_cleanup

use conbrio::prelude::*;

fn main() {
    conbrio::run(|cx| {
        let mut stack: Vec<&Nursery<'_, '_, Cancelled>> = Vec::new();
        let _ = cx.nursery(|cx, _| -> Result<(), Cancelled> {
            let _ = cx.nursery(|_, inner| -> Result<(), Cancelled> {
                stack.push(inner);
                Ok(())
            });
            Ok(())
        });
        stack.pop().unwrap().spawn(|_| Ok(()));
    });
}
