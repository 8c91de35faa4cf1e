package client_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
)

func TestAWSIntegrationsAgainstTheServer(t *testing.T) {
	ctx, c := t.Context(), openServer(t)
	id := must(c.NewAWSExternalID(ctx))(t)
	if len(id) < 20 {
		t.Errorf("external id %q, want a long one", id)
	}
	if metrics := must(c.AWSExcludableMetrics(ctx))(t); len(metrics) != len(saba.AWSServices) {
		t.Errorf("metrics of %d services, want %d", len(metrics), len(saba.AWSServices))
	}
	a := saba.AWSIntegration{
		Name: "aws", Memo: "m", Key: new("AKIA"), SecretKey: new("secret"), ExternalID: &id, Region: "eu-west-1", IncludedTags: "a:b",
		Services: map[string]saba.AWSService{"EC2": {Enable: true, Role: new("shop: web"), IncludedMetrics: &[]string{"ec2.cpu.used"}, RetireAutomatically: new(true)}},
	}
	made := must(c.CreateAWSIntegration(ctx, a))(t)
	a.ID = made.ID
	check := func(what string, got saba.AWSIntegration) {
		t.Helper()
		want := a
		want.SecretKey = nil
		service := got.Services["EC2"]
		if !reflect.DeepEqual(service, a.Services["EC2"]) || len(got.Services) != len(saba.AWSServices) {
			t.Errorf("%s has the services %+v", what, got.Services)
		}
		got.Services, want.Services = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %+v, want %+v", what, got, want)
		}
	}
	check("the integration", made)
	check("the integration by id", must(c.AWSIntegration(ctx, a.ID))(t))
	a.Memo, a.Key, a.SecretKey = "n", nil, nil // the secret key stays
	check("the updated integration", must(c.UpdateAWSIntegration(ctx, a))(t))
	all := must(c.AWSIntegrations(ctx))(t)
	if len(all) != 1 {
		t.Fatalf("%d integrations, want one", len(all))
	}
	check("the listed integration", all[0])
	check("the deleted integration", must(c.DeleteAWSIntegration(ctx, a.ID))(t))
	if _, err := c.AWSIntegration(ctx, a.ID); !errors.Is(err, saba.ErrNotFound) {
		t.Errorf("error of an integration that was deleted = %v, want ErrNotFound", err)
	}
}

func TestNetworksAgainstTheServer(t *testing.T) {
	ctx, c := t.Context(), openServer(t)
	for _, s := range []saba.Surface{saba.SurfaceWeb, saba.SurfaceAPI} {
		for _, want := range [][]string{{"127.0.0.0/8", "::1/128"}, {}} {
			if err := c.SetNetworks(ctx, s, want); err != nil {
				t.Fatal(err)
			}
			if got := must(c.Networks(ctx, s))(t); !slices.Equal(got, want) {
				t.Errorf("networks of %s = %q, want %q", s, got, want)
			}
		}
		if err := c.SetNetworks(ctx, s, nil); err != nil {
			t.Errorf("no networks for %s: %v", s, err)
		}
	}
	if err := c.SetNetworks(ctx, saba.SurfaceAPI, []string{"192.0.2.0/24"}); !errors.Is(err, saba.ErrInvalid) {
		t.Errorf("error of networks that lock the client out = %v, want ErrInvalid", err)
	}
}

func TestWhatOnlySabaHasAgainstTheServer(t *testing.T) {
	ctx, c := t.Context(), openServer(t)
	host := must(c.CreateHost(ctx, client.HostParam{Name: "vm", Meta: []byte(`{}`), RoleFullnames: []string{"shop:web"}}))(t)
	now := saba.Minute(time.Now().Unix())
	if err := errors.Join(
		c.PostServiceMetrics(ctx, "shop", []saba.Point{{Series: saba.Series{Name: "orders"}, Sample: saba.Sample{Time: now, Value: 7}}}),
		c.UpdateService(ctx, "shop", saba.Service{Name: "store", Memo: "m"}),
		c.UpdateRole(ctx, "store", "web", saba.Role{Name: "front", Memo: "r"}),
		c.RetireHost(ctx, host),
		c.ReviveHost(ctx, host),
	); err != nil {
		t.Fatal(err)
	}
	if got, want := must(c.Services(ctx))(t), []saba.Service{{Name: "store", Memo: "m", Roles: []string{"front"}}}; !reflect.DeepEqual(got, want) {
		t.Errorf("services = %+v, want %+v", got, want)
	}
	if got, want := must(c.ServiceMetrics(ctx, "store", "orders", now, now))(t), []saba.Sample{{Time: now, Value: 7}}; !slices.Equal(got, want) {
		t.Errorf("samples of the renamed service = %v, want %v", got, want)
	}
	if h := must(c.Host(ctx, host))(t); h.Retired() || len(h.Roles) != 1 || h.Roles[0] != (saba.RoleName{Service: "store", Role: "front"}) {
		t.Errorf("the host is %+v, want it to live with its role", h)
	}
	for what, err := range map[string]error{
		"service": c.UpdateService(ctx, "none", saba.Service{Name: "some"}),
		"role":    c.UpdateRole(ctx, "store", "none", saba.Role{Name: "some"}),
		"host":    c.ReviveHost(ctx, "none"),
	} {
		if !errors.Is(err, saba.ErrNotFound) {
			t.Errorf("error of a %s that is not there = %v, want ErrNotFound", what, err)
		}
	}
}
