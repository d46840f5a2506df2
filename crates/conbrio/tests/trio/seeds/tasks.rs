//! Tasks are like threads: ordinary calls, ordinary borrows, run to completion (S43 to S54).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Mutex;

use conbrio::lowlevel::{Abort, Unparker, Wait};
use conbrio::prelude::*;

use crate::support::{Fault, Trace, in_virtual_time, on_all_workers, on_one_worker, seconds};

/// An iterator each of whose steps waits.
struct Ticks<'a> {
    cx: &'a mut Cx,
    left: u64,
}

impl Iterator for Ticks<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        self.cx.sleep(seconds(1)).ok()?;
        Some(self.left)
    }
}

trait Step {
    fn step(&self, cx: &mut Cx) -> Result<u64, Cancelled>;
}

struct Slow(u64);

impl Step for Slow {
    fn step(&self, cx: &mut Cx) -> Result<u64, Cancelled> {
        cx.sleep(seconds(self.0))?;
        Ok(self.0)
    }
}

fn recurse(cx: &mut Cx, depth: u32) -> Result<u32, Cancelled> {
    if depth == 0 {
        cx.sleep(seconds(1))?;
        return Ok(0);
    }
    let below = recurse(cx, depth - 1)?;
    cx.checkpoint()?;
    Ok(below + 1)
}

// spec: S49, S17
#[test]
fn iterators_comparisons_trait_objects_and_recursion_may_wait() {
    on_all_workers(|cx| {
        let start = cx.now();
        let sum: u64 = Ticks { cx, left: 4 }.map(|tick| tick * 10).sum();
        assert_eq!((sum, cx.now() - start), (60, seconds(4)));

        let mut words = ["c", "a", "b"];
        words.sort_by(|left, right| {
            cx.sleep(seconds(1)).unwrap();
            left.cmp(right)
        });
        assert_eq!(words, ["a", "b", "c"]);
        assert!(cx.now() - start >= seconds(6));

        let steps: [&dyn Step; 2] = [&Slow(1), &Slow(2)];
        let total: Result<u64, Cancelled> = steps.iter().map(|step| step.step(cx)).sum();
        assert_eq!(total.unwrap(), 3);

        let depth = cx.nursery(|cx, n| -> Result<u32, Cancelled> {
            n.task("deep").stack_size(16 << 20).spawn(|cx| recurse(cx, 10_000)).join(cx)
        });
        assert_eq!(depth.unwrap(), 10_000);
    });
}

// spec: S50
#[test]
fn a_function_that_waits_borrows_like_any_other() {
    fn longest<'a>(cx: &mut Cx, left: &'a str, right: &'a str) -> Result<&'a str, Cancelled> {
        cx.sleep(seconds(1))?;
        Ok(if left.len() >= right.len() { left } else { right })
    }
    on_one_worker(|cx| {
        let left = String::from("longer");
        let chosen = {
            let right = String::from("short");
            longest(cx, &left, &right).unwrap().to_owned()
        };
        assert_eq!(chosen, "longer");
    });
}

// spec: S51
#[test]
fn local_children_share_what_cannot_be_sent() {
    on_all_workers(|cx| {
        let shared = Rc::new(RefCell::new(Vec::new()));
        let home = std::thread::current().id();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            for index in 0..10 {
                let shared = Rc::clone(&shared);
                n.spawn_local(cx, move |cx| {
                    cx.sleep(seconds(10 - index))?;
                    assert_eq!(std::thread::current().id(), home);
                    shared.borrow_mut().push(index);
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(*shared.borrow(), [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
        assert_eq!(Rc::strong_count(&shared), 1);
    });
}

// spec: S51
#[test]
fn a_task_stays_on_its_thread_at_every_wait() {
    on_all_workers(|cx| {
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            for _ in 0..50 {
                n.spawn(|cx| {
                    let home = std::thread::current().id();
                    for round in 0..20 {
                        match round % 3 {
                            0 => cx.yield_now()?,
                            1 => cx.sleep(seconds(1))?,
                            _ => cx.blocking(|| ())?,
                        }
                        assert_eq!(std::thread::current().id(), home);
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
    });
}

// spec: S52
#[test]
fn what_scoped_threads_can_do_children_can() {
    on_all_workers(|cx| {
        // The example of `std::thread::scope`: shared and exclusive borrows, then use of both again.
        let mut a = vec![1, 2, 3];
        let mut x = 0;
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.spawn(|_| {
                assert_eq!(a.len(), 3);
                Ok(())
            });
            n.spawn(|_| {
                x += a[0] + a[2];
                Ok(())
            });
            Ok(())
        })
        .unwrap();
        a.push(4);
        assert_eq!((x, a.len()), (4, 4));
        // Joined by hand, a value comes back; nested scopes may spawn into outer ones.
        let seen = Mutex::new(Vec::new());
        let value = cx.nursery(|cx, outer| -> Result<&str, Fault> {
            let seen = &seen;
            let mut child = outer.spawn(move |cx| {
                cx.nursery(|_, inner| -> Result<(), Fault> {
                    inner.spawn(move |_| {
                        seen.lock().unwrap().push("inner");
                        outer.spawn(move |_| {
                            seen.lock().unwrap().push("outer");
                            Ok(())
                        });
                        Ok(())
                    });
                    Ok(())
                })?;
                Ok("joined")
            });
            Ok(child.join(cx)?)
        });
        assert_eq!(value.unwrap(), "joined");
        assert_eq!(seen.into_inner().unwrap(), ["inner", "outer"]);
    });
}

// spec: S53, N5
#[test]
fn a_child_whose_handle_is_forgotten_runs_to_its_end() {
    for workers in [1, 2, 4] {
        let trace = Trace::new();
        in_virtual_time(workers, |cx| {
            cx.nursery(|_, n| -> Result<(), Cancelled> {
                std::mem::forget(n.spawn(|cx| {
                    cx.sleep(seconds(1))?;
                    trace.push("end");
                    Ok(String::from("leaked with its handle"))
                }));
                Ok(())
            })
        })
        .unwrap();
        assert_eq!(trace.take(), ["end"]);
    }
}

/// A counting semaphore, as somebody outside would write it.
#[derive(Debug)]
struct Permits(Mutex<(u32, Vec<Unparker>)>);

impl Permits {
    fn acquire(&self, cx: &mut Cx) -> Result<(), Cancelled> {
        loop {
            {
                let mut state = self.0.lock().unwrap();
                if let Some(left) = state.0.checked_sub(1) {
                    state.0 = left;
                    return Ok(());
                }
            }
            cx.park_on(&mut &*self)?;
        }
    }

    fn release(&self) {
        let mut state = self.0.lock().unwrap();
        state.0 += 1;
        // An unparker whose wait is over wakes nobody: so all of them, and who comes first gets it.
        for unparker in state.1.drain(..) {
            unparker.unpark();
        }
    }
}

impl Wait for &Permits {
    fn arm(&mut self, unparker: Unparker) {
        let mut state = self.0.lock().unwrap();
        if state.0 > 0 {
            unparker.unpark();
        } else {
            state.1.push(unparker);
        }
    }

    fn abort(&mut self) -> Abort {
        Abort::Succeeded
    }
}

// spec: S54, S43
#[test]
fn a_primitive_can_be_written_outside_in_safe_code() {
    on_all_workers(|cx| {
        let permits = Permits(Mutex::new((3, Vec::new())));
        let inside = Mutex::new((0_u32, 0_u32));
        let start = cx.now();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            for _ in 0..12 {
                n.spawn(|cx| {
                    permits.acquire(cx)?;
                    {
                        let mut inside = inside.lock().unwrap();
                        inside.0 += 1;
                        inside.1 = inside.1.max(inside.0);
                    }
                    let result = cx.sleep(seconds(1));
                    inside.lock().unwrap().0 -= 1;
                    permits.release();
                    result
                });
            }
            // One that gives up does not take a permit with it.
            let gave_up = cx.move_on_after(std::time::Duration::ZERO, |cx| permits.acquire(cx))?;
            if gave_up.is_some() {
                permits.release();
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(inside.into_inner().unwrap(), (0, 3));
        assert_eq!(permits.0.lock().unwrap().0, 3);
        assert_eq!(cx.now() - start, seconds(4));
    });
}
