// Package perspective is multi-perspective issuance corroboration (TLS Baseline
// Requirements 3.2.2.9): what the platform sees of a domain must be seen from other
// places of the network too. A [Panel] asks the local perspective and all remote
// ones, and applies the dated minimum and the quorum. [Client] asks a remote one
// over HTTPS with mutual TLS, and [NewHandler] is what answers there.
//
// It looks at nothing itself and keeps nothing: neither side reuses an answer, or
// anything else of an attempt, for another one. It trusts a remote perspective, once
// it has proven who it is, to say what it saw and nothing more: an answer for another
// attempt or under another name is an error, and what it says is bounded in size and
// time. Questions hold the applicant's token, which is never logged.
package perspective

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
)

// Regions are the service regions of the regional Internet registries, by the
// registries' names (BR 3.2.2.9).
var Regions = []string{"AFRINIC", "APNIC", "ARIN", "LACNIC", "RIPE NCC"}

// maxBody is the largest body of a question or an answer, in octets.
const maxBody = 64 << 10

// The paths of the wire.
const (
	validatePath = "/v1/validate"
	caaPath      = "/v1/caa"
	healthPath   = "/v1/health"
)

// request is the body of a question.
type request[Q any] struct {
	Attempt   string `json:"attempt"`    // random; the answer repeats it
	TimeoutMS int64  `json:"timeout_ms"` // how long the answer may take
	Question  Q      `json:"question"`
}

// response is the body of an answer.
type response[R any] struct {
	Perspective string `json:"perspective"`
	Region      string `json:"region"`
	Attempt     string `json:"attempt"`
	Result      R      `json:"result"`
}

// Health is what a remote perspective says of itself.
type Health struct {
	Name    string `json:"name"`
	Region  string `json:"region"`
	Version string `json:"version"`
}

// problem is the body of a refusal.
type problem struct {
	Error string `json:"error"`
}

var (
	nameForm    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	attemptForm = regexp.MustCompile(`^[0-9a-f]{32}$`)
	hostForm    = regexp.MustCompile(`^[0-9a-z_.:-]{1,255}$`) // a domain of A-labels, or an IP address
)

// CheckName returns what is wrong with the name and the region of a perspective, nil
// if nothing is. A name is a label of letters in lower case, digits and hyphens, and
// a region is one of Regions.
func CheckName(name, region string) error {
	if !nameForm.MatchString(name) {
		return fmt.Errorf("%q is no name of a perspective: it has 1 to 63 small letters, digits and hyphens", name)
	}
	if !slices.Contains(Regions, region) {
		return fmt.Errorf("%q is no region: it is one of %s", region, strings.Join(Regions, ", "))
	}
	return nil
}

// newAttempt returns the ID of a new attempt: 16 random octets in hexadecimal.
func newAttempt() string {
	var b [16]byte
	rand.Read(b[:]) // does not fail (crypto/rand)
	return hex.EncodeToString(b[:])
}

// decode reads one JSON value with no member that is not known, after which nothing
// follows.
func decode(from io.Reader, into any) error {
	decoder := json.NewDecoder(from)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	switch _, err := decoder.Token(); {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return errors.New("there is more after the JSON value")
	default:
		return fmt.Errorf("there is more after the JSON value: %w", err)
	}
}

// maxListed is how many values or issuers a question may list.
const maxListed = 64

// checkQuestion returns what makes a question unfit to be looked at.
func checkQuestion(q dcv.Question) error {
	switch q.Method {
	case telamon.MethodDNS, telamon.MethodPersist, telamon.MethodHTTP:
	default:
		return errors.New("the method does not look for anything")
	}
	switch {
	case q.Kind != telamon.ClaimDomain && q.Kind != telamon.ClaimIP:
		return errors.New("the kind of claim is not known")
	case !hostForm.MatchString(q.Name) || !hostForm.MatchString(q.ADN):
		return errors.New("the name or the authorization domain name is neither a domain name nor an IP address")
	case len(q.Values) > maxListed || len(q.Issuers) > maxListed:
		return fmt.Errorf("there are more than %d values or issuers", maxListed)
	case q.Method != telamon.MethodPersist && (len(q.Values) == 0 || slices.Contains(q.Values, "")):
		return errors.New("there is no value to look for")
	case q.Method == telamon.MethodPersist && (len(q.Issuers) == 0 || q.AccountURI == ""):
		return errors.New("there is no issuer or account to look for")
	}
	return nil
}

// checkCAAQuestion is checkQuestion for CAA.
func checkCAAQuestion(q dcv.CAAQuestion) error {
	switch {
	case !hostForm.MatchString(strings.TrimPrefix(q.Name, "*.")):
		return errors.New("the name is not a domain name")
	case len(q.Issuers) == 0:
		return errors.New("there is no issuer")
	case len(q.Issuers) > maxListed || len(q.Methods) > maxListed:
		return fmt.Errorf("there are more than %d issuers or methods", maxListed)
	}
	return nil
}

// checkFinding returns what makes a finding contradict itself.
func checkFinding(_ dcv.Question, f dcv.Finding) error {
	if f.Found && f.Coverage != telamon.CoversTree && f.Coverage != telamon.CoversExact {
		return fmt.Errorf("something was found with the coverage %q", f.Coverage)
	}
	return nil
}

// checkCAA returns what makes a check contradict the question or itself.
func checkCAA(q dcv.CAAQuestion, c telamon.CAACheck) error {
	if c.Name != q.Name {
		return errors.New("the check is of another name")
	}
	if c.Allowed && c.GoodTo.Before(c.At) {
		return errors.New("the check is good for less than no time")
	}
	return nil
}

// bounded returns d, or limit if d is not positive or longer.
func bounded(d, limit time.Duration) time.Duration {
	if d <= 0 || d > limit {
		return limit
	}
	return d
}
