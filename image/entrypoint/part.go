package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// spare must stay free for everything else, in bytes.
const spare = 8 << 20

// partFile is an unfinished download: hidden, locked, and hashed as it grows.
type partFile struct {
	*os.File
	final  string // its name once it is complete
	sha256 string // that it must have then
	by     string // who says so
	have   int64  // bytes in it, all of them in sum
	sum    hash.Hash
}

// openPart opens what an earlier start left of a file, or begins it. Containers that share a volume wait for each
// other: the result is nil when another one completed the file meanwhile.
func openPart(ctx context.Context, final, sha string) (*partFile, error) {
	name := filepath.Join(filepath.Dir(final), "."+filepath.Base(final)+".part")
	for waits := 0; ; waits++ {
		file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, unwritable(filepath.Dir(final), err)
		}
		p := &partFile{File: file, final: final, sha256: sha, by: bySetting}
		// Where a file system has no locks, there is no waiting either.
		locked := !errors.Is(syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
		if locked {
			if _, err := os.Stat(final); err == nil {
				p.discard()
				return nil, nil
			}
			if p.isAt(name) {
				p.sum, p.have, err = hashed(ctx, file)
				return p, err
			}
		}
		file.Close() // locked by another process, or removed by the one that held the lock before
		if waits == 0 {
			say("another container is downloading %s: waiting", final)
		}
		if err := pause(ctx, time.Second); err != nil {
			return nil, err
		}
	}
}

// isAt tells whether a name still leads to the file.
func (p *partFile) isAt(name string) bool {
	open, err := p.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(name)
	return err == nil && os.SameFile(open, there)
}

// needs sees that so many more bytes have room.
func (p *partFile) needs(bytes int64) error {
	var space syscall.Statfs_t
	if err := syscall.Fstatfs(int(p.Fd()), &space); err != nil {
		return nil // writing will tell
	}
	if free := int64(space.Bavail) * int64(space.Bsize); free < bytes+spare {
		return fail(noSpace, "%s has %d MB free, %d MB are needed: make room there, or set MODEL_CACHE",
			filepath.Dir(p.final), free>>20, (bytes+spare)>>20)
	}
	return nil
}

func (p *partFile) add(bytes []byte) error {
	if _, err := p.Write(bytes); err != nil {
		return unwritable(filepath.Dir(p.final), err)
	}
	p.sum.Write(bytes)
	p.have += int64(len(bytes))
	return nil
}

// restart forgets what is in the file.
func (p *partFile) restart() error {
	if err := p.Truncate(0); err != nil {
		return unwritable(filepath.Dir(p.final), err)
	}
	_, err := p.Seek(0, io.SeekStart)
	p.have, p.sum = 0, sha256.New()
	return err
}

// check compares the hash. Wrong bytes are forgotten, so that the next attempt starts anew.
func (p *partFile) check(source string) error {
	wrong := compare(source, p.have, p.sum, p.sha256, p.by)
	if wrong == nil {
		return nil
	}
	if err := p.restart(); err != nil {
		return err
	}
	return wrong
}

// publish gives the file its name, once its bytes would survive a power cut.
func (p *partFile) publish() error {
	folder := filepath.Dir(p.final)
	if err := p.Sync(); err != nil {
		return unwritable(folder, err)
	}
	if err := os.Rename(p.Name(), p.final); err != nil {
		return unwritable(folder, err)
	}
	if opened, err := os.Open(folder); err == nil {
		_ = opened.Sync() // not every file system can; the running system does not need it
		opened.Close()
	}
	return p.Close()
}

// discard removes the file, if it still has its name.
func (p *partFile) discard() {
	if p.isAt(p.Name()) {
		os.Remove(p.Name())
	}
	p.Close()
}

// unwritable says what to do about a folder that takes no file.
func unwritable(folder string, err error) error {
	reason := err
	var wrapped *fs.PathError
	if errors.As(err, &wrapped) {
		reason = wrapped.Err
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fail(noSpace, "%s is full: make room there, or set MODEL_CACHE", folder)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EROFS):
		return fail(misconfigured, "user %d cannot write to %s (%v): mount a volume there that they may write to, or set MODEL_CACHE",
			os.Getuid(), folder, reason)
	}
	return fail(failed, "cannot write to %s: %v", folder, reason)
}
