//! Children borrow their parent's locals, shared and split.
// spec: S1, S51, S52

use conbrio::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

fn main() {
    let mut numbers: Vec<u64> = (0..1_000).collect();
    let sum = AtomicU64::new(0);
    conbrio::run(|cx| {
        let factor = 3;
        let shared = &factor;
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            for chunk in numbers.chunks_mut(100) {
                n.spawn(|_| {
                    for number in chunk.iter_mut() {
                        *number *= *shared;
                    }
                    sum.fetch_add(chunk.iter().sum(), Ordering::Relaxed);
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();

        let (left, right) = numbers.split_at_mut(500);
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.spawn(|_| {
                left.fill(1);
                Ok(())
            });
            n.spawn(|_| {
                right.fill(2);
                Ok(())
            });
            Ok(())
        })
        .unwrap();
        // The nursery has ended: what the children borrowed is free again.
        left[0] += right[0];
    });
    assert_eq!(sum.into_inner(), 3 * (999 * 1_000 / 2));
    assert_eq!(numbers.iter().sum::<u64>(), 500 + 1_000 + 2);
}
