//go:build linux

package trials

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A medium is a small disk with an installation on it. What ends its space, and what
// it keeps if its power is cut, is the kernel's doing.
type medium struct {
	name string
	dir  string
	// fill leaves no room on the disk, and free makes it again. The process is the
	// server's.
	fill, free func(pid int) error
	// cutPower forgets what was not synced and refuses everything from then on, until
	// restorePower; nil if the disk cannot.
	cutPower, restorePower func() error
}

// diskSize is the size of a small disk: enough for the write-ahead log at its largest
// and for what a series of trials writes.
const diskSize = 64 << 20

// mountable reports why this process cannot mount: then nobody would unmount.
func mountable() error {
	if os.Getenv(envInside) == "" {
		return errors.New("the machine makes no mount namespace")
	}
	return nil
}

// newMemory mounts a file system in memory. Syncing it costs nothing, so that trials
// are many.
func newMemory(t *testing.T) *medium {
	t.Helper()
	dir := temporary(t)
	err := mountable()
	if err == nil {
		err = unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", diskSize))
	}
	if err != nil {
		t.Logf("no file system in memory, and so a limit of the size of files in its place: %v", err)
		return newLimited(t)
	}
	t.Cleanup(func() { unmount(t, dir) })
	m := &medium{name: "memory", dir: dir}
	m.fillsUp()
	return m
}

// newImage mounts an ext4 file system of an image, whose power can be cut. Where no image
// can be mounted the trials are made all the same, without cuts of power.
func newImage(t *testing.T) *medium {
	t.Helper()
	home := temporary(t)
	image, dir := filepath.Join(home, "disk"), filepath.Join(home, "m")
	mount := func() error { return run("mount", "-o", "loop", image, dir) }
	err := mountable()
	if err == nil {
		err = errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(image, nil, 0o600), os.Truncate(image, diskSize))
	}
	if err == nil {
		err = run(sbin("mkfs.ext4"), "-q", "-m", "0", image)
	}
	if err == nil {
		err = mount()
	}
	if err != nil {
		t.Logf("no image can be mounted, and so no power is cut: %v", err)
		return newMemory(t)
	}
	t.Cleanup(func() { unmount(t, dir) })
	m := &medium{name: "ext4", dir: dir}
	m.fillsUp()
	m.cutPower = func() error { return shutDown(dir) }
	m.restorePower = func() error {
		// Processes that were killed a moment ago may hold files still; umount(2) with
		// MNT_DETACH would leave the dead file system in use.
		if err := unix.Unmount(dir, 0); err != nil {
			return fmt.Errorf("unmount: %w", err)
		}
		return mount()
	}
	return m
}

// newLimited is a directory of the machine's own disk, where the server may not write
// beyond a size of its files: the other way by which the kernel refuses to write, and
// the only one without the right to mount.
func newLimited(t *testing.T) *medium {
	t.Helper()
	m := &medium{name: "limit", dir: temporary(t)}
	limit := func(pid int, octets uint64) error {
		return unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: octets, Max: unix.RLIM_INFINITY}, nil)
	}
	m.fill = func(pid int) error { return limit(pid, limitedTo) }
	m.free = func(pid int) error { return limit(pid, unix.RLIM_INFINITY) }
	return m
}

// limitedTo is the size beyond which nothing is written; the write-ahead log begins
// below it.
const limitedTo = 64 << 10

// fillsUp makes the medium be filled by a file.
func (m *medium) fillsUp() {
	path := filepath.Join(m.dir, "filler")
	m.fill = func(int) error { return fill(path) }
	m.free = func(int) error { return os.Remove(path) }
}

// fill writes a file until the disk is full to the last octet.
func fill(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	for chunk := 1 << 20; chunk > 0; {
		_, err := file.Write(make([]byte, chunk))
		if err == nil {
			err = file.Sync() // what the disk only promised to hold
		}
		switch {
		case errors.Is(err, syscall.ENOSPC):
			chunk /= 4
		case err != nil:
			return err
		}
	}
	return nil
}

// How a file system is shut down without its log being written: what xfstests calls
// "godown" (FS_IOC_SHUTDOWN of linux/fs.h).
const (
	ioctlShutdown = 0x8004587d
	noLogFlush    = 2
)

func shutDown(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer file.Close()
	return unix.IoctlSetPointerInt(int(file.Fd()), ioctlShutdown, noLogFlush)
}

// temporary returns a directory with a short name, since sockets are put into it.
func temporary(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "trial-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func unmount(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		t.Errorf("unmount %s: %v", dir, err)
	}
}

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// sbin returns the path of a program that may be where users do not look.
func sbin(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return filepath.Join("/usr/sbin", name)
}
