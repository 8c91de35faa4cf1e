package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/saba-monitor/saba"
)

// What several callers do at once. An engine may let them wait or break one off and do it anew: callers see neither.

func testChangesAtOnce(r objects) {
	r.monitor("m1", func(m *saba.Monitor) { m.Memo = "" })
	const writers, times = 8, 6
	var work sync.WaitGroup
	for w := range writers {
		work.Go(func() {
			for i := range times {
				mark := fmt.Sprintf("%d.%d ", w, i)
				_, err := r.db.UpdateMonitor(r.ctx, org1, "m1", 0, func(m saba.Monitor) (saba.Monitor, error) {
					m.Memo += mark
					return m, nil
				})
				if err != nil {
					r.Errorf("change %s: %v", mark, err)
				}
			}
		})
	}
	work.Wait()
	m, err := r.db.Monitor(r.ctx, org1, "m1")
	r.ok(err)
	marks := strings.Fields(m.Memo)
	slices.Sort(marks)
	if marks = slices.Compact(marks); len(marks) != writers*times {
		r.Errorf("%d of %d changes are left: %q", len(marks), writers*times, m.Memo)
	}
}

func testIdentifierAtOnce(r records) {
	const hosts = 8
	errs := make([]error, hosts)
	var ids atomic.Int64
	var work sync.WaitGroup
	for i := range hosts {
		work.Go(func() {
			h := saba.Host{ID: fmt.Sprint("h", i), Org: org1, Name: "h", Status: saba.Working, CustomIdentifier: "one", CreatedAt: noon}
			errs[i] = r.db.CreateHost(r.ctx, h, []saba.CheckDeclaration{{Name: "ssh"}}, func() (string, error) { return fmt.Sprint("c", ids.Add(1)), nil })
		})
	}
	work.Wait()
	owner, err := r.db.HostByCustomIdentifier(r.ctx, org1, "one", false)
	r.ok(err)
	for i, err := range errs {
		if id := fmt.Sprint("h", i); id == owner.ID {
			r.ok(err)
		} else {
			r.is(err, saba.ErrConflict, `"one"`, fmt.Sprintf("%q", owner.ID))
		}
	}
	r.same("hosts", r.hostIDs(saba.HostFilter{}), []string{owner.ID})
}

func testServiceAtOnce(r records) {
	const writers = 8
	var made, hosts atomic.Int64
	var work sync.WaitGroup
	for i := range writers {
		work.Go(func() {
			err := r.db.CreateService(r.ctx, org1, saba.Service{Name: "shop"})
			if err == nil {
				made.Add(1)
			} else if !errors.Is(err, saba.ErrConflict) {
				r.Errorf("make a service that others make: %v", err)
			}
			// A host makes the service and the role that it has, whoever else does.
			h := saba.Host{ID: fmt.Sprint("h", i), Org: org1, Name: "h", Status: saba.Working, CreatedAt: noon, Roles: []saba.RoleName{{Service: "shop", Role: "web"}}}
			if err := r.db.CreateHost(r.ctx, h, nil, r.newID); err != nil {
				r.Errorf("make a host with a role that others make: %v", err)
				return
			}
			hosts.Add(1)
		})
	}
	work.Wait()
	if made.Load() > 1 {
		r.Errorf("%d made the service", made.Load())
	}
	if n := len(r.hostIDs(saba.HostFilter{Service: "shop", Roles: []string{"web"}})); n != writers || hosts.Load() != writers {
		r.Errorf("%d hosts have the role, %d were made, want %d", n, hosts.Load(), writers)
	}
}

// Readers see the state before a change or after it.
func testReadersAtOnce(r records) {
	r.host("h1")
	one := []saba.RoleName{{Service: "one", Role: "a"}, {Service: "one", Role: "b"}}
	two := []saba.RoleName{{Service: "two", Role: "a"}, {Service: "two", Role: "b"}, {Service: "two", Role: "c"}}
	r.ok(r.db.SetHostRoles(r.ctx, org1, "h1", one))
	var writers, readers sync.WaitGroup
	var done atomic.Bool
	for w := range 4 {
		writers.Go(func() {
			for i := range 12 {
				roles := one
				if (w+i)%2 == 0 {
					roles = two
				}
				if err := r.db.SetHostRoles(r.ctx, org1, "h1", roles); err != nil {
					r.Error(err)
				}
			}
		})
	}
	for range 4 {
		readers.Go(func() {
			for !done.Load() {
				h, err := r.db.Host(r.ctx, org1, "h1")
				if err != nil || !slices.Equal(h.Roles, one) && !slices.Equal(h.Roles, two) {
					r.Errorf("roles are %v, error %v: half a change", h.Roles, err)
					return
				}
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
}

// Not every engine takes every character. None of them harms what stands beside it.
func testOddCharacters(r records) {
	r.host("h1")
	r.report(
		saba.CheckReport{Host: "h1", Name: "ssh", Status: saba.CheckCritical, Message: "before\x00after \xff鯖", OccurredAt: noon},
		saba.CheckReport{Host: "h\x001", Name: "ssh", Status: saba.CheckCritical, OccurredAt: noon},
		saba.CheckReport{Host: "h1", Name: "disk", Status: saba.CheckOK, OccurredAt: noon},
	)
	r.same("checks", r.checkNames("h1"), []string{"disk", "ssh"})
	r.same("message", r.checks("h1")[1].Latest.Message, "before\uFFFDafter \uFFFD鯖")
	for _, id := range []string{"\x00", "h1\x00", "\xff"} {
		_, err := r.db.Host(r.ctx, org1, id)
		r.is(err, saba.ErrNotFound)
	}
}
