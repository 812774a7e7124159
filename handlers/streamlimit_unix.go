//go:build unix

package handlers

import "syscall"

// streamLimit is how many streams may be open where nothing was configured: each holds a file
// descriptor, and a quarter of them is for everything else.
func streamLimit() int64 {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fallbackStreams
	}
	return int64(min(files.Cur/4*3, mostStreams)) // at most mostStreams
}
