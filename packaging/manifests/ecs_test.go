package manifests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
)

// register sends a task definition with the SDK of the platform, as a deployment does, and returns the request that
// the platform would get. What is no field of a task definition, has another type, or is missing and required, is an error.
func register(t *testing.T, definition []byte) (map[string]any, error) {
	t.Helper()
	var in ecs.RegisterTaskDefinitionInput
	strict := json.NewDecoder(bytes.NewReader(definition))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&in); err != nil {
		return nil, err
	}
	if err := chosen(reflect.ValueOf(in)); err != nil {
		return nil, err
	}
	var got map[string]any
	platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(b, &got) != nil || !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".RegisterTaskDefinition") {
			t.Errorf("the SDK sent %q %q, %v", r.Header.Get("X-Amz-Target"), b, err)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, "{}")
	}))
	defer platform.Close()
	client := ecs.New(ecs.Options{Region: "ap-northeast-1", BaseEndpoint: aws.String(platform.URL), Credentials: aws.AnonymousCredentials{}})
	if _, err := client.RegisterTaskDefinition(t.Context(), &in); err != nil {
		return nil, err
	}
	return got, nil
}

// chosen says which value of v is none of those that its type lists.
func chosen(v reflect.Value) error {
	if m := v.MethodByName("Values"); m.IsValid() && v.Kind() == reflect.String && v.String() != "" {
		values := m.Call(nil)[0]
		for i := range values.Len() {
			if values.Index(i).String() == v.String() {
				return nil
			}
		}
		return fmt.Errorf("%q is none of %v", v, values)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return chosen(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				continue
			}
			if err := chosen(v.Field(i)); err != nil {
				return fmt.Errorf("%s: %w", v.Type().Field(i).Name, err)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			if err := chosen(v.Index(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// fargate says what of a definition the smaller platform of the two refuses, which no schema says.
func fargate(definition map[string]any) error {
	sizes := map[string][2]int{"256": {512, 2048}, "512": {1024, 4096}, "1024": {2048, 8192}, "2048": {4096, 16384}} // MiB for CPU units
	var memory int
	if _, err := fmt.Sscan(fmt.Sprint(definition["memory"]), &memory); err != nil {
		return fmt.Errorf("the memory %v is no number", definition["memory"])
	}
	if s, ok := sizes[fmt.Sprint(definition["cpu"])]; !ok || memory < s[0] || memory > s[1] || memory%1024 != 0 && memory != 512 {
		return fmt.Errorf("there is no task with %v CPU units and %d MiB", definition["cpu"], memory)
	}
	if definition["networkMode"] != "awsvpc" || definition["executionRoleArn"] == nil {
		return fmt.Errorf("the network mode must be awsvpc, and an execution role reads secrets")
	}
	taken := 0
	for _, c := range definition["containerDefinitions"].([]any) {
		c := c.(map[string]any)
		if c["privileged"] == true || field(c["linuxParameters"], "tmpfs") != nil {
			return fmt.Errorf("the container %v is privileged or has a tmpfs", c["name"])
		}
		if m, ok := c["memory"].(float64); ok {
			taken += int(m)
		}
		for _, e := range asList(c["environment"]) {
			if regexp.MustCompile(`(?i)key|secret|password|token`).MatchString(fmt.Sprint(field(e, "name"))) {
				return fmt.Errorf("%v of the container %v is no secret", field(e, "name"), c["name"])
			}
		}
		for _, s := range asList(c["secrets"]) {
			if !strings.HasPrefix(fmt.Sprint(field(s, "valueFrom")), "arn:aws:") {
				return fmt.Errorf("the secret %v is not named by its ARN", field(s, "name"))
			}
		}
	}
	if taken > memory {
		return fmt.Errorf("the containers may take %d MiB of %d", taken, memory)
	}
	return nil
}

func asList(v any) []any {
	l, _ := v.([]any)
	return l
}

// The SDK sends the file as it is: each name, in its case, is one of the platform's.
func TestTaskDefinition(t *testing.T) {
	definition, err := os.ReadFile("../ecs/task-definition.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	if err := json.Unmarshal(definition, &want); err != nil {
		t.Fatal(err)
	}
	got, err := register(t, definition)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the SDK sends\n%v\nand the file says\n%v", got, want)
	}
	if err := fargate(want); err != nil {
		t.Error(err)
	}
	names := []string{}
	for _, c := range asList(want["containerDefinitions"]) {
		names = append(names, fmt.Sprint(field(c, "name")))
		if field(c, "name") == "saba-agent" && (field(c, "readonlyRootFilesystem") != true || field(c, "user") != "65532:65532") {
			t.Errorf("the agent may do more than it needs: %v", c)
		}
	}
	if !slices.Equal(names, []string{"shop", "saba-agent"}) {
		t.Errorf("the containers are %q", names)
	}
}

func TestBrokenTaskDefinitions(t *testing.T) {
	definition, err := os.ReadFile("../ecs/task-definition.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ old, new, want string }{
		"a misspelt field":    {`"networkMode"`, `"networkmod"`, "networkmod"},
		"another case":        {`"networkMode"`, `"NetworkMode"`, "differs"},
		"another type":        {`"essential": false`, `"essential": "no"`, "Essential"},
		"a missing name":      {`"name": "MACKEREL_APIKEY", `, ``, "Name"},
		"a missing family":    {`"family": "shop",`, ``, "Family"},
		"an unknown mode":     {`"awsvpc"`, `"vpc"`, `"vpc" is none of`},
		"an unknown platform": {`"FARGATE"`, `"FARGET"`, `"FARGET" is none of`},
		"a size nobody has":   {`"memory": "1024"`, `"memory": "512"`, "there is no task"},
		"an open key":         {`{"name": "MACKEREL_ROLES", "value": "shop:web"}`, `{"name": "MACKEREL_APIKEY", "value": "k"}`, "is no secret"},
		"too much memory":     {`"memory": 128`, `"memory": 2048`, "may take 2048 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			broken := strings.Replace(string(definition), tt.old, tt.new, 1)
			if broken == string(definition) {
				t.Fatalf("there is no %q to break", tt.old)
			}
			said := ""
			got, err := register(t, []byte(broken))
			if err != nil {
				said = err.Error()
			} else {
				var file map[string]any
				if err := json.Unmarshal([]byte(broken), &file); err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got, file) {
					said = "differs"
				} else if err := fargate(file); err != nil {
					said = err.Error()
				}
			}
			if !strings.Contains(said, tt.want) {
				t.Errorf("said is %q, want %q", said, tt.want)
			}
		})
	}
}
