package atlastest

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A script is a parsed fixture: steps that run in order on one target.
type script struct {
	name  string
	steps []step
}

// A step is one directive or one exchange of a script.
type step struct {
	line int
	// One of the two is set.
	directive []string  // words, such as "use" "dev_pkcs10"
	exchange  *exchange // a request and what its answer has to be
}

// An exchange is a request, as its sender spells it, and checks of the answer.
type exchange struct {
	head   []string // request line and header lines, before variables are put in
	body   string   // lines joined by LF, without a final one
	status int
	checks []check
}

// A check is one line after the status that is expected.
type check struct {
	line    int
	subject string // "header", "json", "words", "body", "no-header"
	name    string // of the header, or the path in the JSON
	match   bool   // want is a regular expression, not the text itself
	other   bool   // want is what it must not be
	want    string
}

// directives are the words that may start a line, and how many arguments follow.
var directives = map[string][2]int{
	"use":       {1, 4}, // use NAME [without certificate | with certificate of OTHER]
	"key":       {1, 1}, // key rsa-2048 | ecdsa-p256
	"advance":   {1, 1}, // advance 605s
	"repeat":    {1, 1}, // repeat 5: the next exchange
	"reconnect": {0, 0},
	"set":       {2, 2}, // set name value
	"when":      {5, 5}, // when name value set name value: if the first is so
	"lower":     {1, 1}, // lower name: the variable's value in lower case
	"trim":      {1, 1}, // trim name: without the zeros that it starts with
	"chain":     {0, 0}, // the chain of the answer verifies its certificate

	"publish":  {3, 8}, // publish dns NAME TYPE VALUE | publish http HOST VALUE
	"withdraw": {3, 3}, // withdraw dns NAME TYPE
	"fail":     {3, 3}, // fail dns NAME drop | servfail
	"approve":  {1, 1}, // approve MAILBOX: what the newest mail to it asks for
}

// parser is what was read of a script so far.
type parser struct {
	script
	request []string  // lines of a request whose answer has not begun
	answer  *exchange // the one whose checks are being read, nil for none
}

// parseScript reads a fixture. Empty lines and lines that start with # are
// comments; an exchange is the lines that start with > and the < after them.
func parseScript(name, text string) (*script, error) {
	p := parser{script: script{name: name}}
	for i, line := range strings.Split(text+"\n", "\n") {
		if err := p.line(i+1, line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
	}
	if len(p.steps) == 0 {
		return nil, fmt.Errorf("%s: no steps", name)
	}
	return &p.script, nil
}

func (p *parser) line(n int, line string) error {
	if text, ok := strings.CutPrefix(line, ">"); ok {
		p.answer = nil
		p.request = append(p.request, strings.TrimPrefix(text, " "))
		return nil
	}
	if text, ok := strings.CutPrefix(line, "<"); ok {
		return p.expect(n, strings.TrimPrefix(text, " "))
	}
	if len(p.request) > 0 {
		return errors.New("a request without an expected answer")
	}
	p.answer = nil
	if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
		return nil
	}
	words := strings.Fields(line)
	args, ok := directives[words[0]]
	if !ok || len(words)-1 < args[0] || len(words)-1 > args[1] {
		return fmt.Errorf("cannot read %q", line)
	}
	p.steps = append(p.steps, step{line: n, directive: words})
	return nil
}

// expect reads a line of an answer: its status if it is the first, else a check.
func (p *parser) expect(n int, text string) error {
	if p.answer == nil {
		x, err := newExchange(p.request, text)
		if err != nil {
			return err
		}
		p.request, p.answer = nil, x
		p.steps = append(p.steps, step{line: n, exchange: x})
		return nil
	}
	c, err := parseCheck(text)
	c.line = n
	p.answer.checks = append(p.answer.checks, c)
	return err
}

func newExchange(request []string, status string) (*exchange, error) {
	if len(request) == 0 {
		return nil, errors.New("an expected answer without a request")
	}
	code, err := strconv.Atoi(status)
	if err != nil || code < 100 || code > 599 {
		return nil, fmt.Errorf("%q is no status", status)
	}
	x := &exchange{status: code}
	for i, line := range request {
		if line == "" {
			x.body = strings.Join(request[i+1:], "\n")
			break
		}
		x.head = append(x.head, line)
	}
	if len(strings.Fields(x.head[0])) != 3 {
		return nil, fmt.Errorf("%q is no request line", x.head[0])
	}
	return x, nil
}

// parseCheck reads one of
//
//	Header-Name: the text
//	Header-Name ~ an expression
//	no Header-Name
//	json path = the text
//	json path != another text
//	json path ~ an expression
//	body empty
//	body ~ an expression
//	words member WORD...   every member of this name, at any depth, is one of them
func parseCheck(line string) (check, error) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "words":
		if name, words, ok := strings.Cut(rest, " "); ok {
			return check{subject: "words", name: name, want: words}, nil
		}
	case "no":
		return check{subject: "no-header", name: rest}, nil
	case "body":
		if rest == "empty" {
			return check{subject: "body"}, nil
		}
		if expression, ok := strings.CutPrefix(rest, "~ "); ok {
			return expressionCheck(check{subject: "body"}, expression)
		}
	case "json":
		path, test, _ := strings.Cut(rest, " ")
		if want, ok := strings.CutPrefix(test, "= "); ok {
			return check{subject: "json", name: path, want: want}, nil
		}
		if want, ok := strings.CutPrefix(test, "!= "); ok {
			return check{subject: "json", name: path, want: want, other: true}, nil
		}
		if expression, ok := strings.CutPrefix(test, "~ "); ok {
			return expressionCheck(check{subject: "json", name: path}, expression)
		}
	default:
		if name, ok := strings.CutSuffix(word, ":"); ok {
			return check{subject: "header", name: name, want: rest}, nil
		}
		if expression, ok := strings.CutPrefix(rest, "~ "); ok {
			return expressionCheck(check{subject: "header", name: word}, expression)
		}
	}
	return check{}, fmt.Errorf("cannot read the check %q", line)
}

func expressionCheck(c check, expression string) (check, error) {
	c.match, c.want = true, expression
	_, err := regexp.Compile(variable.ReplaceAllString(expression, "x"))
	return c, err
}

// variable is ${name}, or the time ${now}, ${now+10}, ${now-10}, ${now+name}.
var variable = regexp.MustCompile(`\$\{([a-z_0-9]+)(?:([+-])([a-z_0-9]+))?\}`)

// vars are the values that a script may name.
type vars struct {
	text map[string]string
	now  func() time.Time
}

// expand puts the variables' values into s, changed by quote. A name without a
// value is an error, so that no check passes for want of one.
func (v *vars) expand(s string, quote func(string) string) (string, error) {
	var missing []string
	get := func(name string) string {
		value, ok := v.text[name]
		if !ok {
			missing = append(missing, name)
		}
		return value
	}
	out := variable.ReplaceAllStringFunc(s, func(found string) string {
		m := variable.FindStringSubmatch(found)
		name, sign, by := m[1], m[2], m[3]
		if name != "now" {
			return quote(get(name))
		}
		if sign == "" {
			by = "0"
		} else if by[0] > '9' {
			by = get(by)
		}
		offset, err := strconv.ParseInt(sign+by, 10, 64)
		if err != nil {
			missing = append(missing, found)
		}
		return strconv.FormatInt(v.now().Unix()+offset, 10)
	})
	if len(missing) > 0 {
		return "", fmt.Errorf("no value for %v", missing)
	}
	return out, nil
}
