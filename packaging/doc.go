// Package packaging holds the files that run Easel elsewhere: a unit for systemd, a Dockerfile, a compose file. Its
// tests check them as far as that can be done without systemd and Docker.
package packaging
