package saba_test

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/saba-monitor/saba"

// arrows says which packages of this module each package may import besides the root. A
// package that is missing here fails the test: whoever adds one decides where it stands.
var arrows = map[string][]string{
	"": {},

	"check":        {"internal/statefile", "internal/argv"},
	"check/target": {"check"},

	"checks": {
		"check",
		"checks/cert",
		"checks/disk",
		"checks/http",
		"checks/load",
		"checks/log",
		"checks/mysql",
		"checks/postgresql",
		"checks/procs",
		"checks/redis",
		"checks/tcp",
		"checks/uptime",
	},
	"checks/cert":       {"check", "check/target"},
	"checks/disk":       {"check", "plugin/target/mount"},
	"checks/http":       {"check", "check/target", "internal/proxy", "internal/argv"},
	"checks/load":       {"check"},
	"checks/log":        {"check", "internal/follow"},
	"checks/mysql":      {"check", "plugin/target/mysql"},
	"checks/postgresql": {"check", "plugin/target/postgres"},
	"checks/procs":      {"check", "plugin/target/process"},
	"checks/redis":      {"check", "plugin/target"},
	"checks/tcp":        {"check", "check/target"},
	"checks/uptime":     {"check"},

	"client": {},

	"cmd/saba":          {"internal/cli", "internal/servercli", "internal/argv"},
	"cmd/saba-agent":    {"internal/cli", "internal/argv"},
	"cmd/saba-agent-s3": {"internal/s3"},

	"e2e": {},

	"examples/sh":    {},
	"examples/spool": {"plugin"},

	"internal/absent":    {},
	"internal/agent":     {"client", "internal/collect", "internal/proxy"},
	"internal/api":       {"internal/auth", "internal/body", "internal/drain", "internal/hush", "internal/logline"},
	"internal/argv":      {},
	"internal/auth":      {},
	"internal/body":      {},
	"internal/chart":     {},
	"internal/cli":       {"check", "checks", "client", "internal/agent", "internal/collect", "internal/location", "internal/platform", "internal/proxy", "internal/statefile", "internal/tail", "plugin", "plugins", "internal/argv"},
	"internal/collect":   {"internal/inturn", "plugin/target/mount"},
	"internal/dial":      {},
	"internal/drain":     {"internal/auth", "internal/hush", "internal/logline", "internal/otlp"},
	"internal/follow":    {},
	"internal/hush":      {},
	"internal/ingest":    {},
	"internal/inturn":    {},
	"internal/logline":   {},
	"internal/location":  {},
	"internal/monitor":   {"internal/dial"},
	"internal/notify":    {},
	"internal/otlp":      {"internal/protowire"},
	"internal/picture":   {"internal/chart", "internal/monitor"},
	"internal/platform":  {"internal/collect"},
	"internal/promapi":   {"internal/auth", "internal/body", "internal/hush", "internal/otlp", "internal/protowire"},
	"internal/replay":    {"internal/monitor", "internal/notify"},
	"internal/protowire": {},
	"internal/proxy":     {},
	"internal/s3":        {},
	"internal/scenario":  {},
	"internal/server":    {"internal/absent", "internal/api", "internal/auth", "internal/body", "internal/dial", "internal/drain", "internal/ingest", "internal/monitor", "internal/notify", "internal/picture", "internal/promapi", "internal/replay", "internal/sqldb", "internal/syslog", "internal/tsdb", "internal/web"},
	"internal/servercli": {"client", "internal/absent", "internal/agent", "internal/cli", "internal/collect", "internal/dial", "internal/monitor", "internal/server"},
	"internal/sqldb":     {},
	"internal/statefile": {},
	"internal/syslog":    {"internal/drain", "internal/hush", "internal/logline"},
	"internal/tail":      {"internal/follow", "internal/statefile"},
	"internal/tsdb":      {},
	"internal/web":       {"internal/chart", "internal/drain", "internal/logline", "internal/monitor"},

	"plugin":                 {"internal/statefile", "internal/argv"},
	"plugin/target":          {"plugin", "internal/argv"},
	"plugin/target/mount":    {"internal/inturn"},
	"plugin/target/mysql":    {},
	"plugin/target/postgres": {},
	"plugin/target/process":  {},

	"plugins": {
		"plugin",
		"plugins/delayed_job",
		"plugins/gostats",
		"plugins/inode",
		"plugins/json",
		"plugins/multicore",
		"plugins/mysql",
		"plugins/nginx",
		"plugins/postgres",
		"plugins/proc-fd",
		"plugins/procs",
		"plugins/redis",
		"plugins/sidekiq",
		"plugins/uptime",
	},
	"plugins/delayed_job": {"plugin", "plugin/target", "plugin/target/mysql", "plugin/target/postgres"},
	"plugins/gostats":     {"plugin", "plugin/target"},
	"plugins/inode":       {"plugin", "plugin/target/mount"},
	"plugins/json":        {"plugin", "plugin/target"},
	"plugins/multicore":   {"plugin"},
	"plugins/mysql":       {"plugin", "plugin/target", "plugin/target/mysql"},
	"plugins/nginx":       {"plugin", "plugin/target"},
	"plugins/postgres":    {"plugin", "plugin/target", "plugin/target/postgres"},
	"plugins/proc-fd":     {"plugin", "plugin/target/process"},
	"plugins/procs":       {"plugin", "plugin/target/process"},
	"plugins/redis":       {"plugin", "plugin/target"},
	"plugins/sidekiq":     {"plugin", "plugin/target"},
	"plugins/uptime":      {"plugin"},

	"stats":           {},
	"stats/heartbeat": {"stats"},

	// For tests alone: no arrow above leads to one of them.
	"check/checktest":            {"check"},
	"internal/browsertest":       {},
	"internal/pages":             {},
	"internal/storetest":         {},
	"plugin/plugintest":          {"plugin"},
	"plugin/target/targettest":   {},
	"plugin/target/mysqltest":    {"plugin/target/mysql"},
	"plugin/target/postgrestest": {},
	"plugin/target/redistest":    {"plugin/target"},
}

// testArrows says what a package's tests may import besides: real parts, never upwards.
var testArrows = map[string][]string{
	"check": {"check/checktest"},

	"checks":            {"check/checktest", "internal/pages"},
	"checks/cert":       {"check/checktest", "plugin/target/postgrestest", "plugin/target/targettest"},
	"checks/disk":       {"check/checktest"},
	"checks/http":       {"check/checktest", "plugin/target/targettest"},
	"checks/load":       {"check/checktest"},
	"checks/log":        {"check/checktest"},
	"checks/mysql":      {"check/checktest", "plugin/target/mysqltest"},
	"checks/postgresql": {"check/checktest", "plugin/target/postgrestest", "plugin/target/targettest"},
	"checks/procs":      {"check/checktest"},
	"checks/redis":      {"check/checktest", "plugin/target/redistest", "plugin/target/targettest"},
	"checks/tcp":        {"check/checktest", "plugin/target/redistest", "plugin/target/targettest"},
	"checks/uptime":     {"check/checktest"},

	"client": {"internal/api", "internal/ingest", "internal/sqldb", "internal/tsdb"},

	"e2e": {"internal/browsertest", "plugin/target/redistest"},

	"examples/spool": {"plugin/plugintest"},

	"internal/agent":     {"check", "checks", "internal/api", "internal/ingest", "internal/sqldb", "internal/tsdb"},
	"internal/api":       {"client", "internal/ingest", "internal/replay", "internal/sqldb", "internal/tsdb"},
	"internal/monitor":   {"internal/promapi", "internal/sqldb", "internal/tsdb", "plugin/target/targettest"},
	"internal/scenario":  {"internal/absent", "internal/dial", "internal/drain", "internal/ingest", "internal/monitor", "internal/notify", "internal/promapi", "internal/sqldb", "internal/tsdb", "plugin/target/targettest"},
	"internal/drain":     {"internal/ingest", "internal/protowire", "internal/sqldb", "internal/tsdb"},
	"internal/ingest":    {"internal/sqldb", "internal/tsdb"},
	"internal/notify":    {"internal/sqldb", "plugin/target/targettest"},
	"internal/picture":   {"internal/sqldb", "internal/tsdb"},
	"internal/promapi":   {"internal/ingest", "internal/sqldb", "internal/tsdb"},
	"internal/server":    {"internal/logline", "internal/protowire", "plugin/target/postgrestest"},
	"internal/servercli": {"plugin/target/postgrestest"},
	"internal/sqldb":     {"internal/storetest", "plugin/target/postgrestest"},
	"internal/syslog":    {"internal/ingest", "internal/sqldb", "internal/tsdb"},
	"internal/tsdb":      {"internal/storetest"},
	"internal/tail":      {"internal/drain", "internal/ingest", "internal/sqldb", "internal/tsdb"},
	"internal/web":       {"internal/browsertest", "internal/promapi", "internal/replay", "internal/sqldb", "internal/tsdb", "internal/ingest"},

	"plugin/target":          {"plugin/target/redistest", "plugin/target/targettest"},
	"plugin/target/mysql":    {"plugin/target/mysqltest"},
	"plugin/target/postgres": {"plugin/target/postgrestest", "plugin/target/targettest"},

	"plugins":             {"internal/pages"},
	"plugins/delayed_job": {"plugin/plugintest", "plugin/target/mysqltest", "plugin/target/postgrestest", "plugin/target/targettest"},
	"plugins/gostats":     {"plugin/plugintest", "stats"},
	"plugins/inode":       {"plugin/plugintest"},
	"plugins/multicore":   {"plugin/plugintest"},
	"plugins/mysql":       {"plugin/plugintest", "plugin/target/mysqltest", "plugin/target/targettest"},
	"plugins/nginx":       {"plugin/plugintest"},
	"plugins/postgres":    {"plugin/plugintest", "plugin/target/postgrestest", "plugin/target/targettest"},
	"plugins/proc-fd":     {"plugin/plugintest"},
	"plugins/procs":       {"plugin/plugintest"},
	"plugins/redis":       {"plugin/plugintest", "plugin/target/redistest"},
	"plugins/sidekiq":     {"plugin/plugintest", "plugin/target/redistest"},
	"plugins/uptime":      {"plugin/plugintest"},
}

// modules lists every third-party module that may be required directly, who may import it,
// and why it is better than code of ours.
var modules = map[string]struct {
	importers []string
	reason    string
}{
	"github.com/prometheus/prometheus":                {[]string{"internal/promapi", "internal/tsdb"}, "keeps samples and evaluates PromQL: the most proven embeddable engine, exact and durable (docs/decisions.md)"},
	"github.com/oklog/ulid/v2":                        {[]string{"internal/tsdb"}, "the engine's type for the name of a block, which whoever implements its compactor returns"},
	"github.com/prometheus/client_golang":             {[]string{"internal/api", "internal/ingest", "internal/server", "internal/syslog", "internal/tsdb"}, "saba's own /metrics in the format that everything reads"},
	"modernc.org/sqlite":                              {[]string{"internal/sqldb"}, "SQLite without cgo, so that the binary stays static"},
	"github.com/pelletier/go-toml/v2":                 {[]string{"internal/agent"}, "TOML with the line of every mistake"},
	"go.yaml.in/yaml/v3":                              {[]string{"internal/agent"}, "YAML with the line of every node, for the files of container agents"},
	"github.com/aws/aws-sdk-go-v2":                    {[]string{"internal/s3"}, "AWS's own client: where credentials come from, how requests are signed; in a program of its own, as it costs each process 3 MiB"},
	"github.com/aws/aws-sdk-go-v2/config":             {[]string{"internal/s3"}, "the same"},
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager": {[]string{"internal/s3"}, "the same: in which region a bucket is"},
	"github.com/aws/aws-sdk-go-v2/service/s3":         {[]string{"internal/s3"}, "the same: S3"},
	"golang.org/x/crypto":                             {[]string{"internal/web"}, "argon2id for passwords"},
	"golang.org/x/image":                              {[]string{"internal/chart"}, "fonts with their outlines, and filled polygons, for pictures of graphs"},
	"golang.org/x/sync":                               {[]string{"internal/server", "internal/servercli", "internal/tsdb"}, "errgroup: goroutines that are waited for"},
	"golang.org/x/sys":                                {[]string{"internal/follow", "internal/agent", "internal/collect", "plugin/target/mount", "internal/tsdb", "plugin/target/process"}, "statfs, uname, boot time, timer slack, and fdatasync, which the standard library lacks"},
	"golang.org/x/text":                               {[]string{"checks/log"}, "reads logs in EUC-JP, Shift_JIS and the like"},
	"golang.org/x/time":                               {[]string{"internal/web"}, "a token bucket for failed logins"},
	"github.com/go-sql-driver/mysql":                  {[]string{"plugin/target/mysql"}, "speaks to MySQL and MariaDB, with each of their ways to log in"},
	"github.com/jackc/pgx/v5":                         {[]string{"internal/sqldb", "plugin/target/postgrestest", "plugin/target/postgres"}, "speaks to PostgreSQL: SCRAM, TLS, .pgpass, several hosts; outside of internal/sqldb its pgconn alone"},
	"github.com/spf13/pflag":                          {[]string{"check"}, "flags as other checks have them: --long and -s"},
	"github.com/wneessen/go-mail":                     {[]string{"internal/notify"}, "writes MIME messages and speaks SMTP: encodings of headers, line lengths, STARTTLS, ways to log in"},
	"github.com/rogpeppe/go-internal":                 {nil, "tests: testscript runs the command line as its user does"},
	"github.com/chromedp/chromedp":                    {[]string{"internal/browsertest"}, "tests: drives a real Chromium"},
	"github.com/chromedp/cdproto":                     {[]string{"internal/browsertest"}, "tests: the browser's protocol, of which chromedp is the driver"},
}

type listed struct {
	ImportPath, Dir                    string
	Imports, TestImports, XTestImports []string
}

func list(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,Imports,TestImports,XTestImports"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all []listed
	dec := json.NewDecoder(out)
	for {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return all
}

// rel returns the path of an import inside this module, and whether it is inside.
func rel(path string) (string, bool) {
	if path == module {
		return "", true
	}
	return strings.CutPrefix(path, module+"/")
}

// moduleOf returns the listed module that an import belongs to, "" for the standard library,
// and the import path itself when no listed module has it.
func moduleOf(path string) string {
	first, _, _ := strings.Cut(path, "/")
	if !strings.Contains(first, ".") {
		return ""
	}
	for m := range modules {
		if path == m || strings.HasPrefix(path, m+"/") {
			return m
		}
	}
	return path
}

func TestImportsFollowTheArrows(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range list(t, "./...") {
		from, _ := rel(p.ImportPath)
		allowed, known := arrows[from]
		if !known {
			t.Errorf("package %q has no place in arrows (deps_test.go): say what it may import", from)
		}
		seen[from] = true
		check := func(imports, allowed []string, isTest bool) {
			for _, path := range imports {
				if to, ours := rel(path); ours {
					if to != "" && to != from && !slices.Contains(allowed, to) {
						t.Errorf("package %q imports %q, which no arrow allows (deps_test.go)", from, to)
					}
					continue
				}
				m := moduleOf(path)
				if m == "" {
					continue
				}
				if entry, ok := modules[m]; !ok {
					t.Errorf("package %q imports %s, which is not on the list of allowed modules (deps_test.go)", from, path)
				} else if !isTest && !slices.Contains(entry.importers, from) {
					t.Errorf("package %q imports %s, which is allowed in %v only (deps_test.go)", from, path, entry.importers)
				}
			}
		}
		check(p.Imports, allowed, false)
		both := slices.Concat(allowed, testArrows[from])
		check(p.TestImports, both, true)
		check(p.XTestImports, both, true)
	}
	for _, from := range slices.Sorted(maps.Keys(arrows)) {
		if !seen[from] {
			t.Errorf("arrows (deps_test.go) names %q, which does not exist", from)
		}
	}
}

func TestTheRootImportsTheStandardLibraryOnly(t *testing.T) {
	for _, p := range list(t, "-deps", ".") {
		if first, _, _ := strings.Cut(p.ImportPath, "/"); strings.Contains(first, ".") && p.ImportPath != module {
			t.Errorf("the root package links %s", p.ImportPath)
		}
	}
}

func TestTheAgentBinaryLinksNoServer(t *testing.T) {
	for _, p := range list(t, "-deps", "./cmd/saba-agent") {
		from, ours := rel(p.ImportPath)
		switch {
		case ours && slices.Contains([]string{"internal/server", "internal/servercli", "internal/api", "internal/web", "internal/tsdb", "internal/sqldb", "internal/ingest", "internal/promapi", "internal/chart", "internal/replay"}, from),
			strings.HasPrefix(p.ImportPath, "github.com/prometheus/"),
			strings.HasPrefix(p.ImportPath, "modernc.org/"),
			p.ImportPath == "html/template": // database/sql is there for the plugins of databases alone, whose driver links it
			t.Errorf("saba-agent links %s", p.ImportPath)
		}
	}
}

func TestTheServerLinksNoCloudSDK(t *testing.T) {
	for _, p := range list(t, "-deps", "./cmd/saba") {
		for _, sdk := range []string{"github.com/aws/", "github.com/Azure/azure-sdk-for-go/sdk/internal/", "github.com/AzureAD/", "cloud.google.com/go/auth", "google.golang.org/grpc", "go.opentelemetry.io/"} {
			if strings.HasPrefix(p.ImportPath, sdk) && !strings.Contains(p.Dir, "/third_party/") { // the stand-ins have their names
				t.Errorf("saba links %s, which a stand-in should keep out (third_party/README.md)", p.ImportPath)
			}
		}
	}
}

func TestRequiredModulesAreTheAllowedOnes(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	required := map[string]bool{}
	for _, r := range mod.Require {
		if r.Indirect {
			continue
		}
		required[r.Path] = true
		if _, ok := modules[r.Path]; !ok {
			t.Errorf("go.mod requires %s, which is not on the list of allowed modules (deps_test.go)", r.Path)
		}
	}
	for m, entry := range modules {
		if !required[m] {
			t.Errorf("the list of allowed modules (deps_test.go) has %s, which go.mod does not require", m)
		}
		if entry.reason == "" {
			t.Errorf("module %s is allowed without a reason", m)
		}
	}
}
