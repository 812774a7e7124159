package main

import "syscall"

// freeBytes is the room that is left where dir lies, for us; negative: nobody knows.
func freeBytes(dir string) int64 {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return -1
	}
	return int64(stat.Bavail) * stat.Bsize //nolint:gosec // fits for eight exabytes
}
