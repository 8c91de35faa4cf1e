package platform

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// An ecsRig is a task metadata endpoint and the environment of a container of the task.
type ecsRig struct {
	*httptest.Server
	environ map[string]string

	mu          sync.Mutex
	task, stats string
	answer      http.HandlerFunc // in place of all else; nil is none
	asked       []string
}

func newECSRig(t *testing.T) *ecsRig {
	t.Helper()
	read := func(name string) string {
		b, err := os.ReadFile("testdata/ecs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	r := &ecsRig{task: read("task-awsvpc.json"), stats: read("stats.json")}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asked = append(r.asked, req.URL.Path)
		switch {
		case r.answer != nil:
			r.answer(w, req)
		case req.URL.Path == "/v4/id/task":
			io.WriteString(w, r.task)
		case req.URL.Path == "/v4/id/task/stats":
			io.WriteString(w, r.stats)
		default:
			http.NotFound(w, req)
		}
	}))
	t.Cleanup(r.Close)
	r.environ = map[string]string{"ECS_CONTAINER_METADATA_URI_V4": r.URL + "/v4/id", "ECS_CONTAINER_METADATA_URI": "http://127.0.0.1:1/v3/id", "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE"}
	return r
}

func (r *ecsRig) open(t *testing.T, ignore *regexp.Regexp) Platform {
	t.Helper()
	getenv := func(name string) string { return r.environ[name] }
	p, err := New("ecs", Options{Setting: Setting(getenv), Getenv: getenv, Ignore: ignore})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (r *ecsRig) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// laterTask returns the stats a minute on.
func laterTask(stats string) string {
	return strings.NewReplacer(
		"10:00:00Z", "10:01:00Z",
		`"total_usage": 400000000000`, `"total_usage": 415000000000`, // 15 s in 60 s
		`"total_usage": 200000000`, `"total_usage": 203000000`, // 3 ms
		`"periods": 1000, "throttled_periods": 100`, `"periods": 1600, "throttled_periods": 160`,
		`"rx_bytes": 1000, "tx_bytes": 2000`, `"rx_bytes": 7000, "tx_bytes": 14000`,
	).Replace(stats)
}

func TestTheTaskOfECS(t *testing.T) {
	r := newECSRig(t)
	p := r.open(t, nil)
	if err := p.Running(t.Context()); err != nil {
		t.Fatal(err)
	}
	f, err := Facts(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if f.Name != "158d1c8083dd49d6b527399fd6414f5c" || f.CustomIdentifier != "158d1c8083dd49d6b527399fd6414f5c.ecs" || len(f.Meta.CPU) == 0 || f.Meta.Kernel != nil {
		t.Errorf("facts = %+v", f)
	}
	cloud, err := json.Marshal(f.Meta.Cloud)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"provider":"fargate","metadata":{"cluster":"arn:aws:ecs:eu-central-1:111122223333:cluster/shop","task":"158d1c8083dd49d6b527399fd6414f5c",` +
		`"task_arn":"arn:aws:ecs:eu-central-1:111122223333:task/shop/158d1c8083dd49d6b527399fd6414f5c","task_family":"web","task_version":"26","desired_status":"RUNNING","known_status":"RUNNING","containers":[` +
		`{"docker_id":"158d1c8083dd49d6b527399fd6414f5c-0206271204","docker_name":"app","name":"app","image":"registry.example.com/shop/web:1","image_id":"sha256:aaaa",` +
		`"ports":[{"container_port":4000,"protocol":"tcp","host_port":4000}],"labels":{"com.amazonaws.ecs.container-name":"app"},"desired_status":"RUNNING","known_status":"RUNNING",` +
		`"limits":{"cpu":256,"memory":512},"created_at":"2026-11-20T09:00:08Z","started_at":"2026-11-20T09:00:09Z","type":"NORMAL",` +
		`"networks":[{"network_mode":"awsvpc","ipv4_addresses":["10.0.2.106"]}],"health":{"status":1,"status_since":"2026-11-20T09:01:00Z","exit_code":0,"output":"ok"}},` +
		`{"docker_id":"158d1c8083dd49d6b527399fd6414f5c-2495160603","name":"saba-agent","image":"registry.example.com/saba:1","image_id":"sha256:bbbb","desired_status":"RUNNING","known_status":"RUNNING",` +
		`"limits":{"cpu":2},"created_at":"2026-11-20T09:00:08Z","started_at":"2026-11-20T09:00:09Z","type":"NORMAL","networks":[{"network_mode":"awsvpc","ipv4_addresses":["10.0.2.106"]}],"health":{}},` +
		`{"docker_id":"158d1c8083dd49d6b527399fd6414f5c-9999","name":"migrate","desired_status":"STOPPED","known_status":"STOPPED","exit_code":0,"limits":{},"finished_at":"2026-11-20T09:00:12Z","networks":[{"network_mode":"awsvpc"}]}],` +
		`"pull_started_at":"2026-11-20T09:00:00.101Z","pull_stopped_at":"2026-11-20T09:00:07.202Z","limits":{"cpu":0.5,"memory":1024}}}`
	if string(cloud) != want {
		t.Errorf("cloud = %s\nwant    %s", cloud, want)
	}

	w := watch(p)
	first, err := w.values(t)
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string]float64{
		"container.cpu.app.limit": 50, "container.memory.app.usage": 200000000, "container.memory.app.limit": 512 << 20,
		"container.cpu.saba-agent.limit": 50, "container.memory.saba-agent.usage": 12000000, "container.memory.saba-agent.limit": 1 << 30,
		"container.cpu.migrate.limit": 50, "container.memory.migrate.limit": 1 << 30,
		"custom.container.app.limit.memory": 200000000. / (512 << 20) * 100, "custom.container.saba-agent.limit.memory": 12000000. / (1 << 30) * 100,
		"custom.container.app.memory.rss": 150000000, "custom.container.saba-agent.memory.rss": 11000000, "custom.container.app.restarts.total": 2,
	}
	near(t, "first", first, wanted)
	r.set(func() { r.stats = laterTask(r.stats) })
	w.now += 61 * time.Second
	second, err := w.values(t)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(wanted, map[string]float64{
		"container.cpu.app.usage": 25, "container.cpu.saba-agent.usage": 0.005, "custom.container.app.limit.cpu": 50,
		"custom.container.saba-agent.limit.cpu": 0.01, "custom.container.app.throttling.percentage": 10,
	})
	near(t, "second", second, wanted)
	if !p.OwnNetwork() {
		t.Error("the containers of a task with a network of its own share this process's")
	}
	if asked := strings.Join(r.asked, " "); asked != "/v4/id/task /v4/id/task /v4/id/task/stats /v4/id/task/stats" {
		t.Errorf("the endpoint was asked %s", asked)
	}
}

func TestATaskInABridgeNetwork(t *testing.T) {
	r := newECSRig(t)
	r.environ = map[string]string{"ECS_CONTAINER_METADATA_URI": r.URL + "/v4/id", "AWS_EXECUTION_ENV": "AWS_ECS_EC2"} // version 3 has the same shape
	r.task = strings.NewReplacer(`"awsvpc"`, `"bridge"`, `"Limits": {"CPU": 0.5, "Memory": 1024}`, `"Limits": {}`).Replace(r.task)
	p := r.open(t, regexp.MustCompile("^(saba-agent|migrate)$"))
	w := watch(p)
	if _, err := w.values(t); err != nil {
		t.Fatal(err)
	}
	r.set(func() { r.stats = laterTask(r.stats) })
	w.now += 60 * time.Second
	got, err := w.values(t)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "bridge", got, map[string]float64{
		"container.cpu.app.usage": 25, "container.cpu.app.limit": float64(runtime.NumCPU()) * 100, "container.memory.app.usage": 200000000, "container.memory.app.limit": 512 << 20,
		"interface.app-eth1.rxBytes.delta": 100, "interface.app-eth1.txBytes.delta": 200, "custom.container.app.limit.memory": 200000000. / (512 << 20) * 100,
		"custom.container.app.memory.rss": 150000000, "custom.container.app.throttling.percentage": 10, "custom.container.app.restarts.total": 2,
	})
	if p.OwnNetwork() {
		t.Error("in a bridge network no container has this process's interfaces")
	}
	if asked := strings.Count(strings.Join(r.asked, " ")+" ", "/task "); asked != 1 {
		t.Errorf("the task was asked for %d times, want once: containers that are left out are known", asked)
	}
}

// A container that was started anew has another id, and counters that begin anew.
func TestAContainerOfATaskThatStartsAnew(t *testing.T) {
	r := newECSRig(t)
	w := watch(r.open(t, nil))
	if _, err := w.values(t); err != nil {
		t.Fatal(err)
	}
	r.set(func() {
		renew := strings.NewReplacer("-0206271204", "-777", `"total_usage": 400000000000`, `"total_usage": 500000000000`, "10:00:00Z", "10:01:00Z", `"RestartCount": 2`, `"RestartCount": 3`)
		r.task, r.stats = renew.Replace(r.task), renew.Replace(r.stats)
	})
	w.now += time.Minute
	got, err := w.values(t)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := got["container.cpu.app.usage"]; ok || got["custom.container.app.restarts.total"] != 3 {
		t.Errorf("the new container has used %v (%t), and was started anew %v times; want no rate over two lives, and 3", v, ok, got["custom.container.app.restarts.total"])
	}
}

func TestAnEndpointThatFails(t *testing.T) {
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		err    string
	}{
		"500":     {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "it is unwell", 500) }, "answers 500 (it is unwell)"},
		"404":     {http.NotFound, "answers 404"},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, "is not what ECS tells"},
		"cut short": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "{")
		}, "is cut short"},
		"too large": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat(" ", maxECSBody+2)) }, "is larger than"},
		"hanging":   {func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }, "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newECSRig(t)
			r.set(func() { r.answer = tt.answer })
			p := r.open(t, nil)
			if name == "hanging" {
				p.(*ecs).client.Timeout = 50 * time.Millisecond
			}
			values, err := watch(p).values(t)
			if err == nil || !strings.Contains(err.Error(), tt.err) || len(values) > 0 {
				t.Errorf("%d values, error %v; want one that says %q", len(values), err, tt.err)
			}
			if err := p.Running(t.Context()); err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("Running = %v", err)
			}
			if _, err := p.Facts(t.Context()); err == nil {
				t.Error("a task that is not known has facts")
			}
		})
	}
}

func TestATaskWithoutAPart(t *testing.T) {
	const container = `{"KnownStatus":"RUNNING","TaskARN":"arn:aws:ecs:r:1:task/abc","Containers":[{"DockerId":"x","Name":"app","Networks":[{"NetworkMode":"host"}]}]}`
	for name, tt := range map[string]struct {
		task, stats string
		want        []string // besides the limits
		err         string
	}{
		"no stats":            {container, `{}`, nil, ""},
		"null stats":          {container, `{"x":null}`, nil, ""},
		"empty stats":         {container, `{"x":{}}`, nil, ""},
		"only memory":         {container, `{"x":{"memory_stats":{"usage":5}}}`, []string{"container.memory.app.usage"}, ""},
		"a cache above usage": {container, `{"x":{"memory_stats":{"usage":5,"stats":{"inactive_file":9}}}}`, []string{"container.memory.app.usage"}, ""},
		"a text for a number": {container, `{"x":{"cpu_stats":{"cpu_usage":{"total_usage":"many"}},"memory_stats":{"usage":5}}}`, []string{"container.memory.app.usage"}, "which is left out"},
		"null":                {`null`, `null`, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newECSRig(t)
			r.task, r.stats = tt.task, tt.stats
			got, err := watch(r.open(t, nil)).values(t)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			for _, name := range tt.want {
				if _, ok := got[name]; !ok {
					t.Errorf("no %s in %v", name, got)
				}
				delete(got, name)
			}
			for name := range got {
				if !strings.HasSuffix(name, ".limit") {
					t.Errorf("%s = %v, want none", name, got[name])
				}
			}
		})
	}
}

func TestATaskThatIsNone(t *testing.T) {
	for arn, want := range map[string]string{
		"arn:aws:ecs:eu-central-1:1:task/shop/abc": "abc", "arn:aws:ecs:eu-central-1:1:task/abc": "abc",
		"": "", "arn:aws:ecs:eu-central-1:1:task/": "", "arn:aws:ecs:eu-central-1:1:task": "", "arn:aws:ecs:eu-central-1:1:service/abc": "", "x:y": "",
	} {
		if id, ok := (&ecsTask{ARN: arn}).id(); id != want && ok || ok != (want != "") {
			t.Errorf("%q is the task %q, %t; want %q", arn, id, ok, want)
		}
	}
	r := newECSRig(t)
	r.task = `{"TaskARN":"nonsense","KnownStatus":"PENDING"}`
	p := r.open(t, nil)
	if f, err := p.Facts(t.Context()); err == nil || !strings.Contains(err.Error(), `"nonsense"`) || f.Name != "" {
		t.Errorf("facts %+v, error %v", f, err)
	}
	if err := p.Running(t.Context()); err == nil || err.Error() != "the task is PENDING, not RUNNING" {
		t.Errorf("Running = %v", err)
	}
}

func TestTheSettingsOfECS(t *testing.T) {
	for name, tt := range map[string]struct {
		environ map[string]string
		want    string // "" is none
	}{
		"nothing":       {nil, "neither ECS_CONTAINER_METADATA_URI_V4 nor ECS_CONTAINER_METADATA_URI is set"},
		"no URL":        {map[string]string{"ECS_CONTAINER_METADATA_URI": "169.254.170.2/v3"}, `must be a URL, not "169.254.170.2/v3"`},
		"another place": {map[string]string{"ECS_CONTAINER_METADATA_URI": "http://169.254.170.2/v3", "AWS_EXECUTION_ENV": "AWS_Lambda_go1.x"}, `AWS_EXECUTION_ENV is "AWS_Lambda_go1.x"`},
		"outside":       {map[string]string{"ECS_CONTAINER_METADATA_URI": "http://169.254.170.2/v3"}, ""},
	} {
		for _, kind := range []string{"ecs", "fargate", "ecs_anywhere", "ecs_awsvpc", "ecs_v3"} {
			getenv := func(name string) string { return tt.environ[name] }
			_, err := New(kind, Options{Setting: Setting(getenv), Getenv: getenv})
			if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || !errors.Is(err, saba.ErrInvalid)) {
				t.Errorf("%s, %s: %v, want %q", kind, name, err, tt.want)
			}
		}
	}
}

func FuzzTask(f *testing.F) {
	f.Add([]byte(`{"TaskARN":"arn:aws:ecs:r:1:task/abc","Containers":[{"DockerId":"x","Name":"app"}]}`), []byte(`{"x":{"cpu_stats":{}}}`))
	f.Fuzz(func(t *testing.T, task, stats []byte) {
		var parsed ecsTask
		var all map[string]*ecsStats
		if json.Unmarshal(task, &parsed) != nil || json.Unmarshal(stats, &all) != nil {
			return
		}
		if _, err := json.Marshal(parsed.describe()); err != nil {
			t.Error(err)
		}
		parsed.networkMode()
		for _, s := range all {
			s.container(true)
		}
	})
}
