//! What a task that waits costs in memory, and what of that comes back when it has ended.

use std::fmt::Write as _;
use std::io;

use conbrio_bench_kit::memory::Memory;
use conbrio_bench_kit::stats::{Spread, short, short_whole};

use crate::Plan;
use crate::systems::{CONBRIO, CURRENT, GO, MAY, Programs, SMOL, System};

const SYSTEMS: &[System] = &[CONBRIO, CURRENT, SMOL, GO, MAY];

const TASKS: &[usize] = &[100_000, 1_000_000];
const ROUNDS: usize = 5;
/// Bytes per task, all told, at the greatest number of tasks.
const GOAL_BYTES: f64 = 4_250.0;

pub(crate) fn run(plan: &Plan, programs: &Programs) -> io::Result<String> {
    let mut text = String::new();
    for &tasks in TASKS {
        let name = format!("{tasks} parked tasks");
        if !plan.wants("mem", &name) {
            continue;
        }
        if plan.is_quick && tasks > TASKS[0] {
            println!("LEFT OUT of a quick run: {name}");
            continue;
        }
        // Memory is counted, not timed: that it is the same in each round is what the rounds show.
        let rounds = if plan.is_quick { 1 } else { ROUNDS };
        write_table(&mut text, programs, tasks, rounds);
    }
    Ok(text)
}

fn write_table(text: &mut String, programs: &Programs, tasks: usize, rounds: usize) {
    let mut answers: Vec<Result<Vec<[Memory; 3]>, String>> =
        SYSTEMS.iter().map(|_| Ok(Vec::new())).collect();
    for _ in 0..rounds {
        for (system, answer) in SYSTEMS.iter().zip(&mut answers) {
            let Ok(seen) = answer else { continue };
            match park(programs, *system, tasks) {
                Ok(memory) => seen.push(memory),
                Err(reason) => *answer = Err(reason),
            }
        }
    }
    let title = short_whole(tasks as f64);
    let _ = writeln!(text, "### {title} parked tasks: bytes per task, {rounds} runs\n");
    let _ = writeln!(
        text,
        "| | resident | page tables | address space | kernel maps in all | resident after they have ended |"
    );
    let _ = writeln!(text, "|---|---|---|---|---|---|");
    for (system, answer) in SYSTEMS.iter().zip(&answers) {
        match answer {
            Ok(seen) => write_row(text, system.name, seen, tasks),
            Err(reason) => {
                let _ = writeln!(text, "| {} | {reason} | | | | |", system.name);
            }
        }
    }
    if let (Ok(seen), Some(&most)) = (&answers[0], TASKS.last())
        && tasks == most
    {
        let all: Vec<f64> = seen
            .iter()
            .map(|[before, parked, _]| parked.per_task(*before, tasks))
            .map(|memory| memory.resident_bytes + memory.page_table_bytes)
            .collect();
        let median = Spread::of(&all).median;
        let verdict = if median <= GOAL_BYTES { "met" } else { "**missed**" };
        let _ = writeln!(
            text,
            "\nTo reach: ≤ {} bytes, resident and page tables: {}, {verdict}.",
            short(GOAL_BYTES),
            short(median)
        );
    }
    text.push('\n');
}

fn write_row(text: &mut String, name: &str, seen: &[[Memory; 3]], tasks: usize) {
    let column = |value: &dyn Fn(&[Memory; 3]) -> f64| {
        Spread::of(&seen.iter().map(value).collect::<Vec<_>>()).to_string()
    };
    let parked = |memory: &[Memory; 3]| memory[1].per_task(memory[0], tasks);
    let _ = writeln!(
        text,
        "| {name} | {} | {} | {} | {} | {} |",
        column(&|memory| parked(memory).resident_bytes),
        column(&|memory| parked(memory).page_table_bytes),
        column(&|memory| parked(memory).virtual_bytes),
        column(&|memory| parked(memory).maps),
        column(&|memory| memory[2].per_task(memory[0], tasks).resident_bytes),
    );
}

/// Before, while they wait, after they have ended.
fn park(programs: &Programs, system: System, tasks: usize) -> Result<[Memory; 3], String> {
    let program = programs.of(system).ok_or("missing")?;
    let numbers = program.answer(&["park", &tasks.to_string()]).map_err(|error| {
        eprintln!("FAILED: {error}");
        "failed"
    })?;
    let numbers = numbers.ok_or("—")?;
    let [a, b, c, d, e, f, g, h, i, j, k, l] = numbers[..] else {
        return Err(format!("printed {} numbers", numbers.len()));
    };
    Ok([[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(Memory::parse))
}
