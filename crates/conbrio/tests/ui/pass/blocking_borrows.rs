//! Blocking calls borrow from the task that waits for them; code on the thread's stack need not be `Send`.
// spec: S1, S65

use conbrio::prelude::*;
use std::rc::Rc;

fn main() {
    conbrio::run(|cx| -> Result<(), Cancelled> {
        let mut numbers = vec![3, 1, 2];
        let largest = cx.blocking(|| {
            numbers.sort_unstable();
            numbers.last().copied()
        })?;
        assert_eq!(largest, Some(3));
        let first: &i32 = cx.blocking(|| &numbers[0])?;
        assert_eq!(*first, 1);

        let shared = Rc::new(5);
        let copy = cx.on_thread_stack(|| Rc::clone(&shared));
        assert_eq!(Rc::strong_count(&copy), 2);
        Ok(())
    })
    .unwrap();
}
