package web

import (
	"context"
	"fmt"

	"github.com/saba-monitor/saba"
)

// The headings of a drain's form.
const (
	partDrain = "Where the lines go"
	partNames = "Names"
	partRules = "Rules for lines of your own"
)

// drainFields declares the fields of a drain.
var drainFields = []field[saba.Drain]{
	{name: "name", label: "Name", part: partDrain, input: inputLine, required: true, hint: "shop on Heroku", help: "What people call it.", of: func(d *saba.Drain) any { return &d.Name }},
	{name: "service", label: "Service", part: partDrain, input: inputOneOf, from: "services", choices: []choice{{Label: "Choose a service"}}, required: true,
		help: "What the lines say becomes metrics of this service.", of: func(d *saba.Drain) any { return &d.Service }},
	{name: "prefix", label: "Before names", part: partNames, input: inputLine, hint: "heroku", help: "The metric queue.size is called heroku.queue.size then: for two drains of a service that say the same.",
		of: func(d *saba.Drain) any { return &d.Prefix }},
	{name: "sourcePrefix", label: "Before sources", part: partNames, input: inputLine, hint: "production", help: "With source=web.1 the metric is called load_avg_1m.production.web.1 then.",
		of: func(d *saba.Drain) any { return &d.SourcePrefix }},
	{name: "rules", label: "Rules", part: partRules, input: inputRules,
		help: "sample#, count# and measure#, and the lines of Heroku, need none. A rule looks for a regular expression or for a key=value, and makes a metric of it. ${…} in the metric's name stands for a group of the expression, or for the value of another key. A row that is empty is no rule.",
		of:   func(d *saba.Drain) any { return &d.Rules }},
}

// drainForm returns the form of drains with what there is to choose in it.
func (c *console) drainForm(ctx context.Context, org string) (form[saba.Drain], error) {
	services, err := c.Store.Services(ctx, org)
	if err != nil {
		return form[saba.Drain]{}, fmt.Errorf("list services: %w", err)
	}
	return form[saba.Drain]{fields: drainFields, lists: map[string][]group{"services": serviceList(services)}}, nil
}
