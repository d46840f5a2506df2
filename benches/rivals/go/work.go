package main

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// As in benches/kit/src/counts.rs.
const (
	batch      = 1_000
	spawns     = 50_000
	operations = 100_000
	items      = 20_000
	capacity   = 1_024
	parties    = 4
	fibOf      = 18
	forks      = 4_180
	mapped     = 10_000
	mapLimit   = 16
	warmRounds = 3
)

var sink atomic.Uint64

// Nanoseconds per operation; negative if Go has no such operation.
func sample(question string, tasks int, m *meter) float64 {
	switch question {
	case "yield":
		if tasks > 1 {
			return yieldAmong(tasks, m.budget)
		}
		return m.run(operations, func() { times(operations, runtime.Gosched) })
	case "spawn-join":
		return m.run(spawns, func() {
			done := make(chan uint64)
			times(spawns, func() {
				go func() { done <- 1 }()
				sink.Store(<-done)
			})
		})
	case "spawn-batch":
		children := batch
		if tasks > 1 {
			children = tasks
		}
		rounds := max(spawns/children, 1)
		return m.run(rounds*children, func() { times(rounds, func() { spawnBatch(children) }) })
	case "spawn-nursery":
		return m.run(spawns, func() { times(spawns/batch, spawnGroup) })
	case "scope":
		outer := context.Background()
		return m.run(operations, func() {
			times(operations, func() {
				_, cancel := context.WithCancel(outer)
				cancel()
			})
		})
	case "timeout":
		return m.run(operations, func() { times(operations, func() { timeout(false) }) })
	case "timeout-yield":
		return m.run(operations, func() { times(operations, func() { timeout(true) }) })
	case "fib":
		return m.run(forks, func() { sink.Store(fib(fibOf)) })
	case "race":
		return m.run(operations/10, func() { times(operations/10, race) })
	case "map":
		return m.run(mapped, mapConcurrent)
	case "ping-pong":
		return m.run(items, func() { pingPong(false) })
	case "wake-across":
		return m.run(items, func() { pingPong(true) })
	case "fan-in":
		return m.run(items, fanIn)
	case "select":
		return m.run(items, selectOfTwo)
	case "mutex":
		var mutex sync.Mutex
		value := 0
		return m.run(operations, func() {
			times(operations, func() {
				mutex.Lock()
				value++
				mutex.Unlock()
			})
		})
	case "mutex-contended":
		return m.run(items, contended)
	case "sleepers", "sleepers-cancel":
		for m.wantsMore() {
			cancelled(tasks, m, question == "sleepers")
		}
		return m.median()
	case "file-read":
		return m.run(reads, func() { readFile(tasks) })
	case "sleepers-fire":
		for m.wantsMore() {
			fired(tasks, m)
		}
		return m.median()
	}
	return -1
}

func times(count int, work func()) {
	for range count {
		work()
	}
}

func spawnBatch(children int) {
	done := make([]chan uint64, children)
	for i := range done {
		done[i] = make(chan uint64, 1)
		go func() { done[i] <- 1 }()
	}
	for _, one := range done {
		sink.Store(<-one)
	}
}

func spawnGroup() {
	var group sync.WaitGroup
	group.Add(batch)
	for range batch {
		go func() {
			sink.Store(1)
			group.Done()
		}()
	}
	group.Wait()
}

func timeout(yields bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	if yields {
		runtime.Gosched()
	}
	if ctx.Err() != nil {
		panic("an hour has passed")
	}
	cancel()
}

func yieldAmong(tasks int, budget time.Duration) float64 {
	const (
		warming = iota
		counting
		over
	)
	var phase, started, yields atomic.Int64
	var group sync.WaitGroup
	group.Add(tasks)
	for range tasks {
		go func() {
			started.Add(1)
			var tally int64
			for {
				switch phase.Load() {
				case counting:
					tally++
				case over:
					yields.Add(tally)
					group.Done()
					return
				}
				runtime.Gosched()
			}
		}()
	}
	for started.Load() < int64(tasks) {
		runtime.Gosched()
	}
	times(warmRounds, runtime.Gosched)
	phase.Store(counting)
	begun := time.Now()
	for time.Since(begun) < budget {
		runtime.Gosched()
	}
	elapsed := time.Since(begun)
	phase.Store(over)
	group.Wait()
	return float64(elapsed.Nanoseconds()) / float64(yields.Load())
}

func fib(n uint64) uint64 {
	if n < 2 {
		return n
	}
	forked := make(chan uint64, 1)
	go func() { forked <- fib(n - 1) }()
	b := fib(n - 2)
	return <-forked + b
}

// One waits for ever and is told to stop, as the loser of a race is; both have ended when it returns.
func race() {
	ctx, cancel := context.WithCancel(context.Background())
	won := make(chan uint64, 1)
	var group sync.WaitGroup
	group.Add(2)
	go func() {
		<-ctx.Done()
		group.Done()
	}()
	go func() {
		won <- 2
		group.Done()
	}()
	sink.Store(<-won)
	cancel()
	group.Wait()
}

func mapConcurrent() {
	values := make([]int, mapped)
	places := make(chan struct{}, mapLimit)
	var group sync.WaitGroup
	for item := range mapped {
		places <- struct{}{}
		group.Add(1)
		go func() {
			runtime.Gosched()
			values[item] = item + 1
			<-places
			group.Done()
		}()
	}
	group.Wait()
	sink.Store(uint64(values[mapped-1]))
}

// Apart: each side on a thread of its own.
func pingPong(apart bool) {
	ping, pong := make(chan int, 1), make(chan int, 1)
	go func() {
		if apart {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
		}
		for range items {
			pong <- <-ping
		}
	}()
	if apart {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	for item := range items {
		ping <- item
		sink.Store(uint64(<-pong))
	}
}

func fanIn() {
	channel := make(chan int, capacity)
	var group sync.WaitGroup
	group.Add(parties)
	for range parties {
		go func() {
			for item := range items / parties {
				channel <- item
			}
			group.Done()
		}()
	}
	go func() {
		group.Wait()
		close(channel)
	}()
	for item := range channel {
		sink.Store(uint64(item))
	}
}

func selectOfTwo() {
	left, right := make(chan int, capacity), make(chan int, capacity)
	for _, channel := range []chan int{left, right} {
		go func() {
			for item := range items / 2 {
				channel <- item
			}
		}()
	}
	for range items {
		select {
		case item := <-left:
			sink.Store(uint64(item))
		case item := <-right:
			sink.Store(uint64(item))
		}
	}
}

func contended() {
	var mutex sync.Mutex
	var group sync.WaitGroup
	group.Add(parties)
	value := 0
	for range parties {
		go func() {
			for range items / parties {
				mutex.Lock()
				runtime.Gosched()
				value++
				mutex.Unlock()
			}
			group.Done()
		}()
	}
	group.Wait()
}

func cancelled(tasks int, m *meter, fromBirth bool) {
	begun := time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	var asleep atomic.Int64
	var group sync.WaitGroup
	group.Add(tasks)
	for range tasks {
		go func() {
			asleep.Add(1)
			timer := time.NewTimer(time.Hour)
			select {
			case <-ctx.Done():
				timer.Stop()
			case <-timer.C:
			}
			group.Done()
		}()
	}
	for asleep.Load() < int64(tasks) {
		runtime.Gosched()
	}
	if !fromBirth {
		begun = time.Now()
	}
	cancel()
	group.Wait()
	m.stop(begun, tasks)
}

func fired(tasks int, m *meter) {
	deadline := time.Now().Add(100*time.Millisecond + 2_500*time.Duration(tasks))
	var asleep atomic.Int64
	var group sync.WaitGroup
	group.Add(tasks)
	for range tasks {
		go func() {
			asleep.Add(1)
			time.Sleep(time.Until(deadline))
			group.Done()
		}()
	}
	for asleep.Load() < int64(tasks) {
		runtime.Gosched()
	}
	late := m.warm && time.Now().After(deadline)
	group.Wait()
	// If some woke before all slept, the pass does not count.
	if !late {
		m.stop(deadline, tasks)
	}
}
