//! How the cost of an operation grows with the number of tasks, and from one worker to two.

use std::fmt::Write as _;
use std::io;

use conbrio_bench_kit::stats::{Spread, short, short_whole};

use crate::Plan;
use crate::svg::{Line, chart};
use crate::systems::{CONBRIO, CURRENT, GO, MULTI, Programs, System};

const SYSTEMS: &[System] = &[CONBRIO, CURRENT, MULTI, GO];
const TASKS: &[usize] = &[10, 100, 1_000, 10_000, 100_000, 1_000_000];
const ROUNDS: usize = 5;

struct Curve {
    question: &'static str,
    title: &'static str,
    workers: usize,
    file: &'static str,
}

const CURVES: &[Curve] = &[
    Curve {
        question: "yield",
        title: "Yield among so many tasks",
        workers: 1,
        file: "growth-yield.svg",
    },
    Curve {
        question: "spawn-batch",
        title: "Spawn so many, join all: per task",
        workers: 1,
        file: "growth-spawn.svg",
    },
    Curve {
        question: "spawn-batch",
        title: "Spawn so many, join all: per task, two workers",
        workers: 2,
        file: "growth-spawn-2.svg",
    },
    Curve {
        question: "sleepers",
        title: "Sleepers, cancelled: whole life, per task",
        workers: 1,
        file: "growth-sleepers.svg",
    },
];

pub(crate) fn run(plan: &Plan, programs: &Programs) -> io::Result<String> {
    let mut text = String::new();
    for curve in CURVES.iter().filter(|curve| plan.wants(curve.question, curve.title)) {
        let most = if plan.is_quick { 10_000 } else { 1_000_000 };
        let tasks: Vec<usize> = TASKS.iter().copied().filter(|tasks| *tasks <= most).collect();
        let lines = measure(plan, programs, curve, &tasks);
        write_table(&mut text, curve, &tasks, &lines);
        if plan.is_whole() {
            let svg = chart(curve.title, "tasks", "nanoseconds", &lines);
            plan.write(curve.file, &svg)?;
            let _ = writeln!(text, "![{}]({})\n", curve.title, curve.file);
        }
    }
    Ok(text)
}

fn measure(plan: &Plan, programs: &Programs, curve: &Curve, tasks: &[usize]) -> Vec<Line> {
    let budget_ms = if plan.is_quick { "5" } else { "30" };
    let workers = curve.workers.to_string();
    let mut lines: Vec<Line> = SYSTEMS
        .iter()
        .map(|system| Line { name: system.name.to_owned(), points: Vec::new() })
        .collect();
    for &tasks in tasks {
        let question = format!("{}-{tasks}", curve.question);
        let mut samples = vec![Vec::new(); SYSTEMS.len()];
        for _ in 0..ROUNDS {
            for (system, samples) in SYSTEMS.iter().zip(&mut samples) {
                let Some(program) = programs.of(*system) else { continue };
                match program.answer(&["sample", &question, &workers, budget_ms]) {
                    Ok(Some(ns)) => samples.push(ns[0]),
                    Ok(None) => {}
                    Err(error) => eprintln!("FAILED: {error}"),
                }
            }
        }
        for (line, samples) in lines.iter_mut().zip(&samples) {
            if !samples.is_empty() {
                line.points.push((tasks as f64, Spread::of(samples).median));
            }
        }
    }
    lines.retain(|line| !line.points.is_empty());
    lines
}

fn write_table(text: &mut String, curve: &Curve, tasks: &[usize], lines: &[Line]) {
    let _ = writeln!(text, "### {}: nanoseconds, median of {ROUNDS}\n", curve.title);
    let heads: Vec<String> = tasks.iter().map(|tasks| short_whole(*tasks as f64)).collect();
    let _ = writeln!(text, "| tasks | {} |", heads.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(tasks.len()));
    for line in lines {
        let cells: Vec<String> = tasks
            .iter()
            .map(|tasks| {
                let point = line.points.iter().find(|(x, _)| *x == *tasks as f64);
                point.map_or("—".to_owned(), |(_, y)| short(*y))
            })
            .collect();
        let _ = writeln!(text, "| {} | {} |", line.name, cells.join(" | "));
    }
    text.push('\n');
}
