//! Limiting a rate: a bucket that fills with tokens as time passes.
//!
//! Whoever wants tokens takes turns at the bucket, first come first served, and only who has the turn
//! sleeps until there are enough. So nobody has to refill the bucket, and who gives up has taken nothing:
//! it passes the turn on.
//!
//! Invariant: while somebody waits for the turn, somebody has it.

use std::fmt;
use std::time::{Duration, Instant};

use crate::cancel::{Cancelled, OrCancelled};
use crate::clock::Timeline;
use crate::lowlevel::ParkingLot;
use crate::task::Cx;

/// Lets things happen so many times in a period, on the average, and only so many at once: a token bucket
/// on the clock of its runtime. Made by [`Cx::rate_limiter`].
///
/// Fair: tokens go to whoever has come first, also if those behind ask for fewer.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use std::time::Duration;
///
/// conbrio::testing::run(|cx| {
///     // A hundred in a second, and ten at once.
///     let limiter = cx.rate_limiter(100, Duration::from_secs(1), 10);
///     let began = cx.now();
///     for _ in 0..30 {
///         limiter.acquire(cx).unwrap();
///     }
///     assert_eq!(cx.now() - began, Duration::from_millis(200));
/// });
/// ```
pub struct RateLimiter {
    bucket: ParkingLot<Bucket>,
    timeline: Timeline,
    tokens: u32,
    per: Duration,
    burst: u32,
}

#[derive(Debug)]
struct Bucket {
    /// Whether somebody has the turn.
    is_taken: bool,
    /// When the bucket will be full, or has become so. This one number says how many tokens there are at any
    /// time. Its unit is a nanosecond divided by `tokens`, so that nothing is lost by rounding: each token
    /// moves it on by `per` in nanoseconds.
    full_at: u128,
}

impl Bucket {
    /// Takes tokens that take `cost` to come again, or says when there will be enough. `whole` is the cost of
    /// a full bucket.
    fn take(&mut self, now: u128, cost: u128, whole: u128) -> Result<(), u128> {
        let full_at = self.full_at.max(now) + cost;
        let ready_at = full_at.saturating_sub(whole);
        if ready_at > now {
            return Err(ready_at);
        }
        self.full_at = full_at;
        Ok(())
    }
}

impl Cx {
    /// Makes a limiter for `tokens` in `per` on the average, with up to `burst` at once after a pause.
    ///
    /// It begins with `burst` tokens. Use it in this runtime only, whose clock it goes by.
    ///
    /// # Panics
    ///
    /// If one of the three is zero.
    #[track_caller]
    pub fn rate_limiter(&self, tokens: u32, per: Duration, burst: u32) -> RateLimiter {
        assert!(
            tokens > 0 && !per.is_zero() && burst > 0,
            "a rate of {tokens} in {per:?} with {burst} at once lets nothing through, or everything: \
             none of them may be zero"
        );
        let bucket = ParkingLot::with_state(Bucket { is_taken: false, full_at: 0 });
        let timeline = self.task().worker().shared().timeline().clone();
        RateLimiter {
            bucket: bucket.named("its turn at a rate limiter"),
            timeline,
            tokens,
            per,
            burst,
        }
    }
}

impl RateLimiter {
    /// Takes a token, and waits for it if there is none.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no token was taken.
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](RateLimiter::acquire_many).
    pub fn acquire(&self, cx: &mut Cx) -> Result<(), Cancelled> {
        self.acquire_many(cx, 1)
    }

    /// Takes `count` tokens at once, and waits until there are so many.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no token was taken.
    ///
    /// # Panics
    ///
    /// If `count` is more than there can be at once.
    #[track_caller]
    pub fn acquire_many(&self, cx: &mut Cx, count: u32) -> Result<(), Cancelled> {
        assert!(
            count <= self.burst,
            "{count} tokens at once are asked for, and there are never more than {}: acquire fewer, or \
             make the limiter with a larger burst",
            self.burst
        );
        cx.checkpoint()?;
        let _turn = self.take_turn(cx)?;
        // Ends when enough time has passed; each round is a checkpoint.
        loop {
            let now = self.now();
            let taken = self.bucket.lock().take(now, self.cost(count), self.cost(self.burst));
            match taken {
                Ok(()) => return Ok(()),
                Err(ready_at) => cx.sleep_until(self.instant(ready_at))?,
            }
        }
    }

    /// Takes a token if there is one that nobody waits for.
    pub fn try_acquire(&self) -> bool {
        self.try_acquire_many(1)
    }

    /// Takes `count` tokens if there are so many, and nobody waits for any.
    pub fn try_acquire_many(&self, count: u32) -> bool {
        let now = self.now();
        let mut bucket = self.bucket.lock();
        !bucket.is_taken && bucket.take(now, self.cost(count), self.cost(self.burst)).is_ok()
    }

    /// How many tokens there are now.
    pub fn available(&self) -> u32 {
        let now = self.now();
        let missing = self.bucket.lock().full_at.saturating_sub(now).div_ceil(self.cost(1));
        // Never more are missing than fit in.
        u32::try_from(missing).map_or(0, |missing| self.burst.saturating_sub(missing))
    }

    fn take_turn(&self, cx: &mut Cx) -> Result<Turn<'_>, Cancelled> {
        let mut bucket = self.bucket.lock();
        if bucket.is_taken {
            bucket.park(cx, &mut ()).map_err(|error| match error {
                OrCancelled::Cancelled(cancelled) => cancelled,
                OrCancelled::Failed(broken) => unreachable!("nobody breaks it: {broken}"),
            })?;
        } else {
            bucket.is_taken = true;
        }
        Ok(Turn(self))
    }

    /// The moment in the unit of the bucket, never too early.
    fn instant(&self, moment: u128) -> Instant {
        let ticks = u64::try_from(moment.div_ceil(self.tokens.into())).ok();
        // What the platform cannot represent is centuries away: there is no need to be exact.
        let instant = ticks.and_then(|ticks| self.timeline.instant(ticks));
        instant.unwrap_or_else(|| self.timeline.now_instant() + FAR)
    }

    /// How long it takes until there are `count` more, in the unit of the bucket.
    fn cost(&self, count: u32) -> u128 {
        u128::from(count) * self.per.as_nanos()
    }

    /// In the unit of the bucket.
    fn now(&self) -> u128 {
        u128::from(self.timeline.now()) * u128::from(self.tokens)
    }
}

const FAR: Duration = Duration::from_secs(3600);

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("tokens", &self.tokens)
            .field("per", &self.per)
            .field("burst", &self.burst)
            .finish_non_exhaustive()
    }
}

/// Passes the turn on at its end.
struct Turn<'a>(&'a RateLimiter);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut bucket = self.0.bucket.lock();
        bucket.is_taken = bucket.unpark(1) == 1;
    }
}
