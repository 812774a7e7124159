package embedded

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// running reports whether the process is alive. A zombie is not: under a process 1 that does not
// reap, a dead postmaster stays one for ever.
func running(pid int) bool {
	if !exists(pid) {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ESRCH)
	}
	// "123 (name) S ...": the name can hold anything, the last parenthesis ends it
	after := stat[bytes.LastIndexByte(stat, ')')+1:]
	return !bytes.HasPrefix(after, []byte(" Z")) && !bytes.HasPrefix(after, []byte(" X"))
}

// usesFolder finds out whether pid works on data: every process of a server has its data folder as
// its working directory.
func usesFolder(pid int, data string) whose {
	cwd, err := os.Stat("/proc/" + strconv.Itoa(pid) + "/cwd")
	if errors.Is(err, fs.ErrNotExist) {
		return another // a zombie, or gone: it works on nothing
	}
	if err != nil {
		return unknown
	}
	folder, err := os.Stat(data)
	if err != nil {
		return unknown
	}
	if os.SameFile(cwd, folder) {
		return ours
	}
	return another
}

// anyUses reports whether a process of uid works on data, or may do so: one that we are not
// allowed to look at counts.
func anyUses(data string, uid int) bool {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return true
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := entry.Info()
		if err != nil || int(stat.Sys().(*syscall.Stat_t).Uid) != uid {
			continue
		}
		if usesFolder(pid, data) != another {
			return true
		}
	}
	return false
}
