package main

import (
	"os"
	"path/filepath"
	"sync"
)

// As in benches/kit/src/files.rs, whose file this reads: the other programs make it.
const (
	pageBytes = 4096
	pages     = 16_384
	reads     = 8_192
)

func readFile(tasks int) {
	file, err := os.Open(filepath.Join(os.TempDir(), "conbrio-bench-file"))
	if err != nil {
		fatal(err)
	}
	defer file.Close()
	var group sync.WaitGroup
	group.Add(tasks)
	for reader := range tasks {
		go func() {
			page := make([]byte, pageBytes)
			state := uint64(reader+1)*0x9e3779b97f4a7c15 | 1
			for range reads / tasks {
				state ^= state << 13
				state ^= state >> 7
				state ^= state << 17
				if _, err := file.ReadAt(page, int64(state%pages*pageBytes)); err != nil {
					fatal(err)
				}
				sink.Store(uint64(page[0]))
			}
			group.Done()
		}()
	}
	group.Wait()
}
