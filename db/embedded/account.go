//go:build unix

package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is who runs Postgres, which refuses to run as root.
type account struct {
	name       string
	uid, gid   int
	credential *syscall.Credential // nil: ourselves
}

// chooseAccount picks the account: ourselves, or when we are root the wanted one, else the owner of
// the data folder, else postgres, else nobody. Only the child drops its rights; Easel stays what it is.
func chooseAccount(wanted, data string) (account, error) {
	if uid := os.Geteuid(); uid != 0 {
		return ourselves(uid, wanted)
	}
	owner, err := ownerOf(data)
	if err != nil {
		return account{}, err
	}
	names := []string{wanted}
	if wanted == "" {
		names = []string{"postgres", "nobody"}
		if owner != nil {
			names = []string{owner.Username}
		}
	}
	for _, name := range names {
		u, err := user.Lookup(name)
		if errors.As(err, new(user.UnknownUserError)) {
			continue
		}
		if err != nil {
			return account{}, fmt.Errorf("look up account %s: %w", name, err)
		}
		a, err := asOther(u)
		if err != nil {
			return account{}, err
		}
		if owner != nil && owner.Uid != u.Uid {
			return account{}, fmt.Errorf("%s belongs to %s, but %s was asked to run it (EASEL_PG_USER); "+
				"leave that out, or stop Easel and: chown -R %s %s", data, owner.Username, name, name, data)
		}
		return a, nil
	}
	if wanted != "" {
		return account{}, fmt.Errorf("there is no account %q (EASEL_PG_USER)", wanted)
	}
	return account{}, errors.New("it does not run as root, and there is neither an account postgres nor nobody; " +
		"name one with EASEL_PG_USER, or give a DATABASE_URL")
}

// ourselves needs an entry in the password file: initdb asks for it.
func ourselves(uid int, wanted string) (account, error) {
	u, err := user.LookupId(strconv.Itoa(uid))
	if errors.As(err, new(user.UnknownUserIdError)) {
		return account{}, fmt.Errorf("user id %d has no name, and initdb needs one; "+
			"run Easel as a user that is in /etc/passwd, or give a DATABASE_URL", uid)
	}
	if err != nil {
		return account{}, fmt.Errorf("look up account %d: %w", uid, err)
	}
	if wanted != "" && wanted != u.Username {
		return account{}, fmt.Errorf("only root can run Postgres as %s (EASEL_PG_USER); this is %s", wanted, u.Username)
	}
	return account{name: u.Username, uid: uid, gid: os.Getegid()}, nil
}

func asOther(u *user.User) (account, error) {
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("account %s: user id %q", u.Username, u.Uid)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("account %s: group id %q", u.Username, u.Gid)
	}
	if uid == 0 {
		return account{}, fmt.Errorf("account %s is root, as which Postgres does not run; name another with EASEL_PG_USER", u.Username)
	}
	return account{
		name: u.Username, uid: int(uid), gid: int(gid),
		credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, // without root's further groups
	}, nil
}

// ownerOf returns the owner of an existing data folder, nil when there is none.
func ownerOf(data string) (*user.User, error) {
	stat, err := os.Stat(data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for the database: %w; choose another folder with EASEL_DATA_DIR", err)
	}
	uid := stat.Sys().(*syscall.Stat_t).Uid
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return nil, fmt.Errorf("%s belongs to user id %d, which is no account here; give it to one: chown -R postgres %s", data, uid, data)
	}
	return u, nil
}

// give makes path the account's.
func (a account) give(path string) error {
	if a.credential == nil {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

// command prepares a program of Postgres' to run as the account, in dir, with an environment
// that holds nothing of ours: no secrets, no PG variables, messages in English since we read them.
func (a account) command(dir, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...) //nolint:noctx // the callers stop it with the signals Postgres knows
	cmd.Dir = dir
	cmd.Env = []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if value, set := os.LookupEnv(name); set {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.SysProcAttr = childAttributes()
	cmd.SysProcAttr.Credential = a.credential
	return cmd
}

// checkReach makes sure that the account can enter dir. It tries, by running program there with
// the account's rights, since mode bits are not all that counts; the first folder on the way that
// fails is named.
func (a account) checkReach(program, dir string) error {
	if a.credential == nil {
		return nil
	}
	enter := func(dir string) error { return a.command(dir, program, "--version").Run() }
	if enter(dir) == nil {
		return nil
	}
	if err := enter("/"); err != nil {
		return fmt.Errorf("account %s cannot run %s: %w; install Postgres where every user reaches it, or name another folder with EASEL_PG_BIN",
			a.name, program, err)
	}
	culprit := dir
	for at := dir; at != "/"; at = filepath.Dir(at) {
		if enter(at) != nil {
			culprit = at // the one nearest to the root wins
		}
	}
	return fmt.Errorf("account %s, which runs Postgres, cannot enter %s; allow it with: chmod o+x %s, "+
		"or choose another data folder (EASEL_DATA_DIR)", a.name, culprit, culprit)
}
