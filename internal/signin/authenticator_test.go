package signin_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
)

// authenticator is a passkey's other half, as a browser and a security key answer for it.
type authenticator struct {
	id      []byte
	key     *ecdsa.PrivateKey
	counter uint32
	origin  string
	host    string
	user    []byte // the handle that it was made for
}

func newAuthenticator(t testing.TB) *authenticator {
	t.Helper()
	a := &authenticator{id: make([]byte, 16), origin: portal, host: "portal.example.test"}
	rand.Read(a.id)
	a.key = got(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	return a
}

// options are what the platform asks a browser.
type options struct {
	PublicKey struct {
		Challenge string `json:"challenge"`
		User      struct {
			ID string `json:"id"`
		} `json:"user"`
		AllowCredentials []struct {
			ID string `json:"id"`
		} `json:"allowCredentials"`
	} `json:"publicKey"`
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (a *authenticator) clientData(t testing.TB, kind, challenge string) []byte {
	t.Helper()
	return got(json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.origin, "crossOrigin": false}))(t)
}

// data is the authenticator data (WebAuthn, Section 6.1); attested is what follows the
// counter at a registration.
func (a *authenticator) data(flags byte, attested []byte) []byte {
	a.counter++
	host := sha256.Sum256([]byte(a.host))
	out := append(host[:], flags)
	out = binary.BigEndian.AppendUint32(out, a.counter)
	return append(out, attested...)
}

// create answers navigator.credentials.create.
func (a *authenticator) create(t testing.TB, asked []byte) []byte {
	t.Helper()
	var o options
	must(t, json.Unmarshal(asked, &o))
	a.user = got(base64.RawURLEncoding.DecodeString(o.PublicKey.User.ID))(t)
	point := got(a.key.PublicKey.Bytes())(t)
	public := got(webauthncbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]}))(t)
	attested := append(make([]byte, 16), 0, byte(len(a.id)))
	attested = append(append(attested, a.id...), public...)
	object := got(webauthncbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": a.data(0x45, attested)}))(t)
	return got(json.Marshal(map[string]any{
		"id": encode(a.id), "rawId": encode(a.id), "type": "public-key",
		"response": map[string]any{
			"clientDataJSON":    encode(a.clientData(t, "webauthn.create", o.PublicKey.Challenge)),
			"attestationObject": encode(object),
		},
	}))(t)
}

// get answers navigator.credentials.get.
func (a *authenticator) get(t testing.TB, asked []byte) []byte {
	t.Helper()
	var o options
	must(t, json.Unmarshal(asked, &o))
	client, data := a.clientData(t, "webauthn.get", o.PublicKey.Challenge), a.data(0x05, nil)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(append([]byte{}, data...), hash[:]...))
	signature := got(ecdsa.SignASN1(rand.Reader, a.key, digest[:]))(t)
	return got(json.Marshal(map[string]any{
		"id": encode(a.id), "rawId": encode(a.id), "type": "public-key",
		"response": map[string]any{
			"clientDataJSON": encode(client), "authenticatorData": encode(data), "signature": encode(signature), "userHandle": encode(a.user),
		},
	}))(t)
}
