package servercli

import (
	"crypto/rand"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba/internal/cli"
	"github.com/saba-monitor/saba/internal/server"
	"github.com/saba-monitor/saba/plugin/target/postgrestest"
)

func TestDatabaseFlags(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	full, empty := file("full", "postgres://file:topsecret@db/saba\n"), file("empty", "\n")
	for name, tt := range map[string]struct {
		flags databaseFlags
		env   string
		want  string
		says  string // of the refusal; "" for none
	}{
		"nothing":                      {databaseFlags{}, "", "", ""},
		"the environment":              {databaseFlags{}, "postgres://env:topsecret@db/saba", "postgres://env:topsecret@db/saba", ""},
		"a flag wins":                  {databaseFlags{value: "postgres://flag@db/saba"}, "postgres://env@db/saba", "postgres://flag@db/saba", ""},
		"a file wins":                  {databaseFlags{file: full}, "postgres://env@db/saba", "postgres://file:topsecret@db/saba", ""},
		"both":                         {databaseFlags{"postgres://flag@db/saba", full}, "", "", "give one of them"},
		"a missing file":               {databaseFlags{file: filepath.Join(dir, "missing")}, "", "", "no such file"},
		"an empty file":                {databaseFlags{file: empty}, "", "", "is empty"},
		"an open password":             {databaseFlags{value: "postgres://saba:topsecret@db/saba"}, "", "", "everybody on this machine"},
		"an open password in the end":  {databaseFlags{value: "postgres://db/saba?password=topsecret"}, "", "", "everybody on this machine"},
		"an open password, many hosts": {databaseFlags{value: "postgres://saba:topsecret@db1:1,db2:2/saba"}, "", "", "everybody on this machine"},
		"a port is no password":        {databaseFlags{value: "postgres://db:5432/saba"}, "", "postgres://db:5432/saba", ""},
	} {
		t.Run(name, func(t *testing.T) {
			env := &cli.Env{System: cli.System{Getenv: func(name string) string { return map[string]string{"SABA_DATABASE": tt.env}[name] }}}
			got, err := tt.flags.url(env)
			if got != tt.want || (err == nil) != (tt.says == "") {
				t.Errorf("url() = %q, %v; want %q", got, err, tt.want)
			}
			if err != nil && (!strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("url() = %v, want %q and no password", err, tt.says)
			}
		})
	}
}

func TestCommandsWithPostgres(t *testing.T) {
	postgres := postgrestest.Start(t)
	first, second := postgres.Database("first"), postgres.Database("second")
	postgres.Ask(`CREATE USER saba PASSWORD 'topsecret'; ALTER DATABASE first OWNER TO saba`)
	withPassword := strings.Replace(first, "postgres@", "saba:topsecret@", 1)
	folder := t.TempDir()
	data, restored, toFile := filepath.Join(folder, "data"), filepath.Join(folder, "restored"), filepath.Join(folder, "file")
	s, err := server.Open(t.Context(), server.Options{
		Listen: "127.0.0.1:0", Data: data, Database: withPassword, APIKey: key, Log: slog.New(slog.DiscardHandler), Now: time.Now, Random: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	if err := announce(&said, s, data); err != nil || !strings.Contains(said.String(), "Database  postgres://127.0.0.1:"+postgres.Port+"/first\n") {
		t.Errorf("a start says %q, error %v; want the name of the database", said.String(), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	url, backup := filepath.Join(folder, "url"), filepath.Join(folder, "b.tar.gz")
	if err := os.WriteFile(url, []byte(withPassword), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		args []string
		code int
		says string // on stdout when the code is 0, else on stderr
	}{
		{[]string{"backup", backup, "--data", data}, 2, "goes with the database"},
		{[]string{"backup", backup, "--data", data, "--database", withPassword}, 2, "everybody on this machine"},
		{[]string{"backup", backup, "--data", data, "--database", "saba.db"}, 2, "must begin with postgres://"},
		{[]string{"backup", backup, "--data", data, "--database-file", url}, 0, "was read back and is whole"},
		{[]string{"restore", backup, "--data", restored, "--database-file", url}, 1, "is not empty"},
		{[]string{"restore", backup, "--data", restored, "--database", second}, 0, "in postgres://127.0.0.1:" + postgres.Port + "/second"},
		{[]string{"restore", backup, "--data", toFile}, 0, "every checksum as it was written"},
		{[]string{"doctor", "--data", toFile}, 0, "is whole"},
	} {
		code, stdout, stderr := run(t, step.args...)
		said := stdout
		if step.code != 0 {
			said = stderr
		}
		if code != step.code || !strings.Contains(said, step.says) || strings.Count(said, "\n") != 1 || strings.Contains(stdout+stderr, "secret") {
			t.Errorf("saba %v = %d with %q and %q, want %d and one line with %q", step.args, code, stdout, stderr, step.code, step.says)
		}
	}
	// The engine of the tests does not sync, which doctor notes.
	if code, stdout, stderr := run(t, "doctor", "--data", restored, "--database", second); code != 0 || !strings.Contains(stdout, "note: postgres://") || !strings.Contains(stdout, "is whole") {
		t.Errorf("saba doctor = %d with %q and %q", code, stdout, stderr)
	}
}
