package world

import (
	"net/http"
	"slices"
	"strings"
)

// A recordBody is a record in a request. The fields that are needed depend on the
// operation.
type recordBody struct {
	Name  string  `json:"name"`
	Type  string  `json:"type"`
	Value string  `json:"value"`
	TTL   *uint32 `json:"ttl,omitempty"` // seconds; the server's own if it is missing
}

// A recordView is a record as the API shows it.
type recordView struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Value string `json:"value"`
	TTL   uint32 `json:"ttl"`
}

// controlFaults are the faults that a request can name.
var controlFaults = []Fault{ServFail, Refused, Drop, Truncate, Lame}

func (w *World) listRecords(rw http.ResponseWriter, _ *http.Request) error {
	views := []recordView{}
	for _, r := range w.DNS.Records() {
		views = append(views, recordView(r))
	}
	writeJSON(rw, http.StatusOK, views)
	return nil
}

func (w *World) addRecord(rw http.ResponseWriter, r *http.Request) error {
	var body recordBody
	if err := readJSON(rw, r, &body); err != nil {
		return err
	}
	if body.Name == "" || body.Type == "" {
		return refuse(http.StatusBadRequest, "a record needs a name, a type and a value")
	}
	var err error
	if body.Type = strings.ToUpper(body.Type); body.TTL == nil {
		err = w.DNS.Add(body.Name, body.Type, body.Value)
	} else {
		err = w.DNS.AddTTL(body.Name, body.Type, body.Value, *body.TTL)
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	writeJSON(rw, http.StatusCreated, body)
	return nil
}

// removeRecords takes what to remove from the query if there is no body.
func (w *World) removeRecords(rw http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	body := recordBody{Name: query.Get("name"), Type: query.Get("type"), Value: query.Get("value")}
	if r.ContentLength != 0 {
		if err := readJSON(rw, r, &body); err != nil {
			return err
		}
	}
	if body.Name == "" {
		return refuse(http.StatusBadRequest, "the records of which name are to be removed?")
	}
	if body.Type == "" && body.Value != "" {
		return refuse(http.StatusBadRequest, "a value needs a type")
	}
	removed := w.DNS.Remove(body.Name, strings.ToUpper(body.Type), body.Value)
	writeJSON(rw, http.StatusOK, map[string]int{"removed": removed})
	return nil
}

func (w *World) addFault(rw http.ResponseWriter, r *http.Request) error {
	var body struct {
		Name  string `json:"name"`
		Fault Fault  `json:"fault"`
	}
	if err := readJSON(rw, r, &body); err != nil {
		return err
	}
	if body.Name == "" || !slices.Contains(controlFaults, body.Fault) {
		return refuse(http.StatusBadRequest, "a fault needs a name, and is servfail, refused, drop, truncate or lame")
	}
	w.DNS.Fail(body.Name, body.Fault)
	writeJSON(rw, http.StatusCreated, body)
	return nil
}

func (w *World) removeFault(rw http.ResponseWriter, r *http.Request) error {
	name := r.URL.Query().Get("name")
	if name == "" {
		return refuse(http.StatusBadRequest, "the fault of which name is to be removed?")
	}
	w.DNS.Mend(name)
	writeJSON(rw, http.StatusOK, map[string]string{"name": name})
	return nil
}
