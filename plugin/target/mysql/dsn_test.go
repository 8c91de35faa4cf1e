package mysql

import (
	"net/url"
	"testing"
)

func TestParseURL(t *testing.T) {
	u, err := url.Parse("trilogy://me:pa%40ss@h/jobs?ssl_mode=verify_identity")
	if err != nil {
		t.Fatal(err)
	}
	d, err := ParseURL(u)
	if err != nil || d.config.Passwd != "pa@ss" || d.config.TLSConfig != "true" || d.config.DBName != "jobs" || d.String() != "MySQL at h:3306" {
		t.Errorf("the URL was read as %+v, %v", d.config, err)
	}
}
