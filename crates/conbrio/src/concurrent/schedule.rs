//! Schedules: how long to wait before each retry, and when to give up. Plain data, and no waiting.
//!
//! A schedule is a tree of nodes, each made by one method; `Delays` is a copy of it that is used up.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::util::rng::Rng;

/// How long to wait before each retry, and when to give up. For [`Cx::retry`](crate::Cx::retry).
///
/// Begins with [`fixed`](Schedule::fixed) or [`exponential`](Schedule::exponential); each further method
/// changes all that stands before it. Without a limit it never gives up: then a scope around the retries
/// must.
///
/// # Examples
///
/// Three quick retries, then slower and slower ones, at most half a minute apart, for an hour:
///
/// ```
/// use conbrio::concurrent::Schedule;
/// use std::time::Duration;
///
/// let schedule = Schedule::fixed(Duration::from_millis(50))
///     .retries_max(3)
///     .then(Schedule::exponential(Duration::from_secs(1)).delay_max(Duration::from_secs(30)))
///     .jitter(0.2)
///     .total_max(Duration::from_secs(3600));
/// # let _ = schedule;
/// ```
///
/// It also serves a loop of one's own:
///
/// ```
/// # use conbrio::concurrent::Schedule;
/// # use std::time::Duration;
/// let schedule = Schedule::exponential(Duration::from_millis(100)).retries_max(3);
/// let delays: Vec<u128> = schedule.delays().map(|delay| delay.as_millis()).collect();
/// assert_eq!(delays, [100, 200, 400]);
/// ```
#[derive(Clone)]
#[must_use = "a schedule does nothing by itself: give it to `Cx::retry`"]
pub struct Schedule {
    node: Node,
    seed: Option<u64>,
}

impl Schedule {
    /// The same delay before each retry. Zero retries at once.
    pub fn fixed(delay: Duration) -> Schedule {
        Schedule::of(Node::Growing { next: delay.as_secs_f64(), factor: 1.0 })
    }

    /// Each delay is twice as long as the one before.
    pub fn exponential(first: Duration) -> Schedule {
        Schedule::of(Node::Growing { next: first.as_secs_f64(), factor: 2.0 })
    }

    /// Each delay is `factor` times as long as the one before.
    ///
    /// # Panics
    ///
    /// If the factor is less than one, or not a number.
    #[track_caller]
    pub fn growing(first: Duration, factor: f64) -> Schedule {
        assert!(factor >= 1.0, "delays grow by a factor of at least 1, not {factor}");
        Schedule::of(Node::Growing { next: first.as_secs_f64(), factor })
    }

    fn of(node: Node) -> Schedule {
        Schedule { node, seed: None }
    }

    fn around(self, wrap: impl FnOnce(Box<Node>) -> Node) -> Schedule {
        Schedule { node: wrap(Box::new(self.node)), seed: self.seed }
    }

    /// No delay is longer than this.
    pub fn delay_max(self, delay: Duration) -> Schedule {
        self.around(|node| Node::Capped(node, delay))
    }

    /// Shortens each delay by a part of it, drawn by chance between nothing and `fraction`: so that those
    /// who failed together do not come again together.
    ///
    /// 1 is what is called full jitter. See Brooker, "Exponential backoff and jitter" (2015).
    ///
    /// # Panics
    ///
    /// If `fraction` is not between 0 and 1.
    #[track_caller]
    pub fn jitter(self, fraction: f64) -> Schedule {
        assert!((0.0..=1.0).contains(&fraction), "jitter is between 0 and 1, not {fraction}");
        self.around(|node| Node::Jittered(node, fraction))
    }

    /// Draws the jitter from this seed.
    ///
    /// Without it each run draws others, except in a simulation, where they are the same in each.
    pub fn seed(mut self, seed: u64) -> Schedule {
        self.seed = Some(seed);
        self
    }

    /// At most so many retries, which is one less than attempts.
    pub fn retries_max(self, retries: u32) -> Schedule {
        self.around(|node| Node::Counted(node, retries))
    }

    /// No retry that would begin later than this after the first attempt began.
    ///
    /// An attempt is not interrupted: give it a deadline for that.
    pub fn total_max(self, total: Duration) -> Schedule {
        self.around(|node| Node::Limited { node, since: None, total })
    }

    /// When this schedule gives up, goes on with another one.
    pub fn then(self, next: Schedule) -> Schedule {
        let seed = self.seed.or(next.seed);
        Schedule { node: Node::Chained(Box::new(self.node), Box::new(next.node)), seed }
    }

    /// The delays one after the other.
    ///
    /// As an iterator it takes it that attempts take no time; see [`Delays::next_after`].
    pub fn delays(&self) -> Delays {
        // Its keys are drawn by the system, which is all that is asked of a seed here.
        self.delays_or_seed(|| RandomState::new().hash_one(0))
    }

    pub(super) fn delays_or_seed(&self, seed: impl FnOnce() -> u64) -> Delays {
        let rng = Rng::new(self.seed.unwrap_or_else(seed));
        Delays { node: self.node.clone(), rng, elapsed: Duration::ZERO }
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule").field("delays", &self.node).field("seed", &self.seed).finish()
    }
}

/// The delays of a [`Schedule`], one after the other. Made by [`Schedule::delays`].
pub struct Delays {
    node: Node,
    rng: Rng,
    /// The sum of what the iterator has yielded.
    elapsed: Duration,
}

impl Delays {
    /// The delay before the next retry when so much time has passed since the first attempt began; `None`
    /// to give up.
    pub fn next_after(&mut self, elapsed: Duration) -> Option<Duration> {
        self.elapsed = elapsed;
        self.node.next(elapsed, &self.rng)
    }
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let delay = self.node.next(self.elapsed, &self.rng)?;
        self.elapsed = self.elapsed.saturating_add(delay);
        Some(delay)
    }
}

impl fmt::Debug for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delays").field("left", &self.node).finish_non_exhaustive()
    }
}

/// What is left of a schedule.
#[derive(Clone, Debug)]
enum Node {
    /// `next` is in seconds, and may grow to infinity.
    Growing {
        next: f64,
        factor: f64,
    },
    Capped(Box<Node>, Duration),
    Jittered(Box<Node>, f64),
    /// With the number of delays that are left.
    Counted(Box<Node>, u32),
    /// `since` is when it was asked first.
    Limited {
        node: Box<Node>,
        since: Option<Duration>,
        total: Duration,
    },
    Chained(Box<Node>, Box<Node>),
}

impl Node {
    /// The depth of the recursion is that of the schedule, which the program has written down.
    fn next(&mut self, elapsed: Duration, rng: &Rng) -> Option<Duration> {
        match self {
            Node::Growing { next, factor } => {
                let delay = Duration::try_from_secs_f64(*next).unwrap_or(Duration::MAX);
                *next *= *factor;
                Some(delay)
            }
            Node::Capped(node, max) => Some(node.next(elapsed, rng)?.min(*max)),
            Node::Jittered(node, fraction) => {
                let delay = node.next(elapsed, rng)?;
                Some(delay.mul_f64(1.0 - *fraction * unit(rng)))
            }
            Node::Counted(node, left) => {
                *left = left.checked_sub(1)?;
                node.next(elapsed, rng)
            }
            Node::Limited { node, since, total } => {
                let since = *since.get_or_insert(elapsed);
                let delay = node.next(elapsed, rng)?;
                let begins = elapsed.saturating_sub(since).saturating_add(delay);
                (begins <= *total).then_some(delay)
            }
            Node::Chained(first, second) => {
                first.next(elapsed, rng).or_else(|| second.next(elapsed, rng))
            }
        }
    }
}

/// A number from 0 up to, but not including, 1.
fn unit(rng: &Rng) -> f64 {
    // As many bits as the fraction of an `f64` has.
    (rng.next() >> 11) as f64 / (1_u64 << 53) as f64
}
