package digicertone

import (
	"io"
	"net/http"
	"strconv"
)

// hello is what Trust Lifecycle Manager answers to a client that tries its credentials.
// Clients compare the bytes (digicert-one.md, Section 8).
const hello = "Hello from DigiCert ONE - Trust Lifecycle Manager REST API!"

func (a *API) helloRoutes() {
	a.route("GET /mpki/api/v1/hello", factorAny, a.hello)
}

// hello serves GET /mpki/api/v1/hello.
func (a *API) hello(c *call) error {
	h := c.w.Header()
	h.Set("Content-Type", "text/plain")
	h.Set("Content-Length", strconv.Itoa(len(hello)))
	c.w.WriteHeader(http.StatusOK)
	io.WriteString(c.w, hello) // a client that has gone away is not our error
	return nil
}
