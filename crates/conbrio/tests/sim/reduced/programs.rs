//! Programs drawn by chance that share all sorts of things, and what each of their tasks sees of it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use conbrio::channel::{self, Receiver, Sender};
use conbrio::prelude::*;
use conbrio::sync::{Event, OnceCell, RwLock, Semaphore};
use conbrio::testing::touch;

use crate::support::Dice;

/// What a task does, one thing after the other.
#[derive(Clone, Copy, Debug)]
enum Simple {
    Checkpoint,
    Yield,
    /// So many seconds.
    Sleep(u64),
    Count,
    Set,
    IsSet,
    AwaitEvent,
    Send,
    TrySend,
    Receive,
    TryReceive,
    Close,
    Make,
    CancelNursery,
    CancelAll,
    LookAtScope,
}

#[derive(Clone, Debug)]
enum Act {
    Simple(Simple),
    Locked(Vec<Act>),
    Read(Vec<Act>),
    Write(Vec<Act>),
    Permitted(Vec<Act>),
    Child(Vec<Act>),
    /// A child, and later its value.
    Joined(Vec<Act>, Vec<Act>),
    Nursery(Vec<Act>),
    Raced(Vec<Act>, Vec<Act>),
}

impl Dice {
    /// Of a few sorts, so that tasks meet each other.
    fn theme(&mut self) -> &'static [Simple] {
        use Simple::*;
        match self.below(8) {
            0 => &[Set, IsSet, AwaitEvent, Checkpoint],
            1 => &[Send, Receive, TrySend, TryReceive, Close],
            2 => &[TrySend, TryReceive, Checkpoint],
            3 => &[Make, Make, Checkpoint],
            4 => &[Count, Checkpoint],
            5 => &[CancelNursery, LookAtScope, Checkpoint, Sleep(1), Count],
            6 => &[CancelAll, LookAtScope, IsSet, Set, Yield],
            _ => &[Checkpoint, Yield, Sleep(1), Sleep(2), TrySend, TryReceive, Set, IsSet],
        }
    }

    /// `budget` is how many acts the whole program may have left.
    fn themed_acts(&mut self, theme: &[Simple], most: u64, budget: &mut u64) -> Vec<Act> {
        let mut acts = Vec::new();
        for _ in 0..1 + self.below(most) {
            if *budget == 0 {
                break;
            }
            *budget -= 1;
            acts.push(match self.below(20) {
                0 => Act::Locked(self.themed_acts(theme, 2, budget)),
                1 => Act::Read(self.themed_acts(theme, 2, budget)),
                2 => Act::Write(self.themed_acts(theme, 2, budget)),
                3 => Act::Permitted(self.themed_acts(theme, 2, budget)),
                4..6 => Act::Child(self.themed_acts(theme, 2, budget)),
                6 => Act::Joined(
                    self.themed_acts(theme, 2, budget),
                    self.themed_acts(theme, 2, budget),
                ),
                7 => Act::Nursery(self.themed_acts(theme, 3, budget)),
                8 => Act::Raced(
                    self.themed_acts(theme, 2, budget),
                    self.themed_acts(theme, 2, budget),
                ),
                _ => Act::Simple(theme[self.below(theme.len() as u64) as usize]),
            });
        }
        acts
    }
}

/// A program, which does the same whenever it is run.
#[derive(Debug)]
pub(crate) struct Program {
    acts: Vec<Act>,
}

/// What the tasks of one run share.
struct Run {
    count: AtomicU32,
    event: Event,
    sender: Sender<char>,
    receiver: Receiver<char>,
    lock: conbrio::sync::Mutex<u32>,
    values: RwLock<u32>,
    permits: Semaphore,
    once: OnceCell<String>,
    all: CancelHandle,
    /// What each task has seen. Of these no task sees more than its own.
    notes: Mutex<BTreeMap<String, String>>,
}

impl Program {
    pub(crate) fn drawn(seed: u64, mut budget: u64) -> Program {
        let mut dice = Dice(seed);
        let theme = dice.theme();
        // Two tasks at least, so that there is something to decide.
        let mut acts: Vec<Act> =
            (0..2).map(|_| Act::Child(dice.themed_acts(theme, 3, &mut budget))).collect();
        acts.extend(dice.themed_acts(theme, 3, &mut budget));
        Program { acts }
    }

    /// Two tasks wait for an item when their time is over. One of them sends it, to the other, which can run
    /// already: whether that one comes before or after decides about what it finds.
    pub(crate) fn last_moment() -> Program {
        use Simple::*;
        let [receive, try_receive, send, close] =
            [Receive, TryReceive, Send, Close].map(Act::Simple);
        let child = vec![Act::Permitted(vec![close])];
        let meanwhile = vec![Act::Write(vec![try_receive.clone(), send])];
        let one = vec![receive.clone(), try_receive, Act::Joined(child, meanwhile)];
        Program { acts: vec![Act::Child(one), Act::Child(vec![receive])] }
    }

    /// What the tasks see in one run.
    pub(crate) fn outcome(&self, cx: &mut Cx) -> String {
        let mut notes = String::new();
        let _: Result<Option<()>, Cancelled> = cx.cancel_scope(|cx, scope| {
            let (sender, receiver) = channel::bounded(1);
            let run = Run {
                count: AtomicU32::new(0),
                event: Event::new(),
                sender,
                receiver,
                lock: conbrio::sync::Mutex::new(0),
                values: RwLock::new(0),
                permits: Semaphore::new(1),
                once: OnceCell::new(),
                all: scope.handle(),
                notes: Mutex::default(),
            };
            let result = run.nursery(cx, &self.acts, "");
            run.note("", if result { "." } else { "!" });
            notes = format!("{:?}", run.notes.lock().unwrap());
            Ok(())
        });
        notes
    }
}

impl Run {
    fn note(&self, task: &str, text: &str) {
        let mut notes = self.notes.lock().unwrap();
        let its = notes.entry(task.to_owned()).or_default();
        its.push_str(text);
        its.push(' ');
    }

    fn nursery(&self, cx: &mut Cx, acts: &[Act], path: &str) -> bool {
        let result =
            cx.nursery(|cx, n| -> Result<(), Cancelled> { self.run(cx, n, acts, path, path) });
        result.is_ok()
    }

    /// `path` names the task, `place` where in the program it is.
    fn run<'scope>(
        &'scope self,
        cx: &mut Cx,
        n: &'scope Nursery<'scope, '_, Cancelled>,
        acts: &'scope [Act],
        path: &str,
        place: &str,
    ) -> Result<(), Cancelled> {
        for (act, letter) in acts.iter().zip(b'a'..) {
            let name = format!("{place}{}", letter as char);
            let result = self.act(cx, n, act, path, &name);
            self.note(path, if result.is_ok() { "+" } else { "-" });
            result?;
        }
        Ok(())
    }

    fn act<'scope>(
        &'scope self,
        cx: &mut Cx,
        n: &'scope Nursery<'scope, '_, Cancelled>,
        act: &'scope Act,
        path: &str,
        name: &str,
    ) -> Result<(), Cancelled> {
        match act {
            Act::Simple(simple) => return self.simple(cx, n, *simple, path),
            Act::Locked(acts) => {
                self.in_time(cx, path, |cx| {
                    let Ok(mut value) = self.lock.try_lock() else {
                        self.note(path, "held");
                        return Ok(());
                    };
                    *value += 1;
                    self.note(path, &value.to_string());
                    self.run(cx, n, acts, path, name)
                })?;
            }
            Act::Read(acts) => {
                self.in_time(cx, path, |cx| {
                    let Ok(value) = self.values.try_read() else {
                        self.note(path, "written");
                        return Ok(());
                    };
                    self.note(path, &value.to_string());
                    self.run(cx, n, acts, path, name)
                })?;
            }
            Act::Write(acts) => {
                self.in_time(cx, path, |cx| {
                    let Ok(mut value) = self.values.try_write() else {
                        self.note(path, "read");
                        return Ok(());
                    };
                    *value += 1;
                    self.run(cx, n, acts, path, name)
                })?;
            }
            Act::Permitted(acts) => {
                self.in_time(cx, path, |cx| {
                    let _permit = self.permits.acquire(cx)?;
                    self.note(path, "permitted");
                    self.run(cx, n, acts, path, name)
                })?;
            }
            Act::Child(acts) => {
                let name = name.to_owned();
                n.spawn(move |cx| self.run(cx, n, acts, &name, &name));
            }
            Act::Joined(acts, meanwhile) => {
                let its = name.to_owned();
                let mut child =
                    n.spawn(move |cx| self.run(cx, n, acts, &its, &its).map(|()| its.len()));
                self.run(cx, n, meanwhile, path, &format!("{name}~"))?;
                self.note(path, if child.is_finished() { "ended" } else { "runs" });
                let value = child.join(cx);
                self.note(path, &format!("{:?}", value.is_ok()));
            }
            Act::Nursery(acts) => {
                let result = self.nursery(cx, acts, name);
                self.note(path, if result { "fine" } else { "failed" });
            }
            Act::Raced(one, two) => {
                let names = [format!("{name}<"), format!("{name}>")];
                let first = cx.race(
                    |cx: &mut Cx| self.nursery_of(cx, one, &names[0]),
                    |cx: &mut Cx| self.nursery_of(cx, two, &names[1]),
                );
                self.note(path, &format!("{:?}", first.is_ok()));
            }
        }
        Ok(())
    }

    /// Within a second, because what is done may wait for somebody who waits for this task.
    fn in_time(
        &self,
        cx: &mut Cx,
        path: &str,
        body: impl FnOnce(&mut Cx) -> Result<(), Cancelled>,
    ) -> Result<(), Cancelled> {
        let done = cx.move_on_after(Duration::from_secs(1), body)?;
        self.note(path, if done.is_some() { "done" } else { "late" });
        Ok(())
    }

    fn nursery_of(&self, cx: &mut Cx, acts: &[Act], path: &str) -> Result<bool, Cancelled> {
        let result = self.nursery(cx, acts, path);
        cx.checkpoint()?;
        Ok(result)
    }

    fn simple<'scope>(
        &'scope self,
        cx: &mut Cx,
        n: &'scope Nursery<'scope, '_, Cancelled>,
        act: Simple,
        path: &str,
    ) -> Result<(), Cancelled> {
        let note = |text: &str| self.note(path, text);
        match act {
            Simple::Checkpoint => cx.checkpoint()?,
            Simple::Yield => cx.yield_now()?,
            Simple::Sleep(seconds) => cx.sleep(Duration::from_secs(seconds))?,
            Simple::Count => {
                touch(&self.count);
                note(&self.count.fetch_add(1, Relaxed).to_string());
            }
            Simple::Set => note(if self.event.set() { "set" } else { "again" }),
            Simple::IsSet => note(if self.event.is_set() { "is" } else { "is not" }),
            Simple::AwaitEvent => {
                let done = cx.move_on_after(Duration::from_secs(1), |cx| self.event.wait(cx))?;
                note(if done.is_some() { "event" } else { "late" });
            }
            Simple::Send => {
                let item = path.chars().last().unwrap_or('0');
                let sent = cx.move_on_after(Duration::from_secs(2), |cx| {
                    let sent = self.sender.send(cx, item);
                    note(if sent.is_ok() { "sent" } else { "not sent" });
                    cx.checkpoint()
                })?;
                note(if sent.is_some() { "in time" } else { "late" });
            }
            Simple::TrySend => {
                let item = path.chars().last().unwrap_or('0');
                note(if self.sender.try_send(item).is_ok() { "sent" } else { "full" });
            }
            Simple::Receive => {
                let got = cx.move_on_after(Duration::from_secs(1), |cx| {
                    note(&format!("{:?}", self.receiver.recv(cx).ok()));
                    cx.checkpoint()
                })?;
                note(if got.is_some() { "in time" } else { "late" });
            }
            Simple::TryReceive => note(&format!("{:?}", self.receiver.try_recv().ok())),
            Simple::Close => self.sender.close(),
            Simple::Make => {
                let value = self.once.get_or_init(cx, |cx| {
                    cx.checkpoint()?;
                    Ok::<_, Cancelled>(path.to_owned())
                })?;
                note(value);
            }
            Simple::CancelNursery => n.cancel(),
            Simple::CancelAll => self.all.cancel(),
            Simple::LookAtScope => {
                note(if self.all.is_cancelled() { "cancelled" } else { "open" });
                note(if cx.checkpoint_if_cancelled().is_err() { "ends" } else { "goes on" });
            }
        }
        Ok(())
    }
}
