// Package manifests tests the manifests for Kubernetes and the task definition for ECS that stand beside it: against the
// schemas of their platforms, against each other, and with the agent that they start.
package manifests

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// folders is every folder that kustomize builds by itself, with the secrets that people make for it.
var folders = map[string][]string{
	"elixir":         {"saba-agent"},
	"node":           {"saba-agent"},
	"server":         {"saba"},
	"server-ingress": {"saba"},
}

// components are part of others.
var components = []string{"sidecar"}

func TestManifests(t *testing.T) {
	documents := schemas(t)
	for name, secrets := range folders {
		t.Run(name, func(t *testing.T) {
			objects, err := build("../kubernetes/" + name)
			if err != nil {
				t.Fatal(err)
			}
			if len(objects) == 0 || len(workloads(objects)) == 0 {
				t.Fatalf("there is nothing in it: %v", objects)
			}
			for what, err := range map[string]error{"the schema": validate(documents, objects), "references": connect(objects, secrets...), "rights": confine(objects)} {
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
	entries, err := os.ReadDir("../kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		if e.IsDir() {
			found = append(found, e.Name())
		}
	}
	if want := slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(folders)), components...))); !slices.Equal(found, want) {
		t.Errorf("the folders are %q, and %q are tested", found, want)
	}
}

// What somebody breaks in a manifest is said, by whichever of the checks knows of it.
func TestBrokenManifests(t *testing.T) {
	documents := schemas(t)
	for name, tt := range map[string]struct {
		folder, file, old, new string
		want                   string
	}{
		"a misspelt field":        {"server", "statefulset.yaml", "serviceName:", "servicename:", `unknown field "spec.servicename"`},
		"a word for a number":     {"server", "statefulset.yaml", "replicas: 1", "replicas: one", "replicas"},
		"no quantity":             {"server", "statefulset.yaml", "memory: 1Gi", "memory: 1 GB", "quantities must match"},
		"a field of another kind": {"server", "service.yaml", "  ports:", "  replicas: 2\n  ports:", `unknown field "spec.replicas"`},
		"an unknown kind":         {"server", "service.yaml", "kind: Service", "kind: Serwice", `no kind "Serwice"`},
		"an old version":          {"server-ingress", "ingress.yaml", "networking.k8s.io/v1", "networking.k8s.io/v1beta1", "Ingress"},
		"another selector":        {"server", "service.yaml", "app: saba\n  ports", "app: sabre\n  ports", "it selects no Pods"},
		"another port":            {"server", "statefulset.yaml", "name: http\n", "name: web\n", "is probed at port http, which it has not"},
		"labels that differ":      {"elixir", "application.yaml", "matchLabels:\n      app: shop", "matchLabels:\n      app: shob", "its selector does not match"},
		"a lost volume":           {"sidecar", "container.yaml", "- name: saba-agent-state\n          emptyDir", "- name: saba-agent-stat\n          emptyDir", "mounts the volume saba-agent-state, which is not there"},
		"a lost configuration":    {"sidecar", "container.yaml", "configMap:\n            name: saba-agent", "configMap:\n            name: agent", "there is no ConfigMap agent"},
		"a lost secret":           {"sidecar", "container.yaml", "name: saba-agent # MACKEREL_APIKEY", "name: key", "nobody makes the Secret key"},
		"a lost account":          {"sidecar", "container.yaml", "serviceAccountName: saba-agent", "serviceAccountName: agent", "there is no service account agent"},
		"a lost role":             {"sidecar", "access.yaml", "kind: ClusterRole\n  name: saba-agent\n", "kind: ClusterRole\n  name: agent\n", "there is no ClusterRole agent"},
		"a lost Service":          {"server-ingress", "ingress.yaml", "name: saba\n                port", "name: sabre\n                port", "there is no Service sabre"},
		"no version":              {"elixir", "kustomization.yaml", "newTag: 0.1.0", "newName: saba-agent", "the image saba-agent has no version"},
		"root":                    {"sidecar", "container.yaml", "runAsUser: 65532", "runAsUser: 0", "runAsUser=0"},
		"more rights":             {"sidecar", "container.yaml", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "allowPrivilegeEscalation"},
		"capabilities":            {"server", "statefulset.yaml", "drop: [ALL]", "add: [NET_RAW]", "capabilities"},
		"every system call":       {"sidecar", "container.yaml", "type: RuntimeDefault", "type: Unconfined", "seccomp"},
		"a root that is writable": {"sidecar", "container.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "can write to its root file system"},
		"memory without end":      {"sidecar", "container.yaml", "memory: 128Mi", "cpu: 1", "may take all memory"},
		"no YAML":                 {"server", "service.yaml", "spec:", "spec: {", "kustomize"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS("../kubernetes")); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, tt.folder, tt.file)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			broken := strings.Replace(string(b), tt.old, tt.new, 1)
			if broken == string(b) {
				t.Fatalf("%s has no %q to break", file, tt.old)
			}
			if err := os.WriteFile(file, []byte(broken), 0o600); err != nil {
				t.Fatal(err)
			}
			folder := tt.folder
			if slices.Contains(components, folder) {
				folder = "elixir"
			}
			objects, err := build(filepath.Join(dir, folder))
			var said []string
			for _, err := range []error{err, validate(documents, objects), connect(objects, folders[folder]...), confine(objects)} {
				if err != nil {
					said = append(said, err.Error())
				}
			}
			if all := strings.Join(said, "\n"); !strings.Contains(all, tt.want) {
				t.Errorf("said is %q, want %q", all, tt.want)
			}
		})
	}
}

// The OpenAPI documents see by themselves what the Go types see too.
func TestTheSchemaSeesFaults(t *testing.T) {
	documents := schemas(t)
	objects, err := build("../kubernetes/server")
	if err != nil {
		t.Fatal(err)
	}
	spec := func(o object) map[string]any { return o.tree["spec"].(map[string]any) }
	for _, d := range documents {
		for name, tt := range map[string]struct {
			change func(map[string]any)
			want   string
		}{
			"an unknown field": {func(m map[string]any) { m["replica"] = 1 }, `unknown field "replica"`},
			"another type":     {func(m map[string]any) { m["replicas"] = []any{} }, "invalid type"},
			"a missing field":  {func(m map[string]any) { delete(m, "selector") }, `missing required field "selector"`},
		} {
			for _, o := range objects {
				if o.tree["kind"] != "StatefulSet" {
					continue
				}
				one := object{name: o.name, tree: maps.Clone(o.tree)}
				one.tree["spec"] = maps.Clone(spec(o))
				tt.change(spec(one))
				if err := validate([]schema{d}, []object{one}); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s, %s: %v, want %q", d.name, name, err, tt.want)
				}
			}
		}
	}
}
