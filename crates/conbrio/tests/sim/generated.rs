//! Small programs drawn by chance: what any number of workers does with one is among what is proved of it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::testing::Builder;

use crate::support::{Dice, is_slow_wanted};

/// What a task does, one thing after the other.
#[derive(Clone, Debug)]
enum Act {
    Checkpoint,
    Yield,
    /// So many seconds.
    Sleep(u64),
    /// The rest of its time is so many seconds.
    Within(u64, Vec<Act>),
    /// Cancels the outermost nursery from wherever it is.
    CancelAll,
    /// Cancels the nursery around it.
    Cancel,
    Shielded(Vec<Act>),
    Child(Vec<Act>),
    LocalChild(Vec<Act>),
    Nursery(Vec<Act>),
}

impl Dice {
    /// `budget` is how many acts the whole program may have left.
    fn acts(&mut self, most: u64, budget: &mut u64) -> Vec<Act> {
        let mut acts = Vec::new();
        for _ in 0..1 + self.below(most) {
            if *budget == 0 {
                break;
            }
            *budget -= 1;
            acts.push(match self.below(14) {
                0..2 => Act::Checkpoint,
                2 => Act::Yield,
                // Several things happen at the same time.
                3 | 4 => Act::Sleep(1 + self.below(2)),
                12 | 13 => Act::Within(1 + self.below(2), self.acts(2, budget)),
                5 => Act::CancelAll,
                6 => Act::Cancel,
                7 => Act::Shielded(self.acts(2, budget)),
                8 | 9 => Act::Child(self.acts(2, budget)),
                10 => Act::LocalChild(self.acts(2, budget)),
                _ => Act::Nursery(self.acts(3, budget)),
            });
        }
        acts
    }
}

struct Program {
    acts: Vec<Act>,
    log: Mutex<String>,
}

impl Program {
    fn note(&self, text: &str) {
        self.log.lock().unwrap().push_str(text);
    }

    /// `path` names the place in the program.
    fn run<'scope>(
        &'scope self,
        cx: &mut Cx,
        n: &'scope Nursery<'scope, '_, Cancelled>,
        all: &CancelHandle,
        acts: &'scope [Act],
        path: &str,
    ) -> Result<(), Cancelled> {
        for (act, letter) in acts.iter().zip(b'a'..) {
            let path = format!("{path}{}", letter as char);
            self.note(&format!("{path} "));
            let result = match act {
                Act::Checkpoint => cx.checkpoint(),
                Act::Yield => cx.yield_now(),
                Act::Sleep(seconds) => cx.sleep(Duration::from_secs(*seconds)),
                Act::Within(seconds, acts) => {
                    let time = Duration::from_secs(*seconds);
                    let done = cx.move_on_after(time, |cx| {
                        let inside = self.nursery(cx, Some(all), acts, &path);
                        self.note(if inside { "+ " } else { "- " });
                        cx.checkpoint_if_cancelled()
                    });
                    done.map(|done| self.note(if done.is_some() { "in time " } else { "late " }))
                }
                Act::CancelAll => {
                    all.cancel();
                    Ok(())
                }
                Act::Cancel => {
                    n.cancel();
                    Ok(())
                }
                Act::Shielded(acts) => cx.shield(|cx| self.run(cx, n, all, acts, &path)),
                Act::Child(acts) => {
                    let (all, path) = (all.clone(), path.clone());
                    n.spawn(move |cx| self.run(cx, n, &all, acts, &path));
                    Ok(())
                }
                Act::LocalChild(acts) => {
                    let (all, path) = (all.clone(), path.clone());
                    n.spawn_local(cx, move |cx| self.run(cx, n, &all, acts, &path));
                    Ok(())
                }
                Act::Nursery(acts) => {
                    let inside = self.nursery(cx, Some(all), acts, &path);
                    self.note(if inside { "+ " } else { "- " });
                    Ok(())
                }
            };
            if result.is_err() {
                self.note(&format!("{path}! "));
            }
            result?;
        }
        Ok(())
    }

    fn nursery(&self, cx: &mut Cx, all: Option<&CancelHandle>, acts: &[Act], path: &str) -> bool {
        let result = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let all = all.cloned().unwrap_or_else(|| n.handle());
            self.run(cx, n, &all, acts, path)
        });
        result.is_ok()
    }

    fn outcome(acts: &[Act], cx: &mut Cx) -> String {
        let program = Program { acts: acts.to_vec(), log: Mutex::default() };
        program.nursery(cx, None, &program.acts, "");
        program.log.into_inner().unwrap()
    }
}

/// The number of programs that were small enough, and of outcomes that were compared.
fn compare(programs: std::ops::Range<u64>, budget: u64, runs_max: u64, seeds: u64) -> (u64, usize) {
    let (mut proved_programs, mut outcomes) = (0, 0);
    for number in programs {
        let mut budget = budget;
        let acts = Dice(number).acts(6, &mut budget);
        let proved = RefCell::new(BTreeSet::new());
        let options = Builder::new().preemptions_max(usize::MAX).runs_max(runs_max);
        let is_proved = catch_unwind(AssertUnwindSafe(|| {
            options.exhaust(|cx| _ = proved.borrow_mut().insert(Program::outcome(&acts, cx)))
        }));
        match is_proved {
            Ok(proof) => assert!(proof.complete()),
            Err(payload) => {
                let message = payload.downcast_ref::<String>().expect("a message");
                assert!(message.contains("the limit of"), "program {number}: {message}");
                continue;
            }
        }
        let proved = proved.into_inner();
        for seed in 0..seeds {
            let workers = 1 + seed as usize % 4;
            let outcome =
                Builder::new().workers(workers).seed(seed).run(|cx| Program::outcome(&acts, cx));
            assert!(
                proved.contains(&outcome),
                "program {number}, seed {seed}, {workers} workers: {outcome:?} is none of the {} that were \
                 proved; the program is {acts:?}",
                proved.len()
            );
        }
        proved_programs += 1;
        outcomes += proved.len();
    }
    (proved_programs, outcomes)
}

#[test]
fn generated_programs_do_nothing_on_many_workers_that_is_not_proved() {
    let (programs, outcomes) = compare(0..50, 11, 600, 12);
    assert!(programs > 30 && outcomes > 60, "{programs} programs, {outcomes} outcomes");
    if is_slow_wanted("two thousand generated programs") {
        let found = compare(0..2_000, 10, 20_000, 150);
        println!("{found:?} programs and outcomes");
    }
}
