package atlastest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A World is what an applicant can change outside of the server: the DNS, web servers
// and what is in mailboxes. What it did is seen by the server when it returns.
type World interface {
	// AddRecord adds a record to a domain name, its value as in a zone file but that a
	// TXT record's is the text itself.
	AddRecord(name, recordType, value string) error
	// RemoveRecords removes all records of a type from a domain name.
	RemoveRecords(name, recordType string) error
	// Fail lets the DNS fail for a domain name: "drop" is no answer at all, "servfail"
	// one that says so.
	Fail(name, how string) error
	// PutFile serves a file at an absolute path of a host, by http and https.
	PutFile(host, path, content string) error
	// Approve waits for the newest mail to a mailbox that has not been approved yet,
	// and approves what it asks for as the reader of the mailbox does.
	Approve(mailbox string) error
}

// tokenPath is where a host serves a claim's token.
const tokenPath = "/.well-known/pki-validation/gsdv.txt"

// outside carries out a directive about the world.
func (r *runner) outside(words []string) error {
	w := r.target.World
	if w == nil {
		return errors.New("the target has no world")
	}
	words = slices.Clone(words)
	for i := range words {
		var err error
		if words[i], err = r.vars.expand(words[i], verbatim); err != nil {
			return err
		}
	}
	switch act := words[0]; {
	case act == "approve":
		return w.Approve(words[1])
	case act == "fail" && words[1] == "dns":
		return w.Fail(words[2], words[3])
	case act == "publish" && words[1] == "http":
		return w.PutFile(words[2], tokenPath, strings.Join(words[3:], " "))
	case act == "publish" && words[1] == "dns" && len(words) > 4:
		return w.AddRecord(words[2], words[3], strings.Join(words[4:], " "))
	case act == "withdraw" && words[1] == "dns":
		return w.RemoveRecords(words[2], words[3])
	}
	return fmt.Errorf("cannot carry out %q", words)
}
