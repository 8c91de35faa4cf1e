package collect

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"
)

// dmi returns a sysfs with these files of the firmware's tables.
func dmi(files map[string]string) fstest.MapFS {
	sys := fstest.MapFS{}
	for name, text := range files {
		sys["class/dmi/id/"+name] = &fstest.MapFile{Data: []byte(text + "\n")}
	}
	return sys
}

// A service is a metadata service, and how often it was asked.
func service(t *testing.T, sys fstest.MapFS, platform string, answer http.HandlerFunc) (*cloudFinder, *atomic.Int32) {
	t.Helper()
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		answer(w, r)
	}))
	t.Cleanup(srv.Close)
	c := newCloudFinder(Options{Sys: sys, CloudPlatform: platform})
	c.local, c.google, c.pause = srv.URL, srv.URL, time.Millisecond
	return c, &asked
}

func ec2Service(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" && r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") == "21600":
		w.Write([]byte("tok"))
	case r.Header.Get("X-aws-ec2-metadata-token") != "tok":
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == "/latest/meta-data/services/partition":
		w.Write([]byte("aws-cn"))
	case strings.Contains(r.URL.Path, "public"):
		w.WriteHeader(http.StatusNotFound)
	default:
		w.Write([]byte("the " + strings.TrimPrefix(r.URL.Path, "/latest/meta-data/") + "\n"))
	}
}

func azureService(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Metadata") != "true" || r.URL.RawQuery != "api-version=2017-04-02&format=text" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Write([]byte("the " + strings.TrimPrefix(r.URL.Path, "/metadata/instance/")))
}

func gceService(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Metadata-Flavor") != "Google" || r.URL.String() != "/computeMetadata/v1/?recursive=true" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	w.Write([]byte(`{"instance":{"id":4520031799277581759,"hostname":"db-1.c.example.internal","machineType":"projects/1/machineTypes/e2-small",
		"zone":"projects/1/zones/asia-northeast1-b","attributes":{"x":[1]}},"project":{"projectId":"example","numericProjectId":1}}`))
}

func TestClouds(t *testing.T) {
	for name, tt := range map[string]struct {
		sys        fstest.MapFS
		platform   string
		answer     http.HandlerFunc
		provider   string
		identifier string
		metadata   map[string]string
	}{
		"EC2 by its firmware": {dmi(map[string]string{"sys_vendor": "Amazon EC2"}), "", ec2Service, "ec2", "the instance-id.ec2.amazonaws.com", map[string]string{
			"instance-id": "the instance-id", "instance-type": "the instance-type", "placement/availability-zone": "the placement/availability-zone",
			"security-groups": "the security-groups", "ami-id": "the ami-id", "hostname": "the hostname", "local-hostname": "the local-hostname",
			"public-hostname": "", "local-ipv4": "the local-ipv4", "public-ipv4": "", "reservation-id": "the reservation-id"}},
		"GCE by its firmware": {dmi(map[string]string{"product_name": "Google Compute Engine"}), CloudAuto, gceService, "gce", "4520031799277581759.gce.cloud.google.com", map[string]string{
			"hostname": "db-1.c.example.internal", "instance-id": "4520031799277581759", "instance-type": "e2-small", "zone": "asia-northeast1-b", "projectId": "example"}},
		"Azure by configuration": {fstest.MapFS{}, CloudAzure, azureService, "AzureVM", "the compute/vmId.virtual_machine.azure.microsoft.com", map[string]string{
			"location": "the compute/location", "imageReferenceOffer": "the compute/offer", "osSystemType": "the compute/osType", "imageReferencePublisher": "the compute/publisher",
			"imageReferenceSku": "the compute/sku", "vmID": "the compute/vmId", "virtualMachineSizeType": "the compute/vmSize",
			"privateIpAddress": "the network/interface/0/ipv4/ipAddress/0/privateIpAddress", "publicIpAddress": "the network/interface/0/ipv4/ipAddress/0/publicIpAddress"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := service(t, tt.sys, tt.platform, tt.answer)
			i := c.find(t.Context())
			if i.err != nil || i.unknown || i.cloud == nil {
				t.Fatalf("find: %+v", i)
			}
			if i.cloud.Provider != tt.provider || i.identifier != tt.identifier || !maps.Equal(i.cloud.Metadata.(map[string]string), tt.metadata) {
				t.Errorf("got %q, %q, %v; want %q, %q, %v", i.cloud.Provider, i.identifier, i.cloud.Metadata, tt.provider, tt.identifier, tt.metadata)
			}
		})
	}
}

func TestWhenNoCloudAnswers(t *testing.T) {
	uuid := fstest.MapFS{"hypervisor/uuid": {Data: []byte("ec2e1916-9099-7caf-fd21-012345abcdef\n")}}
	unavailable := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	for name, tt := range map[string]struct {
		sys      fstest.MapFS
		platform string
		answer   http.HandlerFunc
		asked    int32
		unknown  bool
		err      bool
	}{
		"a machine on no cloud asks nobody":      {dmi(map[string]string{"sys_vendor": "Example Inc."}), "", ec2Service, 0, false, false},
		"nor does one without firmware tables":   {fstest.MapFS{}, CloudAuto, ec2Service, 0, false, false},
		"nor one that is told none":              {dmi(map[string]string{"sys_vendor": "Amazon EC2"}), CloudNone, ec2Service, 0, false, false},
		"a silent service is asked three times":  {dmi(map[string]string{"sys_vendor": "Google", "bios_vendor": "Google"}), "", unavailable, 3, true, true},
		"a UUID may be chance: no error then":    {uuid, "", unavailable, 6, true, false},
		"an answer that is not JSON":             {dmi(map[string]string{"product_name": "Google Compute Engine"}), "", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) }, 3, true, true},
		"a partition that is not Amazon's":       {dmi(map[string]string{"bios_version": "4.11.amazon"}), "", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("lookalike")) }, 6, true, true},
		"an endless answer":                      {fstest.MapFS{}, CloudGCE, func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, maxMetadata+1)) }, 3, true, true},
		"an answer that leads elsewhere, unused": {fstest.MapFS{}, CloudGCE, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }, 3, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			c, asked := service(t, tt.sys, tt.platform, tt.answer)
			i := c.find(t.Context())
			if i.cloud != nil || i.identifier != "" || i.unknown != tt.unknown || (i.err != nil) != tt.err || asked.Load() != tt.asked {
				t.Errorf("got %+v after %d requests; want none, unknown %v, an error %v, %d requests", i, asked.Load(), tt.unknown, tt.err, tt.asked)
			}
		})
	}
}

// Without tokens (a first-version service) the questions go out without one.
func TestEC2WithoutTokens(t *testing.T) {
	c, _ := service(t, nil, CloudEC2, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut || r.Header.Get("X-aws-ec2-metadata-token") != "":
			w.WriteHeader(http.StatusForbidden)
		case strings.HasSuffix(r.URL.Path, "partition"):
			w.Write([]byte("aws"))
		default:
			w.Write([]byte("i-0123456789"))
		}
	})
	c.sys = fstest.MapFS{}
	if i := c.find(t.Context()); i.err != nil || i.identifier != "i-0123456789.ec2.amazonaws.com" {
		t.Errorf("find: %+v", i)
	}
}

func TestEC2UUID(t *testing.T) {
	for uuid, want := range map[string]bool{
		"ec2e1916-9099-7caf-fd21-012345abcdef": true,
		"EC2E1916-9099-7CAF-FD21-012345ABCDEF": true,
		"45E12AEC-DCD1-B213-94ED-012345ABCDEF": true, // the first group in the other byte order
		"45e12aed-dcd1-b213-94ed-01234ec2abcd": false,
		"ec":                                   false,
		"":                                     false,
	} {
		if got := ec2UUID(uuid); got != want {
			t.Errorf("ec2UUID(%q) = %v, want %v", uuid, got, want)
		}
	}
}
