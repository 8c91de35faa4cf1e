package location

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

func TestFetch(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a b.yaml")
	if err := os.WriteFile(file, []byte("memo: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, maxDocument+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, location := range []string{file, "file://" + strings.ReplaceAll(file, " ", "%20")} {
		if d, err := Fetch(t.Context(), location); err != nil || d.Name != file || string(d.Text) != "memo: x\n" {
			t.Errorf("Fetch(%q) = %+v, %v", location, d, err)
		}
	}
	for location, want := range map[string]error{
		filepath.Join(dir, "missing"): fs.ErrNotExist,
		dir:                           saba.ErrInvalid,
		"ftp://example.com/a":         saba.ErrInvalid,
		large:                         saba.ErrInvalid,
	} {
		if _, err := Fetch(t.Context(), location); !errors.Is(err, want) {
			t.Errorf("Fetch(%q) = %v, want one that matches %v", location, err, want)
		}
	}
}

func TestFetchByHTTP(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch r.URL.Path {
		case "/agent.yaml":
			io.WriteString(w, "memo: x\n")
		case "/private":
			if user+password != "mehunter2" {
				w.WriteHeader(http.StatusUnauthorized)
			}
		case "/unwell":
			http.Error(w, "memo: an error page", http.StatusInternalServerError)
		case "/large":
			w.Write(make([]byte, maxDocument+1))
		case "/cut":
			w.Header().Set("Content-Length", "100")
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(site.Close)
	if d, err := Fetch(t.Context(), site.URL+"/agent.yaml"); err != nil || string(d.Text) != "memo: x\n" || d.Name != site.URL+"/agent.yaml" {
		t.Errorf("%+v, %v", d, err)
	}
	with := strings.Replace(site.URL, "http://", "http://me:hunter2@", 1)
	if d, err := Fetch(t.Context(), with+"/private"); err != nil || strings.Contains(d.Name, "hunter2") {
		t.Errorf("%+v, %v", d, err)
	}
	for path, want := range map[string]string{"/missing": "the server answers 404", "/unwell": "the server answers 500", "/large": "is larger than", "/cut": "is cut short"} {
		if _, err := Fetch(t.Context(), with+path); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q and no password", path, err, want)
		}
	}
	if _, err := Fetch(t.Context(), site.URL+"/missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there is %v", err)
	}
	site.Close()
	if _, err := Fetch(t.Context(), with+"/agent.yaml"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("nobody there is %v", err)
	}
}

// A bucket of another region, as S3 answers: the region by the bucket, the object to those who sign for that region.
func TestFetchFromS3(t *testing.T) {
	programs := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", programs, "../../cmd/saba-agent-s3").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		signed := r.Header.Get("Authorization")
		switch {
		case r.Method == http.MethodHead && r.URL.Path == "/shop":
			w.Header().Set("X-Amz-Bucket-Region", "eu-central-1")
		case r.Method == http.MethodHead:
			w.WriteHeader(http.StatusNotFound)
		case !strings.HasPrefix(signed, "AWS4-HMAC-SHA256 Credential=AKID/") || !strings.Contains(signed, "/eu-central-1/s3/aws4_request"):
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>who are you</Message></Error>")
		case r.URL.Path == "/shop/agent/a b.yaml":
			io.WriteString(w, "memo: x\n")
		case r.URL.Path == "/shop/large":
			w.Write(make([]byte, maxDocument+1))
		default:
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, "<Error><Code>NoSuchKey</Code><Message>none</Message></Error>")
		}
	}))
	t.Cleanup(site.Close)
	for name, value := range map[string]string{
		"PATH": programs, "AWS_ENDPOINT_URL_S3": site.URL, "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1", "HOME": t.TempDir(), "AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(name, value)
	}
	if d, err := Fetch(t.Context(), "s3://shop/agent/a%20b.yaml"); err != nil || string(d.Text) != "memo: x\n" {
		t.Errorf("%+v, %v", d, err)
	}
	for location, want := range map[string]error{"s3://shop/none": fs.ErrNotExist, "s3://market/agent": fs.ErrNotExist, "s3://shop": saba.ErrInvalid, "s3:///agent": saba.ErrInvalid, "s3://shop/large": saba.ErrInvalid} {
		if _, err := Fetch(t.Context(), location); !errors.Is(err, want) {
			t.Errorf("%s: %v, want one that matches %v", location, err, want)
		}
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	if _, err := Fetch(t.Context(), "s3://shop/agent/a%20b.yaml"); err == nil || strings.Contains(err.Error(), "exit status") {
		t.Errorf("without credentials: %v, want a sentence", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := Fetch(t.Context(), "s3://shop/agent"); err == nil || !strings.Contains(err.Error(), "saba-agent-s3, which S3 needs, is not there") {
		t.Errorf("without the program: %v", err)
	}
}
