package main

import (
	"fmt"
	"strings"
)

// atOnce is how many tokens of a prompt llama-server evaluates at a time unless it is told another number.
const atOnce = 512

// memoryNeeds are the least that a server takes, in bytes. What else it takes depends on the model and is smaller.
type memoryNeeds struct{ file, cache, work uint64 }

func (n memoryNeeds) sum() uint64 { return n.file + n.cache + n.work }

// estimate adds up the model, the cache of keys and values, and, without flash attention, the scores of every token for
// every other, which are the largest part of a computation and grow with the square of an embedding's input.
func (p *planner) estimate(mode string, room, parallel int) memoryNeeds {
	n := memoryNeeds{file: p.header.bytes}
	rows, columns := uint64(p.number(optUBatch, atOnce)), uint64(room*parallel)
	if mode != chat {
		rows, columns = uint64(p.number(optUBatch, room)), uint64(room)
	}
	if rows > columns {
		rows = columns
	}
	if !contains(encoders, p.header.architecture) {
		n.cache = p.header.perToken * uint64(room*parallel)
	}
	if p.given.isOff(optFlash) {
		n.work = p.header.heads * rows * columns * 4
	}
	return n
}

// checkMemory refuses what the container's limit cannot hold: the kernel would end the server without a word, status
// 137, in the middle of loading or of the first long text.
func checkMemory(name string, n memoryNeeds, l limits) error {
	if l.memory == 0 || n.sum() <= l.memory {
		return nil
	}
	parts := []string{"the file " + megabytes(n.file)}
	if n.cache > 0 {
		parts = append(parts, "the context "+megabytes(n.cache))
	}
	if n.work > 0 {
		parts = append(parts, "computing "+megabytes(n.work))
	}
	return fail(noMemory, "%s needs at least %s of memory (%s), and the container may use %s: raise that (docker run "+
		"--memory, mem_limit), set a smaller CONTEXT, or take a smaller file of the model", name, megabytes(n.sum()),
		strings.Join(parts, ", "), megabytes(l.memory))
}

func megabytes(bytes uint64) string { return fmt.Sprintf("%d MB", (bytes+999_999)/1_000_000) }
