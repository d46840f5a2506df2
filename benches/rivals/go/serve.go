package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// Keeps the process, with the threads that it will start, on one core.
func pin(core int) {
	var set [16]uint64
	set[core/64] |= 1 << (core % 64)
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		fatal(err)
	}
	// Threads that are there already do not inherit it.
	for _, entry := range entries {
		thread := number(entry.Name())
		_, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, uintptr(thread), unsafe.Sizeof(set), uintptr(unsafe.Pointer(&set)))
		if errno != 0 {
			fatal(errno)
		}
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func serve(what string) {
	go func() {
		// Whoever started this is gone when its end of the pipe is.
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if what != "echo" && what != "http" {
		fmt.Println("none")
		return
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fatal(err)
	}
	fmt.Println(listener.Addr())
	if what == "http" {
		handler := func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, "Hello, World!")
		}
		fatal(http.Serve(listener, http.HandlerFunc(handler)))
	}
	for {
		// TCP_NODELAY is Go's default.
		conn, err := listener.Accept()
		if err != nil {
			fatal(err)
		}
		go echo(conn)
	}
}

func echo(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 4096)
	for {
		bytes, err := conn.Read(buf)
		if err != nil {
			return
		}
		if _, err := conn.Write(buf[:bytes]); err != nil {
			return
		}
	}
}

// Memory of this process before, with so many waiting goroutines, and after them.
func park(tasks int) {
	printMemory()
	var asleep atomic.Int64
	var group sync.WaitGroup
	group.Add(tasks)
	end := make(chan struct{})
	for range tasks {
		go func() {
			asleep.Add(1)
			<-end
			group.Done()
		}()
	}
	for asleep.Load() < int64(tasks) {
		time.Sleep(time.Millisecond)
	}
	printMemory()
	close(end)
	group.Wait()
	time.Sleep(5 * time.Second)
	printMemory()
}

func printMemory() {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fatal(err)
	}
	kib := func(key string) int {
		for _, line := range strings.Split(string(status), "\n") {
			if rest, found := strings.CutPrefix(line, key); found {
				return number(strings.Fields(rest)[0])
			}
		}
		return 0
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		fatal(err)
	}
	fmt.Println(kib("VmRSS:")*1024, kib("VmPTE:")*1024, kib("VmSize:")*1024, strings.Count(string(maps), "\n"))
}
