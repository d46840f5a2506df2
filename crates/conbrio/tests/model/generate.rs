//! One seed, one program.
//!
//! Programs always end. Waits that may last for ever are cancelled by the scope around everything, which
//! has a deadline; where a shield may hide that, they stand in a scope with a deadline of their own,
//! which nothing can reach. So `Here::shielded` says whether a shield is around, or may come up.

use crate::nursery::TASKS_MAX;
use crate::program::{
    Aborting, By, Crew, Id, OnFailure, Op, Program, Request, ScopeKind, Statement, TaskId,
};

pub(crate) fn program(seed: u64) -> Program {
    let mut dice = Dice(seed);
    let unit = [1, 64, 1_000, 1_000_000, 1_000_000_000][dice.below(5)];
    let spins = dice.one_in(20);
    let crew = match dice.below(10) {
        0..4 => Crew::Real,
        4 => Crew::Simulated(1),
        5..8 => Crew::Simulated(2),
        _ => Crew::Simulated(3),
    };
    let budget = 6 + dice.below(34);
    let mut generator = Generator {
        dice,
        next: 0,
        tasks: vec![Vec::new()],
        budget,
        published: Vec::new(),
        kept: Vec::new(),
        gates: Vec::new(),
        spins,
    };
    let id = generator.id();
    let here = Here::default();
    let mut body = vec![generator.nursery(&here)];
    body.extend(generator.body(&here));
    let limit = Op::Scope { kind: ScopeKind::MoveOnAfter(LIMIT), publish: false, body };
    generator.tasks[0] = vec![Statement { id, on_failure: OnFailure::Propagate, op: limit }];
    let Generator { next: statements, tasks, .. } = generator;
    Program { seed, unit, statements, tasks, spins, crew }
}

/// Where statements are being made.
#[derive(Clone, Default)]
struct Here {
    depth: usize,
    shielded: bool,
    /// Whether the body belongs to a task that was started.
    started: bool,
    /// The nurseries around, and whether a shield may be around them.
    nurseries: Vec<(Id, bool)>,
    /// The scopes of this task around that can be asked for things, and whether they may be shielded.
    scopes: Vec<(Id, bool)>,
}

struct Generator {
    dice: Dice,
    next: Id,
    tasks: Vec<Vec<Statement>>,
    /// Statements left.
    budget: usize,
    /// Scopes and nurseries with a handle, and whether they may be shielded.
    published: Vec<(Id, bool)>,
    /// Children whose handle is kept, and their nursery.
    kept: Vec<(Id, TaskId)>,
    gates: Vec<Id>,
    spins: bool,
}

impl Generator {
    fn id(&mut self) -> Id {
        self.next += 1;
        self.next - 1
    }

    fn body(&mut self, here: &Here) -> Vec<Statement> {
        let mut body = Vec::new();
        // Shorter towards the leaves, so that the first branch does not use up everything.
        for _ in 0..1 + self.dice.below(6 - here.depth.min(4)) {
            if self.budget == 0 {
                break;
            }
            body.push(self.statement(here));
        }
        body
    }

    fn statement(&mut self, here: &Here) -> Statement {
        self.budget = self.budget.saturating_sub(1);
        let kind = self.dice.below(100);
        let grows = self.dice.below(DEPTH_MAX) >= here.depth;
        if grows && kind < 32 {
            return match kind {
                0..9 => self.nursery(here),
                9..28 => self.scope(here),
                28..30 => self.catch(here),
                _ => self.guarded(here),
            };
        }
        if grows
            && kind < 46
            && let Some(statement) = self.child(here)
        {
            return statement;
        }
        let op = match kind {
            0..20 | 46..64 => self.request(here),
            20..26 | 64..70 => self.about_a_child(here),
            _ => None,
        };
        match op {
            Some(op) => self.simple(op),
            None => self.step(here),
        }
    }

    fn simple(&mut self, op: Op) -> Statement {
        let on_failure = match self.dice.below(10) {
            0..7 => OnFailure::Propagate,
            7..9 => OnFailure::Ignore,
            _ => OnFailure::Stash,
        };
        Statement { id: self.id(), on_failure, op }
    }

    /// A statement that has nothing to do with others.
    fn step(&mut self, here: &Here) -> Statement {
        let op = match self.dice.below(64) {
            0..6 => Op::Checkpoint,
            6..8 => Op::CheckIfCancelled,
            8..14 => Op::Yield,
            14..16 => Op::YieldShielded,
            16 if self.spins => Op::Spin(1 + self.dice.below(300) as u16),
            16..28 => Op::Sleep(self.units()),
            28..31 => Op::SleepUntil(self.units() * 2),
            31..34 => return self.endless(here, Op::SleepForever),
            34..37 => return self.endless(here, Op::WaitShutdown),
            37..42 => {
                let aborting = match self.dice.below(6) {
                    0 => Aborting::Completes,
                    1 => Aborting::CancelsLate,
                    2 => Aborting::AtOnce,
                    _ => Aborting::Succeeds,
                };
                return self.endless(here, Op::Gate(aborting));
            }
            42..46 => match self.dice.pick(&self.gates) {
                Some(gate) => Op::Unpark(gate),
                None => Op::Yield,
            },
            46..48 => Op::ReadDeadline,
            48..50 => Op::ReadShutdown,
            50..52 => match self.dice.pick(&self.published) {
                Some((scope, _)) => Op::ReadHandle(scope),
                None => Op::ReadDeadline,
            },
            52..55 => Op::Raise,
            55..58 => Op::RaiseStashed,
            58..60 => Op::Panic,
            _ if here.started => Op::Ready,
            _ => Op::Sleep(self.units()),
        };
        self.simple(op)
    }

    /// A wait that may last for ever.
    fn endless(&mut self, here: &Here, op: Op) -> Statement {
        let is_gate = matches!(op, Op::Gate(_));
        let wait = self.simple(op);
        if is_gate {
            self.gates.push(wait.id);
        }
        if here.shielded { self.limited(wait) } else { wait }
    }

    /// In a scope with a deadline that nothing can reach.
    fn limited(&mut self, wait: Statement) -> Statement {
        let kind = ScopeKind::MoveOnAfter(self.units());
        self.simple(Op::Scope { kind, publish: false, body: vec![wait] })
    }

    fn units(&mut self) -> u64 {
        let below = if self.dice.one_in(4) { 24 } else { 7 };
        self.dice.below(below) as u64
    }

    fn nursery(&mut self, here: &Here) -> Statement {
        let id = self.id();
        let publish = self.dice.one_in(3);
        let may_be_shielded = publish && self.dice.one_in(4);
        if publish {
            self.published.push((id, may_be_shielded));
        }
        let shielded = here.shielded || may_be_shielded;
        let mut inside = Here { depth: here.depth + 1, shielded, ..here.clone() };
        inside.nurseries.push((id, shielded));
        let mut body = Vec::new();
        for _ in 0..1 + self.dice.below(3) {
            body.extend(self.child(&inside));
        }
        body.extend(self.body(&inside));
        let on_failure = self.simple(Op::Yield).on_failure;
        Statement { id, on_failure, op: Op::Nursery { publish, body } }
    }

    fn scope(&mut self, here: &Here) -> Statement {
        let id = self.id();
        let units = self.units();
        let kind = match self.dice.below(12) {
            0..5 => ScopeKind::CancelScope,
            5 => ScopeKind::MoveOnAfter(units),
            6 => ScopeKind::MoveOnAt(units * 2),
            7 => ScopeKind::FailAfter(units),
            8 => ScopeKind::FailAt(units * 2),
            9 => ScopeKind::Shield,
            _ => ScopeKind::Cleanup(units),
        };
        let is_plain = kind == ScopeKind::CancelScope;
        let may_be_shielded = is_plain && self.dice.one_in(3);
        let publish = is_plain && self.dice.one_in(2);
        if publish {
            self.published.push((id, may_be_shielded));
        }
        let shields = matches!(kind, ScopeKind::Shield | ScopeKind::Cleanup(_));
        let shielded = here.shielded || may_be_shielded || shields;
        let mut inside = Here { depth: here.depth + 1, shielded, ..here.clone() };
        if is_plain {
            inside.scopes.push((id, may_be_shielded));
        }
        let body = self.body(&inside);
        let on_failure = self.simple(Op::Yield).on_failure;
        Statement { id, on_failure, op: Op::Scope { kind, publish, body } }
    }

    fn catch(&mut self, here: &Here) -> Statement {
        let inside = Here { depth: here.depth + 1, ..here.clone() };
        let op = Op::Catch(self.body(&inside));
        self.simple(op)
    }

    fn guarded(&mut self, here: &Here) -> Statement {
        let inside = Here { depth: here.depth + 1, ..here.clone() };
        let body = self.body(&inside);
        // What panics in a destructor while unwinding ends the process; that is not what is tested.
        let mut cleanup = Vec::new();
        for _ in 0..1 + self.dice.below(3) {
            let op = match self.dice.below(8) {
                0 => Op::Yield,
                1 => Op::YieldShielded,
                2 => Op::Sleep(self.units()),
                3 => Op::ReadDeadline,
                4 => Op::ReadShutdown,
                _ => Op::Checkpoint,
            };
            cleanup.push(self.simple(op));
        }
        if !self.dice.one_in(3)
            && let Some((nursery, _)) = self.dice.pick(&here.nurseries)
            && self.tasks.len() < TASKS_MAX
        {
            // Refused while unwinding.
            let body = vec![self.simple(Op::Yield)];
            let task = self.task(body);
            let keep = self.dice.one_in(2);
            if keep {
                self.kept.push((nursery, task));
            }
            cleanup.push(self.simple(Op::Spawn { nursery, task, keep }));
        }
        if self.dice.one_in(3) {
            let body = vec![self.simple(Op::Checkpoint)];
            let kind = ScopeKind::MoveOnAfter(self.units());
            cleanup.push(self.simple(Op::Scope { kind, publish: false, body }));
        }
        self.simple(Op::Guarded { body, cleanup })
    }

    fn task(&mut self, body: Vec<Statement>) -> TaskId {
        self.tasks.push(body);
        (self.tasks.len() - 1) as TaskId
    }

    /// A statement that makes a child, if there is a nursery and room.
    fn child(&mut self, here: &Here) -> Option<Statement> {
        let innermost = here.nurseries.last().copied();
        let any = self.dice.pick(&here.nurseries);
        let (nursery, shielded) = if self.dice.one_in(3) { any? } else { innermost? };
        if self.tasks.len() >= TASKS_MAX || self.budget == 0 {
            return None;
        }
        // The number first: the body may make more tasks.
        let task = self.task(Vec::new());
        let kind = self.dice.below(10);
        let starts = kind >= 8;
        let around = here.nurseries.iter().position(|(id, _)| *id == nursery)?;
        let inside = Here {
            depth: here.depth + 1,
            shielded: shielded || (starts && here.shielded),
            started: starts,
            nurseries: here.nurseries[..=around].to_vec(),
            scopes: Vec::new(),
        };
        let mut body = self.body(&inside);
        if starts && !self.dice.one_in(4) {
            let ready = self.simple(Op::Ready);
            let at = self.dice.below(body.len() + 1);
            body.insert(at, ready);
        }
        self.tasks[usize::from(task)] = body;
        let op = match kind {
            0..6 => {
                let keep = self.dice.one_in(2);
                if keep {
                    self.kept.push((nursery, task));
                }
                Op::Spawn { nursery, task, keep }
            }
            6..8 => {
                let then = if self.dice.one_in(2) {
                    self.body(&Here { depth: here.depth + 1, ..here.clone() })
                } else {
                    Vec::new()
                };
                let join = !here.shielded && self.dice.one_in(2);
                Op::SpawnLocal { nursery, task, then, join }
            }
            _ => Op::Start { nursery, task },
        };
        Some(self.simple(op))
    }

    /// Something about a child whose handle was kept, or about a nursery.
    fn about_a_child(&mut self, here: &Here) -> Option<Op> {
        if self.dice.one_in(6) {
            return self.dice.pick(&here.nurseries).map(|(nursery, _)| Op::ReadNursery(nursery));
        }
        let visible: Vec<(Id, TaskId)> = self
            .kept
            .iter()
            .filter(|(nursery, _)| here.nurseries.iter().any(|(id, _)| id == nursery))
            .copied()
            .collect();
        let (nursery, task) = self.dice.pick(&visible)?;
        Some(match self.dice.below(8) {
            0..4 if !here.shielded => Op::Join { nursery, task },
            0..4 => {
                let join = self.simple(Op::Join { nursery, task });
                return Some(self.limited(join).op);
            }
            4..6 => Op::CancelChild { nursery, task },
            6 => Op::DropHandle { nursery, task },
            _ => Op::ReadChild { nursery, task },
        })
    }

    fn request(&mut self, here: &Here) -> Option<Op> {
        let by = if self.dice.one_in(2) { By::Handle } else { By::Itself };
        let (target, may_be_shielded) = match by {
            By::Handle => self.dice.pick(&self.published)?,
            By::Itself if self.dice.one_in(2) => self.dice.pick(&here.scopes)?,
            By::Itself => (self.dice.pick(&here.nurseries)?.0, false),
        };
        let request = match self.dice.below(12) {
            0..2 => Request::Cancel,
            2..4 => Request::CancelWith,
            4..6 => Request::Shutdown(self.units()),
            6 => Request::Deadline(None),
            7..9 => Request::Deadline(Some(self.units())),
            9 => Request::DeadlineAt(self.units() * 2),
            10 if may_be_shielded => Request::Shield(false),
            _ if may_be_shielded => Request::Shield(true),
            _ => Request::Deadline(Some(self.units())),
        };
        Some(Op::Ask { target, by, request })
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): every seed is as good as any other.
pub(crate) struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> Option<T> {
        (!among.is_empty()).then(|| among[self.below(among.len())])
    }
}

/// After this many units everything that can be cancelled is cancelled.
const LIMIT: u64 = 60;
/// Nothing is nested deeper than this.
const DEPTH_MAX: usize = 6;
