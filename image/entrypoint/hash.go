package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"os"
	"time"
)

// verify compares a file that was there already with the hash that is asked for. Whoever put it there may have exchanged
// it since the last start, so all of it is read each time.
func (m model) verify(ctx context.Context, want string) error {
	file, err := os.Open(m.path)
	if err != nil {
		return unreadable(m.path, err)
	}
	defer file.Close()
	sum, bytes, err := hashed(ctx, file)
	if err != nil {
		return err
	}
	return compare(m.path, bytes, sum, want, bySetting)
}

// bySetting is who asks for a hash, unless it is the hub.
const bySetting = "MODEL_SHA256"

// compare says which bytes a file has when they are not those that somebody asks for.
func compare(source string, bytes int64, sum hash.Hash, want, by string) error {
	if found := hex.EncodeToString(sum.Sum(nil)); found != want {
		return fail(wrongBytes, "%s has SHA-256 %s (%d bytes), %s says %s", source, found, bytes, by, want)
	}
	return nil
}

// hashed reads a file to its end, which a stop cuts short; it also returns the number of bytes.
func hashed(ctx context.Context, file *os.File) (hash.Hash, int64, error) {
	sum := sha256.New()
	bytes, err := io.Copy(sum, &patient{ctx: ctx, file: file, said: time.Now()})
	if err != nil && ctx.Err() == nil {
		err = unreadable(file.Name(), err)
	}
	return sum, bytes, err
}

// patient reads a large file: it tells now and then how far it is, and ends when it is told to stop.
type patient struct {
	ctx  context.Context
	file *os.File
	read int64
	said time.Time
}

func (p *patient) Read(buffer []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	if time.Since(p.said) > sayEvery {
		p.said = time.Now()
		say("%s: hashing: %d MB", p.file.Name(), p.read/1e6)
	}
	n, err := p.file.Read(buffer)
	p.read += int64(n)
	return n, err
}
