//! Tests of the timer store: against a model, at the borders of digits, and for memory.

use std::collections::BTreeMap;

use super::{BATCH_KEPT_MAX, SLOTS, TimerKey, Timers};

const SECOND: u64 = 1_000_000_000;
const YEAR: u64 = 365 * 24 * 3600 * SECOND;

/// Xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// `0 <= below(n) < n`
    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    /// Any size from 0 to 2^bits is as likely as any other.
    fn scale(&mut self, bits: u64) -> u64 {
        self.next() >> (63 - self.below(bits + 1).min(63))
    }
}

/// The store and what it should do: a map in the order in which timers must expire.
struct Pair {
    timers: Timers,
    model: BTreeMap<(u64, u64), TimerKey>,
    /// Payloads are insertion numbers, so equal payloads mean the same timer.
    inserted: u64,
    now: u64,
    stale: Vec<TimerKey>,
}

impl Pair {
    fn new(now: u64) -> Pair {
        let timers = Timers::new(now);
        Pair { timers, model: BTreeMap::new(), inserted: 0, now, stale: Vec::new() }
    }

    fn insert(&mut self, deadline: u64) {
        let key = self.timers.insert(deadline, self.inserted);
        self.model.insert((deadline, self.inserted), key);
        self.inserted += 1;
    }

    fn cancel(&mut self, choice: (u64, u64)) {
        let key = self.model.remove(&choice).expect("the choice comes from the model");
        assert_eq!(self.timers.cancel(key), Some(choice.1));
        assert_eq!(self.timers.cancel(key), None);
        self.stale.push(key);
    }

    fn expire(&mut self, now: u64) {
        self.now = now;
        let mut expired = vec![u64::MAX];
        self.timers.expire(now, &mut expired);
        let mut expected = vec![u64::MAX];
        while let Some(entry) = self.model.first_entry() {
            if entry.key().0 > now {
                break;
            }
            expected.push(entry.key().1);
            self.stale.push(entry.remove());
        }
        assert_eq!(expired, expected);
    }

    /// A pending timer, not always a different one, or `None` if there is none.
    fn choose(&self, random: &mut Random) -> Option<(u64, u64)> {
        let any = random.below(self.inserted.max(1));
        let near = self.model.range((self.now.saturating_add(random.scale(63)), 0)..).next();
        let by_age = self.model.keys().find(|key| key.1 >= any);
        near.map(|(key, _)| key).filter(|_| any.is_multiple_of(2)).or(by_age).copied()
    }

    fn check(&self) {
        let earliest = self.model.keys().next().map(|key| key.0);
        assert_eq!(self.timers.earliest(), earliest);
        let bound = self.timers.wake_no_later_than();
        assert_eq!(bound.is_some(), earliest.is_some());
        assert!(bound <= earliest, "{bound:?} is later than {earliest:?}");
        assert_eq!(self.timers.len(), self.model.len());
        assert_eq!(self.timers.is_empty(), self.model.is_empty());
    }

    fn step(&mut self, random: &mut Random, bits: u64) {
        match random.below(16) {
            0..=5 => self.insert(self.now.saturating_add(random.scale(bits))),
            // A deadline that another timer has, met from a different `now`.
            6 => {
                let deadline = self.choose(random).map_or(self.now, |choice| choice.0);
                self.insert(deadline);
            }
            7 => self.insert(self.now.saturating_sub(random.scale(bits))),
            8..=10 => {
                if let Some(choice) = self.choose(random) {
                    self.cancel(choice);
                }
            }
            11 => {
                if !self.stale.is_empty() {
                    let index = random.below(self.stale.len() as u64) as usize;
                    assert_eq!(self.timers.cancel(self.stale[index]), None);
                }
            }
            12 => self.expire(self.timers.earliest().unwrap_or(0).max(self.now)),
            13 => self.expire(self.timers.wake_no_later_than().unwrap_or(0).max(self.now)),
            14 => self.expire(self.now),
            _ => self.expire(self.now.saturating_add(random.scale(bits))),
        }
    }
}

fn expire(timers: &mut Timers, now: u64) -> Vec<u64> {
    let mut expired = Vec::new();
    timers.expire(now, &mut expired);
    expired
}

#[test]
fn behaves_like_an_ordered_map() {
    for seed in 0..256 {
        let mut random = Random::new(seed + 1);
        // Small scales make equal deadlines and late ones common; large ones reach the top level.
        let bits = [4, 10, 20, 40, 56, 63][seed as usize % 6];
        let start = if seed % 4 == 0 { 0 } else { random.scale(63) };
        let mut pair = Pair::new(start);
        for _ in 0..2_000 {
            pair.step(&mut random, bits);
            pair.check();
        }
        pair.timers.slab.check();
        pair.expire(u64::MAX);
        pair.check();
        for key in pair.stale {
            assert_eq!(pair.timers.cancel(key), None);
        }
        pair.timers.slab.check();
    }
}

#[test]
fn keeps_order_with_thousands_pending() {
    for seed in 0..8 {
        let mut random = Random::new(seed + 1000);
        let mut pair = Pair::new(random.scale(50));
        for _ in 0..6_000 {
            pair.insert(pair.now + random.below(40) * 100 + random.scale(12));
        }
        while !pair.model.is_empty() {
            pair.expire(pair.now + random.scale(10));
            pair.check();
            if random.below(4) == 0 && pair.inserted < 9_000 {
                pair.insert(pair.now + random.below(4_000));
            }
        }
    }
}

#[test]
fn expires_at_the_deadline_and_not_before() {
    let borders = [1, 2, 62, 63, 64, 65, 127, 128, 4095, 4096, 4097, 262_143, 262_144, 262_145];
    let high = (3..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1]);
    let deltas: Vec<u64> = borders.into_iter().chain(high).chain([30 * SECOND, YEAR]).collect();
    for now in [0, 1, 62, 63, 64, 4095, 4096, 16_777_215, SECOND, 50 * YEAR] {
        for &delta in &deltas {
            let Some(deadline) = u64::checked_add(now, delta) else {
                continue;
            };
            let mut timers = Timers::new(now);
            let _key = timers.insert(deadline, 7);
            assert_eq!(timers.wake_no_later_than(), Some(deadline));
            assert_eq!(expire(&mut timers, now), []);
            assert_eq!(expire(&mut timers, deadline - 1), []);
            assert_eq!(timers.wake_no_later_than(), Some(deadline));
            assert_eq!(expire(&mut timers, deadline), [7]);
            assert_eq!(timers.wake_no_later_than(), None);
        }
    }
}

#[test]
fn orders_neighbours_across_digit_borders() {
    for bit in 1..64 {
        let border = 1u64 << bit;
        let mut timers = Timers::new(0);
        for (payload, deadline) in [border + 1, border, border - 1, border].into_iter().enumerate()
        {
            let _key = timers.insert(deadline, payload as u64);
        }
        assert_eq!(expire(&mut timers, u64::MAX), [2, 1, 3, 0]);
    }
}

#[test]
fn equal_deadlines_expire_in_insertion_order_from_any_level() {
    let deadline = 5 * YEAR + 12_345;
    let mut timers = Timers::new(0);
    let mut inserted = 0;
    let mut now = 0;
    // Each halving of the rest brings the deadline to a lower level before the next insertion.
    while now < deadline {
        for _ in 0..3 {
            let _key = timers.insert(deadline, inserted);
            inserted += 1;
        }
        now += (deadline - now).div_ceil(2);
        if now < deadline {
            assert_eq!(expire(&mut timers, now), []);
        }
    }
    assert_eq!(expire(&mut timers, deadline), (0..inserted).collect::<Vec<_>>());
}

#[test]
fn late_timers_expire_next_time_in_deadline_order() {
    let mut timers = Timers::new(1_000);
    for (payload, deadline) in [1_000, 3, 999, 3, 0, 1_001].into_iter().enumerate() {
        let _key = timers.insert(deadline, payload as u64);
    }
    assert_eq!(timers.wake_no_later_than(), Some(0));
    assert_eq!(timers.earliest(), Some(0));
    assert_eq!(expire(&mut timers, 1_000), [4, 1, 3, 2, 0]);
    assert_eq!(timers.earliest(), Some(1_001));
}

#[test]
fn expiring_twice_gives_nothing_twice() {
    let mut timers = Timers::new(0);
    let _key = timers.insert(10, 1);
    let _key = timers.insert(20, 2);
    assert_eq!(expire(&mut timers, 10), [1]);
    assert_eq!(expire(&mut timers, 10), []);
    assert_eq!(expire(&mut timers, 19), []);
    assert_eq!(expire(&mut timers, u64::MAX), [2]);
    assert_eq!(expire(&mut timers, u64::MAX), []);
}

#[test]
fn the_end_of_time_is_a_deadline_like_any_other() {
    let mut timers = Timers::new(0);
    let never = timers.insert(u64::MAX, 1);
    let _key = timers.insert(u64::MAX, 2);
    let _key = timers.insert(u64::MAX - 1, 3);
    assert_eq!(expire(&mut timers, 600 * YEAR.min(u64::MAX / 600)), []);
    assert_eq!(timers.cancel(never), Some(1));
    assert_eq!(expire(&mut timers, u64::MAX - 1), [3]);
    assert_eq!(expire(&mut timers, u64::MAX), [2]);
    let _key = timers.insert(u64::MAX, 4);
    assert_eq!(expire(&mut timers, u64::MAX), [4]);
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "time went back from 10 ns to 9 ns")]
fn time_going_backwards_is_caught() {
    let mut timers = Timers::new(0);
    assert_eq!(expire(&mut timers, 10), []);
    expire(&mut timers, 9);
}

#[test]
#[cfg(not(debug_assertions))]
fn time_going_backwards_stands_still() {
    let mut timers = Timers::new(0);
    assert_eq!(expire(&mut timers, 10), []);
    let _key = timers.insert(11, 1);
    let _key = timers.insert(10, 2);
    assert_eq!(expire(&mut timers, 9), [2]);
    assert_eq!(expire(&mut timers, 11), [1]);
}

#[test]
fn stale_and_foreign_keys_are_refused() {
    let mut timers = Timers::new(0);
    let expired = timers.insert(5, 1);
    assert_eq!(expire(&mut timers, 5), [1]);
    assert_eq!(timers.cancel(expired), None);
    let cancelled = timers.insert(9, 2);
    assert_eq!(cancelled.index, expired.index, "the entry is reused");
    assert_ne!(cancelled, expired);
    assert_eq!(timers.cancel(expired), None);
    assert_eq!(timers.cancel(cancelled), Some(2));
    assert_eq!(timers.cancel(cancelled), None);
    assert_eq!(timers.cancel(TimerKey { index: u32::MAX, generation: 0 }), None);
    assert_eq!(Timers::new(0).cancel(cancelled), None);
}

#[test]
fn a_chunk_retires_when_its_generations_are_used_up() {
    let mut timers = Timers::new(0);
    let first = timers.insert(1, 0);
    timers.slab.age(first.index, 2);
    let before_last = timers.insert(2, 1);
    let last = timers.insert(3, 2);
    let other = timers.insert(4, 3);
    assert_ne!(last.index as usize / SLOTS, other.index as usize / SLOTS);
    timers.slab.check();
    for (key, payload) in [(first, 0), (last, 2), (before_last, 1)] {
        assert_eq!(timers.cancel(key), Some(payload));
        timers.slab.check();
    }
    for payload in 0..1_000 {
        let key = timers.insert(9, payload);
        assert_ne!(key.index as usize / SLOTS, first.index as usize / SLOTS);
    }
    assert_eq!(timers.cancel(last), None);
    timers.slab.check();
}

#[test]
fn a_full_chunk_that_retires_stays_retired() {
    let mut timers = Timers::new(0);
    let first = timers.insert(1, 0);
    timers.slab.age(first.index, 63);
    let mut keys: Vec<_> = (1..64).map(|payload| timers.insert(1, payload)).collect();
    keys.push(first);
    timers.slab.check();
    for key in keys {
        assert!(timers.cancel(key).is_some());
        timers.slab.check();
    }
    assert_eq!(timers.insert(1, 0).index, 64);
}

#[test]
fn keys_stay_unique_when_memory_goes_and_comes_back() {
    let mut timers = Timers::new(0);
    let mut stale = Vec::new();
    for round in 0..5 {
        let keys: Vec<_> = (0..5_000).map(|payload| timers.insert(round + 100, payload)).collect();
        for &key in &stale {
            assert_eq!(timers.cancel(key), None);
        }
        for &key in &keys {
            assert!(timers.cancel(key).is_some());
        }
        timers.slab.check();
        stale.extend(keys);
    }
}

#[test]
fn one_deadline_changed_thousands_of_times_takes_one_entry() {
    let mut timers = Timers::new(0);
    let _other = timers.insert(YEAR, 0);
    let mut key = timers.insert(SECOND, 1);
    let before = timers.slab.resident_bytes();
    for step in 0..5_000 {
        let now = step * 1_000_003;
        assert_eq!(expire(&mut timers, now), []);
        assert_eq!(timers.cancel(key), Some(1));
        key = timers.insert(now + SECOND, 1);
        assert_eq!(timers.len(), 2);
        assert_eq!(timers.earliest(), Some(now + SECOND));
    }
    assert_eq!(timers.slab.resident_bytes(), before);
    assert_eq!(expire(&mut timers, 4_999 * 1_000_003 + SECOND), [1]);
}

#[test]
fn a_stale_bound_costs_one_wake() {
    for (early, late) in [(30 * SECOND, 30 * SECOND + 1), (4_100, 8_000), (YEAR, YEAR + SECOND)] {
        let mut timers = Timers::new(0);
        let early = timers.insert(early, 1);
        let _late = timers.insert(late, 2);
        assert_eq!(timers.cancel(early), Some(1));
        let mut waits = 0;
        let mut expired = Vec::new();
        while let Some(wake) = timers.wake_no_later_than() {
            timers.expire(wake, &mut expired);
            waits += 1;
        }
        assert_eq!(expired, [2]);
        assert!(waits <= 2, "{waits} waits");
    }
}

#[test]
fn memory_returns_after_a_peak() {
    const PEAK: u64 = 200_000;
    let mut random = Random::new(1);
    let mut timers = Timers::new(0);
    let mut keys: Vec<_> =
        (0..PEAK).map(|payload| timers.insert(1 + random.below(SECOND), payload)).collect();
    let peak_bytes = timers.slab.resident_bytes();
    assert!(peak_bytes < PEAK as usize * 40, "{peak_bytes} bytes at the peak");
    // Half leave by cancellation in random order, half by expiry, slot by slot.
    for _ in 0..PEAK / 2 {
        let key = keys.swap_remove(random.below(keys.len() as u64) as usize);
        assert!(timers.cancel(key).is_some());
    }
    assert_eq!(expire(&mut timers, SECOND).len() as u64, PEAK / 2);
    timers.slab.check();
    let rest_bytes = timers.slab.resident_bytes();
    assert!(rest_bytes < peak_bytes / 20, "{rest_bytes} of {peak_bytes} bytes stay");
    assert!(timers.batch.capacity() <= BATCH_KEPT_MAX);
}

#[test]
fn a_long_lived_timer_pins_only_its_chunk() {
    let mut timers = Timers::new(0);
    let short: Vec<_> = (0..100_000).map(|payload| timers.insert(SECOND, payload)).collect();
    let long = timers.insert(YEAR, 1);
    let peak_bytes = timers.slab.resident_bytes();
    assert_eq!(expire(&mut timers, SECOND).len(), short.len());
    assert!(timers.slab.resident_bytes() < peak_bytes / 15);
    assert!(timers.batch.capacity() <= BATCH_KEPT_MAX, "the sort buffer is given back");
    assert_eq!(timers.cancel(long), Some(1));
}

#[test]
fn a_steady_load_keeps_its_memory() {
    let mut random = Random::new(3);
    let mut timers = Timers::new(0);
    let mut keys: Vec<_> = (0..1_000).map(|payload| timers.insert(SECOND, payload)).collect();
    let before = timers.slab.resident_bytes();
    for payload in 0..50_000 {
        let index = random.below(keys.len() as u64) as usize;
        assert!(timers.cancel(keys[index]).is_some());
        keys[index] = timers.insert(SECOND, payload);
    }
    assert_eq!(timers.slab.resident_bytes(), before);
}
