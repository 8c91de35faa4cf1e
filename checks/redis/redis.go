// Package redis is the check of a Redis server: whether it answers, and follows its master.
package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/saba-monitor/saba/check"
	"github.com/saba-monitor/saba/plugin/target"
)

// Check says whether a Redis server is well.
var Check = check.Check{
	Name:    "redis",
	Short:   "whether a Redis server answers, and as a replica is connected to its master",
	Title:   "Redis",
	Timeout: 5 * time.Second,
	Commands: []check.Check{
		{
			Name:  "reachable",
			Short: "whether a server answers",
			New: func(fs *check.FlagSet) check.Checker {
				c := &reachable{}
				c.addFlags(fs)
				return c
			},
		},
		{Name: "replication", Short: "whether a replica is connected to its master", New: newReplication},
		{Name: "slave", Short: "whether a replica is connected to its master: replication by its old name", New: newReplication},
	},
}

// A server is the one that is asked.
type server struct {
	target.Redis
	password check.Secret
}

func (s *server) addFlags(fs *check.FlagSet) {
	fs.StringVarP(&s.Host, "host", "H", "", "`host` of the server (default localhost)")
	fs.StringVarP(&s.Port, "port", "p", "", "`port` of the server (default 6379)")
	fs.StringVarP(&s.Socket, "socket", "s", "", "unix `socket` of the server, in place of host and port")
	fs.StringVarP(&s.Username, "username", "U", "", "`user` to log in as; the default user needs none")
	s.password.AddFlags(fs, "password", "P", "REDIS_PASSWORD")
	fs.BoolVar(&s.TLS, "tls", false, "speak TLS")
	fs.StringVar(&s.CA, "tls-ca", "", "`file` of certificates (PEM) that the server's is verified with, in place of the system's")
	fs.BoolVar(&s.SkipVerify, "tls-skip-verify", false, "do not verify the server's certificate")
}

// CheckFlags says which flags do not go together.
func (s *server) CheckFlags() error {
	if s.Socket != "" && s.Host+s.Port != "" {
		return errors.New("--socket is in place of --host and --port")
	}
	return nil
}

// ask asks on a connection of its own. The error names the server.
func (s *server) ask(ctx context.Context, commands ...[]string) (answers []any, err error) {
	defer s.Close()
	if s.Password, err = s.password.Read(ctx); err == nil {
		answers, err = s.Ask(ctx, commands...)
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", s.Name(), check.Reason(ctx, err))
	}
	return answers, nil
}

type reachable struct{ server }

// Check says which version answers.
func (c *reachable) Check(ctx context.Context) check.Result {
	answers, err := c.ask(ctx, []string{"PING"}, []string{"INFO", "server"})
	if err != nil {
		return check.Critical("%v", err)
	}
	// Whoever may not say PING is answered all the same; who is not let in, or must wait until
	// the data are loaded, is told so.
	if no, refused := answers[0].(target.RedisError); refused && !denied(no) {
		return check.Critical("ask %s: %v", c.Name(), no)
	}
	info, err := target.RedisAnswer[string](answers[1])
	if no, refused := errors.AsType[target.RedisError](err); refused && denied(no) {
		return check.OK("%s answers", c.Name())
	}
	if err != nil {
		return check.Critical("ask %s: %v", c.Name(), err)
	}
	version, ok := target.RedisInfo(info)["redis_version"]
	if !ok {
		return check.Critical("ask %s: it does not say which version it is", c.Name())
	}
	return check.OK("%s answers, of version %.40s", c.Name(), version)
}

// denied says whether a server lets one in, but not to that command.
func denied(no target.RedisError) bool { return strings.HasPrefix(no.Error(), "NOPERM") }

func newReplication(fs *check.FlagSet) check.Checker {
	c := &replication{}
	c.addFlags(fs)
	fs.BoolVar(&c.skipMaster, "skip-master", false, "a master is OK")
	return c
}

type replication struct {
	server
	skipMaster bool
}

// Check says whether the link of a replica to its master is up.
func (c *replication) Check(ctx context.Context) check.Result {
	answers, err := c.ask(ctx, []string{"INFO", "replication"})
	if err != nil {
		return check.Unknown("%v", err)
	}
	text, err := target.RedisAnswer[string](answers[0])
	if err != nil {
		return check.Unknown("ask %s: %v", c.Name(), err)
	}
	info := target.RedisInfo(text)
	master := fmt.Sprintf("its master at %.100s:%.5s", info["master_host"], info["master_port"])
	switch {
	case info["role"] == "master" && c.skipMaster:
		return check.OK("%s is a master", c.Name())
	case info["role"] == "master":
		return check.Unknown("%s is a master: --skip-master makes that OK", c.Name())
	case info["role"] != "slave":
		return check.Unknown("ask %s: it does not say whether it is a replica", c.Name())
	case info["master_link_status"] == "up":
		return check.OK("%s is connected to %s", c.Name(), master)
	case info["master_sync_in_progress"] == "1":
		return check.Critical("%s has lost the thread, and copies all data of %s", c.Name(), master)
	}
	return check.Critical("%s is not connected to %s, for %.20s seconds", c.Name(), master, info["master_link_down_since_seconds"])
}
