//! Who waits for whom: the part of a report of a deadlock that says who holds what, and which tasks wait
//! for each other.
//!
//! A task waits for another one that holds what it waits in (it was said to be the holder of a parking
//! lot, or its end breaks one), that it joins, or that is a child in the nursery it is about to leave.
//! Nothing here recurses: nurseries may be nested as deep as memory allows.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::ptr::NonNull;

use crate::sched::Runnable;
use crate::task::{ITS_CHILDREN, Task};

/// Who waits for whom, among the tasks of a report, which are known by their places in it.
pub(super) struct Waits<'a> {
    tasks: &'a [&'a Task],
    /// For each task those that it waits for.
    edges: Vec<Vec<Edge>>,
    circles: Vec<Vec<(usize, Edge)>>,
    /// Those that are named by another one, and whose name alone would not do.
    numbered: HashSet<usize>,
}

/// Somebody waits for a task.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Edge {
    to: usize,
    why: Why,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    Holds,
    IsChild,
    IsJoined,
}

impl<'a> Waits<'a> {
    /// # Safety
    /// These are all tasks of a runtime, whose workers are stopped; what they have done is visible to the
    /// caller.
    pub(super) unsafe fn of(tasks: &'a [&'a Task]) -> Waits<'a> {
        // SAFETY: by contract.
        let edges = unsafe { edges_of(tasks) };
        let circles = circles_of(&edges);
        let mut of_name: HashMap<&str, usize> = HashMap::new();
        for task in tasks {
            *of_name.entry(task.name()).or_default() += 1;
        }
        let holders = edges.iter().flatten().filter(|edge| edge.why == Why::Holds);
        let in_circles = circles.iter().flatten().map(|(from, _)| *from);
        let numbered = holders.map(|edge| edge.to).chain(in_circles);
        let numbered = numbered.filter(|at| of_name[tasks[*at].name()] > 1).collect();
        Waits { tasks, edges, circles, numbered }
    }

    /// The task as the report calls it.
    pub(super) fn name(&self, at: usize) -> String {
        let name = self.tasks[at].name().escape_debug();
        let number =
            if self.numbered.contains(&at) { format!(" #{}", at + 1) } else { String::new() };
        format!("'{name}'{number}")
    }

    /// Who holds what the task waits for, as words that follow it.
    pub(super) fn held_by(&self, at: usize) -> String {
        let mut words = String::new();
        for edge in self.edges[at].iter().filter(|edge| edge.why == Why::Holds) {
            words.push_str(if words.is_empty() { ", held by " } else { " and " });
            words.push_str(&self.name(edge.to));
        }
        words
    }

    /// Adds a paragraph for each circle of tasks that wait for each other, as far as they were looked for.
    pub(super) fn append_circles(&self, page: &mut String) {
        for circle in &self.circles {
            let itself = circle.len() == 1;
            page.push_str(if itself {
                "conbrio: this task waits for itself:\n"
            } else {
                "conbrio: these tasks wait for each other:\n"
            });
            for (from, edge) in circle {
                let (name, other) = (self.name(*from), self.name(edge.to));
                let what = self.tasks[*from].waits_for().trim_start_matches('&');
                let relation = match edge.why {
                    Why::Holds => ", held by",
                    Why::IsChild => ", among them",
                    Why::IsJoined => ",",
                };
                let _ = writeln!(page, "  {name} waits for {what}{relation} {other}");
            }
        }
    }
}

/// # Safety
/// As [`Waits::of`].
unsafe fn edges_of(tasks: &[&Task]) -> Vec<Vec<Edge>> {
    let places: HashMap<NonNull<Runnable>, usize> =
        tasks.iter().enumerate().map(|(at, task)| (task.pointer(), at)).collect();
    let mut holders: HashMap<usize, Vec<usize>> = HashMap::new();
    for (at, task) in tasks.iter().enumerate() {
        // SAFETY: by contract.
        unsafe { task.visit_held(&mut |key| holders.entry(key).or_default().push(at)) };
    }
    let mut edges: Vec<Vec<Edge>> = vec![Vec::new(); tasks.len()];
    for (at, task) in tasks.iter().enumerate() {
        // SAFETY: by contract.
        if let Some(held) = unsafe { task.waits_for_held() } {
            let said = held.holder.and_then(|holder| places.get(&holder));
            for &to in said.into_iter().chain(holders.get(&held.key).into_iter().flatten()) {
                let edge = Edge { to, why: Why::Holds };
                if !edges[at].contains(&edge) {
                    edges[at].push(edge);
                }
            }
        }
        // SAFETY: by contract.
        let joiner = unsafe { task.branch().joiner() };
        if let Some(&joiner) = joiner.and_then(|joiner| places.get(&joiner)) {
            edges[joiner].push(Edge { to: at, why: Why::IsJoined });
        }
        // Not compared as an address: equal words may stand in the program twice.
        if task.waits_for() == ITS_CHILDREN {
            let mut visit = |child| {
                let edge = places.get(&child).map(|&to| Edge { to, why: Why::IsChild });
                edges[at].extend(edge);
            };
            // SAFETY: by contract.
            unsafe { task.branch().visit_innermost(&mut visit) };
        }
    }
    edges
}

/// Circles among the edges: each task is in one of them at most, and not all are found.
fn circles_of(edges: &[Vec<Edge>]) -> Vec<Vec<(usize, Edge)>> {
    let mut marks = vec![Mark::New; edges.len()];
    let mut circles = Vec::new();
    for start in 0..edges.len() {
        if marks[start] != Mark::New {
            continue;
        }
        marks[start] = Mark::OnPath;
        // Each task of the path with how many of its edges were followed. Ends: each edge is, once.
        let mut path = vec![(start, 0)];
        while let Some((task, followed)) = path.last_mut() {
            let Some(edge) = edges[*task].get(*followed) else {
                marks[*task] = Mark::Done;
                path.pop();
                continue;
            };
            *followed += 1;
            match marks[edge.to] {
                Mark::New => {
                    marks[edge.to] = Mark::OnPath;
                    path.push((edge.to, 0));
                }
                Mark::OnPath => {
                    let from = path.iter().rposition(|(task, _)| *task == edge.to).unwrap_or(0);
                    let circle = path[from..].iter().map(|&(at, n)| (at, edges[at][n - 1]));
                    let mut circle: Vec<(usize, Edge)> = circle.collect();
                    // It begins with whoever comes first in the report.
                    let first = circle.iter().enumerate().min_by_key(|(_, (at, _))| *at);
                    let first = first.map_or(0, |(place, _)| place);
                    circle.rotate_left(first);
                    circles.push(circle);
                    if circles.len() == CIRCLES_MAX {
                        return circles;
                    }
                }
                Mark::Done => {}
            }
        }
    }
    circles
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    OnPath,
    Done,
}

/// More would not be read.
const CIRCLES_MAX: usize = 4;
