package notify

import (
	"errors"
	"net/textproto"
	"strconv"
	"strings"
)

// A SendError is a message that was not sent, as far as we know. It says neither
// what the message holds nor what the server said but its codes, for the server has
// seen the message and our password.
type SendError struct {
	Step      string // what failed, such as "name the recipient"
	Code      int    // the server's reply (RFC 5321, Section 4.2); 0 if it did not reply
	Enhanced  string // its enhanced status code (RFC 3463), such as "5.1.1"; may be ""
	Permanent bool   // sending the same again is in vain
	Err       error  // the cause if the server did not reply; may be nil
}

// Error returns the error for a log.
func (e *SendError) Error() string {
	text := "send mail: " + e.Step
	if e.Code != 0 {
		text += ": the server answered " + strings.TrimSpace(strconv.Itoa(e.Code)+" "+e.Enhanced)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *SendError) Unwrap() error { return e.Err }

// IsPermanent reports whether err says that this message cannot be sent to this
// recipient, now or later. Everything else, also what is wrong with the
// configuration, may be mended.
func IsPermanent(err error) bool {
	sent, ok := errors.AsType[*SendError](err)
	return ok && sent.Permanent
}

// failed returns the error of a step that is not about the recipient.
func failed(step string, err error) *SendError {
	if _, ok := errors.AsType[textproto.ProtocolError](err); ok {
		err = errors.New("the reply is not one of SMTP")
	}
	reply, ok := errors.AsType[*textproto.Error](err)
	if !ok {
		return &SendError{Step: step, Err: err}
	}
	return &SendError{Step: step, Code: reply.Code, Enhanced: enhanced(reply)}
}

// judged returns the error of a step at which the server judges the recipient or
// the message: replies from 550 to 559, and 521 and 556 of hosts that take no mail
// (RFC 7504), are permanent. Other replies that begin with 5 are about our manners
// or our login.
func judged(step string, err error) *SendError {
	e := failed(step, err)
	e.Permanent = e.Code >= 550 && e.Code <= 559 || e.Code == 521
	return e
}

// enhanced returns the enhanced status code with which the text of a reply begins.
func enhanced(reply *textproto.Error) string {
	word, _, _ := strings.Cut(reply.Msg, " ")
	parts := strings.Split(word, ".")
	if len(parts) != 3 || len(parts[0]) != 1 {
		return ""
	}
	for _, part := range parts {
		if n, err := strconv.ParseUint(part, 10, 16); err != nil || n > 999 {
			return ""
		}
	}
	return word
}
