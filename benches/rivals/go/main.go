// The work of every question, in Go. It understands what benches/kit/src/program.rs describes.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"time"
)

func main() {
	words := os.Args[1:]
	switch {
	case len(words) == 4 && words[0] == "sample":
		question, tasks := split(words[1])
		// As in the other programs, a worker is a thread that runs tasks.
		runtime.GOMAXPROCS(number(words[2]))
		meter := &meter{budget: time.Duration(number(words[3])) * time.Millisecond}
		done := make(chan float64)
		// The work is in a goroutine, as it is in a task elsewhere.
		go func() { done <- sample(question, tasks, meter) }()
		if ns := <-done; ns < 0 {
			fmt.Println("none")
		} else {
			fmt.Println(ns)
		}
	case len(words) == 2 && words[0] == "park":
		park(number(words[1]))
	case len(words) == 3 && words[0] == "serve":
		pin(number(words[2]))
		runtime.GOMAXPROCS(1)
		serve(words[1])
	default:
		fmt.Fprintln(os.Stderr, "usage: sample QUESTION WORKERS BUDGET_MS | park TASKS | serve WHAT CORE")
		os.Exit(1)
	}
}

func number(word string) int {
	value, err := strconv.Atoi(word)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

// "yield-1000" is "yield" with 1000 tasks.
func split(question string) (string, int) {
	at := strings.LastIndexByte(question, '-')
	if at < 0 {
		return question, 1
	}
	tasks, err := strconv.Atoi(question[at+1:])
	if err != nil {
		return question, 1
	}
	return question[:at], tasks
}

// Takes the time of passes, as benches/kit/src/meter.rs does.
type meter struct {
	budget time.Duration
	begun  time.Time
	warm   bool
	passes []float64
}

func (m *meter) wantsMore() bool {
	if m.begun.IsZero() {
		m.begun = time.Now()
	}
	return len(m.passes) == 0 || time.Since(m.begun) < m.budget
}

func (m *meter) stop(begun time.Time, operations int) {
	elapsed := time.Since(begun)
	if m.warm {
		m.passes = append(m.passes, float64(elapsed.Nanoseconds())/float64(operations))
	}
	m.warm = true
}

func (m *meter) run(operations int, work func()) float64 {
	for m.wantsMore() {
		begun := time.Now()
		work()
		m.stop(begun, operations)
	}
	return m.median()
}

func (m *meter) median() float64 {
	sort.Float64s(m.passes)
	middle := len(m.passes) / 2
	if len(m.passes)%2 == 1 {
		return m.passes[middle]
	}
	return (m.passes[middle-1] + m.passes[middle]) / 2
}
