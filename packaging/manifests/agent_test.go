package manifests

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// agentBinary builds the agent.
func agentBinary(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "saba-agent")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", binary, "./cmd/saba-agent")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOARCH="+runtime.GOARCH)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// checkConfig asks the agent what it would do in an environment that holds nothing else, and returns what it said.
func checkConfig(t *testing.T, binary string, environ map[string]string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, "container-agent", "check-config")
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	for name, value := range environ {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("with %q the agent does not start: %v\n%s", cmd.Env, err, out)
	}
	return string(out)
}

// The agent takes the environments and files that the manifests give it.
func TestTheAgentTakesTheManifests(t *testing.T) {
	binary := agentBinary(t)
	for folder, want := range map[string][]string{
		"elixir": {"platform +kubernetes\n", "role +shop:web", "plugin beam +json", "check heartbeat +http"},
		"node":   {"platform +kubernetes_node\n", "role +kubernetes:node"},
	} {
		objects, err := build("../kubernetes/" + folder)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, w := range workloads(objects) {
			for _, c := range w.template.Spec.Containers {
				if c.Name != "saba-agent" {
					continue
				}
				found = true
				out := checkConfig(t, binary, environOf(t, objects, w, c))
				for _, line := range want {
					if !regexp.MustCompile(line).MatchString(out) {
						t.Errorf("%s: the agent says\n%s\nwant %q", folder, out, line)
					}
				}
			}
		}
		if !found {
			t.Errorf("%s starts no agent", folder)
		}
	}
}

// environOf returns the environment of a container in a Pod on node-1. The files of its ConfigMaps are put into a folder of
// this machine, and named there.
func environOf(t *testing.T, objects []object, w workload, c corev1.Container) map[string]string {
	t.Helper()
	files := map[string]string{} // by their place in the container
	for _, m := range c.VolumeMounts {
		for _, v := range w.template.Spec.Volumes {
			if v.Name != m.Name || v.ConfigMap == nil {
				continue
			}
			for _, o := range objects {
				held, ok := o.typed.(*corev1.ConfigMap)
				if !ok || held.Name != v.ConfigMap.Name {
					continue
				}
				dir := t.TempDir()
				for name, text := range held.Data {
					if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
					files[filepath.Join(m.MountPath, name)] = filepath.Join(dir, name)
				}
			}
		}
	}
	environ := map[string]string{"MACKEREL_APIKEY": "of the Secret"}
	fields := map[string]string{"status.hostIP": "192.0.2.7", "metadata.namespace": "shop", "metadata.name": "shop-1", "spec.nodeName": "node-1"}
	for _, e := range c.Env {
		environ[e.Name] = e.Value
		if e.ValueFrom != nil {
			value, known := fields[e.ValueFrom.FieldRef.FieldPath]
			if !known {
				t.Errorf("%s is from %s", e.Name, e.ValueFrom.FieldRef.FieldPath)
			}
			environ[e.Name] = value
		}
		if here, ok := files[e.Value]; ok {
			environ[e.Name] = here
		} else if strings.HasPrefix(e.Value, "/") {
			t.Errorf("no volume brings %s, which %s names", e.Value, e.Name)
		}
	}
	return environ
}

// And that of the task definition.
func TestTheAgentTakesTheTaskDefinition(t *testing.T) {
	b, err := os.ReadFile("../ecs/task-definition.json")
	if err != nil {
		t.Fatal(err)
	}
	var task struct {
		ContainerDefinitions []struct {
			Name        string
			Environment []struct{ Name, Value string }
			Secrets     []struct{ Name string }
		}
	}
	if err := json.Unmarshal(b, &task); err != nil {
		t.Fatal(err)
	}
	// What ECS sets besides.
	environ := map[string]string{"ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/x", "ECS_CONTAINER_METADATA_URI": "http://169.254.170.2/v3/x", "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE"}
	for _, c := range task.ContainerDefinitions {
		if c.Name != "saba-agent" {
			continue
		}
		for _, e := range c.Environment {
			environ[e.Name] = e.Value
		}
		for _, s := range c.Secrets {
			environ[s.Name] = "of the secret"
		}
	}
	if out := checkConfig(t, agentBinary(t), environ); !regexp.MustCompile(`platform +ecs\n`).MatchString(out) || !strings.Contains(out, "shop:web") {
		t.Errorf("the agent says\n%s", out)
	}
}

// Each command of the pages is one that a test runs, or says what it needs.
func TestCommandsOfThePages(t *testing.T) {
	ran := map[string]string{
		"make image": "TestMain of packaging/image",
		"skopeo copy --all oci-archive:bin/images/saba-agent.tar docker://registry.example/saba-agent:0.1.0": "TestARegistryTakesTheImage",
		"skopeo copy --all oci-archive:bin/images/saba.tar docker://registry.example/saba:0.1.0":             "TestARegistryTakesTheImage, with the agent's",
	}
	needs := regexp.MustCompile(` # needs (a cluster|AWS)$`)
	for _, page := range []string{"kubernetes.md", "ecs.md"} {
		b, err := os.ReadFile("../../docs/" + page)
		if err != nil {
			t.Fatal(err)
		}
		commands := 0
		for n, block := range strings.Split(string(b), "```sh\n") {
			if n == 0 {
				continue
			}
			text, _, _ := strings.Cut(block, "\n```")
			for line := range strings.Lines(text) {
				line = strings.TrimSpace(line)
				commands++
				if ran[line] == "" && !needs.MatchString(line) {
					t.Errorf("%s: nothing runs %q, and it does not say what it needs", page, line)
				}
				for _, folder := range regexp.MustCompile(`packaging/[\w/.-]+`).FindAllString(line, -1) {
					if _, err := os.Stat("../../" + folder); err != nil {
						t.Errorf("%s: %v", page, err)
					}
				}
			}
		}
		if commands == 0 {
			t.Errorf("%s has no commands", page)
		}
	}
}
