package main

import (
	"fmt"
	"sync"
	"time"
)

// outages are agents whose servers go away and come back: one refuses connections, one takes them and never answers.
type outages struct{ each []*outage }

type outage struct {
	p      *plan
	name   string
	hangs  bool
	server *endpoint
	agent  *subject

	lines [][3]string // what was found: name, value, goal
	err   error
}

func (p *plan) startOutages() (*outages, error) {
	o := &outages{}
	for _, x := range []*outage{{p: p, name: "server down"}, {p: p, name: "server hanging", hangs: true}} {
		var err error
		if x.server, err = newEndpoint(); err != nil {
			return o, err
		}
		if x.agent, err = p.startAgent(x.name, "http://"+x.server.address, ""); err != nil {
			return o, err
		}
		o.each = append(o.each, x)
	}
	return o, nil
}

// run lets the outage last from one moment to another, and then a second one, in which the agents are stopped.
func (o *outages) run(from, to time.Time) {
	var all sync.WaitGroup
	for _, x := range o.each {
		all.Go(func() { x.err = x.run(from, to) })
	}
	all.Wait()
}

func (x *outage) run(from, to time.Time) error {
	time.Sleep(time.Until(from))
	back := x.interrupt()
	time.Sleep(time.Until(to))
	if err := back(); err != nil {
		return err
	}
	returned := time.Now()
	var minutes []int64
	for m := from.Truncate(time.Minute).Add(time.Minute); m.Before(to); m = m.Add(time.Minute) {
		minutes = append(minutes, m.Unix())
	}
	last, ok := x.server.waitFor(minutes, returned.Add(2*time.Minute))
	order := "the newest minute first"
	if first := x.server.firstSince(returned); len(minutes) > 0 && first != minutes[len(minutes)-1] {
		order = fmt.Sprintf("the minute %s first", time.Unix(first, 0).UTC().Format("15:04"))
	}
	found := fmt.Sprintf("%v, %s", round(last.Sub(returned)), order)
	if !ok {
		found = "not all within 2 min"
	}
	x.line(fmt.Sprintf("%s: %d minutes gone in", x.name, len(minutes)), found, "30 s, newest first")

	// The second one: a minute is collected and cannot be sent when the agent ends.
	next := time.Now().Truncate(time.Minute).Add(time.Minute)
	if time.Until(next) < 10*time.Second {
		next = next.Add(time.Minute)
	}
	time.Sleep(time.Until(next) - 5*time.Second)
	back = x.interrupt()
	time.Sleep(time.Until(next) + 8*time.Second)
	took, err := x.agent.stop()
	if err != nil {
		return err
	}
	x.line(x.name+": stop", round(took).String(), "5 s")
	if err := back(); err != nil {
		return err
	}
	begun := time.Now()
	if x.agent, err = x.p.startAgent(x.name, "http://"+x.server.address, ""); err != nil {
		return err
	}
	kept := "the minute kept is sent by the next start"
	if _, ok := x.server.waitFor([]int64{next.Unix()}, begun.Add(20*time.Second)); !ok {
		kept = "THE MINUTE IS LOST"
	}
	x.line(x.name+": after the stop", kept, "")
	return nil
}

// interrupt makes the server go away, and returns how to bring it back.
func (x *outage) interrupt() (back func() error) {
	if x.hangs {
		unmute := x.server.mute()
		return func() error { unmute(); return nil }
	}
	x.server.down()
	return x.server.up
}

func (x *outage) line(name, value, goal string) {
	x.lines = append(x.lines, [3]string{name, value, goal})
}

func (o *outages) print(t *table) {
	if len(o.each) == 0 {
		return
	}
	t.title("outages")
	for _, x := range o.each {
		for _, l := range x.lines {
			t.row(l[0], l[1], l[2])
		}
		if x.err != nil {
			t.row(x.name, "could not be measured: "+x.err.Error(), "")
		}
	}
}

func (o *outages) end() {
	for _, x := range o.each {
		if x.agent.cmd.ProcessState == nil {
			_, _ = x.agent.stop()
		}
		x.server.down()
	}
}
