package promapi

import "strings"

// dotted returns a query in which names with dots are written as PromQL wants them: in quotes, and the name of a metric inside of
// its braces. So a query that was made for metrics of OpenTelemetry works as it is:
//
//	sum by (http.route) (http.server.requests{http.route=~"/a.*"}[5m])
//	sum by ("http.route") ({"http.server.requests","http.route"=~"/a.*"}[5m])
//
// PromQL has dots nowhere else but in numbers and texts. What is no query is returned as no query.
func dotted(query string) string {
	var b strings.Builder
	type level struct{ braces, names bool } // what ( or { stands for: labels, or a list of names
	var open []level
	last := "" // the word before
	inner := func() level {
		if len(open) == 0 {
			return level{}
		}
		return open[len(open)-1]
	}
	for i := 0; i < len(query); {
		c := query[i]
		switch {
		case c == '"' || c == '\'' || c == '`':
			end := i + 1
			for end < len(query) && query[end] != c {
				if query[end] == '\\' && c != '`' {
					end++
				}
				end++
			}
			end = min(end+1, len(query))
			b.WriteString(query[i:end])
			i, last = end, ""
			continue
		case c == '#': // a comment
			end := len(query)
			if n := strings.IndexByte(query[i:], '\n'); n >= 0 {
				end = i + n
			}
			b.WriteString(query[i:end])
			i = end
			continue
		case begins(c) && (i == 0 || !continues(query[i-1])):
			end := i
			for end < len(query) && continues(query[end]) {
				end++
			}
			name := query[i:end]
			i = end
			if !strings.Contains(name, ".") {
				b.WriteString(name)
				last = strings.ToLower(name)
				continue
			}
			last = ""
			if inner().braces || inner().names {
				b.WriteString(`"` + name + `"`)
				continue
			}
			b.WriteString(`{"` + name + `"`)
			rest := strings.TrimLeft(query[i:], " \t\r\n")
			if !strings.HasPrefix(rest, "{") {
				b.WriteByte('}')
				continue
			}
			i = len(query) - len(rest) + 1
			open = append(open, level{braces: true})
			if !strings.HasPrefix(strings.TrimLeft(query[i:], " \t\r\n"), "}") {
				b.WriteByte(',')
			}
			continue
		case c == '{':
			open = append(open, level{braces: true})
		case c == '(':
			switch last {
			case "by", "without", "on", "ignoring", "group_left", "group_right":
				open = append(open, level{names: true})
			default:
				open = append(open, level{})
			}
		case c == ')' || c == '}':
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
		}
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			last = ""
		}
		b.WriteByte(c)
		i++
	}
	return b.String()
}

// begins and continues say which characters a name has: those of PromQL, and dots after the first.
func begins(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == ':'
}

func continues(c byte) bool { return begins(c) || '0' <= c && c <= '9' || c == '.' }
