package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/monitor"
)

// The words of stories about what is usual. Values of usual days vary by up to a twentieth. The metric cpu% stands for what an agent of a host with one
// core sends of it.
//
//	zone NAME                            the clocks of the server
//	usual HOST METRIC VALUE*HOURS…       what a day of it is like, from midnight on: 24 hours; - for hours without
//	nightly HOST METRIC HH:MM MINUTES VALUE   for so many minutes of each of these days it is another value
//	hours HH…                            only these hours of usual days have samples: nothing looks at others
//	days N                               so many days pass like that, to the minute, without a round
//	gap N                                the same without samples
//	till HH:MM                           time passes like that until the clocks show it
//	goes MINUTES [HOST METRIC VALUE]…    minutes pass with a round each, as usual but for these metrics; - for none
//	learns MONITOR [TEXT]                what is known to it: "shop:web 2 of 3; …", or "shop:web Sundays 11:50–12:30 over 4 weeks"

// A storyUsual is what days are like.
type storyUsual struct {
	zone *time.Location
	days map[saba.Series][24]float64 // by hour; below 0 for none
	jobs []storyJob
	only map[int]bool // hours of which there are samples; nil for all
}

// A storyJob is what happens for some minutes of every day.
type storyJob struct {
	series saba.Series
	from   time.Duration // since midnight
	long   time.Duration
	value  float64
}

func (s *story) doUsual(w []string, line string) error {
	u := &s.usual
	switch w[0] {
	case "zone":
		zone, err := time.LoadLocation(w[1])
		if err != nil {
			return err
		}
		u.zone = zone
		o := s.evaluator.Options
		o.Zone = zone
		s.evaluator = monitor.New(o)
		return nil
	case "usual":
		var day [24]float64
		hour := 0
		for _, word := range w[3:] {
			text, times, _ := strings.Cut(word, "*")
			value, err := strconv.ParseFloat(strings.Replace(text, "-", "-1", 1), 64)
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(times)
			if err != nil || hour+n > 24 {
				return fmt.Errorf("%q: a day has 24 hours", word)
			}
			for range n {
				day[hour] = value
				hour++
			}
		}
		if hour != 24 {
			return fmt.Errorf("a day has 24 hours, not %d", hour)
		}
		if u.days == nil {
			u.days = map[saba.Series][24]float64{}
		}
		u.days[saba.Series{Org: s.org, Host: w[1], Name: w[2]}] = day
		return nil
	case "hours":
		u.only = map[int]bool{}
		for _, word := range w[1:] {
			hour, err := strconv.Atoi(word)
			if err != nil {
				return err
			}
			u.only[hour] = true
		}
		return nil
	case "nightly":
		at, err := time.Parse("15:04", w[3])
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(w[4])
		if err != nil {
			return err
		}
		value, err := strconv.ParseFloat(w[5], 64)
		u.jobs = append(u.jobs, storyJob{saba.Series{Org: s.org, Host: w[1], Name: w[2]}, time.Duration(at.Hour()*60+at.Minute()) * time.Minute, time.Duration(n) * time.Minute, value})
		return err
	case "days", "gap":
		n, err := strconv.Atoi(w[1])
		if err != nil {
			return err
		}
		end := s.now.AddDate(0, 0, n)
		if w[0] == "gap" {
			s.now = end
			return nil
		}
		return s.live(end)
	case "till":
		at, err := time.ParseInLocation("15:04", w[1], s.zone())
		if err != nil {
			return err
		}
		now := s.now.In(s.zone())
		end := time.Date(now.Year(), now.Month(), now.Day(), at.Hour(), at.Minute(), now.Second(), 0, s.zone())
		if end.Before(now) {
			end = end.AddDate(0, 0, 1)
		}
		return s.live(end)
	case "goes":
		n, err := strconv.Atoi(w[1])
		if err != nil {
			return err
		}
		but := map[saba.Series]float64{}
		for i := 2; i+2 < len(w); i += 3 {
			value, err := strconv.ParseFloat(strings.Replace(w[i+2], "-", "-1", 1), 64)
			if err != nil {
				return err
			}
			but[saba.Series{Org: s.org, Host: w[i], Name: w[i+1]}] = value
		}
		for range n {
			if err := s.append(s.points(s.now, but)); err != nil {
				return err
			}
			if err := s.minute(); err != nil {
				return err
			}
		}
		return nil
	case "learns":
		var got []string
		for _, l := range s.evaluator.Learned(w[1]) {
			if l.Known {
				got = append(got, l.Of+" "+l.When)
			} else {
				got = append(got, fmt.Sprintf("%s %d of %d", l.Of, l.Days, l.Least))
			}
		}
		if text := strings.Join(got, "; "); text != rest(line, 2) {
			return fmt.Errorf("it is %q", text)
		}
		return nil
	}
	return s.doSite(w, line)
}

func (s *story) zone() *time.Location {
	if s.usual.zone == nil {
		return time.UTC
	}
	return s.usual.zone
}

// points returns what arrives in a minute: what is usual, or what stands in but.
func (s *story) points(at time.Time, but map[saba.Series]float64) (points []saba.Point) {
	add := func(series saba.Series, v float64) {
		points = append(points, saba.Point{Series: series, Sample: saba.Sample{Time: at.Unix(), Value: v}})
	}
	all := map[saba.Series]float64{}
	for series, day := range s.usual.days {
		all[series] = day[at.In(s.zone()).Hour()] * (1 + float64(at.Unix()/60*7919%11-5)/100)
	}
	for _, j := range s.usual.jobs {
		local := at.In(s.zone())
		if since := time.Duration(local.Hour()*60+local.Minute())*time.Minute - j.from; since >= 0 && since < j.long {
			all[j.series] = j.value
		}
	}
	maps.Copy(all, but)
	for series, v := range all {
		cpu := series
		switch {
		case v < 0:
		case series.Name == "cpu%":
			cpu.Name = "cpu.user.percentage"
			add(cpu, v)
			cpu.Name = "cpu.idle.percentage"
			add(cpu, 100-v)
		default:
			add(series, v)
		}
	}
	return points
}

func (s *story) append(points []saba.Point) error {
	_, err := s.samples.Append(s.Context(), s.now, points)
	return err
}

// live lets time pass as usual until a time, in days.
func (s *story) live(end time.Time) error {
	for s.now.Before(end) {
		stop := s.now.Add(24 * time.Hour)
		if stop.After(end) {
			stop = end
		}
		var points []saba.Point
		for at := s.now; at.Before(stop); at = at.Add(time.Minute) {
			if s.usual.only == nil || s.usual.only[at.In(s.zone()).Hour()] {
				points = append(points, s.points(at, nil)...)
			}
		}
		slices.SortStableFunc(points, func(a, b saba.Point) int { return int(a.Time - b.Time) })
		s.now = stop
		if err := s.append(points); err != nil {
			return err
		}
	}
	return nil
}
