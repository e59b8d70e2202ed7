package world

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The limits of what the control API takes.
const (
	maxControlBody = 256 << 10
	maxFile        = 1 << 20
	maxFiles       = 10_000
)

const controlHelp = `The world in which this installation validates control of domains.

DNS       POST   /dns/records  {"name":"example.test","type":"TXT","value":"text"}
          DELETE /dns/records  the same; without type or value, all of them
          GET    /dns/records
          POST   /dns/faults   {"name":"example.test","fault":"servfail"}; or refused, drop, truncate, lame
          DELETE /dns/faults?name=example.test
HTTP      PUT    /http/files/HOST/PATH   the body is the file; a host without an address gets one
          DELETE /http/files/HOST/PATH
          GET    /http/files
Mail      GET    /mail         what was received, oldest first; ?to=ADDRESS is those to it,
                               and waits 8 s for one if there is none
          DELETE /mail
`

// A controlError is an answer of the control API that is an error.
type controlError struct {
	status int
	text   string
}

// Error returns what the client is told.
func (e *controlError) Error() string { return e.text }

func refuse(status int, format string, args ...any) error {
	return &controlError{status, fmt.Sprintf(format, args...)}
}

// handler returns the control API. It is for programs on this machine: a page in a
// browser cannot drive it, since its requests carry an Origin, or a Host that is
// not loopback if their name was rebound.
func (w *World) handler() http.Handler {
	routes := map[string]map[string]func(http.ResponseWriter, *http.Request) error{
		"/{$}":                         {"GET": serveHelp},
		"/dns/records":                 {"GET": w.listRecords, "POST": w.addRecord, "DELETE": w.removeRecords},
		"/dns/faults":                  {"POST": w.addFault, "DELETE": w.removeFault},
		"/http/files":                  {"GET": w.listFiles},
		"/http/files/{host}/{path...}": {"PUT": w.putFile, "DELETE": w.deleteFile},
		"/mail":                        {"GET": w.listMail, "DELETE": w.clearMail},
		"/":                            {},
	}
	mux := http.NewServeMux()
	for pattern, methods := range routes {
		allowed := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
		mux.HandleFunc(pattern, func(rw http.ResponseWriter, r *http.Request) {
			err := fromHere(r)
			switch serve := methods[r.Method]; {
			case err != nil:
			case serve != nil:
				err = serve(rw, r)
			case len(methods) == 0:
				err = refuse(http.StatusNotFound, "there is nothing here; see GET /")
			default:
				rw.Header().Set("Allow", allowed)
				err = refuse(http.StatusMethodNotAllowed, "the methods here are %s", allowed)
			}
			writeError(rw, err)
		})
	}
	return mux
}

// fromHere refuses what a page in a browser may have sent.
func fromHere(r *http.Request) error {
	if r.Header["Origin"] != nil {
		return refuse(http.StatusForbidden, "a web page must not use this API")
	}
	host := hostOnly(r.Host)
	if addr, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !addr.IsLoopback()) {
		return refuse(http.StatusForbidden, "the Host of a request has to be localhost or a loopback address")
	}
	return nil
}

func writeError(rw http.ResponseWriter, err error) {
	if err == nil {
		return
	}
	status := http.StatusBadRequest
	if known, ok := errors.AsType[*controlError](err); ok {
		status = known.status
	}
	writeJSON(rw, status, map[string]string{"error": err.Error()})
}

func writeJSON(rw http.ResponseWriter, status int, body any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.Header().Set("Cache-Control", "no-store")
	rw.WriteHeader(status)
	encoder := json.NewEncoder(rw)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body) // the client may have gone
}

// readJSON reads a body strictly.
func readJSON(rw http.ResponseWriter, r *http.Request, into any) error {
	body, err := readBody(rw, r, maxControlBody)
	if err != nil {
		return err
	}
	return decodeStrictly(body, into)
}

func readBody(rw http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, limit))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, refuse(http.StatusRequestEntityTooLarge, "the body is longer than %d octets", limit)
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the body cannot be read")
	}
	return body, nil
}

// decodeStrictly reads one JSON value without unknown fields.
func decodeStrictly(body []byte, into any) error {
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return refuse(http.StatusBadRequest, "the body is not the JSON that is expected: %v", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return refuse(http.StatusBadRequest, "the body goes on after the JSON")
	}
	return nil
}

func serveHelp(rw http.ResponseWriter, _ *http.Request) error {
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(rw, controlHelp) // the client may have gone
	return nil
}

func (w *World) listFiles(rw http.ResponseWriter, _ *http.Request) error {
	writeJSON(rw, http.StatusOK, w.HTTP.Files())
	return nil
}

// putFile serves a file, and gives its host the address of the HTTP servers if it
// has no address and no other name.
func (w *World) putFile(rw http.ResponseWriter, r *http.Request) error {
	host, path := hostOnly(r.PathValue("host")), "/"+r.PathValue("path")
	if host == "" || strings.ContainsAny(host, "/ \t\r\n") {
		return refuse(http.StatusBadRequest, "%q is not a host", host)
	}
	body, err := readBody(rw, r, maxFile)
	if err != nil {
		return err
	}
	if w.HTTP.count() >= maxFiles {
		return refuse(http.StatusInsufficientStorage, "there are %d files already", maxFiles)
	}
	if err := w.addAddress(host); err != nil {
		return err
	}
	w.HTTP.Put(host, path, body)
	writeJSON(rw, http.StatusCreated, File{host, path, len(body)})
	return nil
}

func (w *World) addAddress(host string) error {
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	for _, r := range w.DNS.Records() {
		if hostOnly(r.Name) == host && slices.Contains([]string{"A", "AAAA", "CNAME"}, r.Type) {
			return nil
		}
	}
	address, _, err := net.SplitHostPort(w.HTTP.Addr())
	if err != nil {
		return err
	}
	kind := "A"
	if strings.Contains(address, ":") {
		kind = "AAAA"
	}
	if err := w.DNS.Add(host, kind, address); err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	return nil
}

func (w *World) deleteFile(rw http.ResponseWriter, r *http.Request) error {
	if !w.HTTP.Delete(r.PathValue("host"), "/"+r.PathValue("path")) {
		return refuse(http.StatusNotFound, "there is no such file")
	}
	writeJSON(rw, http.StatusOK, map[string]int{"removed": 1})
	return nil
}

// A mailView is a message as the API shows it.
type mailView struct {
	From    string   `json:"from"`
	To      []string `json:"to"`
	Subject string   `json:"subject"`
	Text    string   `json:"text"`
	HTML    string   `json:"html"`
	TLS     bool     `json:"tls"`
	At      string   `json:"at"`
}

// mailWait is how long the API waits for a mail to an address.
const mailWait = 8 * time.Second

// listMail answers with all mails, or with those to an address. Of the latter it waits
// for the first one.
func (w *World) listMail(rw http.ResponseWriter, r *http.Request) error {
	to := r.URL.Query().Get("to")
	wanted := func(m Message) bool { return to == "" || slices.Contains(m.To, to) }
	if to != "" {
		ctx, cancel := context.WithTimeout(r.Context(), mailWait)
		defer cancel()
		if _, err := w.Mail.Wait(ctx, wanted); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
	views := []mailView{}
	for _, m := range w.Mail.Messages() {
		if !wanted(m) {
			continue
		}
		views = append(views, mailView{m.From, m.To, m.Subject, m.Text, m.HTML, m.TLS, m.At.Format("2006-01-02T15:04:05Z")})
	}
	writeJSON(rw, http.StatusOK, views)
	return nil
}

func (w *World) clearMail(rw http.ResponseWriter, _ *http.Request) error {
	removed := len(w.Mail.Messages())
	w.Mail.Clear()
	writeJSON(rw, http.StatusOK, map[string]int{"removed": removed})
	return nil
}
