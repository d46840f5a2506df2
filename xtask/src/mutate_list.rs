//! The mistakes that `cargo xtask mutate` seeds: one textual replacement each, in a file of the crate, with
//! the test that must find it.
//!
//! The text must occur exactly once. Where the source has changed so that it does not, the mutation has to
//! be written anew for the new source: the task says so and fails.

/// One seeded mistake.
pub(crate) struct Mutation {
    /// What the runtime does wrong with it.
    pub(crate) what: &'static str,
    /// Below `crates/conbrio/src`.
    pub(crate) file: &'static str,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    /// Who must find it.
    pub(crate) caught_by: Test,
}

/// A test, or several, of the crate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Test {
    /// The test program.
    pub(crate) program: &'static str,
    /// Which of its tests: what their names contain.
    pub(crate) filter: &'static str,
}

/// Random programs against a model of the rules.
pub(crate) const CAMPAIGN: Test = Test { program: "model", filter: "many" };

pub(crate) const MUTATIONS: &[Mutation] = &[
    Mutation {
        what: "a shield hides nothing",
        file: "cancel/tree/node.rs",
        from: "        if self.shield.get() {\n            *force = Effective::default();",
        to: "        if false {\n            *force = Effective::default();",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "the innermost cancelled scope counts, not the outermost",
        file: "cancel/tree/node.rs",
        from: "force.requested.cancel.take().or(own.cancel)",
        to: "own.cancel.or(force.requested.cancel.take())",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "a grace period lengthens an earlier deadline",
        file: "cancel/tree/node.rs",
        from: "            && grace < self.deadline.get()",
        to: "            && grace != self.deadline.get()",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "the deadline of a scope stays in force when the scope is left",
        file: "cancel/tree/node.rs",
        from: "        branch.deadline.set(self.deadline_outside.get());",
        to: "",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "a cancelled scope without a deadline in force says that it has one",
        file: "cancel/tree/branch.rs",
        from: "if self.is_requested.get() && self.requested().cancel.is_some() {",
        to: "if self.is_requested.get() && self.requested().shutdown.is_some() {",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "what comes from above does not reach the children of a nursery",
        file: "cancel/tree/group.rs",
        from: "if !state.effective.same(&force) {",
        to: "if state.effective.deadline != force.deadline {",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "a nursery that is cancelled does not tell its children",
        file: "cancel/tree/group.rs",
        from: "            self.effective.requested.cancel = Some(Arc::clone(&notice));\n            self.poke_children();",
        to: "            self.effective.requested.cancel = Some(Arc::clone(&notice));",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "who joins a child is not woken when it ends",
        file: "cancel/tree/group.rs",
        from: "let joiner = links.joiner.take().map(|joiner| match joiner {",
        to: "let joiner = links.joiner.take().filter(|_| false).map(|joiner| match joiner {",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "a child of a cancelled start moves to its nursery all the same",
        file: "cancel/tree/group.rs",
        from: "        if old.effective.requested.cancel.is_some() {\n            return;",
        to: "        if old.effective.requested.cancel.is_some() && old.live == 0 {\n            return;",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "a cancelled nursery is left before its children have ended",
        file: "nursery/core.rs",
        from: "            cx.park(Interrupt::Never, ITS_CHILDREN);",
        to: "            if cx.park(Interrupt::OnCancel, ITS_CHILDREN) == crate::sched::Parked::Interrupted {\n                return;\n            }",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "the errors of a nursery come in the wrong order",
        file: "nursery/core.rs",
        from: "failures.errors.push(error)",
        to: "failures.errors.insert(0, error)",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "a nursery passes on its own cancellation",
        file: "nursery/core.rs",
        from: "if self.node.owns(cancelled) || self.group.owns(cancelled) => {}",
        to: "if self.group.owns(cancelled) => {}",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "an error is lost where there is a panic as well",
        file: "nursery/core.rs",
        from: "            (1, None) => self.panics.remove(0),",
        to: "            (1, _) => self.panics.remove(0),",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "a child that was cancelled alone counts as failed",
        file: "nursery/child.rs",
        from: "if !error.cancelled().is_some_and(is_own) {",
        to: "if !error.cancelled().is_some_and(|c| is_own(c) && own.is_none()) {",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "a value that nobody takes is not dropped with its handle",
        file: "nursery/child.rs",
        from: "let is_ours = old & (STORED | TAKEN) == STORED;",
        to: "let is_ours = old & (STORED | TAKEN) == HANDLE_GONE;",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "a start that fails keeps its place in the nursery",
        file: "nursery/start.rs",
        from: "    if !slot.moved.into_inner() {",
        to: "    if slot.moved.into_inner() {",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "a scope takes back every cancellation",
        file: "scope/mod.rs",
        from: "Some(cancelled) if node.owns(cancelled) => Ok(None),",
        to: "Some(_) => Ok(None),",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "a shutdown does not end the wait for it",
        file: "scope/mod.rs",
        from: "self.park(Interrupt::OnShutdown, \"a shutdown request\")",
        to: "self.park(Interrupt::OnCancel, \"a shutdown request\")",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "a cancellation wins over what has happened already",
        file: "task/park.rs",
        from: "            if runnable.is_woken() {\n                return Parked::Woken;",
        to: "            if runnable.is_woken()\n                && !(interrupt == Interrupt::OnCancel && self.is_interrupted(interrupt, what))\n            {\n                return Parked::Woken;",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "a late wake ends a later wait",
        file: "sched/runnable.rs",
        from: "if self.sequence.get() != sequence || self.woken.get() {",
        to: "if self.sequence.get() < sequence || self.woken.get() {",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "what is in the inbox of a worker does not reach tasks that wait",
        file: "sched/runnable.rs",
        from: "        if me.attention() & DIRTY != 0 {",
        to: "        if me.attention() & DIRTY != 0 && me.is_cancelled() {",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "the timer store takes the latest slot for the first",
        file: "timer/mod.rs",
        from: "let digit = self.occupied[level].trailing_zeros() as usize;",
        to: "let digit = 63 - self.occupied[level].leading_zeros() as usize;",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "the timer store expires what is not due",
        file: "timer/mod.rs",
        from: "            if deadline <= now {\n                self.slab.remove(index);",
        to: "            if deadline <= now || next == NIL {\n                self.slab.remove(index);",
        caught_by: CAMPAIGN,
    },
    Mutation {
        what: "a quiet moment makes the clock jump too far",
        file: "testing/mock_clock.rs",
        from: "        self.jump(ahead);",
        to: "        self.jump(ahead + ahead / 2);",
        caught_by: CAMPAIGN,
    },
    // The campaign has no task that waits for quiet.
    Mutation {
        what: "whoever waits for quiet and is cancelled keeps its place",
        file: "sched/quiet.rs",
        from: "            settlers.remove(at);\n",
        to: "            let _ = at;\n",
        caught_by: Test {
            program: "kit",
            filter: "settling::time_goes_on_when_whoever_settles_is_cancelled",
        },
    },
];
