package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telamon-ca/telamon/internal/api/atlas"
	"github.com/telamon-ca/telamon/internal/portal/operator"
	"github.com/telamon-ca/telamon/internal/staff"
	"github.com/telamon-ca/telamon/internal/web"
)

// OperatorConfig names one person of the CA's staff.
type OperatorConfig struct {
	// Name stands in audit events: lower-case letters, digits and .-_
	Name string `yaml:"name"`
	// UID is the user of the system as whom the operator opens the admin socket. It is
	// nobody else's, and neither root's nor the server's.
	UID *uint32 `yaml:"uid"`
	// TokenSHA256 is the SHA-256, in hexadecimal, of a token that the operator alone
	// has and sends with each command: TELAMON_OPERATOR_TOKEN, or the file of
	// -token-file. "telamon operator-token" makes both.
	TokenSHA256 string `yaml:"token_sha256"`
	// Email is the address by which the operator signs in to the portal as one of the
	// staff. It says that the two are one person, who approves nothing of their own by
	// going to the other face, and that another operator's user is somebody else.
	Email string `yaml:"email"`
}

// The values of four_eyes.
const (
	fourEyesAuto = "auto"
	fourEyesOn   = "on"
	fourEyesOff  = "off"
)

// operators returns who the operators are.
func (c *Config) operators() (*staff.Operators, error) {
	var list []staff.Operator
	for _, o := range c.Operators {
		op := staff.Operator{Name: o.Name, UID: -1, TokenSHA256: o.TokenSHA256, Email: o.Email}
		if o.UID != nil {
			op.UID = int64(*o.UID)
		}
		list = append(list, op)
	}
	return staff.NewOperators(list, int64(os.Geteuid()))
}

// needsTwo reports whether four eyes are on.
func (c *Config) needsTwo() bool {
	return c.FourEyes == fourEyesOn || c.FourEyes == fourEyesAuto && len(c.Operators) >= 2
}

// operatorProblems reports what is wrong with the configuration of operators.
func (c *Config) operatorProblems() (problems []error) {
	if _, err := c.operators(); err != nil {
		problems = append(problems, fmt.Errorf("operators: %w", err))
	}
	switch c.FourEyes {
	case fourEyesAuto, fourEyesOff:
	case fourEyesOn:
		if len(c.Operators) < 2 {
			problems = append(problems, errors.New("four_eyes: needs at least two operators"))
		}
	default:
		problems = append(problems, fmt.Errorf("four_eyes: must be %s, %s or %s", fourEyesAuto, fourEyesOn, fourEyesOff))
	}
	if c.AdminGroup != "" && len(c.Operators) == 0 {
		problems = append(problems, errors.New("admin_group: is for operators: name them"))
	}
	return problems
}

// shareSocket lets the members of admin_group open the admin socket, which is the
// server's own otherwise.
func (c *Config) shareSocket(path string) error {
	if c.AdminGroup == "" {
		return os.Chmod(path, 0o600)
	}
	group, err := user.LookupGroup(c.AdminGroup)
	if err != nil {
		return fmt.Errorf("admin_group: %w", err)
	}
	gid, err := strconv.Atoi(group.Gid)
	if err != nil {
		return fmt.Errorf("admin_group: the group %s has the number %q", c.AdminGroup, group.Gid)
	}
	if err := os.Chown(path, -1, gid); err != nil {
		return fmt.Errorf("admin_group: %w", err)
	}
	return os.Chmod(path, 0o660)
}

// wireStaff makes the use cases of the staff.
func (a *App) wireStaff() (err error) {
	if a.operators, err = a.Config.operators(); err != nil {
		return fmt.Errorf("operators: %w", err)
	}
	table, err := a.Config.Validation.rules()
	if err != nil {
		return fmt.Errorf("validation.rules_file: %w", err)
	}
	a.Staff = staff.New(staff.Config{
		Store: a.Store, Clock: a.Clock, Log: a.Log, FourEyes: a.Config.needsTwo(), Operators: a.operators, Rules: table, Mailboxes: a.Config.Mail.Operators,
		WakeJobs: func() { a.jobs.Wake() },
	})
	return nil
}

// casesEvery is how often cases are looked at that may be overdue.
const casesEvery = time.Minute

// startCases tells the operators, in mails and metrics, of certificates that should have
// been revoked by now.
func (a *App) startCases(ctx context.Context, work *sync.WaitGroup) {
	var open, overdue atomic.Int64
	for name, gauge := range map[string]struct {
		help  string
		value *atomic.Int64
	}{
		"telamon_cases_open":    {"Cases by which certificates must be revoked that are open.", &open},
		"telamon_cases_overdue": {"Open cases whose certificates should have been revoked by now.", &overdue},
	} {
		a.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: gauge.help},
			func() float64 { return float64(gauge.value.Load()) }))
	}
	a.every(ctx, work, casesEvery, "look at cases", func(ctx context.Context) error {
		n, late, err := a.Staff.WatchCases(ctx)
		if err == nil {
			open.Store(int64(n))
			overdue.Store(int64(late))
		}
		return err
	})
}

// How often one address may report a problem: a few at once, and then one in ten minutes.
const (
	reportRate  = 1.0 / 600
	reportBurst = 5
)

// operatorPages is what the portal's pages of those who operate the CA are made of.
func (s *Server) operatorPages() operator.Config {
	a := s.app
	return operator.Config{
		Staff: a.Staff, Life: a.Life, CRLs: a.Publisher, Acts: s.admin, Verifier: a.verifier, Ready: a.ready,
		ParseRequest: atlas.ParseRequest, Answer: atlas.Answer, Reporters: web.NewLimiter(a.Clock, reportRate, reportBurst),
	}
}
