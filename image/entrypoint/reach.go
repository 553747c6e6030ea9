package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// obstacle is what keeps a path from being read, if that is something else than that nothing is there: a folder on the
// way that this user may not enter, or a link that leads out of what is mounted. Either looks like a missing file to
// whoever only asks for the path.
func obstacle(path string) error {
	at := "/"
	for _, part := range strings.Split(strings.Trim(filepath.Clean(path), "/"), "/") {
		folder := at
		at = filepath.Join(at, part)
		info, err := os.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrPermission):
			return mayNot("enter", folder)
		case err != nil:
			return nil
		case info.Mode()&fs.ModeSymlink == 0:
			continue
		}
		if err := behind(at); err != nil {
			return err
		}
	}
	if file, err := os.Open(at); err == nil {
		file.Close()
	} else if errors.Is(err, fs.ErrPermission) {
		return mayNot("read", at)
	}
	return nil
}

// behind is the obstacle in what a link leads to.
func behind(link string) error {
	_, err := os.Stat(link)
	if err == nil {
		return nil
	}
	target, _ := os.Readlink(link)
	whole := target
	if !filepath.IsAbs(target) {
		whole = filepath.Join(filepath.Dir(link), target)
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return obstacle(whole)
	case errors.Is(err, fs.ErrNotExist):
		return fail(notFound, "%s is a link to %s, which is not there: mount what it leads to as well, at %s", link, target, whole)
	}
	return fail(failed, "%s is a link to %s, which cannot be followed: %v", link, target, errors.Unwrap(err))
}

// mayNot says whose something is that this user may not use, and what forbids it.
func mayNot(what, path string) error {
	whose, remedy := "", "chmod -R o+rX it, or run the container as its owner (--user)"
	if info, err := os.Stat(path); err == nil {
		needed := fs.FileMode(0o004)
		if info.IsDir() {
			needed = 0o005
		}
		if info.Mode().Perm()&needed == needed {
			remedy = "its mode allows that, so something else forbids it, such as SELinux: add :z to the volume (-v …:/models:ro,z)"
		}
		if owner, known := info.Sys().(*syscall.Stat_t); known {
			whose = fmt.Sprintf(" (%v, of user %d)", info.Mode(), owner.Uid)
		}
	}
	return fail(misconfigured, "user %d may not %s %s%s: %s", os.Getuid(), what, path, whose, remedy)
}
